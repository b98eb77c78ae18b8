"""Where the two networks come from that are compared."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch.designs.export import MODEL, load_design
from tf_cosearch.networks.importers import tflite_file
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.numerics import images, matching, reference
from tf_cosearch.tasks import Task


class Pair(NamedTuple):
    """A network in float and quantized.

    Attributes:
        float_content: Of a .tflite file.
        quantized_content: Of the one that was made from it.
        divide: What pixels of their images are divided by, see
            `images.spread` if there is a task, and else `images.divisor`.
        task: What they are for; None if no file says it.
    """

    float_content: bytes
    quantized_content: bytes
    divide: float | None
    task: Task | None = None

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width of their images; None of other inputs."""
        graph = matching.read(self.quantized_content, "The quantized model")
        shape = graph.tensors[graph.inputs[0]].shape if graph.inputs else ()
        return (shape[1], shape[2]) if len(shape) == 4 else None

    def images(
        self, split: tuple[Any, Any], count: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a split, as the networks take them.

        Raises:
            ValueError: If inputs are no pixels, and yet to be divided, or
                whole numbers, and nobody says by what.
        """
        if self.task is not None and not self.task.has_pixels:
            if self.divide is not None:
                raise ValueError(
                    "What pixels are divided by must be left out for "
                    f"{self.task.name}, which reads none. Received: "
                    f"{self.divide}."
                )
            x, y = images.stored(split, count)
            return np.asarray(self.task.inputs(x)), y
        divide = self.divide
        if self.task is None:
            divide = images.divisor(split, divide)
        return images.spread(split, count, divide)


def of_design(folder: str | pathlib.Path, divide: float | None) -> Pair:
    """The networks of a design.

    Args:
        folder: Of the design.
        divide: What pixels are divided by; None is as in its training.

    Raises:
        FileNotFoundError: If there is no design, or a file of it is gone.
        ValueError: If a file of it is damaged.
    """
    design = load_design(folder)
    is_own = isinstance(design.network, SavedNetwork)
    return Pair(
        reference.of_design(design),
        tflite_file.read_bytes(design.folder / MODEL),
        1.0 if divide is None and is_own else divide,
        None if is_own else design.network.task,
    )


def of_files(
    float_path: str | pathlib.Path,
    quantized_path: str | pathlib.Path,
    divide: float | None,
) -> Pair:
    """The networks of two files.

    Args:
        float_path: As of `reference.of_file`.
        quantized_path: A .tflite file.
        divide: What pixels are divided by; None leaves fractions.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If one is damaged.
    """
    quantized = tflite_file.read_bytes(quantized_path)
    matching.read(quantized, str(quantized_path))  # before what takes longer
    return Pair(reference.of_file(float_path), quantized, divide)
