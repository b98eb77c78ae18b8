import pathlib
import re
import subprocess
import sys

import pytest

import tf_cosearch as cs

ROOT = pathlib.Path(__file__).parent.parent


def python_blocks():
    text = (ROOT / "README.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_public_names_are_sorted_and_there():
    assert sorted(cs.__all__) == cs.__all__
    assert all(hasattr(cs, name) for name in cs.__all__)


def test_importing_does_not_bring_what_is_not_needed_yet():
    """tf_keras and TFMOT change what `tf.keras` is, and take their time."""
    code = (
        "import sys, tensorflow, keras_tuner\n"
        "before = set(sys.modules)\n"
        "import tf_cosearch\n"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    brought = set(done.stdout.split())
    assert "tf_cosearch" in brought
    late = {
        "tf_keras",
        "tensorflow_model_optimization",
        "matplotlib",
        "sklearn",
        "ai_edge_litert",
    }
    assert not brought & late


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = next(
        block for block in python_blocks() if "CoSearchTuner" in block
    )
    quick = example.replace("max_trials=12", "max_trials=1")
    quick = quick.replace("epochs=12", "epochs=2")
    assert quick.count("=1,") == 1
    exec(compile(quick, "README.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "runs/example/design/model.tflite").is_file()
    assert "Pareto front" in capsys.readouterr().out


def test_the_block_of_the_readme_passes_its_suite():
    from tf_cosearch.networks import blocks
    from tf_cosearch.testing import BlockSuite

    example = next(block for block in python_blocks() if "@cs.block" in block)
    exec(example, {"cs": cs, "__name__": "readme"})  # noqa: S102

    class Suite(BlockSuite):
        name = "bottleneck"

    try:
        Suite().test_rows_equal_a_walk_over_the_built_model()
        Suite().test_stride_and_filters_are_honoured()
    finally:
        del blocks._BLOCKS["bottleneck"]


def test_the_algorithm_of_the_readme_passes_its_suite(tmp_path):
    import numpy as np

    from tf_cosearch.search.genomes import mutate
    from tf_cosearch.search.oracles.base import CoSearchOracle
    from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

    example = next(block for block in python_blocks() if "HillClimb" in block)
    names = {"CoSearchOracle": CoSearchOracle, "mutate": mutate, "np": np}
    exec(example, names)  # noqa: S102
    oracle = place(
        names["HillClimbOracle"](
            ToySpace([4, 4, 4]), seed=0, estimate=toy_estimate, max_trials=20
        ),
        tmp_path,
    )
    genomes = {tuple(genome) for genome in run_trials(oracle, 20)}
    assert len(genomes) == 20


def test_the_space_of_the_readme_loads(tmp_path):
    text = (ROOT / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "space.yaml"
    path.write_text(block)
    space = cs.SearchSpace.load(path)
    assert space.fixed == {"process/node_nm": 28}
    assert space.num_networks > 1e6


@pytest.mark.slow
def test_the_built_in_data_tell_good_designs_from_tiny_ones():
    import numpy as np

    from tf_cosearch.training import datasets, fit, inputs

    digits = datasets.load("digits")
    space = cs.SearchSpace.load("digits")
    data = inputs.prepare(
        *digits.train,
        input_shape=(8, 8, 1),
        classes=10,
        validation_data=digits.validation,
    )
    tiny = np.zeros(len(space.parameters), int)
    wide = [p.name.endswith("width_multiplier") for p in space.parameters]
    good = np.where(wide, 2, 1)
    accuracy = [
        fit.train(space.decode(g).network.build, data, epochs=16).accuracy_int8
        for g in (tiny, np.minimum(good, space.choice_counts - 1))
    ]
    assert accuracy[1] >= 0.97
    assert accuracy[1] - accuracy[0] >= 0.02
