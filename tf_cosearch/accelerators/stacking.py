"""Many accelerators as arrays, which the cost model takes, and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families


def stack(accelerator: Accelerator, batch: int) -> np.ndarray:
    """The parameters of an accelerator as a `[P, B]` array.

    Raises:
        ValueError: If a parameter has another batch size, is not finite, or
            not positive where it must be, or is a value that does not exist.
    """
    return np.stack(
        [np.broadcast_to(row, batch) for row in columns(accelerator, batch)]
    )


def columns(accelerator: Accelerator, batch: int) -> list[np.ndarray]:
    """The parameters of an accelerator, each of one or of `batch` numbers."""
    parameters = accelerators.parameters(families.name_of(accelerator))
    values = []
    for path, value in accelerators.to_paths(accelerator).items():
        array = np.asarray(value, np.float32)
        if array.shape not in ((), (1,), (batch,)):
            raise ValueError(
                "`layers` and `accelerator` must describe the same number of "
                f"candidates. Received: {batch} networks and {path} of shape "
                f"{array.shape}."
            )
        may_be_zero = parameters[path].low == 0
        is_possible = np.isfinite(array) & (
            array >= 0 if may_be_zero else array > 0
        )
        if not is_possible.all():
            candidate = int(np.argmin(np.atleast_1d(is_possible)))
            least = "not negative" if may_be_zero else "positive"
            raise ValueError(
                f"{path} must be {least} and finite. Received: "
                f"{array.flat[candidate]} for candidate {candidate}."
            )
        existing = parameters[path].values
        is_known = np.isin(array, existing)
        if existing and not is_known.all():
            raise ValueError(
                f"{path} must be one of {list(existing)}. "
                f"Received: {array.flat[int(np.argmin(is_known))]:g}."
            )
        values.append(array)
    return values


def unstack(hardware: Any, family: str) -> Accelerator:
    """The accelerator of `[P, B]` parameters, in the order of their paths."""
    rows = hardware
    if tf.is_tensor(hardware):
        rows = tf.unstack(hardware, len(accelerators.parameters(family)))
    return tf.nest.pack_sequence_as(accelerators.default(family), list(rows))
