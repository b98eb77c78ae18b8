"""Searches whose trials take no time, with all else as in a real one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

from tf_cosearch.benchmark import toys
from tf_cosearch.engines.tuner import DurableTuner
from tf_cosearch.search.oracle.oracle import CoSearchOracle


class LightTuner(DurableTuner):
    """A tuner that calls a function instead of training.

    Args:
        oracle: Proposes.
        accuracy: Gives the accuracy of the trial of a number, or raises.
        on_saved: Called with the number of each trial that has ended.
        **kwargs: For `DurableTuner`.
    """

    def __init__(
        self,
        oracle: Any,
        accuracy: Callable[[int], float],
        on_saved: Callable[[int], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(oracle, **kwargs)
        self._accuracy, self._on_saved = accuracy, on_saved

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """Gives the trial its accuracy."""
        return {"accuracy_int8": self._accuracy(int(trial.trial_id))}

    def on_trial_saved(self, trial: Any) -> None:
        """Tells that a trial has ended."""
        self._on_saved(int(trial.trial_id))


def toy_oracle(
    algorithm: str, max_trials: int, seed: int, **options: Any
) -> Any:
    """An oracle of 6,561 toy designs, priced without the cost model.

    Args:
        algorithm: Its name.
        max_trials: Length of the search.
        seed: Of the search.
        **options: Further arguments of the oracle.
    """
    return CoSearchOracle(
        toys.ToySpace((9, 9, 9, 9)),  # type: ignore[arg-type]
        algorithm,
        max_trials=max_trials,
        seed=seed,
        proposals=32,
        estimate=toys.toy_estimate,
        **options,
    )


def append(path: pathlib.Path, line: str) -> None:
    """Adds a line to a file, whole even if other processes add theirs."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)
