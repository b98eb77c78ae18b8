"""Optimizers of either Keras, made anew for each phase of a training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tf_keras

LEARNING_RATE = 1e-2
"""Where Adam starts; measured on digits."""

QAT_SCALE = 0.1
"""Share of the learning rate that quantization-aware training starts at."""


_DROPPED = ("is_legacy_optimizer", "jit_compile")  # settings of tf_keras alone


class Continued(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose first steps an earlier phase has made.

    Args:
        schedule: The schedule of the whole training.
        steps_done: Steps before this phase.
    """

    def __init__(self, schedule: Any, steps_done: int) -> None:
        self._schedule = schedule
        self._steps_done = steps_done

    def __call__(self, step: Any) -> Any:
        """The learning rate `steps_done` later."""
        return self._schedule(step + self._steps_done)

    def get_config(self) -> dict[str, Any]:
        """What the initializer takes."""
        return {"schedule": self._schedule, "steps_done": self._steps_done}


def make(
    given: Any,
    *,
    steps: int,
    learning_rate: float | None = None,
    is_qat: bool = False,
    qat_scale: float = QAT_SCALE,
    steps_done: int = 0,
    decay: bool = True,
    library: Any = tf_keras,
) -> Any:
    """Makes the optimizer of one phase.

    Args:
        given: A name (`"sgd"`), a configuration (`{"class_name": …,
            "config": …}`), an instance of Keras 3 or tf_keras, which is
            copied; or None for Adam.
        steps: Steps of this phase.
        learning_rate: Where the float phase starts, instead of the default
            of a named optimizer or of `LEARNING_RATE`; the others have their
            own.
        is_qat: A constant learning rate is multiplied by `qat_scale`; a
            schedule goes on.
        qat_scale: By what.
        steps_done: Steps of earlier phases.
        decay: Whether the default Adam decays to zero along a cosine.
        library: The Keras to make it of: `tf_keras`, or `keras` for a float
            phase.

    Returns:
        An optimizer of that Keras.

    Raises:
        ValueError: If it has no such optimizer, or there are two learning
            rates.
    """
    if learning_rate is not None and not isinstance(given, (str, type(None))):
        raise ValueError(
            "learning_rate must be for the default optimizer or for one given "
            f"by name. Received: {learning_rate!r} beside {_short(given)}, "
            "which has its own. Set it there."
        )
    if given is None:
        rate = LEARNING_RATE if learning_rate is None else float(learning_rate)
        rate *= qat_scale if is_qat else 1
        if decay:
            rate = library.optimizers.schedules.CosineDecay(rate, steps)
        return library.optimizers.Adam(rate)
    try:
        name, config = _describe(given, library)
        rate = config["learning_rate"]
        if learning_rate is not None:
            rate = learning_rate
        if isinstance(rate, dict):
            rate = library.optimizers.schedules.deserialize(_plain(rate))
            config["learning_rate"] = (
                Continued(rate, steps_done) if is_qat else rate
            )
        else:
            config["learning_rate"] = float(rate) * (qat_scale if is_qat else 1)
        kind = type(library.optimizers.get(name))
        return kind.from_config(config)
    except (
        AttributeError,
        KeyError,
        NotImplementedError,  # a class of one's own without `get_config`
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"optimizer must be one that {library.__name__} has too. Received: "
            f"{given!r} ({error}). Pass a name such as 'adam', or an "
            "instance."
        ) from error


def unwrapped(optimizer: Any) -> Any:
    """The optimizer within one that scales the loss of mixed precision."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def describe(given: Any, learning_rate: float | None = None) -> Any:
    """What tells an optimizer from others, however it was given.

    Args:
        given: What `make` takes.
        learning_rate: The same.

    Returns:
        Its name and settings.

    Example:
    >>> describe("sgd", 0.5) == describe(tf_keras.optimizers.SGD(0.5))
    True
    >>> describe(None)
    {'class': 'Adam along a cosine', 'learning_rate': 0.01}
    """
    if given is None:
        rate = LEARNING_RATE if learning_rate is None else float(learning_rate)
        return {"class": "Adam along a cosine", "learning_rate": rate}
    made = make(given, steps=1, learning_rate=learning_rate)
    told = _single(made.get_config())
    for name in _DROPPED:
        told.pop(name, None)
    return {"class": type(made).__name__, **told}


def _single(value: Any) -> Any:
    """Numbers in the precision that Keras keeps them in; no names."""
    if isinstance(value, dict):
        return {k: _single(each) for k, each in value.items() if k != "name"}
    return np.float32(value) if isinstance(value, float) else value


def _short(given: Any) -> str:
    return str(given) if isinstance(given, dict) else type(given).__name__


def _describe(given: Any, library: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(given, str):
        return given, library.optimizers.get(given).get_config()
    if isinstance(given, dict):
        name, config = given["class_name"], given["config"]
        return name, {**library.optimizers.get(name).get_config(), **config}
    # tf_keras does not know what Keras 3 added, which is None unless used.
    config = {k: v for k, v in given.get_config().items() if v is not None}
    if library is keras:
        config = {k: v for k, v in config.items() if k not in _DROPPED}
    return type(given).__name__, config


def _plain(serialized: dict[str, Any]) -> dict[str, Any]:
    # Without a module, or tf_keras would import the one of Keras 3.
    return {key: serialized[key] for key in ("class_name", "config")}
