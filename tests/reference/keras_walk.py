"""What a Keras model costs, read off its layers: an independent count.

Returns a row for each layer that does arithmetic or moves data, keyed by its
name: (kind, input shape, output shape, kernel, strides, groups, macs,
params). Batch norms are folded: their convolution has a bias.
"""

import math


def walk(model):
    rows = {}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("InputLayer", "BatchNormalization", "ReLU", "Dropout"):
            continue
        if kind == "Activation" and layer.activation.__name__ in (
            "relu",
            "linear",
        ):
            continue
        shape = layer.input
        inputs = shape if isinstance(shape, list) else [shape]
        image = _image(inputs[0].shape)
        out = _image(layer.output.shape)
        kernel, strides, groups = (1, 1), (1, 1), 1
        macs = params = 0
        if kind == "Conv2D":
            kernel, strides, groups = (
                layer.kernel_size,
                layer.strides,
                layer.groups,
            )
            size = math.prod(layer.kernel.shape)
            macs = out[0] * out[1] * size
            params = size + out[2]
        elif kind == "DepthwiseConv2D":
            kernel, strides, groups = (
                layer.kernel_size,
                layer.strides,
                image[2],
            )
            weight = layer.weights[0]
            size = math.prod(weight.shape)
            macs = out[0] * out[1] * size
            params = size + out[2]
        elif kind == "Dense":
            size = math.prod(layer.kernel.shape)
            macs, params = size, size + out[2]
        elif kind == "GlobalAveragePooling2D":
            kernel, groups = image[:2], image[2]
        rows[layer.name] = (
            kind,
            image,
            out,
            tuple(kernel),
            tuple(strides),
            groups,
            macs,
            params,
        )
    return rows


KINDS = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dense": "dense",
    "GlobalAveragePooling2D": "pool",
    "Add": "elementwise",
    "Multiply": "elementwise",
    "Activation": "elementwise",
}


def _image(shape):
    shape = tuple(shape)[1:]
    return (1, 1, *shape) if len(shape) == 1 else shape


def table_row(layer):
    """A `Layer` in the form of a row of `walk`."""
    return (
        layer.op,
        (layer.in_h, layer.in_w, layer.in_c),
        (layer.out_h, layer.out_w, layer.out_c),
        (layer.k_h, layer.k_w),
        (layer.stride_h, layer.stride_w),
        layer.groups,
        layer.macs,
        layer.params,
    )


def compare(network, keras):
    """Raises AssertionError where layer table and built model differ."""
    walked = walk(network.build(keras))
    rows = {row.name.replace("/", "_"): row for row in network.layers()}
    assert rows.keys() == walked.keys()
    for name, row in rows.items():
        kind, *counted = walked[name]
        assert table_row(row) == (KINDS[kind], *counted), name
