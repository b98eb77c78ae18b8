"""What only a trial can tell."""

from __future__ import annotations

import math
from typing import Any

from tf_cosearch.metrics import metric


@metric(unit="share", direction="max", format=".2%")
def accuracy_int8(trial: Any) -> Any:
    """Accuracy of the int8 file on the validation data."""
    return trial.get("accuracy_int8", math.nan)


@metric(unit="share", direction="max", format=".2%")
def accuracy_qat(trial: Any) -> Any:
    """The same of the network with faked int8 arithmetic."""
    return trial.get("accuracy_qat", math.nan)


@metric(unit="share", direction="max", format=".2%")
def accuracy_float(trial: Any) -> Any:
    """The same before quantization."""
    return trial.get("accuracy_float", math.nan)


@metric(unit="share", direction="max", format=".2%")
def accuracy_supernet(trial: Any) -> Any:
    """The accuracy that its network had on shared weights, rounded to int8."""
    return trial.get("accuracy_supernet", math.nan)


@metric(unit="share", direction="max", format=".2%")
def accuracy_table(trial: Any) -> Any:
    """The accuracy that a table of trainings has, instead of a training."""
    return trial.get("accuracy_table", math.nan)


@metric(unit="points", direction="min")
def accuracy_drop(accuracy_float: Any, accuracy_int8: Any) -> Any:
    """What quantization costs, in percent of the validation data."""
    return 100 * (accuracy_float - accuracy_int8)


@metric(unit="KiB", direction="min")
def file_kib(trial: Any) -> Any:
    """Size of the file, of which `model_kib` predicts the weights."""
    return len(trial["tflite"]) / 1024
