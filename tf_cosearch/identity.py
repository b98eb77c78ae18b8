"""What makes two runs the same: space, data, training and who measures.

It is written down in the state of a search, and compared here alone: when a
search is continued, when one starts from another, and before the rest of a
training, or its result, is taken from the disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from typing import Any

from absl import logging

CLASS = "class"
"""The key of an object's class, or of a function's name, in its settings."""

ANALYTIC = {CLASS: "Analytic"}
"""The evaluator of a run that has no other: the cost model."""

_PACKAGES = (
    "tf_cosearch",
    "tensorflow",
    "tf_keras",
    "keras",
    "keras-tuner",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
)

_MOST = 3
"""Differences that a message names."""


class AnotherRunError(ValueError):
    """A run is continued, or started from, with what makes it another one."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Two runs are the same if these are; all plain JSON.

    Attributes:
        space: What is searched: `parameters`, and a `fingerprint` of all.
        data: What tells the data from others; `None` if nobody has said.
        training: Every setting that a result depends on, objects with theirs;
            `None` if nobody has said.
        versions: Of the packages that train; `None` if nobody has said.
        evaluator: Who says what designs cost; `None` if nobody has said.
    """

    space: Mapping[str, Any]
    data: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    evaluator: Mapping[str, Any] | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Identity:
        """The inverse of `dataclasses.asdict`."""
        parts = (field.name for field in dataclasses.fields(cls))
        state = {"evaluator": ANALYTIC, **state}  # once there was no other
        return cls(**{part: state[part] for part in parts})

    def differences(self, before: Identity) -> list[str]:
        """Says in what a run differs from one before, as far as both say.

        Versions do not count: results of two of them may be compared.

        Args:
            before: That of the run before.

        Returns:
            A text each.

        Example:
        >>> first = Identity({}, {}, {"epochs": 3, "optimizer": {"rate": 0.1}})
        >>> now = Identity({}, {}, {"epochs": 3, "optimizer": {"rate": 0.01}})
        >>> now.differences(first)
        ['training.optimizer.rate=0.1, not 0.01']
        """
        texts = []
        if before.space.get("fingerprint") != self.space.get("fingerprint"):
            # A fingerprint tells that they differ, the rest in what.
            texts += differences(
                "space", _named(before.space), _named(self.space)
            ) or ["another space"]
        for part in ("data", "training", "evaluator"):
            then, now = getattr(before, part), getattr(self, part)
            if then is not None and now is not None:
                texts += differences(part, then, now)
        return texts

    def require_same(
        self,
        before: Identity,
        rule: str,
        source: str | os.PathLike[str],
        remedy: str,
    ) -> None:
        """Makes sure that a run is the same as one before.

        Args:
            before: That of the run before.
            rule: What must hold, for the message.
            source: Where the run before is.
            remedy: What to do otherwise.

        Raises:
            AnotherRunError: If they differ; says in what.
        """
        texts = self.differences(before)
        if texts:
            more = len(texts) - _MOST
            shown = "; ".join(texts[:_MOST])
            shown += f"; and {more} more" if more > 0 else ""
            raise AnotherRunError(
                f"{rule}. Received: {source}, with {shown}. Use the same, or "
                f"{remedy}."
            )
        if before.versions and self.versions:
            changed = differences("", before.versions, self.versions)
            if changed:
                logging.warning(
                    "%s is of other versions: %s.",
                    source,
                    "; ".join(text.lstrip(".") for text in changed),
                )

    def digest(self, **others: Any) -> str:
        """A number of the training, and of whatever else it depends on.

        Args:
            **others: Plain JSON.

        Returns:
            A hexadecimal number, the same in every process.

        Example:
        >>> run = Identity({}, training={"epochs": 3})
        >>> run.digest(seed=1) == run.digest(seed=2)
        False
        """
        content = [self.data, self.training, self.versions, others]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def versions() -> dict[str, str]:
    """Versions of what a result depends on, by package."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def differences(name: str, before: Any, now: Any) -> list[str]:
    """Says in what two settings differ, as deep inside as can be.

    Args:
        name: Of the setting.
        before: Plain JSON, in which an object has the key `class`.
        now: The same.

    Returns:
        A text each.

    Example:
    >>> before = {"class": "Adam", "learning_rate": 0.001, "beta_1": 0.9}
    >>> differences("optimizer", before, {**before, "learning_rate": 0.1})
    ['optimizer.learning_rate=0.001, not 0.1']
    >>> differences("optimizer", before, {"class": "SGD"})
    ['optimizer=Adam, not SGD']
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        if before.get(CLASS) == now.get(CLASS):
            return [
                text
                for key in {**before, **now}
                for text in differences(
                    f"{name}.{key}", before.get(key), now.get(key)
                )
            ]
    elif _are_alike(before, now):
        return [
            text
            for place, pair in enumerate(zip(before, now, strict=True))
            for text in differences(f"{name}[{place}]", *pair)
        ]
    if before == now:
        return []
    return [f"{name}={_short(before)}, not {_short(now)}"]


def _named(space: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in space.items() if key != "fingerprint"}


def _are_alike(before: Any, now: Any) -> bool:
    """Whether both are as many objects."""
    both = [before, now]
    if not all(isinstance(each, list) for each in both):
        return False
    are_objects = all(isinstance(e, dict) for each in both for e in each)
    return are_objects and len(before) == len(now)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get(CLASS, value)
    if isinstance(value, list):
        return f"[{', '.join(str(_short(each)) for each in value)}]"
    return value
