"""Trains the weights that all networks of a space share."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.networks.network import Network
from tf_cosearch.supernet.layer_rules import Part
from tf_cosearch.supernet.optimizer import Momentum, PartGradient, summed
from tf_cosearch.supernet.paths import Paths
from tf_cosearch.supernet.reading import SharedReading
from tf_cosearch.supernet.weights import SharedWeights


class TrainedPath(SharedReading):
    """Reads a network with the moments of its batch, to train it.

    Args:
        weights: The shared weights.
        tape: What watches the parts that are read.
        seed: Of dropout, two numbers.

    Attributes:
        parts: The part of each weight that is read, by key.
        values: Their copies.
    """

    def __init__(
        self,
        weights: SharedWeights,
        tape: tf.GradientTape,
        seed: tuple[int, int],
    ) -> None:
        super().__init__(weights.sharing)
        self._weights = weights
        self._tape = tape
        self._seed = seed
        self.parts: dict[str, Part] = {}
        self.values: dict[str, Any] = {}

    def weight(self, layer: Any, name: str, part: Part) -> Any:
        """Copies a part, and lets the tape watch the copy."""
        key = self.key(layer, name, part)
        value = self._weights.read(key, part)
        self._tape.watch(value)
        self.parts[key], self.values[key] = part, value
        return value

    def dropped(self, layer: Any, x: Any) -> Any:
        """Drops a share of the numbers, as the seed says."""
        step, place = self._seed
        own = zlib.crc32(f"{place}/{layer.name}".encode()) % 2**31
        return tf.nn.experimental.stateless_dropout(x, layer.rate, (step, own))


class PathLoss(NamedTuple):
    """What a step of a path comes to.

    Attributes:
        loss: The mean over its images.
        logits: `[N, classes]`.
        gradients: Of the loss, by key of the weight.
    """

    loss: float
    logits: Any
    gradients: dict[str, PartGradient]


def path_loss(
    weights: SharedWeights,
    network: Network,
    images: Any,
    targets: Any,
    seed: tuple[int, int] = (0, 0),
) -> PathLoss:
    """The loss of a network on shared weights, and its gradients.

    It runs eagerly: no path comes twice, so that a graph of it would be traced
    for one step. A step of 64 images of `digits` takes 31 ms of one core at 8x8
    pixels and 141 at 28x28, of which kernels take 19 and 112, convolutions and
    their gradients three quarters of those. So graphs of single layers could
    save a fifth at 28x28 at most; none was tried. At 8x8 it took 41 ms with
    Keras' `__call__` of activations, and with moments that nobody read.

    Args:
        weights: The shared weights.
        network: Of their space.
        images: `[N, H, W, C]`.
        targets: Of the data, labels `[N]` say, or what a teacher answers.
        seed: Of dropout.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        path = TrainedPath(weights, tape, seed)
        logits = path.logits(network, images)
        loss = tf.reduce_mean(network.task.losses(targets, logits))
    slopes = tape.gradient(loss, path.values)
    gradients = {
        key: PartGradient(path.parts[key], slope)
        for key, slope in slopes.items()
        if slope is not None
    }
    return PathLoss(float(loss), logits, gradients)


def train_step(
    weights: SharedWeights,
    optimizer: Momentum,
    paths: Paths,
    networks: Sequence[Network],
    batch: tuple[Any, Any],
    learning_rate: float,
    seed: int,
) -> float:
    """One step of all networks that `paths` drew for it.

    Returns:
        The loss of the first, which learns from the labels. If paths distil,
        the others learn from its answers.
    """
    images, targets = batch
    steps: list[PathLoss] = []
    for place, network in enumerate(networks):
        steps.append(
            path_loss(weights, network, images, targets, (seed, place))
        )
        if place == 0 and paths.distils:
            targets = networks[0].task.answers(steps[0].logits)
    gradients = [step.gradients for step in steps]
    optimizer.step(
        summed(gradients) if len(gradients) > 1 else gradients[0],
        learning_rate,
    )
    return steps[0].loss


def cosine(start: float, step: int, steps: int) -> float:
    """The learning rate of a step, which falls from `start` to 0."""
    return start * (1 + math.cos(math.pi * step / steps)) / 2
