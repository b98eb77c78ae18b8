"""Plays images through a .tflite file and hands out all tensors it works out.

TFLite's own kernels do the work, those that any processor has: the faster ones
of the interpreter keep what is between them to themselves, and differ from
these by a few units of the last place.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


class Quantization:
    """How integers of a tensor stand for numbers.

    Args:
        details: What an interpreter says of the tensor.

    Attributes:
        is_float: Whether it has no integers; all else is then of no meaning.
        scale: Of a step, or of each channel's.
        zero_point: The integer that stands for 0, or each channel's.
        axis: Of the channels, if there are several scales.
        lowest: The lowest integer, and `highest` the highest.
    """

    def __init__(self, details: dict[str, Any]) -> None:
        parameters = details["quantization_parameters"]
        scales = np.asarray(parameters["scales"], np.float64)
        zeros = np.asarray(parameters["zero_points"], np.float64)
        self.is_float = not scales.size
        self.scale = np.ones(1) if self.is_float else scales
        self.zero_point = np.zeros(1) if self.is_float else zeros
        self.axis = int(parameters["quantized_dimension"])
        self.lowest = self.highest = 0
        if not self.is_float:
            limits = np.iinfo(np.dtype(details["dtype"]))
            self.lowest, self.highest = int(limits.min), int(limits.max)

    def numbers(self, integers: np.ndarray) -> np.ndarray:
        """What integers stand for, in float32."""
        if self.is_float:
            return np.asarray(integers, np.float32)
        scale, zero = self._along(integers.ndim)
        return ((integers - zero) * scale).astype(np.float32)

    def integers(self, numbers: np.ndarray, dtype: Any) -> np.ndarray:
        """The nearest integers, at the ends of the range beyond it."""
        if self.is_float:
            return numbers.astype(dtype)
        scale, zero = self._along(numbers.ndim)
        steps = np.round(numbers / scale) + zero
        return np.clip(steps, self.lowest, self.highest).astype(dtype)

    @property
    def range(self) -> tuple[float, float]:
        """The numbers that the lowest and the highest integer stand for."""
        ends = [
            (end - float(self.zero_point[0])) * float(self.scale[0])
            for end in (self.lowest, self.highest)
        ]
        return ends[0], ends[1]

    def _along(self, axes: int) -> tuple[np.ndarray, np.ndarray]:
        shape = [1] * axes
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        return self.scale.reshape(shape), self.zero_point.reshape(shape)


class Playback:
    """An interpreter that keeps every tensor.

    Args:
        content: Of a .tflite file, whole.
        what: What it is, for messages.

    Attributes:
        tensors: What the interpreter says of each tensor, by its number.
        inputs: Numbers of the tensors that the graph reads.
        outputs: Of those it puts out.

    Raises:
        ValueError: If the interpreter refuses it.
    """

    def __init__(self, content: bytes, what: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is for debugging
                self._interpreter = Interpreter(
                    model_content=content,
                    experimental_op_resolver_type=(
                        OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                    ),
                    experimental_preserve_all_tensors=True,
                )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _refused(what, error) from None
        self._what = what
        self.tensors = {
            int(tensor["index"]): tensor
            for tensor in self._interpreter.get_tensor_details()
        }
        self.inputs = self._indices(self._interpreter.get_input_details())
        self.outputs = self._indices(self._interpreter.get_output_details())
        self._shapes: list[tuple[int, ...]] = []

    @staticmethod
    def _indices(details: list[dict[str, Any]]) -> list[int]:
        return [int(tensor["index"]) for tensor in details]

    def bytes_an_image(self) -> int:
        """What all tensors take for one image, weights counted too."""
        return sum(
            int(np.prod(tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
            for tensor in self.tensors.values()
        )

    def takes(self, count: int) -> bool:
        """Whether all outputs follow an input of that many images."""
        try:
            self._resize(
                [
                    (count, *map(int, self.tensors[index]["shape"][1:]))
                    for index in self.inputs
                ]
            )
        except (RuntimeError, ValueError):
            self._shapes = []
            return False
        outputs = self._interpreter.get_output_details()
        return all(
            not len(output["shape"])
            or int(output["shape"][0])
            == count * int(self.tensors[int(output["index"])]["shape"][0])
            for output in outputs
        )

    def play(self, given: list[np.ndarray]) -> None:
        """Works all tensors out.

        Args:
            given: The inputs, in the types that the file has.

        Raises:
            ValueError: If an operator cannot run.
        """
        try:
            self._resize([array.shape for array in given])
            for index, array in zip(self.inputs, given, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
        except RuntimeError as error:
            raise _refused(self._what, error) from None

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Gives the inputs their shapes, where they have others."""
        if shapes == self._shapes:
            return
        for index, shape in zip(self.inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, list(shape))
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def tensor(self, index: int) -> np.ndarray:
        """A copy of what a tensor holds."""
        values: np.ndarray = self._interpreter.get_tensor(index)
        return values


def _refused(what: str, error: Exception) -> ValueError:
    return ValueError(
        f"{what} must be one that the interpreter runs. Received: "
        f"{' '.join(str(error).split())[:200]} Convert it again."
    )
