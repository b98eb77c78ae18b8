"""One chip behind several hosts: what was put in is found, or refused."""

import warnings

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.cost.calibrate import calibration
from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad

SHARED = {"interconnect/activation_width_bytes": 1.25}


def chip(input_gbs, inference_us, **paths):
    return accelerators.from_paths(
        {
            "host_link/input_gbs": input_gbs,
            "dram/bandwidth_gbs": input_gbs,
            "host_link/output_gbs": input_gbs,
            "host_link/instruction_bytes": 1000,
            "pe_memory/capacity_mib": 0.1,
            "runtime/inference_us": inference_us,
            **paths,
        }
    )


def network(px, channels, depth):
    sizes = (px, px, channels, px, px, channels)
    return [Layer(f"c{i}", "conv2d", *sizes, 3, 3) for i in range(depth)]


NETWORKS = {
    f"{px}x{channels}x{depth}": network(px, channels, depth)
    for px, channels, depth in (
        (8, 8, 1), (128, 8, 6), (64, 32, 9), (16, 256, 6), (8, 512, 4),
    )
}  # fmt: skip


def measure(truth, names=tuple(NETWORKS)):
    layers = [NETWORKS[name] for name in names]
    latencies = estimate(pad(layers), truth).latency_ms.numpy()
    return [
        Measurement(name, rows, float(ms))
        for name, rows, ms in zip(names, layers, latencies, strict=True)
    ]


def two_hosts():
    truth = {"usb": chip(0.4, 300, **SHARED), "pcie": chip(1.5, 300, **SHARED)}
    return {device: measure(one) for device, one in truth.items()}


CONSTANTS = ("activation_width", "link", "inference_us")


@pytest.fixture(scope="module")
def found():
    start = {"usb": chip(1, 1), "pcie": chip(1, 1)}
    return calibration.calibrate(two_hosts(), start, CONSTANTS)


def test_shared_constants_and_those_of_each_host_are_found(found):
    assert found.constants == pytest.approx(
        {
            "activation_width": 1.25,
            "usb: link": 0.4,
            "pcie: link": 1.5,
            "inference_us": 300,
        },
        rel=0.01,
    )
    for device, gbs in (("usb", 0.4), ("pcie", 1.5)):
        made = accelerators.to_paths(found.accelerators[device])
        assert made["host_link/input_gbs"] == pytest.approx(gbs, rel=0.01)
        assert made["dram/bandwidth_gbs"] == made["host_link/input_gbs"]
        path = "interconnect/activation_width_bytes"
        assert made[path] == pytest.approx(SHARED[path])
        given, left_out = found.errors(device)
        assert max(given) < 1e-3
        assert max(left_out) < 1e-2


def test_what_was_fitted_is_told_of_each_device(found):
    assert sorted(found.of_device("usb")) == sorted(CONSTANTS)
    assert "host_link/input_gbs 0.4, " in found.summary("usb")
    assert "fitted with pcie" in found.summary("usb")
    lines = found.table().splitlines()
    assert lines[1].split() == ["usb"]
    assert lines[-3].startswith("inference_us ")
    assert lines[-1] == "pcie as it was: layer_us 0"


def test_what_rows_can_tell_is_fitted_by_default(found):
    """Never a share of a peak, as long as anything else is slow."""
    start = {"usb": chip(1, 1), "pcie": chip(1, 1)}
    result = calibration.calibrate(two_hosts(), start)
    assert result.constants == found.constants


def test_a_chip_with_memory_of_its_own_has_no_link_by_default():
    paths = {"dram/bandwidth_gbs": 1, "host_link/input_gbs": 0}
    truth = {"chip": measure(chip(0, 900, **SHARED, **paths))}
    start = {"chip": chip(0, 0, **paths)}
    result = calibration.calibrate(truth, start)
    assert result.constants == pytest.approx(
        {"activation_width": 1.25, "inference_us": 900}, rel=0.01
    )


def test_a_family_without_a_path_of_activations_has_shares_by_default():
    truth = accelerators.from_paths({"runtime/compute_share": 0.3}, "systolic")
    start = accelerators.default("systolic")
    result = calibration.calibrate({"chip": measure(truth)}, {"chip": start})
    assert result.constants == pytest.approx({"compute_share": 0.3}, rel=0.01)


def test_left_out_is_out_of_its_own_device_alone():
    rng = np.random.default_rng(1)
    measured = {
        device: [
            m._replace(latency_ms=m.latency_ms * rng.uniform(0.9, 1.1))
            for m in rows
        ]
        for device, rows in two_hosts().items()
    }
    start = {"usb": chip(1, 1), "pcie": chip(1, 1)}
    everything = calibration.calibrate(measured, start, CONSTANTS)
    rest = measured | {"usb": measured["usb"][1:]}
    other = calibration.calibrate(rest, start, CONSTANTS)
    cost = estimate(pad([measured["usb"][0].layers]), other.accelerators["usb"])
    assert everything.left_out_ms["usb"][0] == pytest.approx(
        float(cost.latency_ms[0]), rel=0.01
    )


def test_constants_that_rows_cannot_tell_apart_are_refused():
    """Of equal networks a start of a layer is one of an inference."""
    measured = measure(chip(0.4, 300, **{"runtime/layer_us": 9}))[:1] * 5
    rows = [m._replace(name=str(i)) for i, m in enumerate(measured)]
    with pytest.raises(ValueError, match="tell the constants apart") as caught:
        calibration.calibrate(
            {"usb": rows}, {"usb": chip(0.4, 1)}, ("inference_us", "layer_us")
        )
    assert "rows in which layer_us " in str(caught.value)
    assert "leave layer_us out (--constants=inference_us)" in str(caught.value)


@pytest.mark.parametrize(
    ("constants", "devices", "message"),
    [
        (["links"], 2, "Did you mean 'link'"),
        ([], 2, "must name what to fit"),
        (["link", "link"], 2, "name each once. Received: link, link"),
        (list(CONSTANTS), 1, "at least 4 different networks .* Received: 2 of"),
    ],
)
def test_wrong_requests_are_refused(constants, devices, message):
    measured = two_hosts()
    if devices == 1:
        measured["pcie"] = measured["pcie"][:2]
    start = {"usb": chip(1, 1), "pcie": chip(1, 1)}
    with pytest.raises(ValueError, match=message):
        calibration.calibrate(measured, start, constants)


def test_a_host_without_measurements_is_refused():
    start = {"usb": chip(1, 1), "pcie": chip(1, 1)}
    with pytest.raises(ValueError, match=r"measurements of \['usb'\], acc"):
        calibration.calibrate(
            {"usb": two_hosts()["usb"], "pcie": []}, start, CONSTANTS
        )


def test_a_constant_at_its_end_is_told():
    measured = {
        "usb": [m._replace(latency_ms=m.latency_ms / 50) for m in
                measure(chip(8, 0.1))]
    }  # fmt: skip
    with pytest.warns(UserWarning, match="usb: link, 8, is at the end"):
        calibration.calibrate(measured, {"usb": chip(1, 0)}, ("link",))


def test_nothing_is_told_of_constants_within():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration.calibrate(
            {"usb": measure(chip(0.4, 300))}, {"usb": chip(1, 300)}, ("link",)
        )


@pytest.mark.parametrize("family", ["systolic", "ethos_u"])
def test_constants_of_another_family_are_refused(family):
    chips = {"usb": accelerators.from_paths({}, family)}
    measured = {"usb": measure(chip(0.4, 300))}
    with pytest.raises(ValueError, match=rf"activation_width .* {family}"):
        calibration.calibrate(measured, chips, ("activation_width", "link"))
    result = calibration.calibrate(measured, chips, ("inference_us",))
    assert result.constants["inference_us"] > 0


def test_chips_that_are_not_one_are_told(found):
    assert found.remarks() == []
    start = {
        "usb": chip(1, 300, **SHARED),
        "pcie": chip(1, 300, **SHARED, **{"pe_array/lanes": 2}),
    }
    [line] = calibration.calibrate(two_hosts(), start, ("link",)).remarks()
    told = "usb and pcie were fitted as one chip, and differ in pe_array/lanes "
    assert line.startswith(f"{told}4 and 2. ")
