"""Dropout that can be resumed: what it drops follows from seed and epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tf_keras


@contextlib.contextmanager
def seedable() -> Iterator[None]:
    """Gives dropout layers that are built meanwhile a state to set.

    By default their state is inside TensorFlow's kernels, where nothing can
    reach it.
    """
    backend = tf_keras.backend.experimental
    was_enabled = backend.is_tf_random_generator_enabled()
    backend.enable_tf_random_generator()
    try:
        yield
    finally:
        if not was_enabled:
            backend.disable_tf_random_generator()


def reseed(model: tf_keras.Model, seed: int, epoch: int) -> None:
    """Lets what dropout drops follow from the seed and the epoch.

    Args:
        model: With layers that were built with `seedable`.
        seed: Of the training.
        epoch: That begins.
    """
    for position, layer in enumerate(model.submodules):
        source = getattr(layer, "_random_generator", None)
        generator = getattr(source, "_generator", None)
        if generator is not None:
            mixed = np.random.SeedSequence([seed, epoch, position])
            generator.reset_from_seed(int(mixed.generate_state(1)[0]))
