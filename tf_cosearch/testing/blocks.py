"""What a block must do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tf_cosearch.networks import blocks
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.workload import Layer, to_array
from tf_cosearch.testing import keras_walk
from tf_cosearch.testing.requirement import require

_TRIED = {
    "kernel_size": (3, 5, "5x2"),
    "expansion": (1, 4),
    "groups": (1, 2),
    "se_ratio": (0, 0.25),
    "activation": ("relu", "relu6", "swish"),
    "skip": (True, False),
    "stride_at": ("expand", "project"),
    "operator": (0, 1, 2),
}


class BlockSuite:
    """Tests of the block called `name`.

    Attributes:
        name: The block's name.
        shapes: Filters and strides to try after a stem of 8 channels.
        image: Height, width and channels of the image.
    """

    name: str
    shapes: tuple[tuple[int, int], ...] = ((8, 1), (16, 1), (16, 2))
    image: tuple[int, int, int] = (9, 8, 3)

    def networks(self) -> Iterator[Network]:
        """Small networks around the block, one for each way to use it."""
        known = blocks.options(self.name)
        tried = {
            key: _TRIED.get(key, (default,)) for key, default in known.items()
        }
        for values in itertools.product(*tried.values()):
            options = tuple(sorted(zip(tried, values, strict=True)))
            for filters, stride in self.shapes:
                yield self.network(filters, stride, options)

    def network(
        self, filters: int, stride: int, options: tuple[tuple[str, Any], ...]
    ) -> Network:
        """A network of a stem and the block."""
        stem = BlockSpec("stem", "conv_bn", 8, 1)
        block = BlockSpec("block", self.name, filters, stride, options)
        return Network("suite", self.image, 4, (stem, block))

    def test_rows_equal_a_walk_over_the_built_model(self) -> None:
        """Cost and network must not disagree, whatever the options."""
        networks = list(self.networks())
        # Primes to the numbers of choices: all pairs of these appear.
        for network in networks[:: 5 if len(networks) < 100 else 13]:
            model = network.build(keras)
            found = keras_walk.differences(network, model)
            require(not found, f"{network.blocks[1]}: {found}")
            _require_equal(network, from_keras(model))

    def test_stride_and_filters_are_honoured(self) -> None:
        """Padding is `same`, so a stride of s leaves ceil(n / s)."""
        for network in self.networks():
            spec = network.blocks[1]
            pool = next(row for row in network.layers() if row.name == "pool")
            height, width = (-(-n // spec.stride) for n in self.image[:2])
            require(
                (pool.in_h, pool.in_w, pool.in_c)
                == (height, width, spec.filters),
                f"{spec} ends in {pool}",
            )

    def test_names_are_unique(self) -> None:
        """Rows are found by name, and Keras wants layers named apart."""
        for network in self.networks():
            names = [row.name for row in network.layers()]
            require(len(set(names)) == len(names), f"{network.blocks[1]}")

    def test_it_converts_to_int8(self) -> None:
        """With its defaults and with the last of all choices.

        The file has the rows of the table, and puts out what the
        quantization-aware model does, but for the rounding of a few steps.
        """
        import tf_keras

        from tf_cosearch.training import qat

        rng = np.random.default_rng(0)
        networks = list(self.networks())
        for network in (networks[0], networks[-1]):
            images = rng.random((16, *network.input_shape), np.float32)
            model = network.build(tf_keras)
            model.set_weights(
                [_weight(rng, w.shape) for w in model.get_weights()]
            )
            quantized = qat.quantize(model)
            qat.calibrate(quantized, images)
            file = qat.to_tflite(quantized)  # Refuses float tensors itself.
            # TFLite makes two operations of a swish.
            if not any("swish" in row.name for row in network.layers()):
                _require_equal(network, from_tflite(file))
            logits, step = _run(file, images)
            faked = quantized(images, training=False).numpy()
            steps = np.abs(logits - faked).max() / step
            require(steps <= 4, f"{network.blocks[1]}: {steps} steps apart")


def _weight(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values that keep activations alive; no bias or variance is zero."""
    if len(shape) == 1:
        return np.abs(rng.normal(0, 0.3, shape)) + 0.1
    return rng.normal(0, math.sqrt(2 / math.prod(shape[:-1])), shape)


def _run(file: bytes, images: np.ndarray) -> tuple[np.ndarray, float]:
    """What a file puts out for images, and what a step of int8 stands for."""
    from tf_cosearch.training import evaluate

    interpreter = evaluate.open_interpreter(file)
    read, written = (
        details[0]
        for details in (
            interpreter.get_input_details(),
            interpreter.get_output_details(),
        )
    )
    interpreter.allocate_tensors()
    scale, zero = read["quantization"]
    numbers = np.clip(np.round(images / scale) + zero, -128, 127)
    logits = []
    for image in numbers.astype(np.int8):
        interpreter.set_tensor(read["index"], image[None])
        interpreter.invoke()
        logits.append(interpreter.get_tensor(written["index"])[0])
    scale, zero = written["quantization"]
    return (np.asarray(logits, np.float32) - zero) * scale, scale


def _require_equal(network: Network, rows: Sequence[Layer]) -> None:
    """Refuses rows that differ from the network's in anything but names."""
    for ours, theirs in itertools.zip_longest(network.layers(), rows):
        require(
            ours is not None
            and theirs is not None
            and ours.op == theirs.op
            and np.array_equal(to_array([ours]), to_array([theirs])),
            f"{network.blocks[1]}: table {ours}, model {theirs}",
        )
