"""Which of some classes each pixel of an image is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.tasks.class_logits import ClassLogits
from tf_cosearch.tasks.mask_folders import mask_folders
from tf_cosearch.tasks.scenes import scenes
from tf_cosearch.tasks.task import (
    Source,
    mean_of_parts,
    require_examples,
    task,
)


@task
class Segmentation(ClassLogits):
    """A class a pixel; the accuracy is the mean intersection over union.

    What the last stage puts out is brought to `width` channels and enlarged to
    the size of an earlier stage, whose details are added; the answers are
    enlarged to that of the image, in steps of two.

    Attributes:
        width: Channels in which deep and early features meet.
        output_stride: The earlier stage is the last one of an image that is
            so many times smaller than that of the network, or larger.

    Example: two images of two pixels. Two pixels are of class 0 or said to be,
    and one is both; of class 1 it is two of three.

    >>> answers = np.eye(2)[[[[0, 1]], [[1, 1]]]]
    >>> labels = np.asarray([[[0, 1]], [[1, 0]]])
    >>> Segmentation().score([(answers, labels)], 2)  # (1 / 2 + 2 / 3) / 2
    {'accuracy': 0.5833333333333333}

    Reference: Lin et al., Feature Pyramid Networks, arXiv 1612.03144, for the
    sum; Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV
    2015, for the metric.
    """

    metric: ClassVar[str] = "mean intersection over union"
    reads_stages: ClassVar[bool] = True

    width: int = 32
    output_stride: int = 2

    def __post_init__(self) -> None:
        configuration.at_least("width", self.width, 1, 8192)
        configuration.at_least("output_stride", self.output_stride, 1, 64)

    def head(
        self,
        ops: Any,
        stages: Sequence[Any],
        *,
        image: tuple[int, int, int],
        classes: int,
        dropout: float,
    ) -> Any:
        """Logits of each pixel, `[H, W, classes]`."""
        *earlier, y = stages
        height, width, _ = image
        least = (
            -(-height // self.output_stride),
            -(-width // self.output_stride),
        )
        y = ops.conv(y, self.width, name="deep")
        detailed = [x for x in earlier if _holds(ops.shape(x), least)]
        if detailed and ops.shape(detailed[-1])[:2] != ops.shape(y)[:2]:
            early = detailed[-1]
            y = _enlarged(ops, y, ops.shape(early)[:2], "deep")
            early = ops.conv(early, self.width, name="early")
            y = ops.add([y, early], name="meet")
        y = ops.depthwise(y, 3, name="refine")
        y = ops.dropout(y, dropout)
        y = ops.conv(y, classes, activation=None, name="logits")
        return _enlarged(ops, y, (height, width), "logits")

    def loss(self) -> Any:
        """The cross-entropy of labels and logits, the mean over pixels."""
        import tf_keras

        return mean_of_parts(
            tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def metrics(self, classes: int) -> list[Any]:
        """The mean intersection over union of the classes there are."""
        import tf_keras

        return [
            tf_keras.metrics.MeanIoU(
                classes, "accuracy", sparse_y_pred=False, dtype="float64"
            )
        ]

    def score(self, batches: Iterable[Any], classes: int) -> dict[str, float]:
        """Counts pixels by what they are and what they are said to be.

        A class that no pixel is of, nor said to be, does not count.
        """
        counts = np.zeros(classes * classes, np.int64)
        images = 0
        for outputs, labels, *_ in batches:
            answers = np.asarray(outputs).argmax(-1).ravel()
            pairs = np.asarray(labels, np.int64).ravel() * classes + answers
            counts += np.bincount(pairs, minlength=classes * classes)
            images += len(outputs)
        require_examples(images)
        table = counts.reshape(classes, classes)
        both = np.diag(table)
        either = table.sum(0) + table.sum(1) - both
        is_there = either > 0
        shares = both[is_there] / either[is_there]
        return {"accuracy": float(np.mean(shares))}

    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """Accepts masks `[N, H, W]` or `[N, H, W, 1]` of class numbers."""
        height, width, _ = input_shape
        has_channel = y.ndim == 4 and y.shape[3] == 1
        shape = y.shape[1:3] if has_channel else y.shape[1:]
        if shape != (height, width):
            raise ValueError(
                f"Masks of the {what} must be [N, {height}, {width}], a class "
                f"for each pixel of an image. Received: shape {y.shape}. Give "
                "masks of the images' size, or choose another task."
            )
        _require_whole(y, what)
        if y.min() < 0 or y.max() >= classes:
            raise ValueError(
                f"Pixels of masks of the {what} must be in [0, {classes}). "
                f"Received: {y.min()} to {y.max()}. Change the masks or "
                "classes."
            )

    def targets(self, y: Any, classes: int | None) -> Any:
        """Masks `[N, H, W]`, int32."""
        del classes
        import tensorflow as tf

        return tf.cast(y[..., 0] if y.shape.rank == 4 else y, tf.int32)

    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """One more than the largest number of a pixel.

        A small split may lack a class; one that all lack is no class.
        """
        for y in parts:
            if y.ndim < 3:
                raise ValueError(
                    f"{what} must hold masks [N, H, W], a class for each "
                    f"pixel. Received: labels of shape {y.shape}. Choose data "
                    "with masks, or another task."
                )
            _require_whole(y, what)
        present = np.unique(np.concatenate([np.unique(y) for y in parts]))
        if not present.size:
            raise ValueError(f"{what} must hold masks. Received: none.")
        if len(present) <= present[-1]:
            first = next(n for n in range(present[-1]) if n not in present)
            raise ValueError(
                f"Masks of {what} must have the classes 0 to N - 1. Received: "
                f"pixels of {_listed(present)}, none of {first}. Number the "
                "classes so, pixels of no class too."
            )
        return int(present[-1]) + 1

    def sources(self) -> Mapping[str, Source]:
        """Images with masks beside them, and drawn scenes."""
        return {"images": mask_folders, "scenes": scenes}


def _holds(shape: Sequence[int], least: tuple[int, int]) -> bool:
    return shape[0] >= least[0] and shape[1] >= least[1]


def _enlarged(ops: Any, y: Any, size: tuple[int, int], name: str) -> Any:
    """An image of that size, doubled again and again if that leads there.

    What strides of two have halved, and rounded up, is doubled and cropped.
    """
    now = tuple(ops.shape(y)[:2])
    sizes = [size]
    while sizes[-1] != (1, 1) and sizes[-1] != now:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    if sizes[-1] != now:
        sizes = [size, now]
    for step, (height, width) in enumerate(reversed(sizes[:-1])):
        rows, columns, _ = ops.shape(y)
        factor = max(-(-height // rows), -(-width // columns))
        y = ops.upsample(y, factor, "bilinear", name=f"{name}_up{step}")
        if tuple(ops.shape(y)[:2]) != (height, width):
            y = ops.crop(y, height, width, name=f"{name}_crop{step}")
    return y


def _require_whole(y: np.ndarray, what: str) -> None:
    is_number = y.dtype.kind in "fiub" and np.isfinite(y).all()
    if not is_number or not np.array_equal(y, np.trunc(y)):
        raise ValueError(
            f"Pixels of masks of the {what} must be whole numbers, their "
            f"classes. Received: {y.dtype}."
        )


def _listed(numbers: np.ndarray) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:8])
    return f"{shown}, ..." if len(numbers) > 8 else shown
