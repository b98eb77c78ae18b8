"""Each short form, as it is run, with one seed and made-up accuracies."""

import csv
import re

import pytest

from tf_cosearch import experiments
from tf_cosearch.benchmark.landscapes import Evaluation
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Setting,
    codesign_edp,
    fast_and_slow,
    space_fits_hardware,
)
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.exact import all_accelerators


@pytest.mark.slow
@pytest.mark.parametrize("name", experiments.names())
def test_a_short_form_leaves_what_is_promised(name, tmp_path):
    line = experiments.reproduce(name, Setting(seeds=1), tmp_path)
    pattern = rf"{name} (holds|does NOT hold) \((1 seed|nothing random)\): "
    assert re.match(pattern, line)
    assert "nan" not in line
    with (tmp_path / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 1
    assert not any(None in row.values() for row in rows)
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_exact_chip_is_the_best_of_those_as_large():
    layers = [Layer("conv", "conv2d", 14, 14, 64, 14, 14, 64, 3, 3)]
    start, area, best = codesign_edp.exact("conv", layers)
    chips = all_accelerators({})
    found = estimate(pad([layers] * 2), _two(chips, (0, 1234)))
    for n in range(2):
        if float(found.area_mm2[n]) <= area:
            product = float(found.latency_ms[n]) * float(found.energy_mj[n])
            assert product >= best * (1 - 1e-5)
    assert best <= start


def _two(chips, rows):
    import numpy as np
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda field: (
            field[list(rows)]
            if np.ndim(field)
            else np.full(2, field, np.float32)
        ),
        chips,
    )


def test_gains_are_of_designs_as_accurate():
    def design(accuracy, latency, energy):
        costs = {"latency_ms": latency, "energy_mj": energy}
        return Evaluation(accuracy, costs, accuracy, {"latency_ms": -1.0})

    fixed = [design(0.9, 4.0, 8.0), design(0.8, 1.0, 1.0)]
    joint = [
        design(0.9, 2.0, 8.0),
        design(0.92, 4.0, 4.0),
        design(0.85, 0.5, 0.5),
    ]
    told = fast_and_slow._gains(fixed, joint, [0.93, 0.0, 0.0, 0.0] * 3)
    assert told["throughput_gain"] == pytest.approx(100)
    assert told["energy_gain"] == pytest.approx(100)
    # Of 12 random designs 3 are as good: 4 trainings for one, against 3.
    assert told["fewer_trainings"] == pytest.approx(4 / 3)
    told = fast_and_slow._gains(fixed, joint, [0.0] * 6)
    assert told["fewer_trainings"] == pytest.approx(6 / 3)


def test_fusing_a_stage_changes_that_stage_alone():
    network = load_network("mobilenet_v2")
    fused = space_fits_hardware._fused(network, "stage3")
    changed = {
        before.path
        for before, after in zip(network.blocks, fused.blocks, strict=True)
        if before.block != after.block
    }
    assert changed == {spec.path for spec in network.blocks
                       if spec.path.startswith("stage3/")}  # fmt: skip
    assert fused.macs > network.macs
