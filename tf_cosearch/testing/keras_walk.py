"""What a Keras model costs, read off its layers: an independent count."""

from __future__ import annotations

import math
from typing import Any

from tf_cosearch.networks.network import Network
from tf_cosearch.networks.workload import OPS, Layer

_KINDS = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dense": "dense",
    "GlobalAveragePooling2D": "pool",
    "Add": "elementwise",
    "Multiply": "elementwise",
    "Activation": "elementwise",
    "AveragePooling2D": "pool",
    "MaxPooling2D": "pool",
    "Concatenate": "data_movement",
    "Cropping2D": "data_movement",
    "Permute": "data_movement",
    "UpSampling2D": "data_movement",
    "Dot": "matmul",
    "Embedding": "embedding",
    "Rescaling": "elementwise",
}
_FREE = (
    *("InputLayer", "BatchNormalization", "ReLU", "Dropout"),
    *("Flatten", "Reshape"),
)


def walk(model: Any) -> dict[str, tuple[Any, ...]]:
    """Counts every layer of a model that does arithmetic.

    Args:
        model: A built model of Keras 3 or tf_keras.

    Returns:
        For each name: operation, input shape, output shape, kernel, strides,
        dilation, groups, MACs, parameters. A batch norm is a bias of its
        convolution.
    """
    return {
        layer.name: _count(layer)
        for layer in model.layers
        if type(layer).__name__ not in _FREE
    }


def _count(layer: Any) -> tuple[Any, ...]:
    kind = type(layer).__name__
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    image, out = _image(inputs[0].shape), _image(layer.output.shape)
    kernel: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    groups = macs = params = 0
    if kind in ("Conv2D", "DepthwiseConv2D"):
        kernel, strides = layer.kernel_size, layer.strides
        dilation = tuple(
            rate if taps > 1 else 1
            for rate, taps in zip(layer.dilation_rate, kernel, strict=True)
        )
        groups = layer.groups if kind == "Conv2D" else image[2]
    elif kind == "GlobalAveragePooling2D":
        kernel, groups = image[:2], image[2]
    elif kind in ("AveragePooling2D", "MaxPooling2D"):
        kernel, strides, groups = layer.pool_size, layer.strides, image[2]
    elif kind == "Cropping2D":
        image = out  # it reads no more than it writes
    if kind in ("Conv2D", "DepthwiseConv2D", "Dense"):
        size = math.prod(layer.weights[0].shape)
        macs, params = out[0] * out[1] * size, size + out[2]
    elif kind == "Embedding":
        params = math.prod(layer.weights[0].shape)
    elif kind == "Dot":
        macs = image[0] * image[2] * out[2]
    return (
        _KINDS.get(kind, kind),
        image,
        out,
        tuple(kernel),
        tuple(strides),
        dilation,
        groups or 1,
        macs,
        params,
    )


def _image(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape)[1:]
    if len(sizes) == 2:
        return sizes[0], 1, sizes[1]
    return (1, 1, *sizes) if len(sizes) == 1 else sizes


def table_row(layer: Layer) -> tuple[Any, ...]:
    """A layer in the form that `walk` gives."""
    return (
        layer.op,
        (layer.in_h, layer.in_w, layer.in_c),
        (layer.out_h, layer.out_w, layer.out_c),
        (layer.k_h, layer.k_w),
        (layer.stride_h, layer.stride_w),
        (layer.dilation_h, layer.dilation_w),
        layer.groups,
        layer.macs,
        layer.params,
    )


def differences(network: Network, model: Any) -> list[str]:
    """Where the layer table of a network and its built model disagree.

    Args:
        network: The network.
        model: What `network.build` returned. Layers of kinds that are not
            counted here, as of an operation of yours, are left out.

    Returns:
        A line for each difference; none if they agree.
    """
    walked = walk(model)
    rows = {
        row.name.replace("/", "_"): table_row(row) for row in network.layers()
    }
    return [
        f"{name}: table {rows.get(name)}, model {walked.get(name)}"
        for name in rows.keys() | walked.keys()
        if rows.get(name) != walked.get(name)
        and (name not in walked or walked[name][0] in OPS)
    ]
