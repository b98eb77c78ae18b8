"""The trainings of a trial, each a JSON file in its folder."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence

import keras_tuner

from tf_cosearch import files, metrics
from tf_cosearch.search import early_stopping
from tf_cosearch.search.early_stopping import Curve
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.oracle.state import ExecutionState

ATTEMPTS = 2
"""How often a training may kill its process before it comes any further."""


class Execution:
    """One training of a trial: its learning curve, and how it ended.

    Args:
        folder: The folder of the trial.
        number: Of the execution.
        fingerprint: What is there of another one does not count.
        costs: What the design costs.
        planned: Epochs of each phase, as far as they are known.
        executions: How many the trial has.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        number: int,
        fingerprint: str,
        costs: Mapping[str, float],
        planned: Mapping[str, int] | None = None,
        executions: int = 1,
    ) -> None:
        self._path = path(folder, number)
        self._content: ExecutionState = {
            "fingerprint": fingerprint,
            "costs": dict(costs),
            "history": {},
            "float_epochs": 0,
        }
        content = read(folder, number)
        if content is not None and content["fingerprint"] == fingerprint:
            self._content = {**content, "costs": dict(costs)}
        self._content["planned"] = dict(planned or {})
        self._content["executions"] = executions
        self._farthest = self._epochs
        self._told = time.monotonic()

    @property
    def _epochs(self) -> int:
        return max(map(len, self._content["history"].values()), default=0)

    @property
    def metrics(self) -> dict[str, float] | None:
        """What it reported; None if it has not ended."""
        return self._content.get("metrics")

    @property
    def curve(self) -> Curve:
        """Its curve so far."""
        return _curve(self._content, "")

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Counts a training that is begun and kills its process.

        One that ends, is interrupted, or comes further than all before it
        does not count: only what would be killed for ever is given up.

        Raises:
            FailedTrialError: If it has been begun too often.
        """
        attempts = self._content.get("attempts", 0)
        if attempts >= ATTEMPTS:
            raise keras_tuner.errors.FailedTrialError(
                "A training must end. Received: one whose process was killed "
                f"{attempts} times before it came further, mostly for want of "
                "memory. It is not begun again: use smaller batches, fewer "
                "workers, smaller networks or a machine with more memory."
            )
        self._content["attempts"] = attempts + 1
        self._told = time.monotonic()
        files.write_json(self._path, self._content)
        try:
            yield
        except BaseException:
            self._content["attempts"] = 0
            with contextlib.suppress(OSError):
                files.write_json(self._path, self._content)
            raise

    def epoch(
        self, history: Mapping[str, Sequence[float]], float_epochs: int
    ) -> None:
        """Writes down an epoch.

        Args:
            history: Metric -> one value per epoch.
            float_epochs: How many of these are of the float phase.
        """
        self._content.pop("metrics", None)
        self._content["history"] = {
            name: list(values) for name, values in history.items()
        }
        self._content["float_epochs"] = float_epochs
        now = time.monotonic()
        # A training that goes on may do epochs again.
        before = self._content.get("epoch_seconds", [])[: self._epochs - 1]
        self._content["epoch_seconds"] = [*before, now - self._told]
        self._told = now
        if self._epochs > self._farthest:
            self._farthest = self._epochs
            self._content["attempts"] = 1  # which is this one
        files.write_json(self._path, self._content)

    def end(self, metrics: Mapping[str, float]) -> None:
        """Writes down what it reports."""
        self._content.pop("attempts", None)
        self._content["metrics"] = dict(metrics)
        files.write_json(self._path, self._content)


class Curves:
    """The curves of all trials of a project, by whichever process they ran.

    Args:
        project: The folder of the search.
        objective: Name of the accuracy that trials end with.
        reward: Of the search.
        rule: Which trials lose; None is no trial.
        costs: What designs are compared by, see `Budgets.compared`.
    """

    def __init__(
        self,
        project: str | os.PathLike[str],
        objective: str,
        reward: Reward,
        rule: early_stopping.Rule | None = None,
        costs: Sequence[str] | None = None,
    ) -> None:
        self._project = pathlib.Path(project)
        self._objective = objective
        self._reward = reward
        self._rule = rule
        self._costs = metrics.compared() if costs is None else costs
        self._ended: dict[str, Curve] = {}

    def is_losing(self, curve: Curve, folder: pathlib.Path) -> bool:
        """See `early_stopping.is_losing`; the folder is that of the trial."""
        return self._rule is not None and early_stopping.is_losing(
            self._rule, self._reward, curve, self.beside(folder), self._costs
        )

    def forecast(self, curve: Curve, folder: pathlib.Path) -> float | None:
        """See `early_stopping.forecast`."""
        return early_stopping.forecast(curve, self.beside(folder), self._costs)

    def beside(self, folder: pathlib.Path) -> list[Curve]:
        """The curves of all trials but one, as far as they have come.

        Args:
            folder: Of the trial to leave out.
        """
        others = sorted(self._project.glob("trial_*"))
        curves = [self._read(other) for other in others if other != folder]
        return [curve for curve in curves if curve and curve.accuracies]

    def _read(self, folder: pathlib.Path) -> Curve | None:
        if folder.name in self._ended:
            return self._ended[folder.name]
        content = read(folder, 0)
        targets = self._reward.targets
        needed = {*self._costs, *(targets.limits() if targets else ())}
        if content is None or not needed <= content["costs"].keys():
            return None
        curve = _curve(content, self._objective)
        if curve.final is not None:
            self._ended[folder.name] = curve
        return curve


def path(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The file of a training, in the folder of its trial."""
    return folder / f"execution_{number}.json"


def read(folder: pathlib.Path, number: int) -> ExecutionState | None:
    """What a file holds; None if it is not there or damaged."""
    with contextlib.suppress(ValueError):
        content, _ = files.read_json(path(folder, number), ExecutionState)
        return content
    return None


def _curve(content: ExecutionState, objective: str) -> Curve:
    metrics = content.get("metrics") or {}
    accuracies = content["history"].get("val_accuracy", [])
    return Curve(
        accuracies[: content["float_epochs"]],
        content["costs"],
        metrics.get(objective),
        "stopped_epoch" in metrics,
    )
