import csv
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tf_cosearch import metrics
from tf_cosearch.benchmark.toys import ToySpace, place, run_trials, toy_estimate
from tf_cosearch.search import algorithms
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace


@pytest.fixture(scope="module")
def space():
    return SearchSpace.load("digits")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))


def typical(space, name):
    """What a quarter of the designs is better than or equal to."""
    oracle = CoSearchOracle(space, "random", seed=0)
    genomes = space.sample(np.random.default_rng(0), 200)
    costs = oracle.costs(space.canonical(genomes))
    losses = metrics.get(name).loss(costs[name][Budgets().is_feasible(costs)])
    return float(abs(np.quantile(losses, 0.25)))


def search(space, folder, algorithm, trials, **options):
    oracle = place(
        CoSearchOracle(
            space,
            algorithm,
            max_trials=trials,
            proposals=256,
            seed=0,
            **options,
        ),
        folder,
    )
    oracle.check_feasible()
    return oracle, np.asarray(run_trials(oracle, trials))


@pytest.mark.parametrize("name", metrics.names(measured=False))
def test_no_design_beyond_a_budget_is_trained(space, tmp_path, name):
    budgets = Budgets(**{name: typical(space, name)})
    oracle, genomes = search(space, tmp_path, "random", 12, budgets=budgets)
    assert len(genomes) == 12
    (limit,) = budgets.limits().values()
    for genome in genomes:
        (value,) = oracle.costs(genome[None])[name]
        if metrics.get(name).direction == "min":
            assert value <= limit
        else:
            assert value >= limit
    assert name in oracle.archive.costs
    assert all(name in values for _, values in oracle.archive.front)


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_every_algorithm_takes_a_metric_of_ones_own(space, tmp_path, algorithm):
    @metrics.metric(unit="", direction="max")
    def squareness(accelerator):
        """How far the array is from a row."""
        rows, columns = accelerator.pe_array.rows, accelerator.pe_array.columns
        return np.minimum(rows, columns) / np.maximum(rows, columns)

    budgets = Budgets(squareness=0.5, edp=typical(space, "edp"))
    oracle, genomes = search(
        space, tmp_path, algorithm, 14, budgets=budgets, reward="soft"
    )
    assert len(genomes) == 14
    costs = oracle.costs(genomes)
    assert budgets.is_feasible(costs).all()
    assert (costs["squareness"] >= 0.5).all()
    front = oracle.archive.points()
    assert front.shape[1] == 6  # accuracy, the three of all, and these two
    assert (front[:, -1] <= -0.5).all()


def test_a_lower_limit_is_the_upper_one_of_the_reciprocal(space, tmp_path):
    """As many inferences a second, or as little time for each."""
    limit = typical(space, "latency_ms")
    found = []
    for number, budgets in enumerate(
        (Budgets(latency_ms=limit), Budgets(throughput_fps=1e3 / limit))
    ):
        _, genomes = search(
            space,
            tmp_path / str(number),
            "nsga2",
            8,
            budgets=budgets,
            reward="soft",
            algorithm_options={"objectives": ["edp"], "population_size": 4},
        )
        found.append(genomes.tolist())
    assert found[0] == found[1]


def test_targets_may_be_of_any_metric():
    costs = {"latency_ms": np.asarray([1.0, 4.0]), "energy_mj": np.ones(2)}
    fast = WeightedProduct(Budgets(throughput_fps=500))
    np.testing.assert_allclose(fast(0.8, costs), [0.8, 0.4])
    off = AbsoluteDeviation(Budgets(edp=2), beta=-0.5)
    np.testing.assert_allclose(off(0.5, costs), [0.25, 0.0])


def test_an_estimate_that_tells_too_little_is_refused(tmp_path):
    oracle = CoSearchOracle(
        ToySpace((3, 4)),
        "random",
        Budgets(dram_kib=3),
        estimate=toy_estimate,
        seed=0,
    )
    with pytest.raises(ValueError, match="costs without dram_bytes"):
        oracle.check_feasible()


def test_what_nothing_reaches_says_the_most_seen(space, tmp_path):
    with pytest.raises(ValueError, match="utilization 2") as error:
        search(space, tmp_path, "random", 2, budgets=Budgets(utilization=2))
    message = str(error.value)
    assert "the largest utilization seen is 0." in message
    assert "of the budget" in message
    advised = float(message.split("Lower utilization to ")[1].split()[0])
    assert 0 < advised < 1
    assert " or less, or add to the space: accelerators with" in message


SCRIPT = """
import pathlib, sys
import numpy as np
import tf_cosearch as cs
from tf_cosearch.training import datasets

@cs.metric(unit="KiB", direction="max")
def spare_kib(accelerator, peak_memory_kib):
    pes = accelerator.pe_array.rows * accelerator.pe_array.columns
    return pes * 1024.0 * accelerator.pe_memory.capacity_mib - peak_memory_kib

@cs.metric(unit="", direction="max")
def correct_per_kib(trial, model_kib):
    return trial["accuracy_int8"] / model_kib

data = datasets.load("digits")
tuner = cs.CoSearchTuner(
    cs.SearchSpace.load(sys.argv[1], data.input_shape, data.classes),
    "random",
    budgets=cs.Budgets(spare_kib=3000, area_mm2=40),
    max_trials=3,
    seed=0,
    directory=sys.argv[2],
    project_name="own",
)
tuner.search(
    data.train[0][:96], data.train[1][:96],
    validation_data=(data.train[0][96:128], data.train[1][96:128]),
    epochs=1,
)
"""


@pytest.mark.slow
def test_workers_of_a_script_keep_to_its_metric(space_file, tmp_path):
    script = tmp_path / "own.py"
    script.write_text(SCRIPT)
    launch = pathlib.Path(__file__).parents[2] / "tools" / "launch.py"
    done = subprocess.run(
        [
            *(sys.executable, launch, "--workers=2", "--"),
            *(sys.executable, script, space_file, tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "own" / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        assert row["status"] == "COMPLETED"
        assert float(row["spare_kib"]) >= 3000
        assert float(row["correct_per_kib"]) == pytest.approx(
            float(row["accuracy_int8"]) / float(row["model_kib"])
        )
