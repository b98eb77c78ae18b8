import importlib.util
import json
import pathlib

import command_line
import numpy as np
import pytest
from absl import flags

from tf_cosearch.cost.model import estimate


@pytest.fixture(scope="module")
def benchmark():
    path = pathlib.Path(command_line.__file__).parent
    spec = importlib.util.spec_from_file_location(
        "benchmark", path / "benchmark_cost_model.py"
    )
    module = importlib.util.module_from_spec(spec)
    before = set(flags.FLAGS)
    spec.loader.exec_module(module)
    # Another test defines them again, whenever it runs.
    for flag in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, flag)
    return module


def test_the_tables_measured_are_layers_of_many_kinds(benchmark):
    layers = benchmark.random_layers(40, 24)
    chips = benchmark.random_accelerators(40)
    cost = estimate(layers, chips)
    assert np.isfinite(cost.latency_ms).all()
    assert 0.2 < np.mean(layers.groups > 1) < 0.5
    rows = np.stack(layers, -1).reshape(40 * 24, -1)
    assert len(np.unique(rows, axis=0)) > 700
    again = benchmark.random_layers(40, 24)
    np.testing.assert_array_equal(np.stack(layers), np.stack(again))


@pytest.mark.slow
def test_quick_json_has_every_figure_and_its_baseline(call):
    result = call(
        "benchmark_cost_model",
        "--quick",
        "--format=json",
        "--candidates=20000",
    )
    assert result.code == 0, result.err
    found = json.loads(result.out)
    general, exact = found["general"], found["exact_hardware"]
    assert (
        general["candidates_per_second"]
        > general["graph_candidates_per_second"]
    )
    for name in ("peak_memory_bytes", "first_call_seconds"):
        assert general[name] > 0
    space = found["in_space"]
    for name in ("candidates_per_second", "shortlist_candidates_per_second"):
        assert space[name] > space["estimate_candidates_per_second"] > 0
    assert 0 < exact["seconds"] < exact["first_seconds"]
    assert exact["estimate_seconds"] > 0
    assert len(found["scaling"]) >= 6
    assert 0 < found["machine"]["share_of_arithmetic"] < 1
