"""What Keras and TensorFlow keep for a whole process, lent to a training.

tf_keras numbers layers, collects symbolic tensors and draws initial weights
from state that belongs to the process, and so do Python, NumPy and TensorFlow
with their random numbers. A training needs fresh ones, to be repeatable and to
leave no memory behind; the user's have to be there afterwards as they were.
"""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator

import numpy as np
import tf_keras
from tensorflow.python.eager import context
from tf_keras.src import backend
from tf_keras.src.mixed_precision import policy

from tf_cosearch import seeds
from tf_cosearch.networks.spaces.outline import fresh_names

_PHASES = ("build", "float", "calibration", "qat")


@contextlib.contextmanager
def private() -> Iterator[None]:
    """Gives what is built and drawn meanwhile a state of its own.

    Layers are numbered from the start, with float32 and channels last, and
    dropout gets a state that can be set. Afterwards all is as it was: names,
    settings, and random numbers of Python, NumPy, TensorFlow and both Kerases.

    Example:
    >>> before = tf_keras.layers.Dense(1).name
    >>> with private():
    ...     tf_keras.layers.Dense(1).name
    'dense'
    """
    with (
        policy.policy_scope("float32"),
        _keep_settings(),
        fresh_names(),
        _keep_random_numbers(),
    ):
        # What the training before this one left behind would pile up.
        gc.collect()
        yield


def seed(number: int, phase: str) -> None:
    """Lets what a phase draws follow from a seed, not from other phases.

    TensorFlow's own function would restart random operations of the user,
    too; so call this within `private`.

    Args:
        number: Seed of the training.
        phase: `build`, `float`, `calibration` or `qat`.
    """
    derived = seeds.derive(number, _PHASES.index(phase))
    derived %= 2**32  # NumPy takes no more
    random.seed(derived)
    np.random.seed(derived)  # noqa: NPY002 as callbacks may draw from it
    _set_tensorflow(derived, random.Random(derived))
    backend._SEED_GENERATOR.generator = random.Random(derived)


@contextlib.contextmanager
def _keep_random_numbers() -> Iterator[None]:
    eager = context.context()
    ours = random.getstate(), np.random.get_state()  # noqa: NPY002
    tensorflow = eager._seed, vars(eager).get("_rng")  # none before a seed
    keras = getattr(backend._SEED_GENERATOR, "generator", None)
    # Drawing from these objects would move them on.
    _set_tensorflow(None, None)
    backend._SEED_GENERATOR.generator = None
    try:
        yield
    finally:
        random.setstate(ours[0])
        np.random.set_state(ours[1])  # noqa: NPY002
        _set_tensorflow(*tensorflow)
        backend._SEED_GENERATOR.generator = keras


def _set_tensorflow(number: int | None, source: random.Random | None) -> None:
    eager = context.context()
    eager._seed, eager._rng = number, source


@contextlib.contextmanager
def _keep_settings() -> Iterator[None]:
    generator = tf_keras.backend.experimental
    was_enabled = generator.is_tf_random_generator_enabled()
    floatx = tf_keras.backend.floatx()
    order = tf_keras.backend.image_data_format()
    tf_keras.backend.set_floatx("float32")
    tf_keras.backend.set_image_data_format("channels_last")
    # By default the state of dropout is inside TensorFlow's kernels, where
    # nothing can reach it.
    generator.enable_tf_random_generator()
    try:
        yield
    finally:
        tf_keras.backend.set_floatx(floatx)
        tf_keras.backend.set_image_data_format(order)
        if not was_enabled:
            generator.disable_tf_random_generator()
