import pathlib

import pytest

import tf_cosearch as cs
from tf_cosearch import evaluators
from tf_cosearch.cost import pipeline
from tf_cosearch.evaluators.evaluator import BuiltDesign, RefusedError

LAYERS = [
    cs.Layer(f"conv{n}", "conv2d", 16, 16, 32, 16, 16, 32, 3, 3)
    for n in range(4)
]


def ask(chips, **options):
    design = BuiltDesign(
        LAYERS, cs.load_accelerator("edge_tpu"), pathlib.Path("none"), chips
    )
    return evaluators.make("pipeline", options)(design).costs


@pytest.mark.parametrize("count", [1, 3])
def test_costs_are_those_of_the_partition(count):
    chip = cs.load_accelerator("edge_tpu")
    link = cs.Link.of(chip)._replace(bandwidth_gbs=50.0)
    found = pipeline.partition(LAYERS, [chip] * count, link)
    costs = ask(count, link_gbs=50)
    for name in ("latency_ms", "energy_mj", "area_mm2", "throughput_fps"):
        assert costs[name].value == pytest.approx(getattr(found, name))
    assert costs["busy_share"].value == pytest.approx(found.utilization)
    # An image takes its energy in a period, however long its way is.
    power_mw = 1e3 * found.energy_mj / found.period_ms
    assert costs["power_mw"].value == pytest.approx(power_mw)


def test_chips_may_differ_and_come_in_an_order():
    own, other = map(cs.load_accelerator, ("edge_tpu", "edge_tpu_v3"))
    for name, chips in (
        ("own+edge_tpu_v3", [own, other]),
        ("edge_tpu_v3+own", [other, own]),
    ):
        cut = pipeline.partition(LAYERS, chips, cs.Link.of(own))
        costs = ask(name)
        for cost in ("latency_ms", "energy_mj", "area_mm2", "throughput_fps"):
            assert costs[cost].value == pytest.approx(getattr(cut, cost))
    assert ask("own+own")["area_mm2"] == ask(2)["area_mm2"]


def test_a_link_that_is_slower_takes_longer():
    fast, slow = (ask(3, link_gbs=speed) for speed in (50, 1))
    assert fast["latency_ms"].value < slow["latency_ms"].value
    dear = ask(3, link_gbs=50, link_pj=1e4)
    assert fast["energy_mj"].value < dear["energy_mj"].value


def test_a_network_of_fewer_layers_is_refused():
    with pytest.raises(RefusedError, match="5 chips for 4 layers"):
        ask(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"link_gbs": 0}, "bandwidth above 0 GB/s"),
        ({"link_pj": -1}, "byte_pj=-1"),
        ({"link_gbs": "fast"}, "`link_gbs` must be a number.*'fast'"),
        ({"link_pj": True}, "`link_pj` must be a number.*True"),
    ],
)
def test_options_that_are_not_possible(options, message):
    with pytest.raises(ValueError, match=message):
        evaluators.make("pipeline", options)
