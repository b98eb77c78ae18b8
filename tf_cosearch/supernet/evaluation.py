"""What a network is worth on shared weights: its int8 accuracy, untrained."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tf_cosearch.networks.network import Network
from tf_cosearch.supernet.layer_rules import Part, within_groups
from tf_cosearch.supernet.reading import SharedReading, Signal
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import evaluate, qat, session
from tf_cosearch.training.inputs import Inputs

CALIBRATION_IMAGES = 256
"""Images that moments and ranges of a network are taken from."""

VALIDATION_IMAGES = 1024
"""Most that a network is judged by. A training's accuracy is of all of them."""

FEWEST_IMAGES = 32
"""Moments of fewer say little."""

BATCH_IMAGES = 512
BATCH_BYTES = 2**27
"""Most that a layer may put out for a batch; larger images, smaller batches."""

ROUGH_IMAGES = 256
"""Of the validation data, for an accuracy that is soon known."""

_LEAST = 1e-6  # a range without width has no steps


class BatchReading(SharedReading):
    """Reads a network with the moments of a batch.

    Args:
        weights: The shared weights.
    """

    def __init__(self, weights: SharedWeights) -> None:
        super().__init__(weights.sharing)
        self._weights = weights

    def weight(self, layer: Any, name: str, part: Part) -> Any:
        """Copies a part."""
        return self._weights.read(self.key(layer, name, part), part)


class Calibration(BatchReading):
    """Reads a network with the moments of batches, and notes what it saw.

    Each batch is normalised by its own moments. Those of all images follow
    from these, and a range is of all that was seen.

    Attributes:
        values: The network's weights, by names of layer and weight.
        ranges: The lowest and the highest number of each tensor that is int8
            in the file, by layer.
    """

    def __init__(self, weights: SharedWeights) -> None:
        super().__init__(weights)
        self.values: dict[tuple[str, str], Any] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self._batch: set[str] = set()  # whose range it has widened
        self._images: list[int] = []
        self._moments: dict[str, list[tuple[Any, Any]]] = {}
        self._readers: dict[str, dict[str, bool]] = {}

    def see(self, network: Network, images: np.ndarray) -> None:
        """Reads the network with one more batch."""
        self._batch = set()
        self._images.append(len(images))
        self.logits(network, images)

    @functools.cached_property
    def averages(self) -> dict[str, tuple[Any, Any]]:
        """Mean and variance of what each normalisation read, by layer."""
        return {
            name: pooled(self._images, moments)
            for name, moments in self._moments.items()
        }

    @functools.cached_property
    def joined(self) -> set[str]:
        """Layers that a concatenation reads, and nothing else.

        TFLite has one scale for all it reads and puts out: these write in that
        one at once.
        """
        return {
            writer
            for writer, readers in self._readers.items()
            if [*readers.values()] == [True]
        }

    def weight(self, layer: Any, name: str, part: Part) -> Any:
        """Copies a part, and notes it."""
        if (layer.name, name) not in self.values:
            value = super().weight(layer, name, part)
            self.values[layer.name, name] = value
        return self.values[layer.name, name]

    def observe(self, layer: Any, mean: Any, variance: Any, count: int) -> None:
        """Notes the moments of a batch."""
        # The variance is a sample's; what is divided by is not.
        variance = variance * (count - 1) / count
        self._moments.setdefault(layer.name, []).append((mean, variance))

    def final(self, x: Signal, reader: Any = None) -> Signal:
        """Notes the range of a tensor; 0 is in each, as int8 needs one."""
        name = "" if reader is None else reader.name
        joins = isinstance(reader, tf_keras.layers.Concatenate)
        self._readers.setdefault(x.writer, {})[name] = joins
        if x.writer not in self._batch:
            self._batch.add(x.writer)
            low, high = self.ranges.get(x.writer, (0.0, 0.0))
            low = min(float(tf.reduce_min(x.value)), low)
            high = max(float(tf.reduce_max(x.value)), high)
            self.ranges[x.writer] = low, high
        return x._replace(is_final=True)


def pooled(
    counts: Sequence[int], moments: Sequence[tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Mean and variance of all images from those of batches.

    Args:
        counts: Images of each batch.
        moments: Mean and variance of each, `[C]`, not of a sample.

    Example: of 1 and 3 in one batch, and 8 in another.

    >>> mean, variance = pooled([2, 1], [(2.0, 1.0), (8.0, 0.0)])
    >>> float(mean), float(variance)  # 1 + 9 + 64 over 3, less 4 * 4
    (4.0, 8.666666984558105)
    """
    if len(moments) == 1:
        return moments[0]
    shares = np.divide(counts, sum(counts), dtype=np.float32)
    means, variances = (tf.stack(each) for each in zip(*moments, strict=True))
    mean = tf.tensordot(shares, means, 1)
    return mean, tf.tensordot(shares, variances + (means - mean) ** 2, 1)


class Measurement(SharedReading):
    """Reads a network as it is once it is deployed.

    Kernels of convolutions are rounded for each output on its own, those of
    depthwise and dense layers, and tensors, as a whole, as in our files; all
    to the bits of their block.

    Args:
        seen: What a calibration of the network saw.
        weights: The shared weights.
        is_int8: Whether numbers are rounded as an int8 file has them.
    """

    def __init__(
        self, seen: Calibration, weights: SharedWeights, is_int8: bool = True
    ) -> None:
        super().__init__(weights.sharing)
        self._seen = seen
        self._is_int8 = is_int8
        self._kernels: dict[str, Any] = {}

    def weight(self, layer: Any, name: str, part: Part) -> Any:
        """The weight that was calibrated."""
        return self._seen.values[layer.name, name]

    def moments(self, layer: Any) -> tuple[Any, Any]:
        """Those of the calibration."""
        return self._seen.averages[layer.name]

    def rounded(self, layer: Any, kernel: Any, axis: int | None) -> Any:
        """A kernel in whole steps: of 8 bits, 127 on each side of 0."""
        if not self._is_int8:
            return kernel
        if layer.name not in self._kernels:
            others = [each for each in range(kernel.shape.rank) if each != axis]
            most = tf.reduce_max(tf.abs(kernel), others, keepdims=True)
            is_depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
            bits = self.precision.weights_of(is_depthwise)
            step = tf.maximum(most, _LEAST) / (2 ** (bits - 1) - 1)
            self._kernels[layer.name] = tf.round(kernel / step) * step
        return self._kernels[layer.name]

    def sigmoid(self, x: Any) -> Any:
        """A sigmoid in the steps that TFLite has for any input: 256 of int8."""
        y = super().sigmoid(x)
        steps = 256 if self.precision.activation_bits == 8 else 2**15
        if not self._is_int8:
            return y
        return tf.minimum(tf.round(y * steps), steps - 1) / steps

    def final(self, x: Signal, reader: Any = None) -> Signal:
        """A tensor in 256 steps over the range of the calibration.

        Or in as many as the bits have of the layer that wrote it, or of the
        one that reads it, which may be fewer.
        """
        bits = min(x.bits, self.precision.activation_bits)
        is_final = x.is_final and x.bits == bits
        if not self._is_int8 or is_final or x.writer in self._seen.joined:
            return x
        low, high = self._seen.ranges[x.writer]
        high = max(high, low + _LEAST)
        if bits > 8:
            high = max(high, -low)
            low = -high
        rounded = tf.quantization.fake_quant_with_min_max_vars(
            x.value, low, high, num_bits=bits, narrow_range=bits > 8
        )
        return x._replace(value=rounded, is_final=True, bits=bits)


class Evaluator:
    """Measures networks on shared weights.

    Each network first gets the averages of its normalisations, and the ranges
    of its tensors, from training images: those of other networks would not
    do. Its accuracy is that of the validation data, or of `VALIDATION_IMAGES`
    spread over them if there are more.

    Args:
        weights: The shared weights; may be trained further meanwhile.
        data: Of the training.
        image_count: Images to calibrate by.

    Raises:
        ValueError: If there are too few images to calibrate by.

    Reference: Yu and Huang, Universally Slimmable Networks, ICCV 2019, section
    3.3, for normalisations that are calibrated after training.
    """

    def __init__(
        self,
        weights: SharedWeights,
        data: Inputs,
        image_count: int = CALIBRATION_IMAGES,
    ) -> None:
        self._weights = weights
        self._images = calibration_images(data, image_count)
        self._x, self._y = validation_rows(data)

    def calibrate(self, network: Network) -> Calibration:
        """Averages and ranges of a network, and its weights."""
        seen = Calibration(self._weights)
        for images in _batches(network, self._images):
            seen.see(network, images)
        return seen

    def logits(self, network: Network, images: Any) -> np.ndarray:
        """What a network answers, in float, once it is calibrated.

        Args:
            network: Of the space.
            images: `[N, H, W, C]`.

        Returns:
            `[N, classes]`, or what the task of the network answers.
        """
        seen = self.calibrate(network)
        reading = Measurement(seen, self._weights, is_int8=False)
        return np.asarray(reading.logits(network, images))

    def accuracy(self, network: Network, is_int8: bool = True) -> float:
        """The share of the validation images that a network gets right.

        Args:
            network: Of the space.
            is_int8: Whether with the rounding of an int8 file.
        """
        seen = self.calibrate(network)
        reading = Measurement(seen, self._weights, is_int8)
        size = _batch_size(network)
        places = np.arange(len(self._x))
        batches = [
            places[start : start + size]
            for start in range(0, len(places), size)
        ]
        return self._score(reading, network, batches)

    def rough_accuracy(self, network: Network) -> float:
        """The share of some validation images that a network gets right.

        They are spread over all of them, normalised by their own moments and
        not rounded: one pass, or some of large images.

        Args:
            network: Of the space.
        """
        size = min(ROUGH_IMAGES, len(self._x))
        places = np.linspace(0, len(self._x) - 1, size).astype(int)
        reading = BatchReading(self._weights)
        return self._score(reading, network, _batches(network, places))

    def _score(
        self,
        reading: SharedReading,
        network: Network,
        batches: Sequence[np.ndarray],
    ) -> float:
        """What the task makes of the answers to validation images, by place."""
        answers = (
            (np.asarray(reading.logits(network, self._x[rows])), self._y[rows])
            for rows in batches
        )
        return network.task.score(answers, network.classes)["accuracy"]

    def model(self, network: Network) -> tf_keras.Model:
        """The network as a Keras model of its own, with the weights it shares.

        Args:
            network: Of the space.

        Returns:
            A tf_keras model, not compiled, whose logits are those of the path
            in float.
        """
        seen = self.calibrate(network)
        with session.private():
            model = network.build(tf_keras)
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(_values(layer, seen))
        return model

    def tflite(self, network: Network) -> bytes:
        """The int8 file of a network as it is, without training it.

        It is made as in a trial, with quantization-aware layers whose ranges
        are seen on the images that networks are calibrated by.

        Args:
            network: Of the space.
        """
        model = self.model(network)
        with session.private():
            aware = qat.quantize(model, network.precision)
            qat.calibrate(aware, self._images)
            return qat.to_tflite(aware)

    def file_accuracy(self, network: Network) -> float:
        """The share of the validation images that `tflite` gets right."""
        # Answers a pixel, of all images at once, take much room.
        places = np.arange(len(self._x))
        batches = (
            (self._x[some], self._y[some]) for some in _batches(network, places)
        )
        answers = evaluate.answers(self.tflite(network), batches)
        return network.task.score(answers, network.classes)["accuracy"]


def _values(layer: Any, seen: Calibration) -> list[np.ndarray]:
    """What a calibrated network has for the weights of a Keras layer."""
    named = {
        name: value
        for (owner, name), value in seen.values.items()
        if owner == layer.name
    }
    if layer.name in seen.averages:
        mean, variance = seen.averages[layer.name]
        named |= {"moving_mean": mean, "moving_variance": variance}
    if getattr(layer, "groups", 1) > 1:
        named["kernel"] = within_groups(named["kernel"], layer.groups)
    values = []
    for variable in layer.weights:
        name = variable.name.rpartition("/")[2].partition(":")[0]
        values.append(named[name.removeprefix("depthwise_")])
    return [np.asarray(value) for value in values]


def calibration_images(data: Inputs, count: int) -> np.ndarray:
    """The first images of the first epoch, in an order that is always the same.

    Args:
        data: Of the training.
        count: How many, if there are as many.

    Returns:
        `[N, H, W, C]`.

    Raises:
        ValueError: If there are too few to calibrate by.
    """
    images: list[np.ndarray] = []
    for batch in data.train(0, 0).take(data.steps).as_numpy_iterator():
        images.append(batch[0])
        if sum(map(len, images)) >= count:
            break
    found = np.concatenate(images)[:count]
    if len(found) < FEWEST_IMAGES:
        raise ValueError(
            f"A supernet must have {FEWEST_IMAGES} or more images to "
            "calibrate normalisations by. Received: "
            f"{len(found)} training images. Add more, or train "
            "designs one by one, with accuracy='trained'."
        )
    return found


def validation_rows(data: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """Validation images and their labels, `VALIDATION_IMAGES` at most.

    They are read twice, so that only those that are taken are in memory.

    Args:
        data: Of the training.

    Returns:
        `[N, H, W, C]` and `[N]`, at equal distances over their whole length, as
        they may be sorted by their labels.
    """
    total = sum(len(labels) for _, labels, *_ in data.validation_batches())
    count = min(total, VALIDATION_IMAGES)
    rows = np.linspace(0, total - 1, count).astype(int)
    images, answers, first = [], [], 0
    for x, y, *_ in data.validation_batches():
        own = rows[(rows >= first) & (rows < first + len(x))] - first
        images.append(x[own])
        answers.append(y[own])
        first += len(x)
    return np.concatenate(images), np.concatenate(answers)


def _batches(network: Network, images: np.ndarray) -> list[np.ndarray]:
    """As few batches as there is room for, of about as many images each.

    Args:
        network: That reads them.
        images: Or their places.
    """
    return np.array_split(images, -(-len(images) // _batch_size(network)))


def _batch_size(network: Network) -> int:
    """Images at once, so that no layer puts out more than there is room."""
    most = max(
        layer.out_h * layer.out_w * layer.out_c for layer in network.layers()
    )
    return int(min(BATCH_IMAGES, max(FEWEST_IMAGES, BATCH_BYTES // (4 * most))))
