"""Adam on the parts of the shared weights that took part in a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.supernet.layer_rules import Part
from tf_cosearch.supernet.weights import SharedWeights

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
"""Of Keras' Adam."""


class PartGradient(NamedTuple):
    """The gradient of a part of a weight.

    Attributes:
        part: Which part.
        gradient: Of the loss, of the part's shape.
    """

    part: Part
    gradient: Any


Gradients = Mapping[str, PartGradient]


def summed(paths: Iterable[Gradients]) -> dict[str, PartGradient]:
    """The gradients of several paths together.

    Args:
        paths: Those of each path, by key of the weight.

    Returns:
        For each key the sum, of the smallest part that holds all of theirs.

    Example:
    >>> small = {"bias": PartGradient(Part((1,), None), tf.ones(1))}
    >>> large = {"bias": PartGradient(Part((2,), None), tf.ones(2))}
    >>> summed([small, large])["bias"].gradient.numpy().tolist()
    [2.0, 1.0]
    """
    total: dict[str, PartGradient] = {}
    for path in paths:
        for key, mine in path.items():
            other = total.get(key, mine)
            shape = tuple(map(max, mine.part.shape, other.part.shape))
            part = mine.part._replace(shape=shape)
            both = [mine] if other is mine else [mine, other]
            gradient = sum(_surrounded(each, part) for each in both)
            total[key] = PartGradient(part, gradient)
    return total


def _surrounded(inner: PartGradient, part: Part) -> Any:
    """A gradient with zeros around it, as large as a part that holds it."""
    if inner.part.shape == part.shape:
        return inner.gradient
    boxes = part.box_of(inner.part)
    return tf.pad(
        inner.gradient,
        [
            (box.start, most - box.stop)
            for box, most in zip(boxes, part.shape, strict=True)
        ],
    )


class Adam:
    """Adam, of which each weight counts the steps that it took part in.

    Moments of what no path of a step has used stay as they are.

    Args:
        weights: What to change, in place.

    Attributes:
        moments: By key, the first and the second moment.
        steps: By key, how often a weight has taken part.

    Reference: Kingma and Ba, Adam, ICLR 2015, algorithm 1.
    """

    def __init__(self, weights: SharedWeights) -> None:
        self._weights = weights
        self.moments = {
            key: np.zeros((2, *array.shape), np.float32)
            for key, array in weights.arrays.items()
        }
        self.steps = dict.fromkeys(weights.arrays, 0)

    def step(self, gradients: Gradients, learning_rate: float) -> None:
        """Makes a step.

        Args:
            gradients: By key.
            learning_rate: How far.
        """
        for key, (part, gradient) in gradients.items():
            self.steps[key] += 1
            count = self.steps[key]
            slope = np.asarray(gradient)
            box = self._weights.box(key, part)
            mean, square = self.moments[key][(slice(None), *box)]
            mean += (1 - BETA_1) * (slope - mean)
            square += (1 - BETA_2) * (slope * slope - square)
            correction = (1 - BETA_2**count) ** 0.5 / (1 - BETA_1**count)
            # A Python float keeps arrays in float32.
            self._weights.arrays[key][box] -= (
                float(learning_rate * correction)
                * mean
                / (np.sqrt(square) + EPSILON)
            )
