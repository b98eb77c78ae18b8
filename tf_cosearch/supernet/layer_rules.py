"""How each kind of Keras layer runs on weights that it is handed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf
import tf_keras

if TYPE_CHECKING:
    from tf_cosearch.supernet.reading import SharedReading


Box = tuple[slice, ...]
"""Where a part lies in a larger one."""


class Part(NamedTuple):
    """A weight of a layer, as much as a network needs of it.

    Attributes:
        shape: How much of each axis.
        initializer: What it begins with, of `tf_keras.initializers`.
        window: How many of the first axes are a window, taken from the middle;
            of the others, the first are taken.
        is_of_norm: Whether it scales or shifts a normalisation.
    """

    shape: tuple[int, ...]
    initializer: Any
    window: int = 0
    is_of_norm: bool = False

    def box_of(self, part: Part) -> Box:
        """Where a smaller part lies in this one.

        Example:
        >>> whole = Part((5, 5, 32), None, window=2)
        >>> whole.box_of(Part((3, 3, 8), None, window=2))
        (slice(1, 4, None), slice(1, 4, None), slice(0, 8, None))
        """
        starts = [
            (most - size) // 2 if axis < self.window else 0
            for axis, (size, most) in enumerate(
                zip(part.shape, self.shape, strict=True)
            )
        ]
        return tuple(
            slice(start, start + size)
            for start, size in zip(starts, part.shape, strict=True)
        )


Parts = dict[str, Part]
Weights = Mapping[str, Any]
Values = Sequence[Any]


class Rule(NamedTuple):
    """How a kind of layer runs.

    Attributes:
        parts: The weights of a layer for an input `[N, ...]`.
        run: From reading, layer, inputs and weights to its output.
        is_fused: Whether int8 arithmetic does it together with the layer
            before, so that nothing is rounded between them.
        keeps_scale: Whether TFLite has the scale of its input for what it
            puts out.
        keeps_steps: Whether what it puts out is rounded if its input is.
        check: Told layer and input shapes once, may refuse the layer.
    """

    parts: Callable[[Any, Sequence[Any]], Parts]
    run: Callable[[SharedReading, Any, Values, Weights], Any]
    is_fused: bool = False
    keeps_scale: bool = False
    keeps_steps: bool = False
    check: Callable[[Any, Sequence[Any]], None] = lambda layer, shapes: None


@functools.lru_cache(maxsize=2**14)
def rule(layer: Any) -> Rule:
    """How a layer runs.

    Raises:
        ValueError: If its weights cannot be shared; it is named.
    """
    known = _RULES.get(type(layer))
    if known is not None:
        _require_plain(layer)
        return known
    if isinstance(layer, tf_keras.layers.Activation):
        # A user's own function may have any name.
        if layer.activation is tf_keras.activations.sigmoid:
            return _SIGMOID
        if layer.activation is tf_keras.activations.swish:
            return _SWISH
        if layer.activation is tf_keras.activations.relu:
            return _RELU
        function = tf_keras.activations.serialize(layer.activation)
        if function == "linear":
            return _LINEAR
    if isinstance(layer, tf_keras.layers.ReLU):
        return _CLIPS if _is_clipping(layer) else _RELU
    if isinstance(layer, _AVERAGING) and _is_average(layer):
        return _AVERAGES
    return _MOVES if isinstance(layer, _MOVING) else _PLAIN


def _is_clipping(layer: Any) -> bool:
    """Whether it is another function than the usual one."""
    return bool(
        layer.max_value is not None or layer.negative_slope or layer.threshold
    )


def _is_average(layer: Any) -> bool:
    """Whether it puts out other numbers than it reads."""
    return getattr(layer, "interpolation", "") != "nearest"


def _require_plain(layer: Any) -> None:
    """Refuses settings that a training of shared weights does not have."""
    others = [
        name
        for name, value in vars(layer).items()
        if name.endswith(("_regularizer", "_constraint"))
        and value is not None
        and not name.startswith("_")
    ]
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        others.append("data_format")
    if others:
        raise ValueError(
            "A layer that shares weights must be without regularizers and "
            "constraints, channels last. Received: "
            f"{', '.join(sorted(others))} of {layer.name!r}. Leave them out."
        )


def _no_parts(layer: Any, shape: Sequence[Any]) -> Parts:
    del layer, shape
    return {}


def _run_plain(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    del reading, weights
    return layer(values if len(values) > 1 else values[0])


def _require_no_weights(layer: Any, shapes: Sequence[Any]) -> None:
    """Refuses a layer with weights that there is no rule for."""
    if type(layer) in _WITHOUT_WEIGHTS:
        return
    ones = [tf.ones([size or 1 for size in shape]) for shape in shapes]
    trial = type(layer).from_config(layer.get_config())
    trial(ones if len(ones) > 1 else ones[0])
    if trial.weights:
        kinds = ", ".join(sorted(kind.__name__ for kind in _RULES))
        raise ValueError(
            f"Layers that share weights must be of {kinds}. Received: "
            f"{layer.name!r}, of {type(layer).__name__}. Train designs of "
            "this space one by one, with accuracy='trained'."
        )
    _WITHOUT_WEIGHTS.add(type(layer))


def _conv_parts(layer: Any, shape: Sequence[Any]) -> Parts:
    kernel = (*layer.kernel_size, shape[-1], layer.filters)
    return {
        "kernel": Part(kernel, layer.kernel_initializer, window=2),
        **_bias(layer, layer.filters),
    }


def _bias(layer: Any, channels: int) -> Parts:
    if not layer.use_bias:
        return {}
    return {"bias": Part((channels,), layer.bias_initializer)}


def _run_conv(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    kernel = weights["kernel"]
    if layer.groups > 1:
        kernel = within_groups(kernel, layer.groups)
    y = tf.nn.conv2d(
        values[0],
        reading.rounded(layer, kernel, axis=3),
        layer.strides,
        layer.padding.upper(),
        dilations=layer.dilation_rate,
    )
    return _activated(layer, y, weights)


def within_groups(kernel: Any, groups: int) -> Any:
    """What connects each group of inputs with its group of outputs.

    Args:
        kernel: `[h, w, in, out]`.
        groups: How many; both numbers of channels divide by it.

    Returns:
        `[h, w, in / groups, out]`, the kernel of a grouped convolution.

    Example:
    >>> kernel = tf.reshape(tf.range(4), (1, 1, 2, 2))  # from 0 to 0, 1; ...
    >>> within_groups(kernel, 2).numpy().ravel().tolist()
    [0, 3]
    """
    height, width, inputs, outputs = kernel.shape
    blocks = tf.reshape(
        kernel,
        (height, width, groups, inputs // groups, groups, outputs // groups),
    )
    diagonal = [blocks[:, :, i, :, i] for i in range(groups)]
    return tf.concat(diagonal, axis=-1)


def _activated(layer: Any, y: Any, weights: Weights) -> Any:
    if "bias" in weights:
        y = y + weights["bias"]
    return y if layer.activation is None else layer.activation(y)


def _depthwise_parts(layer: Any, shape: Sequence[Any]) -> Parts:
    channels, multiplier = shape[-1], layer.depth_multiplier
    kernel = (*layer.kernel_size, channels, multiplier)
    return {
        "kernel": Part(kernel, layer.depthwise_initializer, window=2),
        **_bias(layer, channels * multiplier),
    }


def _run_depthwise(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    y = tf.nn.depthwise_conv2d(
        values[0],
        reading.rounded(layer, weights["kernel"], axis=None),
        (1, *layer.strides, 1),
        layer.padding.upper(),
        dilations=layer.dilation_rate,
    )
    return _activated(layer, y, weights)


def _dense_parts(layer: Any, shape: Sequence[Any]) -> Parts:
    kernel = (shape[-1], layer.units)
    return {
        "kernel": Part(kernel, layer.kernel_initializer),
        **_bias(layer, layer.units),
    }


def _run_dense(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    y = tf.linalg.matmul(
        values[0], reading.rounded(layer, weights["kernel"], axis=None)
    )
    return _activated(layer, y, weights)


def _norm_parts(layer: Any, shape: Sequence[Any]) -> Parts:
    channels = (shape[-1],)
    parts = {}
    if layer.scale:
        parts["gamma"] = Part(channels, layer.gamma_initializer)
    if layer.center:
        parts["beta"] = Part(channels, layer.beta_initializer)
    return {
        name: part._replace(is_of_norm=True) for name, part in parts.items()
    }


def _require_image(layer: Any, shapes: Sequence[Any]) -> None:
    """Refuses to normalise anything but the channels of images."""
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    if len(shapes[0]) != 4 or axis not in (-1, 3):
        raise ValueError(
            "A normalisation that shares weights must be of the channels of "
            f"images, its last axis. Received: {layer.name!r}, of axis "
            f"{axis} of {shapes[0]}. Normalise images, or train designs one "
            "by one, with accuracy='trained'."
        )


def _run_norm(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    [x] = values
    channels = x.shape[-1]
    scale = weights["gamma"] if layer.scale else tf.ones(channels)
    offset = weights["beta"] if layer.center else tf.zeros(channels)
    known = reading.moments(layer)
    none = _nothing()
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=scale,
        offset=offset,
        mean=none if known is None else known[0],
        variance=none if known is None else known[1],
        epsilon=layer.epsilon,
        exponential_avg_factor=1.0,  # An integer would be converted.
        is_training=known is None,
    )
    if known is None:
        reading.observe(layer, mean, variance, math.prod(x.shape[:-1]))
    return y


@functools.cache
def _nothing() -> Any:
    """What stands for moments that are those of the batch."""
    return tf.zeros(0)


def _run_dropout(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    del weights
    return reading.dropped(layer, values[0])


def _run_sigmoid(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    del layer, weights
    return reading.sigmoid(values[0])


def _run_swish(
    reading: SharedReading, layer: Any, values: Values, weights: Weights
) -> Any:
    del layer, weights
    return values[0] * reading.sigmoid(values[0])


_L = tf_keras.layers
_RULES: dict[type, Rule] = {
    _L.Conv2D: Rule(_conv_parts, _run_conv),
    _L.DepthwiseConv2D: Rule(_depthwise_parts, _run_depthwise),
    _L.Dense: Rule(_dense_parts, _run_dense),
    _L.BatchNormalization: Rule(
        _norm_parts, _run_norm, is_fused=True, check=_require_image
    ),
    _L.Dropout: Rule(
        _no_parts, _run_dropout, keeps_scale=True, keeps_steps=True
    ),
}
_PLAIN = Rule(_no_parts, _run_plain, check=_require_no_weights)
_CLIPS = Rule(_no_parts, _run_plain, is_fused=True)
# As their layers, whose `__call__` takes as long as a small convolution.
_LINEAR = Rule(_no_parts, lambda _, layer, x, weights: x[0], is_fused=True)
_RELU = Rule(
    _no_parts, lambda _, layer, x, weights: tf.nn.relu(x[0]), is_fused=True
)
_SIGMOID = Rule(_no_parts, _run_sigmoid, keeps_steps=True)
_SWISH = Rule(_no_parts, _run_swish)
_AVERAGES = Rule(_no_parts, _run_plain, keeps_scale=True)
_AVERAGING = (_L.AveragePooling2D, _L.UpSampling2D)
"""Layers whose averages are rounded to steps of their input. A global average
has a scale of its own.

Reference: TensorFlow Lite 8-bit quantization specification, AVERAGE_POOL_2D,
RESIZE_BILINEAR and MEAN.
"""
_MOVES = Rule(_no_parts, _run_plain, keeps_scale=True, keeps_steps=True)
_MOVING = (
    _L.Reshape,
    _L.Permute,
    _L.Flatten,
    _L.Cropping2D,
    _L.MaxPooling2D,
    _L.UpSampling2D,
)
"""Layers that only choose among numbers."""
_WITHOUT_WEIGHTS: set[type] = set()
"""Other layers that were tried."""
