"""More hardware, all else equal, never makes a network slower."""

import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import Layer, pad

FACTORS = (1, 2, 4)
MORE = (
    "pe_array/columns",
    "pe_array/rows",
    "pe_array/lanes",
    "pe_array/simd_units",
    "pe_array/dot_width",
    "pe_array/input_streams",
    "register_file/capacity_kib",
    "pe_memory/capacity_mib",
    "pe_memory/width_bytes",
    "interconnect/width_bytes",
    "dram/bandwidth_gbs",
    "process/clock_ghz",
)
ROUNDING = 1e-4
LEFT = {"pe_array/simd_units": 0.01, "pe_array/lanes": 0.002}
"""What is left by how much a network may be slower, as measured.

A half of the units or of the lanes is no mapping of its own: where all
channels fit in one pass their weights may no longer fit a register file, and
more lanes with rows of their own read more rows twice.
"""


def grouped():
    """Convolutions of few and of many groups, large and small."""
    return [
        Layer("conv", "conv2d", px, px, c, px, px, c, 3, 3, groups=groups)
        for px in (56, 14, 7)
        for c, groups in ((64, 2), (64, 8), (128, 4), (240, 10), (336, 14))
    ]


def vgg():
    """Thirteen convolutions and three dense layers of VGG-16."""
    layers, in_c, px = [], 3, 224
    for out_c, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            sizes = px, px, out_c, px, px, in_c
            layers.append(Layer("conv", "conv2d", *sizes, 3, 3))
            in_c = out_c
        px //= 2
    for in_c, out_c in ((25088, 4096), (4096, 4096), (4096, 1000)):
        layers.append(Layer("dense", "dense", 1, 1, out_c, 1, 1, in_c))
    return layers


NETWORKS = {
    "mobilenet_v2": lambda: published.load("mobilenet_v2"),
    "mobilenet_edgetpu_v2_s": lambda: published.load("mobilenet_edgetpu_v2_s"),
    "efficientnet_edgetpu_s": lambda: published.load("efficientnet_edgetpu_s"),
    "inception_v4": lambda: published.load("inception_v4"),
    "squeezenet": lambda: published.load("squeezenet"),
    "vgg": vgg,
    "grouped": grouped,
}
"""Depthwise, fused and grouped, fused, of many kinds, small, dense, grouped."""


@pytest.fixture(scope="module")
def latencies():
    """Milliseconds by preset, parameter and factor, of each network."""
    names = configuration.names("accelerators")
    cases, chips = [], []
    for name in names:
        held = accelerators.to_paths(presets.load_accelerator(name))
        for path in MORE:
            for factor in FACTORS:
                more = held | {path: held[path] * factor}
                cases.append((name, path, factor))
                chips.append(accelerators.from_paths(more))
    batch = tf.nest.map_structure(
        lambda *values: np.asarray(values, np.float32), *chips
    )
    table = tf.nest.map_structure(
        lambda column: np.repeat(np.asarray(column), len(chips), 0),
        pad([load() for load in NETWORKS.values()]),
    )
    every = tf.nest.map_structure(
        lambda values: np.tile(values, len(NETWORKS)), batch
    )
    ms = estimate(table, every).latency_ms.numpy().reshape(len(NETWORKS), -1)
    return {
        network: dict(zip(cases, row, strict=True))
        for network, row in zip(NETWORKS, ms.tolist(), strict=True)
    }


@pytest.mark.parametrize("path", MORE)
def test_more_hardware_is_never_slower(latencies, path):
    slower = {
        (network, name, less, factor): ms / of[name, path, less] - 1
        for network, of in latencies.items()
        for (name, what, factor), ms in of.items()
        for less in FACTORS
        if what == path and less < factor
    }
    assert len(slower) == 3 * len(NETWORKS) * 9
    worst = max(slower, key=slower.get)
    assert slower[worst] <= LEFT.get(path, ROUNDING), (worst, slower[worst])
