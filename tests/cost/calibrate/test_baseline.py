import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.cost.calibrate import baseline
from tf_cosearch.cost.calibrate.measurements import Measurement
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import Layer

CHIP = accelerators.from_paths({"pe_memory/capacity_mib": 0.25})  # 4 MiB


def test_counts_of_a_small_network_by_hand():
    layers = [
        Layer("conv", "conv2d", 4, 4, 70, 8, 8, 6, 3, 3, 2, 2),
        Layer(
            "depthwise", "depthwise_conv2d", 4, 4, 70, 4, 4, 70, 3, 3, groups=70
        ),
        Layer("add", "elementwise", 4, 4, 70, 4, 4, 70, side_elements=1120),
        Layer("dense", "dense", 1, 1, 5000, 1, 1, 1120),
    ]
    assert baseline.count(layers, CHIP) == [
        16 * 9 * 128 * 8 + 16 * 9 * 128 * 4 + 5056 * 1120,
        (384 + 1120) + (1120 + 1120) + (2240 + 1120) + (1120 + 5000),
        (70 * 54 + 70) + (70 * 9 + 70) + 5000 * 1121 - 4 * 2**20,
        1,
    ]


def test_a_device_that_is_a_sum_is_predicted():
    names = (
        "mobilenet_v1",
        "mobilenet_v2",
        "resnet50_v1",
        "vgg16",
        "efficientnet_lite4",
        "inception_v1",
        "squeezenet",
    )
    networks = [published.load(name) for name in names]
    truth = np.array([1e-9, 2e-7, 1e-6, 0.3])
    measured = [
        Measurement(name, layers, float(baseline.count(layers, CHIP) @ truth))
        for name, layers in zip(names, networks, strict=True)
    ]
    predicted = baseline.left_out(measured, CHIP)
    assert predicted == pytest.approx([m.latency_ms for m in measured])


def test_a_network_does_not_predict_itself():
    layers = published.load("mobilenet_v1")
    twice = [Measurement("one", layers, 2.0), Measurement("one", layers, 4.0)]
    other = Measurement("other", layers, 9.0)
    predicted = baseline.left_out([*twice, other], CHIP)
    assert predicted[:2] == pytest.approx([9, 9])
