"""A supernet on disk: which one it is, and what it has come to.

A folder holds `supernet.json`, written when a training begins, and
`supernet.checkpoint`, written as it goes on, with the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from absl import logging

from tf_cosearch import files, text
from tf_cosearch.identity import Identity, differences
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.search.oracle.state import IdentityState
from tf_cosearch.supernet import optimizer
from tf_cosearch.supernet.layer_rules import Part
from tf_cosearch.training.checkpoint import Checkpoints, State

FILE = "supernet.json"
_CHECKPOINTS = "supernet.checkpoint*"
_PHASE = "supernet"
_FORMAT = 2

TOOL = text.command("train_supernet")
_ANEW = f"Train one in another folder, or with --overwrite ({TOOL})"


class Record(TypedDict):
    """What `supernet.json` holds.

    Attributes:
        format: Of the folder; another one cannot be read.
        identity: What `Identity` holds: the space of networks, the data, and
            as training `options`, `seed`, `batch_size` and constants of the
            `optimizer`.
        weights: Shapes by key.
    """

    format: int
    identity: IdentityState
    weights: dict[str, list[int]]


def describe(networks: NetworkSpace) -> dict[str, Any]:
    """What tells a space of networks from others, `space` of an `Identity`."""
    described = json.dumps(networks.describe(), sort_keys=True, default=str)
    return {
        "input_shape": list(networks.input_shape),
        "classes": networks.classes,
        "task": networks.task and networks.task.name,
        "parameters": {p.name: list(p.choices) for p in networks.parameters},
        "fingerprint": hashlib.sha256(described.encode()).hexdigest()[:16],
    }


def read(folder: str | os.PathLike[str]) -> Record:
    """Reads which supernet a folder holds.

    Args:
        folder: Of a supernet.

    Returns:
        What `supernet.json` holds.

    Raises:
        FileNotFoundError: If the folder holds none.
        ValueError: If it is damaged, or of another version.
    """
    path = pathlib.Path(folder) / FILE
    if not path.exists() and not any(path.parent.glob(_CHECKPOINTS)):
        raise FileNotFoundError(
            f"A supernet must be a folder with {FILE}. Received: {folder}. "
            f"Train one with {TOOL}."
        )
    try:
        versioned, _ = files.read_json(path, _Versioned)
        if versioned is not None and versioned["format"] != _FORMAT:
            raise ValueError(f"it is of format {versioned['format']}")
        record, wrong = files.read_json(path, Record)
        if record is None:
            raise ValueError(wrong)
    except ValueError as error:
        raise ValueError(
            f"{path} must be of a supernet of this version, format {_FORMAT}. "
            f"Received: {error}. {_ANEW}."
        ) from None
    return record


def require_same(
    folder: str | os.PathLike[str], identity: Identity
) -> Record | None:
    """Makes sure that a folder takes a supernet.

    Args:
        folder: Need not be there.
        identity: Of its training.

    Returns:
        What `read` does; `None` if the folder has no checkpoint yet, so that
        anything may begin.

    Raises:
        AnotherRunError: If the folder has another supernet.
        ValueError: If that cannot be read.
    """
    if not any(pathlib.Path(folder).glob(_CHECKPOINTS)):
        return None
    record = read(folder)
    identity.require_same(
        Identity.from_state(record["identity"]),
        "A supernet must go on with the space, data and options that it was "
        "begun with",
        folder,
        "train another one in another folder, or with --overwrite",
    )
    return record


def remark_optimizer(
    folder: str | os.PathLike[str], trained: Mapping[str, Any]
) -> None:
    """Warns of a supernet that this version would train with other constants.

    Args:
        folder: Of the supernet.
        trained: What `Identity.training` of it is.
    """
    before, now = trained.get("optimizer"), optimizer.constants()
    if before != now:
        logging.warning(
            "%s was trained by another optimizer: %s. Its ranking is that of "
            "its training.",
            folder,
            "; ".join(differences("optimizer", before, now)),
        )


class _Versioned(TypedDict):
    format: int


class SavedSupernet:
    """The files of one supernet.

    Args:
        folder: Where they are.
        record: Which supernet it is.
    """

    def __init__(self, folder: str | os.PathLike[str], record: Record) -> None:
        self._folder = pathlib.Path(folder)
        self._weights = shapes = record["weights"]
        identity = Identity.from_state(record["identity"])
        owner = Identity({}, identity.data, identity.training)
        self._checkpoints = Checkpoints(
            self._folder, owner.digest(space=identity.space, weights=shapes)
        )
        # A finished one has weights alone; one that is to go on has moments,
        # too.
        weights = [tuple(shape) for shape in shapes.values()]
        self._shapes = (weights, [*weights, *weights])

    @classmethod
    def begin(
        cls,
        folder: str | os.PathLike[str],
        identity: Identity,
        parts: Mapping[str, Part],
    ) -> SavedSupernet:
        """Begins a supernet, or goes on with the one of a folder.

        Args:
            folder: Owned by this process.
            identity: Of the training.
            parts: Its weights, by key.

        Raises:
            AnotherRunError: If the folder has another one.
            ValueError: If it cannot be read.
        """
        path = pathlib.Path(folder)
        files.sweep(path)
        record = require_same(path, identity)
        if record is None:
            record = Record(
                format=_FORMAT,
                identity=IdentityState(
                    space=dict(identity.space),
                    data=dict(identity.data or {}),
                    training=dict(identity.training or {}),
                    versions=dict(identity.versions or {}),
                ),
                weights=_shapes(parts),
            )
            files.write_json(path / FILE, record)
        kept = cls(path, record)
        kept.require_parts(parts)
        return kept

    def require_parts(self, parts: Mapping[str, Part]) -> None:
        """Makes sure that its weights are those of its space.

        Args:
            parts: What the space asks for, by key.

        Raises:
            ValueError: If blocks have come to have other weights.
        """
        before, now = self._weights, _shapes(parts)
        if before != now:
            odd = sorted(
                key
                for key in {*before, *now}
                if before.get(key) != now.get(key)
            )
            raise ValueError(
                "A supernet must have the weights of the blocks of its space. "
                f"Received: {self._folder}, where {odd[0]} is "
                f"{before.get(odd[0])}, not {now.get(odd[0])}. "
                f"Blocks have changed. {_ANEW}."
            )

    def load(self) -> State | None:
        """What the training has come to; `None` if it has to start.

        Raises:
            ValueError: If nothing of it can be read.
        """
        if not any(self._folder.glob(_CHECKPOINTS)):
            return None
        state = self._checkpoints.load(_PHASE, *self._shapes)
        if state is None:
            raise ValueError(
                f"A checkpoint in {self._folder} must be whole. Received: "
                f"damaged ones, or of another supernet. {_ANEW}."
            )
        if not all(
            each.dtype == np.float32 and np.isfinite(each).all()
            for each in state.variables
        ):
            raise ValueError(
                f"Weights in {self._folder} must be finite, of float32. "
                f"Received: others. {_ANEW}."
            )
        return state

    def save(self, state: State) -> None:
        """Writes what the training has come to, and keeps the state before.

        Raises:
            OSError: If there is no room, or no permission.
        """
        self._checkpoints.save(_PHASE, state)

    def is_due(self) -> bool:
        """Whether it is time to save, see `Checkpoints.is_due`."""
        return self._checkpoints.is_due()


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes a supernet, and nothing else, from a folder.

    Args:
        folder: Where it is; need not be there.
    """
    for pattern in (_CHECKPOINTS, f"{FILE}*"):
        for path in pathlib.Path(folder).glob(pattern):
            path.unlink(missing_ok=True)


def _shapes(parts: Mapping[str, Part]) -> dict[str, list[int]]:
    return {key: list(part.shape) for key, part in parts.items()}
