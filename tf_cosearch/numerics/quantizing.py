"""A trained Keras model in integers, of as few bits as its accuracy bears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tf_cosearch import text
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.cost.fallback import estimate_all
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.numerics import images, layer_errors
from tf_cosearch.numerics.debugger import check_images
from tf_cosearch.numerics.restoring import Restoration, Result
from tf_cosearch.training import evaluate, qat, rebuild, session
from tf_cosearch.training.datasets import Dataset


def quantize(
    model: Any,
    data: Dataset,
    *,
    max_drop: float,
    lowest_bits: int = 8,
    calibration_images: int = 256,
    divide: float | None = 1.0,
    on_step: Callable[[str], None] = lambda line: None,
) -> Result:
    """Quantizes a model, and restores bits until it is accurate enough.

    Args:
        model: A trained Keras model that puts out a number for each class.
        data: Ranges are seen on its training images, accuracies measured on
            the validation images.
        max_drop: Points that the accuracy may be below that in float.
        lowest_bits: That all layers start with, see `Restoration`.
        calibration_images: That ranges are seen on, at most.
        divide: What pixels are divided by, see `images.spread`.
        on_step: Told what was done, a line each.

    Raises:
        ValueError: If data do not fit the model, or it has a layer without an
            int8 kernel.
        RuntimeError: If TensorFlow cannot convert it.
    """
    shape = tuple(model.input_shape[1:])
    classes = int(model.output_shape[-1])
    if len(model.output_shape) != 2 or classes < 2:
        raise ValueError(
            "A model must put out one number for each of 2 or more classes to "
            f"have an accuracy. Received: outputs {model.output_shape}."
        )
    seen, _ = images.spread(data.train, calibration_images, divide)
    judged, labels = images.spread(data.validation, None, divide)
    held_out, _ = images.spread(data.test, None, divide)
    for name, part in (
        ("Training", seen),
        ("Validation", judged),
        ("Test", held_out),
    ):
        check_images(part, shape, f"{name} images")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Labels must be from 0 to {classes - 1}, as the model tells "
            f"{classes} classes apart. Received: {labels.min()} to "
            f"{labels.max()}."
        )
    with session.private():
        int8, source = rebuild.to_int8(model, seen)
        floats = qat.to_float_tflite(source)
    return Restoration(floats, int8, judged, labels, lowest_bits).run(
        max_drop, on_step
    )


def costs(content: bytes, accelerator: Accelerator) -> dict[str, Any]:
    """What a file takes: KiB on the disk, and time and energy of an image.

    Args:
        content: Of a .tflite file.
        accelerator: What it runs on.

    Returns:
        These, the area of the accelerator, and operations that count as data
        movement, as nobody knows their cost.
    """
    unknown: list[str] = []
    rows = from_tflite(content, on_unknown=unknown.append)
    cost = estimate_all(rows, accelerator)
    return {
        "file_kib": len(content) / 1024,
        "latency_ms": float(cost.latency_ms[0]),
        "energy_mj": float(cost.energy_mj[0]),
        "area_mm2": float(np.ravel(cost.area_mm2)[0]),
        "not_costed": sorted(unknown),
    }


def described(
    result: Result,
    accelerator: Accelerator,
    test: Iterable[Any],
    taken: Sequence[str] = (),
) -> dict[str, Any]:
    """All there is to say of a result, as plain values.

    Args:
        result: Of `quantize`.
        accelerator: Files are priced on.
        test: Batches of images and labels that nothing was chosen by.
        taken: Splits that are part of the training images.
    """
    return {
        "is_met": result.is_met,
        "accuracy_float": result.accuracy_float,
        "accuracy_lowest": result.accuracy_lowest,
        "accuracy": result.accuracy,
        "accuracy_test": evaluate.accuracy(result.content, test),
        "taken_from_training": list(taken),
        "lowest": costs(result.lowest, accelerator),
        "costs": costs(result.content, accelerator),
        "restored": [
            {
                "layer": each.part.layer,
                "what": each.part.what,
                "bits": each.part.bits,
                "alone_db": layer_errors.plain(each.alone_db),
                "accuracy": each.accuracy,
                "cause": each.cause,
            }
            for each in result.restored
        ],
    }


def table(said: dict[str, Any]) -> str:
    """The same in lines.

    Args:
        said: What `described` returned.
    """
    rows = [("restored", "what", "bits", "SQNR alone", "accuracy", "why")]
    rows += [
        (
            each["layer"],
            each["what"],
            str(each["bits"]),
            layer_errors.told(each["alone_db"]),
            f"{each['accuracy']:.2%}",
            each["cause"],
        )
        for each in said["restored"]
    ]
    files = [("", "accuracy", "file", "latency", "energy", "area")]
    files.append(("float", f"{said['accuracy_float']:.2%}", "", "", "", ""))
    for name, accuracy, cost in (
        ("lowest bits", said["accuracy_lowest"], said["lowest"]),
        ("result", said["accuracy"], said["costs"]),
    ):
        files.append(
            (
                name,
                f"{accuracy:.2%}",
                f"{cost['file_kib']:.1f} KiB",
                f"{1000 * cost['latency_ms']:.3g} us",
                f"{1000 * cost['energy_mj']:.3g} uJ",
                f"{cost['area_mm2']:.3g} mm2",
            )
        )
    parts = [text.table(files, "<>>>>>")]
    if not_costed := said["costs"]["not_costed"]:
        parts.append(
            f"not costed, counted as data movement: {', '.join(not_costed)}"
        )
    parts.append(f"on test images: {said['accuracy_test']:.2%}")
    if taken := said["taken_from_training"]:
        parts.append(
            f"Of the training images, as there were no others: "
            f"{' and '.join(taken)}. A model that was trained on all of them "
            "knows these."
        )
    if said["restored"]:
        parts += ["", text.table(rows, "<<>>><")]
    return "\n".join(parts)
