"""The accuracy of a user's own model, by the metrics it was compiled with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tf_keras

from tf_cosearch.tasks.custom import MAXIMIZED
from tf_cosearch.training.compiled import Compiled

ACCURACY = "accuracy"
"""What the metric that designs are chosen by is called in results."""

_ADVICE = (
    "Compile the model with metrics=['accuracy'], or with another metric of "
    "Keras of which more is better, such as AUC or R2Score."
)
# What a loss that classifies is measured by.
_INFERRED = {
    "binarycrossentropy": "BinaryAccuracy",
    "binaryfocalcrossentropy": "BinaryAccuracy",
    "categoricalcrossentropy": "CategoricalAccuracy",
    "categoricalfocalcrossentropy": "CategoricalAccuracy",
    "sparsecategoricalcrossentropy": "SparseCategoricalAccuracy",
}


class Scores:
    """Measures outputs of a model, whoever computed them.

    The accuracy is the compiled metric of that name, else the first with `acc`
    in its name, else inferred from a loss that classifies, else the first
    compiled metric of which more is better.

    Args:
        model: A compiled model of either Keras.
        compiled: Of it.

    Attributes:
        main: The compiled metric that is the accuracy; None if it is inferred
            from the loss.

    Raises:
        ValueError: If there is no metric of which more is better.
    """

    def __init__(self, model: Any, compiled: Compiled) -> None:
        self._compiled = compiled
        names = list(compiled.metrics)
        accuracies = [name for name in names if "acc" in name]
        # One of the best five has it in its name, too.
        accuracies.sort(key=lambda name: name not in (ACCURACY, "acc"))
        maximized = [
            name
            for name, metric in compiled.metrics.items()
            if _is_maximized(metric)
        ]
        self._inferred = None if accuracies else _inferred(model)
        if self._inferred is not None:
            maximized = []
        self.main = next(iter([*accuracies, *maximized]), None)
        if self.main is None and self._inferred is None:
            raise ValueError(
                "A model must have a metric of which more is better, by which "
                f"designs are chosen. Received: {', '.join(names) or 'none'}, "
                f"and a loss that does not classify. {_ADVICE}"
            )

    @property
    def names(self) -> list[str]:
        """What `of` returns, the accuracy first."""
        others = [name for name in self._compiled.metrics if name != self.main]
        return [ACCURACY, *(name for name in others if name != ACCURACY)]

    def of(self, batches: Iterable[Any]) -> dict[str, float]:
        """Measures outputs.

        Args:
            batches: Of (outputs, targets[, sample weights]).

        Returns:
            Metric -> value, of those that are one number.
        """
        self._compiled.reset()
        inferred = self._inferred
        if inferred is not None:
            inferred.reset_state()
        for outputs, y, *weights in batches:
            self._compiled.update(outputs, y, *weights)
            if inferred is not None:
                inferred.update_state(y, outputs)
        values = {
            ACCURACY if name == self.main else name: float(value)
            for name, value in self._compiled.results().items()
            if np.ndim(value) == 0
        }
        if inferred is not None:
            values[ACCURACY] = float(inferred.result())
        self._compiled.reset()
        return values


def _is_maximized(metric: Any) -> bool:
    return any(kind.__name__ in MAXIMIZED for kind in type(metric).__mro__)


def _inferred(model: Any) -> Any:
    """The metric of a loss that classifies; None of any other."""
    loss = model.loss
    if isinstance(loss, dict):
        [loss] = loss.values()
    if isinstance(loss, (list, tuple)):
        [loss] = loss
    library = tf_keras if isinstance(model, tf_keras.Model) else keras
    name = loss if isinstance(loss, str) else _name(loss)
    kind = _INFERRED.get(name.replace("_", "").lower())
    if kind is None:
        return None
    settings = {}
    if kind == "BinaryAccuracy":
        config = loss.get_config() if hasattr(loss, "get_config") else {}
        settings["threshold"] = 0.0 if config.get("from_logits") else 0.5
    return getattr(library.metrics, kind)(name=ACCURACY, **settings)


def _name(loss: Any) -> str:
    return str(getattr(loss, "__name__", type(loss).__name__))
