"""What it takes to propose networks of a user's own `build(hp)`."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np
import tf_keras

from tf_cosearch.benchmark.stopwatch import seconds
from tf_cosearch.benchmark.toys import place, run_trials
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace

STAGES = (
    (16, 1, 1),
    (24, 2, 2),
    (32, 3, 2),
    (64, 4, 2),
    (96, 3, 1),
    (160, 3, 2),
    (320, 1, 1),
)
"""Filters, repeats and stride of each stage of MobileNetV2."""


def build(hp: Any, kind: Any = keras) -> Any:
    """MobileNetV2 for ten classes of 96 x 96 pixels, with choices.

    Args:
        hp: Hyperparameters of KerasTuner.
        kind: `keras` or `tf_keras`.

    Returns:
        A compiled model.
    """
    layers = kind.layers

    def finish(x: Any, activation: str | None = "relu6") -> Any:
        x = layers.BatchNormalization()(x)
        return layers.Activation(activation)(x) if activation else x

    inputs = layers.Input((96, 96, 3))
    x = finish(layers.Conv2D(32, 3, 2, "same", use_bias=False)(inputs))
    for stage, (filters, repeats, stride) in enumerate(STAGES):
        expansion = hp.Choice(f"expansion_{stage}", [6, 3]) if stage else 1
        kernel = hp.Choice(f"kernel_{stage}", [3, 5])
        for i in range(repeats):
            y = x
            if expansion > 1:
                y = finish(layers.Conv2D(x.shape[-1] * expansion, 1)(y))
            step = 1 if i else stride
            y = finish(layers.DepthwiseConv2D(kernel, step, "same")(y))
            y = finish(layers.Conv2D(filters, 1)(y), None)
            x = layers.Add()([x, y]) if i else y
    x = finish(layers.Conv2D(1280, 1)(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = kind.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def proposals(trials: int, build: Any = build) -> dict[str, dict[str, float]]:
    """Times the proposals of `grey_box`, in both Kerases.

    Args:
        trials: How many, 2 or more; each ends at once.
        build: From hyperparameters and `keras` or `tf_keras` to a model.

    Returns:
        By package, seconds of processor time: `first_core_seconds` of the
        first proposal, which compiles the cost model, `core_seconds` in the
        median of the others, and `build_core_seconds` of a plain build.
    """
    return {
        kind.__name__: _proposals(functools.partial(build, kind=kind), trials)
        for kind in (keras, tf_keras)
    }


def _proposals(build: Any, trials: int) -> dict[str, float]:
    space = SearchSpace.from_hypermodel(build, name="own")
    oracle = CoSearchOracle(space, max_trials=trials, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        place(oracle, pathlib.Path(folder))
        taken = [
            seconds(lambda: run_trials(oracle, 1))[1] for _ in range(trials)
        ]
    values = space.network_space.hyperparameters()
    return {
        "first_core_seconds": taken[0],
        "core_seconds": float(np.median(taken[1:])),
        "build_core_seconds": seconds(lambda: build(values), 3)[1],
    }
