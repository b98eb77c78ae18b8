import numpy as np
import pytest

from tf_cosearch import metrics
from tf_cosearch.metrics.values import Values, measured
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.space import SearchSpace


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("digits")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))


def genomes(space, count=12):
    return space.canonical(space.sample(np.random.default_rng(1), count))


def test_only_what_is_asked_for_is_computed_and_once(space):
    asked = []

    @metrics.metric(unit="", direction="min")
    def depth(layers):
        asked.append(layers.is_layer.shape)
        return layers.is_layer.sum(-1)

    some = genomes(space)
    values = Pricer(space, 64).price(some)
    assert values["latency_ms"].shape == values["power_mw"].shape == (12,)
    assert asked == []
    assert values["depth"] is values["depth"]
    assert len(asked) == 1
    expected = [len(space.decode(genome).network.layers()) for genome in some]
    assert values["depth"].tolist() == expected


def test_a_part_is_of_its_own_layers_and_accelerators(space):
    @metrics.metric(unit="", direction="min")
    def both(layers, accelerator):
        return layers.is_layer.sum(-1) * accelerator.pe_array.rows

    some = genomes(space)
    pricer = Pricer(space, 64)
    whole = pricer.price(some)
    keep = np.arange(12) % 3 > 0
    part = pricer.price(some).at(keep).at([4, 1])
    np.testing.assert_array_equal(part["both"], whole["both"][keep][[4, 1]])
    before = whole.at(keep)["both"]  # had been computed for the whole
    np.testing.assert_array_equal(before, whole["both"][keep])
    assert len({*whole["both"]}) > 2


def test_layers_meet_accelerators_by_broadcasting(space):
    shapes = []

    @metrics.metric(unit="", direction="min")
    def waits(layers, accelerator, macs):
        lanes = np.asarray(accelerator.pe_array.lanes)[..., None]
        shapes.append(np.broadcast_shapes(layers.out_c.shape, lanes.shape))
        return (layers.is_layer * layers.out_c / lanes).sum(-1) + macs

    split = space.num_network_parameters
    networks, chips = np.split(genomes(space), [split], axis=1)
    grid = Pricer(space, 64).grid(networks[:3], chips[:5])["waits"]
    assert shapes[0][:2] == (3, 5)
    pair = np.concatenate([networks[2], chips[4]])
    expected = Pricer(space, 64).price(pair[None])["waits"][0]
    assert grid.shape == (3, 5)
    assert grid[2, 4] == pytest.approx(expected, rel=1e-6)


def test_methods_of_a_table_count_weights_once(space):
    """A table that networks share rows of, as arrays instead of tensors."""

    @metrics.metric(unit="", direction="min")
    def counted(layers):
        return layers.params().sum(-1)

    values = Pricer(space, 64).price(genomes(space))
    np.testing.assert_allclose(values["counted"], values["params"], rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda latency_ms: latency_ms[:2], "shape \\(12,\\)"),
        (
            lambda latency_ms: np.outer(latency_ms, latency_ms),
            "of \\(12, 12\\)",
        ),
        (lambda latency_ms: "fast", "one number a design"),
        (lambda latency_ms: None, "one number a design"),
    ],
)
def test_what_is_no_number_a_design_is_refused(space, wrong, error):
    @metrics.metric(unit="", direction="min")
    def mine(latency_ms):
        return wrong(latency_ms)

    values = Pricer(space, 64).price(genomes(space))
    with pytest.raises((ValueError, TypeError), match=error):
        values["mine"]


def test_yes_and_no_count_as_1_and_0(space):
    @metrics.metric(unit="", direction="max")
    def is_square(accelerator):
        return accelerator.pe_array.rows == accelerator.pe_array.columns

    values = Pricer(space, 64).price(genomes(space))
    assert {*values["is_square"].tolist()} == {0.0, 1.0}


def test_names_are_those_that_can_be_computed():
    values = Values({"latency_ms": np.ones(3)})
    assert {*values} == {"latency_ms", "throughput_fps"}
    assert len(values) == 2
    assert "power_mw" not in values
    assert "model_kib" not in values
    with pytest.raises(KeyError, match="power_mw"):
        values["power_mw"]
    with pytest.raises(KeyError, match="nothing"):
        values["nothing"]


def test_what_a_trial_measures_may_use_costs():
    @metrics.metric(unit="", direction="max")
    def worth(trial, throughput_fps):
        return trial["accuracy_int8"] * throughput_fps

    @metrics.metric(unit="", direction="max")
    def dense(accuracy_int8, model_kib):
        return accuracy_int8 / model_kib

    report = {"accuracy_int8": 0.5, "tflite": bytes(512)}
    assert measured({"latency_ms": 2.0, "model_kib": 4.0}, report) == {
        "accuracy_int8": 0.5,
        "file_kib": 0.5,
        "worth": 250.0,
        "dense": 0.125,
    }


def test_what_a_trial_measures_may_use_its_design(space):
    @metrics.metric(unit="", direction="max")
    def a_row(trial, accelerator):
        return trial["accuracy_int8"] / accelerator.pe_array.rows

    @metrics.metric(unit="", direction="max")
    def a_layer(accuracy_int8, layers):
        return accuracy_int8 / layers.is_layer.sum(-1)

    pricer = Pricer(space, 64)
    genome = genomes(space)[3]
    design = space.decode(genome)
    told = measured(
        pricer.of(genome),
        {"accuracy_int8": 0.5, "tflite": b""},
        pricer.designs(genome[None]),
    )
    rows = design.accelerator.pe_array.rows
    assert told["a_row"] == pytest.approx(0.5 / rows)
    assert told["a_layer"] == pytest.approx(0.5 / len(design.network.layers()))
