"""Accuracy of a quantized .tflite file, with NumPy and its interpreter only.

Nothing here imports TensorFlow, so that anyone can redo the numbers. Results
are those of XNNPACK, the interpreter's default; its rounding differs from the
reference kernels by a few units of the last place.
"""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# Of the largest tensor, for the images that run at a time.
_BATCH_BYTES = 2**24

TFLite = bytes | str | os.PathLike[str]


def accuracy(tflite: TFLite, batches: Iterable[Any]) -> float:
    """Fraction of images that the file labels correctly.

    Args:
        tflite: Path or content of a quantized .tflite file.
        batches: Batches of (images float32 `[N, H, W, C]`, integer labels
            `[N]`, ...); further elements are ignored.

    Returns:
        A number in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, its input has another shape, or
            there are no images.
    """
    runner = Runner(tflite)
    correct = total = 0
    for images, labels, *_ in batches:
        predicted = runner.outputs(np.asarray(images)).argmax(-1)
        correct += int(np.sum(predicted == np.asarray(labels).ravel()))
        total += len(predicted)
    if not total:
        raise ValueError(
            "There must be images to measure accuracy on. Received: none."
        )
    return correct / total


def answers(
    tflite: TFLite, batches: Iterable[Any]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What the file answers to images, beside what it should.

    Args:
        tflite: Path or content of a quantized .tflite file.
        batches: Batches of (images float32 `[N, H, W, C]`, targets, ...).

    Yields:
        Outputs `[N, ...]`, float32, and the targets.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or its input has another shape.
    """
    runner = Runner(tflite)
    for images, targets, *_ in batches:
        yield runner.dequantized(images), np.asarray(targets)


def predict(tflite: TFLite, images: np.ndarray) -> np.ndarray:
    """Labels that the file gives to images.

    Args:
        tflite: Path or content of a quantized .tflite file.
        images: float32 `[N, H, W, C]`.

    Returns:
        int64 `[N]`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or its input has another shape.
    """
    runner = Runner(tflite)
    if not len(images):
        return np.zeros(0, np.int64)
    return runner.outputs(images).argmax(-1)


def open_interpreter(tflite: TFLite) -> Any:
    """An interpreter of a file, tensors not yet allocated.

    Args:
        tflite: Path or content of a .tflite file.

    Returns:
        An `ai_edge_litert.interpreter.Interpreter`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged.
    """
    from ai_edge_litert.interpreter import Interpreter

    if isinstance(tflite, bytes):
        content, name = tflite, f"{len(tflite)} bytes"
    else:
        name = os.fspath(tflite)
        if not pathlib.Path(name).is_file():
            raise FileNotFoundError(
                f"The .tflite file must exist. Received: {name}."
            )
        content = pathlib.Path(name).read_bytes()
    # As `machine.threads`, which would bring TensorFlow.
    given = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0))
    threads = int(given) if given.isdecimal() and int(given) else cores
    try:
        return Interpreter(model_content=content, num_threads=min(threads, 4))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            "The file must be a complete .tflite model. Received: "
            f"{name} ({error})."
        ) from None


class Runner:
    """Runs batches of any size through a file made for a batch of one.

    Args:
        tflite: Path or content of a quantized .tflite file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged.
    """

    def __init__(self, tflite: TFLite) -> None:
        self._interpreter = open_interpreter(tflite)
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        self._shape = tuple(int(size) for size in self._input["shape"][1:])
        largest = max(
            math.prod(tensor["shape"]) * np.dtype(tensor["dtype"]).itemsize
            for tensor in self._interpreter.get_tensor_details()
        )
        self._most = max(1, _BATCH_BYTES // int(largest))
        self._size = 0
        self._can_resize = True

    def dequantized(self, images: np.ndarray) -> np.ndarray:
        """Outputs `[N, ...]` in float32, what their integers stand for."""
        outputs = self.outputs(np.asarray(images))
        scale, zero_point = self._output["quantization"]
        if not scale:
            return outputs.astype(np.float32)
        steps = outputs.astype(np.int32) - zero_point
        return (steps * np.float64(scale)).astype(np.float32)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Outputs `[N, classes]` for images `[N, H, W, C]`, both as stored."""
        if images.shape[1:] != self._shape or not len(images):
            expected = ", ".join(map(str, ("N", *self._shape)))
            raise ValueError(
                f"Images must have the shape of the model's input, "
                f"[{expected}]. Received: {images.shape}."
            )
        return np.concatenate(
            [
                self._run(self._quantize(images[start : start + self._most]))
                for start in range(0, len(images), self._most)
            ]
        )

    def _run(self, quantized: np.ndarray) -> np.ndarray:
        if self._can_resize:
            self._can_resize = self._resize(len(quantized))
        if self._can_resize:
            return self._invoke(quantized)
        self._resize(1)
        return np.concatenate([self._invoke(row[None]) for row in quantized])

    def _quantize(self, images: np.ndarray) -> np.ndarray:
        dtype = self._input["dtype"]
        scale, zero_point = self._input["quantization"]
        if not scale:
            return images.astype(dtype)
        limits = np.iinfo(dtype)
        steps = np.round(images / scale) + zero_point
        return np.clip(steps, limits.min, limits.max).astype(dtype)

    def _resize(self, size: int) -> bool:
        """Whether the whole graph follows an input of that batch size."""
        if size == self._size:
            return True
        try:
            self._interpreter.resize_tensor_input(
                self._input["index"], (size, *self._shape)
            )
            self._interpreter.allocate_tensors()
        except RuntimeError:
            # A constant shape somewhere inside holds on to a batch of one.
            self._size = 0
            return False
        self._size = size
        output = self._interpreter.get_output_details()[0]
        return int(output["shape"][0]) == size

    def _invoke(self, quantized: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], quantized)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])
