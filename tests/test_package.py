import subprocess
import sys

import pytest

import tf_cosearch as cs


def test_public_names_are_sorted_and_there():
    assert sorted(cs.__all__) == cs.__all__
    assert all(hasattr(cs, name) for name in cs.__all__)
    assert {"CoSearchTuner", "algorithms", "estimate", "task"} < {*cs.__all__}
    assert dir(cs) == cs.__all__


def test_names_that_modules_are_like_stay_what_they_are():
    assert cs.algorithms.get("random").__name__ == "RandomSearch"
    assert cs.tasks.task is cs.task
    assert callable(cs.task)
    assert callable(cs.metric)
    assert callable(cs.estimate)


def test_importing_does_not_bring_what_is_not_needed_yet():
    """tf_keras and TFMOT change what `tf.keras` is, and take their time."""
    code = (
        "import sys, tensorflow, keras_tuner\n"
        "before = set(sys.modules)\n"
        "import tf_cosearch as cs\n"
        "names = [getattr(cs, name) for name in cs.__all__]\n"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    brought = set(done.stdout.split())
    assert {"tf_cosearch", "yaml"} <= brought  # which is not lazy any more
    late = {
        "tf_keras",
        "tensorflow_model_optimization",
        "matplotlib",
        "sklearn",
        "ai_edge_litert",
    }
    assert not brought & late


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
