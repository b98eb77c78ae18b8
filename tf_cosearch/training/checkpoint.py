"""The state of a training between two epochs, in a file that resumes it.

Keras' `BackupAndRestore` saves weights and optimizer. It forgets what
callbacks have counted, takes the checkpoint of any other training for its
own, and leaves files that a crash of the machine may damage, so that it
cannot give the result of the training that was not interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import keras
import numpy as np
from absl import logging

from tf_cosearch import files, schema
from tf_cosearch.identity import Identity
from tf_cosearch.training.settings import plain

SHARE = 0.05
"""Of a training's time, at most, that may go into checkpoints."""

_ENDING = ".checkpoint"
_BEFORE = ".before"
_FORMAT = 1
_ARRAY = "$array"  # no attribute has such a name


@dataclasses.dataclass
class State:
    """What a phase of a training has come to.

    Attributes:
        finished: Whether the phase has ended.
        history: Metric -> one value per epoch, over both phases.
        seconds: Spent on the phase so far.
        stopped_epoch: The epoch after which the trial was given up, or None.
        callbacks: What `attributes` gave for each callback.
        variables: Values of `variables`, in their order.
    """

    finished: bool
    history: dict[str, list[float]]
    seconds: float
    stopped_epoch: int | None
    callbacks: list[dict[str, Any]]
    variables: list[np.ndarray]


class _Rest(TypedDict):
    """What a file holds beside the arrays."""

    format: int
    fingerprint: str
    finished: bool
    history: dict[str, list[float]]
    seconds: float
    stopped_epoch: int | None
    callbacks: list[dict[str, Any]]
    variables: int


class Checkpoints:
    """The checkpoints of one training, a file for each of its phases.

    Args:
        folder: An existing folder, or None to keep none.
        fingerprint: Of the training, see `fingerprint`. Checkpoints of
            another one are not used.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None, fingerprint: str
    ) -> None:
        self._folder = None if folder is None else pathlib.Path(folder)
        self._fingerprint = fingerprint
        self._written = -float("inf")
        self._took = 0.0

    def is_due(self) -> bool:
        """Whether `SHARE` allows to write already.

        Epochs of large networks are long beside a write, those of small ones
        are soon done again: the last write decides when the next one is due.
        """
        if self._folder is None:
            return False
        return time.monotonic() - self._written >= self._took / SHARE

    def save(self, phase: str, state: State) -> None:
        """Writes a checkpoint, and keeps the one before.

        Args:
            phase: Its name, such as `float` or `qat`.
            state: All that the training needs to go on.

        Raises:
            OSError: If there is no room, or no permission.
        """
        if self._folder is None:
            return
        start = time.monotonic()
        path = self._folder / f"{phase}{_ENDING}"
        content = _pack(state, self._fingerprint)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, f"{path}{_BEFORE}")
        files.write_bytes(path, *content)
        self._written = time.monotonic()
        self._took = self._written - start

    def load(
        self, phase: str, *shapes: Sequence[tuple[int, ...]]
    ) -> State | None:
        """Reads the last checkpoint of a phase that is whole.

        Args:
            phase: Its name.
            *shapes: Of the variables, in their order; several if a phase that
                has ended needs fewer of them.

        Returns:
            The state, or None if the phase has to start.
        """
        if self._folder is None:
            return None
        path = self._folder / f"{phase}{_ENDING}"
        for source in (path, path.with_name(f"{path.name}{_BEFORE}")):
            if not source.exists():
                continue
            try:
                state, owner = _unpack(source.read_bytes())
                if owner != self._fingerprint:
                    logging.warning("%s is of another training.", source)
                elif [v.shape for v in state.variables] not in map(
                    list, shapes
                ):
                    logging.warning("%s is of another network.", source)
                else:
                    return state
            except Exception as error:  # whatever a damaged file leads to
                logging.warning(
                    "%s cannot be read (%s: %s); the training goes on from an "
                    "earlier epoch.",
                    source,
                    type(error).__name__,
                    error,
                )
        return None


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes the checkpoints of a training that has ended.

    Args:
        folder: Where they are; need not be there.
    """
    for path in pathlib.Path(folder).glob(f"*{_ENDING}*"):
        path.unlink(missing_ok=True)


def variables(model: Any) -> list[Any]:
    """The variables that an epoch starts from.

    Args:
        model: Of either Keras, compiled, with the optimizer built.

    Returns:
        Those of the model, quantization ranges and the seeds of Keras 3 among
        them, and of the optimizer, the learning rate among them.
    """
    optimizer = model.optimizer
    if isinstance(model, keras.Model):
        return [*model.variables, *optimizer.variables]
    of_optimizer = optimizer.variables
    if callable(of_optimizer):  # of a legacy one
        of_optimizer = of_optimizer()
    return [*model.weights, *of_optimizer, optimizer.learning_rate]


def fingerprint(**settings: Any) -> str:
    """A number of everything that decides what a training leads to.

    Args:
        **settings: What `settings.plain` takes.

    Returns:
        A hexadecimal number, the same in every process.

    Example:
    >>> fingerprint(epochs=3) == fingerprint(epochs=4)
    False
    """
    return Identity({}, training=plain(settings)).digest()


def attributes(callback: Any) -> dict[str, Any]:
    """What a callback has counted so far, as far as it can be told.

    Args:
        callback: One of a tf_keras `fit`.

    Returns:
        Its public attributes that are numbers, words, arrays, or lists of
        them: all that matters in Keras' `EarlyStopping`, `ReduceLROnPlateau`
        and `ModelCheckpoint`.
    """
    callback = getattr(callback, "_callback", callback)  # of Keras 3
    return {
        name: value
        for name, value in vars(callback).items()
        if not name.startswith("_") and _is_plain(value)
    }


def restore(callback: Any, saved: Mapping[str, Any]) -> None:
    """Gives a callback what `attributes` told of it.

    Args:
        callback: Of the same kind.
        saved: What `attributes` returned.
    """
    callback = getattr(callback, "_callback", callback)
    if getattr(callback, "monitor_op", saved) is None:
        # Keras 3 would do so at the end of an epoch, and change the sign of
        # `min_delta` once more.
        callback._set_monitor_op()
    vars(callback).update(saved)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(each) for each in value)
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    return value is None or isinstance(
        value, (bool, int, float, str, np.generic)
    )


def _pack(state: State, owner: str) -> list[Any]:
    """A checksum, a line of JSON, one of types, and array after array."""
    # NumPy deprecates how Keras 3 makes an array of a variable.
    arrays = [
        np.asarray(value.numpy() if hasattr(value, "numpy") else value)
        for value in state.variables
    ]
    rest = {**vars(state), "format": _FORMAT, "fingerprint": owner}
    rest["variables"] = len(arrays)

    def aside(value: Any) -> dict[str, int]:
        arrays.append(np.asarray(value))
        return {_ARRAY: len(arrays) - 1}

    text = json.dumps(rest, default=aside)
    kinds = json.dumps([(array.dtype.str, array.shape) for array in arrays])
    # Copies of all arrays together could be more than there is memory for.
    content = [
        f"{text}\n{kinds}\n".encode(),
        *(
            np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            for array in arrays
            if array.size
        ),
    ]
    return [_checksum(*content), *content]


def _unpack(content: bytes) -> tuple[State, str]:
    size = len(_checksum())
    if content[:size] != _checksum(memoryview(content)[size:]):
        raise ValueError("its checksum is wrong")
    after_text = content.index(b"\n", size) + 1
    offset = content.index(b"\n", after_text) + 1
    text, kinds = content[size:after_text], content[after_text:offset]
    arrays: list[Any] = []
    for kind, shape in json.loads(kinds):
        array = np.frombuffer(content, kind, math.prod(shape), offset)
        # A scalar comes back as one, not as an array.
        arrays.append(array.reshape(shape)[()])
        offset += array.nbytes

    def back(value: dict[str, Any]) -> Any:
        return arrays[value[_ARRAY]] if value.keys() == {_ARRAY} else value

    rest = json.loads(text, object_hook=back)
    schema.check(rest, _Rest)
    if rest["format"] != _FORMAT:
        raise ValueError("it is of another version")
    return State(
        finished=rest["finished"],
        history=rest["history"],
        seconds=rest["seconds"],
        stopped_epoch=rest["stopped_epoch"],
        callbacks=rest["callbacks"],
        variables=arrays[: rest["variables"]],
    ), rest["fingerprint"]


def _checksum(*content: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in content:
        digest.update(part)
    return digest.digest()
