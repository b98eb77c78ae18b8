"""Each short form, as it is run, with one seed and made-up accuracies."""

import csv
import re

import numpy as np
import pytest

from tf_cosearch import experiments
from tf_cosearch.benchmark import landscapes
from tf_cosearch.benchmark.landscapes import Evaluation
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Setting,
    codesign_edp,
    fast_and_slow,
    joint_beats_separate,
    space_fits_hardware,
    use_cases_differ,
)
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.exact import all_accelerators, best_accelerators


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
def test_the_exact_chip_is_the_best_of_those_as_large(monkeypatch):
    limits = []

    def recorded(layers, budgets, **options):
        limits.append(budgets.limits())
        return best_accelerators(layers, budgets, **options)

    monkeypatch.setattr(codesign_edp, "best_accelerators", recorded)
    layers = [Layer("conv", "conv2d", 14, 14, 64, 14, 14, 64, 3, 3)]
    start, area, best = codesign_edp.exact("conv", layers)
    chips = all_accelerators({})
    found = estimate(pad([layers] * 2), _two(chips, (0, 1234)))
    for n in range(2):
        if float(found.area_mm2[n]) <= area:
            product = float(found.latency_ms[n]) * float(found.energy_mj[n])
            assert product >= best * (1 - 1e-5)
    assert best <= start
    assert limits == [{"area_mm2": area}]


def _two(chips, rows):
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda field: (
            field[list(rows)]
            if np.ndim(field)
            else np.full(2, field, np.float32)
        ),
        chips,
    )


def design(accuracy, latency, energy, excess=-1.0):
    costs = {"latency_ms": latency, "energy_mj": energy}
    return Evaluation(accuracy, costs, accuracy, {"latency_ms": excess})


def test_energies_are_of_designs_as_accurate_as_on_the_baseline():
    runs = {
        "network": [design(0.9, 1.0, 8.0), design(0.8, 1.0, 1.0)],
        "joint": [
            design(0.9, 1.0, 4.0),
            design(0.95, 1.0, 6.0),
            design(0.85, 1.0, 2.0),
            design(0.99, 9.0, 1.0, excess=0.1),
        ],
        "phased": [design(0.85, 1.0, 3.0)],
    }
    place = landscapes.get("energy")
    rows = {
        row["searched"]: row
        for row in joint_beats_separate._rows("energy", place, 0, runs)
    }
    assert rows["network"]["energy_mj"] == 8
    assert rows["joint"]["energy_mj"] == 4
    assert rows["phased"]["energy_mj"] == float("inf")
    assert rows["joint"]["best_reward"] == 0.95  # the last is over budget
    # The best of a separate search is 0.9, of the network on the baseline.
    assert rows["joint"]["trials_needed"] == 1
    assert rows["phased"]["trials_needed"] == float("inf")
    assert [row["violations"] for row in rows.values()] == [0, 1, 0]


def test_what_a_swap_costs_is_over_if_it_mostly_is():
    def row(lost, within):
        return {"case": "a", "design_of": "b", "lost": lost, "within": within}

    rows = [row(1.0, True), row(3.0, True), row(-9.0, False)]
    assert use_cases_differ._told(rows, "a", "b") == "2.00"
    assert use_cases_differ._told(rows[1:], "a", "b") == "over"


def test_gains_are_of_designs_as_accurate():
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
    assert told["as_good_at_random"] == 3
    told = fast_and_slow._gains(fixed, joint, [0.0] * 6)
    assert told["fewer_trainings"] == pytest.approx(6 / 3)
    row = {"algorithm": "grey_box", **told}
    assert fast_and_slow._least([row]) == "at least "
    for none in ((fixed, []), ([], joint)):
        with pytest.raises(RuntimeError, match="designs within the budgets"):
            fast_and_slow._gains(*none, [0.0] * 6)
    assert not fast_and_slow._least([{**row, "as_good_at_random": 1}])


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
