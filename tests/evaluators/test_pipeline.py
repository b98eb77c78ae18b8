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


def ask(chips, layers=LAYERS, **options):
    design = BuiltDesign(
        layers, cs.load_accelerator("edge_tpu"), pathlib.Path("none")
    )
    return evaluators.make("pipeline", {"chips": chips, **options})(design)


@pytest.fixture(scope="module")
def pipelines():
    chip = cs.load_accelerator("edge_tpu")
    link = cs.Link.of(chip)._replace(bandwidth_gbs=50.0)
    return pipeline.partitions(LAYERS, [chip] * 4, link)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_costs_are_those_of_the_partition(pipelines, count):
    costs = ask(count, link_gbs=50).costs
    found = pipelines[count - 1]
    for name in ("latency_ms", "energy_mj", "area_mm2", "throughput_fps"):
        assert costs[name].value == pytest.approx(getattr(found, name))
    assert costs["chips"].value == count
    assert costs["busy_share"].value == pytest.approx(found.utilization)
    one = float(cs.load_accelerator("edge_tpu").area_mm2())
    assert costs["area_mm2"].value == pytest.approx(count * one)


def test_no_more_chips_than_the_throughput_asks_for(pipelines):
    speeds = [each.throughput_fps for each in pipelines]
    assert speeds[0] < speeds[1] < speeds[2]
    for floor, count in ((speeds[0] / 2, 1), (speeds[1], 2), (1e12, 4)):
        costs = ask(4, link_gbs=50, throughput_fps=floor).costs
        assert costs["chips"].value == count


def test_a_network_of_fewer_layers_is_refused():
    with pytest.raises(RefusedError, match="5 chips for 4 layers"):
        ask(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chips": 0}, "`chips` must be an integer of at least 1"),
        ({"link_gbs": 0}, "bandwidth above 0 GB/s"),
        ({"link_pj": -1}, "byte_pj=-1"),
        ({"throughput_fps": 0}, "`throughput_fps` must be positive"),
    ],
)
def test_options_that_are_not_possible(options, message):
    with pytest.raises(ValueError, match=message):
        evaluators.make("pipeline", options)
