"""Dropout that can be resumed: what it drops follows from seed and epoch."""

from __future__ import annotations

import numpy as np
import tf_keras


def reseed(model: tf_keras.Model, seed: int, epoch: int) -> None:
    """Lets what dropout drops follow from the seed and the epoch.

    Args:
        model: Built within `session.private`.
        seed: Of the training.
        epoch: That begins.
    """
    for position, layer in enumerate(model.submodules):
        source = getattr(layer, "_random_generator", None)
        generator = getattr(source, "_generator", None)
        if generator is not None:
            mixed = np.random.SeedSequence([seed, epoch, position])
            generator.reset_from_seed(int(mixed.generate_state(1)[0]))
