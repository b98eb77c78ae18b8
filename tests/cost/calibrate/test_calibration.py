import dataclasses
import functools
from typing import ClassVar

import numpy as np
import pytest

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.cost.calibrate import calibration
from tf_cosearch.cost.calibrate.constants import CONSTANTS
from tf_cosearch.cost.calibrate.measurements import (
    Measurement,
    read_measurements,
)
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import pad

NETWORKS = (
    "mobilenet_v1",
    "mobilenet_edgetpu",
    "efficientnet_lite0",
    "efficientnet_edgetpu_s",
    "resnet50_v1",
    "vgg16",
)


@functools.cache
def networks():
    return {name: published.load(name) for name in NETWORKS}


def measure(chip, names=NETWORKS):
    """Measurements of a device that is as the model says."""
    layers = [networks()[name] for name in names]
    latencies_ms = estimate(pad(layers), chip).latency_ms.numpy()
    return [
        Measurement(name, rows, float(latency_ms))
        for name, rows, latency_ms in zip(
            names, layers, latencies_ms, strict=True
        )
    ]


def chip(**constants):
    base = presets.load_accelerator("pixel6_edge_tpu")
    # A chip that its memory's ports limit, whatever the preset is limited by.
    base = base._replace(
        pe_array=base.pe_array._replace(lanes=4, vector_units=4096),
        pe_memory=base.pe_memory._replace(
            weight_share=1, whole_layers=0, padded_weights=0
        ),
    )
    ideal = {"memory_share": 1, "bandwidth": 20, "inference_us": 0}
    values = ideal | constants
    return accelerators.from_paths(
        accelerators.to_paths(base)
        | {CONSTANTS[name].paths[0]: v for name, v in values.items()}
    )


def calibrate(measured, start, constants=None):
    """Of one device."""
    return calibration.calibrate({"one": measured}, {"one": start}, constants)


@pytest.mark.parametrize(
    "constants",
    [
        {"memory_share": 0.0123},
        pytest.param(
            {"compute_share": 0.321},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"memory_share": 0.0345, "bandwidth": 0.678},
            marks=pytest.mark.slow,
        ),
        {"memory_share": 0.00567, "inference_us": 890.0},
        pytest.param(
            {"layer_us": 12.3, "compute_share": 0.456},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"memory_share": 0.00789, "bandwidth": 1.23, "inference_us": 456.0},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_known_constants_are_found(constants):
    measured = measure(chip(**constants))
    result = calibrate(measured, chip(), list(constants))
    assert result.of_device("one") == pytest.approx(constants, rel=2e-3)
    given, left_out = result.errors("one")
    assert given.mean() < 1e-3
    assert left_out.mean() < 1e-2
    found = accelerators.to_paths(result.accelerators["one"])
    for path, value in accelerators.to_paths(chip(**constants)).items():
        assert found[path] == pytest.approx(value, rel=2e-3)


def test_rows_that_tell_nothing_are_refused():
    """A chip that is slower than measured whatever is widened."""
    measured = [
        m._replace(latency_ms=m.latency_ms / 9)
        for m in measure(chip(), NETWORKS[:3])
    ]
    with pytest.raises(ValueError, match="tell none") as caught:
        calibrate(measured, chip())
    assert "activation_width, bandwidth, inference_us" in str(caught.value)


@pytest.mark.parametrize(
    ("share", "remarks"), [(0.0123, ["memory_share 0.0123"]), (0.2, [])]
)
def test_a_share_that_stands_for_something_else_is_told(share, remarks):
    measured = measure(chip(memory_share=share), NETWORKS[:3])
    result = calibrate(measured, chip(), ["memory_share"])
    assert [line.split(" is ")[0] for line in result.remarks()] == remarks
    assert all(line in result.table() for line in result.remarks())


@pytest.mark.parametrize("factor", [3, 1 / 3])
def test_a_row_in_other_units_is_told(factor):
    start = chip(inference_us=495.0)
    measured = measure(start, NETWORKS[:4])
    wrong = measured[1]._replace(latency_ms=factor * measured[1].latency_ms)
    result = calibrate(
        [measured[0], wrong, *measured[2:]], start, ["inference_us"]
    )
    [line] = result.remarks()
    assert line.startswith(f"one: {wrong.name} took {wrong.latency_ms:.4g} ms")
    assert line in result.table()
    assert calibrate(measured, start, ["inference_us"]).remarks() == []


def test_a_reversed_column_of_latencies_is_told():
    start = chip()
    measured = measure(chip(inference_us=9.0), NETWORKS[:4])
    order = sorted(m.latency_ms for m in measured)
    wrong = [
        m._replace(latency_ms=order[-1 - order.index(m.latency_ms)])
        for m in measured
    ]
    alike = [m._replace(latency_ms=3 + m.latency_ms / 99) for m in wrong]
    found = [
        any("Check that every latency stands in the row" in line for line in of)
        for of in (
            calibrate(rows, start, ["inference_us"]).remarks()
            for rows in (wrong, measured, alike)
        )
    ]
    assert found == [True, False, False]


def test_a_chip_without_room_for_a_network_is_refused():
    """Its costs are those of a machine that had the room."""
    paths = accelerators.to_paths(chip(inference_us=495.0))
    few = {"register_file/capacity_kib": 0.5, "pe_array/simd_units": 4096}
    small = accelerators.from_paths(paths | few)
    measured = measure(small, NETWORKS[:3])
    with pytest.raises(
        ValueError, match=r"mobilenet_v1 on one, .* lacks .*KiB"
    ):
        calibrate(measured, small, ["inference_us"])


def test_what_makes_no_difference_is_refused():
    measured = measure(chip(), NETWORKS[:3])
    with pytest.raises(ValueError, match="memory_share can change as it likes"):
        calibrate(measured, chip(), ["memory_share"])


def test_left_out_means_left_out():
    rng = np.random.default_rng(0)
    measured = [
        m._replace(latency_ms=m.latency_ms * rng.uniform(0.8, 1.2))
        for m in measure(chip(memory_share=0.01), NETWORKS[:5])
    ]
    result = calibrate(measured, chip(), ["memory_share"])
    for index, left_out in enumerate(measured):
        rest = measured[:index] + measured[index + 1 :]
        other = calibrate(rest, chip(), ["memory_share"])
        cost = estimate(pad([left_out.layers]), other.accelerators["one"])
        # Its constants are rounded to three digits.
        assert result.left_out_ms["one"][index] == pytest.approx(
            float(cost.latency_ms[0]), rel=5e-3
        )
    relative = result.fitted_ms["one"] / result.measured_ms["one"] - 1
    np.testing.assert_allclose(result.errors("one")[0], np.abs(relative))


@pytest.mark.slow
def test_no_neighbour_of_the_fit_is_better():
    measured = read("pixel6")
    result = calibrate(measured, chip(), ["memory_share"])

    def squared(share):
        cost = estimate(
            pad([m.layers for m in measured]), chip(memory_share=share)
        )
        latencies_ms = [m.latency_ms for m in measured]
        return float(np.sum(np.log(cost.latency_ms / latencies_ms) ** 2))

    best = result.of_device("one")["memory_share"]
    around = [squared(share) for share in np.geomspace(1e-3, 1e-1, 40)]
    assert squared(best) <= min(around) + 1e-6


def read(device):
    path = configuration.shipped("measurements", "published_latencies.csv")
    return read_measurements(path, device)


def test_the_same_input_gives_the_same_result():
    one, other = (calibrate(read("pixel4"), chip()) for _ in range(2))
    assert one.constants == other.constants
    np.testing.assert_array_equal(
        one.left_out_ms["one"], other.left_out_ms["one"]
    )


def test_constants_that_predict_worse_are_refused():
    extra = "layer_us"
    with pytest.raises(ValueError, match="better") as caught:
        calibrate(read("pixel6"), chip(), ["memory_share", extra])
    message = str(caught.value)
    assert f"without {extra} (that is, at 0.01 us)" in message
    assert "--constants=memory_share" in message
    assert message.count("%") == 2


@pytest.mark.parametrize(
    ("count", "constants", "least"),
    [
        (2, ["memory_share"], 3),
        (3, ["memory_share", "bandwidth"], 4),
        (5, ["memory_share", "bandwidth", "layer_us"], 6),
        (
            6,
            [
                *("memory_share", "compute_share", "bandwidth"),
                *("inference_us", "layer_us"),
            ],
            10,
        ),
    ],
)
def test_too_few_networks_are_refused(count, constants, least):
    measured = measure(chip(), NETWORKS[:count])
    with pytest.raises(ValueError, match=f"{least} different networks") as e:
        calibrate(measured, chip(), constants)
    assert f"Received: {count} of one." in str(e.value)


def test_the_same_network_again_is_no_further_one():
    measured = measure(chip(), NETWORKS[:2]) * 3
    with pytest.raises(ValueError, match="Received: 2 of"):
        calibrate(measured, chip(), ["memory_share"])


def test_rows_with_operations_on_the_host_are_refused():
    start = chip()
    rows = measure(start)
    last = dataclasses.replace(rows[1].layers[-1], operator="ARG_MAX")
    rows[1] = rows[1]._replace(layers=[*rows[1].layers[:-1], last])
    message = "mobilenet_edgetpu on device, which leaves .* ARG_MAX"
    with pytest.raises(ValueError, match=message):
        calibration.calibrate({"device": rows}, {"device": start}, ["link"])


@pytest.mark.parametrize("constant", ["memory_share", "layer_us"])
def test_microseconds_for_milliseconds_are_found_out(constant):
    measured = [
        m._replace(latency_ms=1e4 * m.latency_ms)
        for m in measure(chip(), NETWORKS[:3])
    ]
    with pytest.raises(ValueError, match="are in milliseconds"):
        calibrate(measured, chip(), [constant])


def test_wrong_constants_are_refused():
    measured = measure(chip(), NETWORKS[:3])
    with pytest.raises(ValueError, match="Did you mean 'memory_share'"):
        calibrate(measured, chip(), ["memory_shares"])
    with pytest.raises(ValueError, match="must name what to fit"):
        calibrate(measured, chip(), [])
    with pytest.raises(ValueError, match="must have measurements"):
        calibrate([], chip())


def test_the_summary_has_constants_and_both_errors():
    result = calibration.Calibration(
        {"one": chip()},
        {"memory_share": 0.0123},
        {"one": ("a", "b")},
        {"one": np.array([1.0, 2.0])},
        {"one": np.array([1.1, 2.0])},
        {"one": np.array([1.2, 2.2])},
    )
    assert result.summary("one") == (
        "runtime/memory_share 0.0123; mean absolute error 5.0% on 2 rows, "
        "15.0% when each network is left out of the fit"
    )


class Told:
    """A fit whose errors are told; `name!` is one dropped to its ideal."""

    measured_ms = np.ones(1)
    errors: ClassVar[dict[str, float]] = {}

    def __init__(self, measured, chips, constants):
        self.constants = list(constants)

    def also(self, name):
        return type(self)(None, None, [*self.constants, name])

    def without(self, name, is_ideal):
        rest = [other for other in self.constants if other != name]
        return type(self)(None, None, rest + [f"{name}!"] * is_ideal)

    def least(self, near=None):
        return np.zeros(len(self.constants))

    def near(self, other, logs):
        return logs

    def ends(self, logs):
        return logs > 0, logs > 0

    def mixed(self, logs):
        return [], 1.0

    def misfit(self, logs):
        return 0.0

    def left_out(self, logs):
        return np.array([1 + self.errors.get(" ".join(self.constants), 9.0)])

    def predict(self, logs):
        return self.left_out(logs)[None]


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        pytest.param(
            {
                "inference_us": 0.5,
                "inference_us link": 0.4,
                "link": 0.45,
                "link inference_us!": 0.3,
            },
            ["inference_us", "link"],
            id="what is dropped would stay as it was, not become ideal",
        ),
        pytest.param(
            {"inference_us": 0.5, "inference_us link": 0.4, "link": 0.4},
            ["link"],
            id="one that helps no more goes",
        ),
        pytest.param(
            {"inference_us": 0.5, "inference_us link": 0.5, "link": 0.3},
            ["inference_us"],
            id="one that does not help is not added",
        ),
    ],
)
def test_what_is_chosen_predicts_better_as_it_will_be(
    errors, chosen, monkeypatch
):
    monkeypatch.setattr(calibration, "Fit", Told)
    monkeypatch.setattr(Told, "errors", errors)
    monkeypatch.setattr(
        calibration.known, "plausible", lambda chips: ["inference_us", "link"]
    )
    rows = [Measurement(str(number), [], 1.0) for number in range(4)]
    assert calibration.choose({"one": rows}, {"one": None}) == chosen


def test_the_table_says_what_was_not_fitted():
    start = chip(inference_us=495.0, layer_us=3.0)
    result = calibrate(measure(start, NETWORKS[:3]), start, ["inference_us"])
    line = "one as it was: activation_width 0, bandwidth 20, layer_us 3"
    assert line in result.table().splitlines()
