"""Reads the graph of a Keras 3 or tf_keras model, both the same way."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.networks.importers import graph_tape
from tf_cosearch.networks.tape import depth_first


def _words(text: str) -> set[str]:
    return set(text.split())


CONVOLUTIONS = {
    f"{kind}{axes}d": kind
    for kind in ("conv", "depthwiseconv", "separableconv")
    for axes in (1, 2, 3)
}
"""Layers that slide a kernel, and which kind each is."""
TRANSPOSED = {f"conv{axes}dtranspose" for axes in (1, 2, 3)}
"""Transposed convolutions."""
POOLS = {
    *(
        f"{kind}pooling{axes}d"
        for kind in ("max", "average", "adaptivemax", "adaptiveaverage")
        for axes in (1, 2, 3)
    ),
    *("maxpool", "averagepool"),
}
"""Layers that slide a window without weights."""
FREE = _words(
    "linear identity inputlayer flatten reshape dropout spatialdropout1d "
    "spatialdropout2d spatialdropout3d alphadropout gaussiandropout "
    "gaussiannoise masking "
    "activityregularization quantizelayer squeeze expanddims stopgradient "
    "copy ravel relu relu6 cast shape randomflip randomrotation randomzoom "
    "randomtranslation randomcontrast randombrightness randomcrop"
)
"""What costs nothing at inference."""
ELEMENTWISE = _words(
    "add addv2 multiply subtract maximum minimum average divide truedivide "
    "truediv mul sub power pow square sqrt rsqrt negative neg abs absolute "
    "reciprocal exp log mod floor round sign clip clipbyvalue where equal "
    "notequal greater greaterequal less lessequal squareddifference "
    "sigmoid logsigmoid hardsigmoid tanh hardtanh swish silu hardswish "
    "hardsilu gelu elu selu celu mish softplus softsign softmax logsoftmax "
    "exponential leakyrelu prelu thresholdedrelu rescaling normalization "
    "batchnormalization layernormalization groupnormalization "
    "rmsnormalization unitnormalization layernorm rmsnorm normalize "
    "customscalelayer layerscale sin cos tan erf erfc expm1 log1p log2 log10 "
    "ceil trunc logicaland logicalor logicalnot logaddexp hypot glu sparsemax "
    "squareplus hardshrink softshrink tanhshrink threshold dividenonan "
    "cumsum cumprod"
)
"""One operation an element."""
OPERATORS = {
    "argmax": "ARG_MAX",
    "argmin": "ARG_MIN",
    "elu": "ELU",
    "embedding": "GATHER",
    "exp": "EXP",
    "gelu": "GELU",
    "hardsilu": "HARD_SWISH",
    "hardswish": "HARD_SWISH",
    "leakyrelu": "LEAKY_RELU",
    "log": "LOG",
    "resizing": "RESIZE_BILINEAR",
    "upsampling2d": "RESIZE_NEAREST_NEIGHBOR",
}
"""What converters make of operations that some accelerators do not run."""
REDUCTIONS = {
    f"{prefix}{kind}"
    for prefix in ("", "a", "reduce")
    for kind in _words("mean sum max min prod any all std var")
} | {
    *(f"globalmaxpooling{axes}d" for axes in (1, 2, 3)),
    *(f"globalaveragepooling{axes}d" for axes in (1, 2, 3)),
    *("argmax", "argmin", "logsumexp", "norm"),
}
"""One result of many elements."""
MOVES = _words(
    "concatenate concat permute transpose swapaxes moveaxis upsampling1d "
    "upsampling2d zeropadding1d zeropadding2d pad "
    "upsampling3d zeropadding3d take takealongaxis gather "
    "split stack unstack repeat repeatvector tile "
    "broadcastto resize resizing flip roll depthtospace "
    "spacetodepth"
)
"""What only moves elements."""
PARTS = _words(
    "cropping1d cropping2d cropping3d centercrop getitem slice stridedslice"
)
"""What moves only a part of its input."""

_WRAPPERS = (
    "QuantizeWrapper",
    "QuantizeAnnotate",
    "PruneLowMagnitude",
    "SpectralNormalization",
)


def graph_of(model: Any) -> Any:
    """What of a model holds its nodes, if anything does."""
    model = getattr(model, "_functional", None) or model
    return model if getattr(model, "_nodes_by_depth", None) else None


class Call(NamedTuple):
    """One call of a layer: Keras 3 and tf_keras nodes read alike."""

    layer: Any
    op: str
    name: str
    inputs: list[Any]
    outputs: list[Any]
    arguments: dict[Any, Any]

    def shape(self, tensor: Any) -> tuple[int | None, ...]:
        """The shape of a tensor with its channels last."""
        shape = tuple(tensor.shape)
        if getattr(self.layer, "data_format", None) == "channels_first":
            shape = (shape[0], *shape[2:], shape[1])
        return shape

    def image(self, tensor: Any) -> graph_tape.Extents:
        """Extents for a window to slide over; a sequence has height 1."""
        shape = self.shape(tensor)
        if len(shape) == 3:
            shape = (shape[0], 1, *shape[1:])
        return graph_tape.extents(shape)

    def pair(self, setting: str) -> tuple[int, int]:
        """Height and width of a setting of the layer."""
        axes = len(self.outputs[0].shape) - 2
        return fold(getattr(self.layer, setting), axes)

    def pads_by_itself(self, padding: Call) -> bool:
        """Whether every window of a convolution touches what was padded."""
        if self.op not in CONVOLUTIONS:
            return False
        before, after = (
            self.image(tensor)
            for tensor in (padding.inputs[0], padding.outputs[0])
        )
        edges: Any = getattr(padding.layer, "padding", None)
        if padding.op == "zeropadding1d":
            edges = ((0, 0), edges)
        if padding.op == "pad":  # at worst all of it lies on one side
            edges = [(0, b - a) for a, b in zip(before, after, strict=True)]
        taps = zip(
            self.pair("kernel_size"), self.pair("dilation_rate"), strict=True
        )
        return before[2] == after[2] and all(
            max(edge) <= (kernel - 1) * dilation
            for edge, (kernel, dilation) in zip(edges, taps, strict=False)
        )

    def window(self, tensor: Any, output: Any) -> dict[str, int]:
        """Fields of a row whose kernel slides over a tensor."""
        return window(
            self.layer, len(self.outputs[0].shape) - 2, tensor, output
        )


def fold(values: Any, axes: int) -> tuple[int, int]:
    """Height and width of a setting; a volume is an image of all its rows.

    >>> fold(3, 2), fold(3, 1), fold((2, 3, 4), 3)
    ((3, 3), (1, 3), (6, 4))
    """
    values = (values,) * axes if isinstance(values, int) else tuple(values)
    if len(values) == 3:
        values = (values[0] * values[1], values[2])
    return graph_tape.pair(values, axes)


def window(
    layer: Any, axes: int, size: graph_tape.Extents, output: graph_tape.Extents
) -> dict[str, int]:
    """Fields of a row whose kernel slides over a tensor.

    Args:
        layer: A convolution or pooling.
        axes: Axes that it slides along. Two axes of a volume are one.
        size: Extents of what it reads.
        output: Extents of what it writes.

    Returns:
        Kernel, strides and dilation. Volumes, and the images of a batch, are
        one below the other: strides are such that every window touches them.
    """
    is_pool = hasattr(layer, "pool_size")
    k_h, k_w = fold(layer.pool_size if is_pool else layer.kernel_size, axes)
    stride_h, stride_w = fold(layer.strides or layer.pool_size, axes)
    window = {
        "k_h": k_h,
        "k_w": k_w,
        "stride_h": stride_h,
        "stride_w": stride_w,
    }
    if output[0] > 1:
        largest = (size[0] + k_h - 2) // (output[0] - 1)
        window["stride_h"] = max(1, min(stride_h, largest))
    if not is_pool:
        d_h, d_w = fold(layer.dilation_rate, axes)
        window["dilation_h"] = d_h if axes < 3 and k_h > 1 else 1
        window["dilation_w"] = d_w if k_w > 1 else 1
    return window


def bits(tensor: Any) -> int:
    """Bits of an element; a float counts as the int8 it would become."""
    kind = str(getattr(tensor.dtype, "name", tensor.dtype))
    match = re.fullmatch(r"u?int(\d+)", kind)
    return int(match[1]) if match else 8


def calls(
    graph: Any,
    prefix: str,
    operations: Container[str],
    outlines: Mapping[int, Any],
) -> Iterator[Call]:
    """The calls of a graph in execution order.

    Args:
        graph: What holds the nodes of a model.
        prefix: What names start with.
        operations: Operations that can be told from each other.
        outlines: What stands for a tensor, by its `id`.

    Yields:
        A `Call` for every node but the inputs.
    """

    def swap(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [swap(part) for part in value]
        return outlines.get(id(value), value)

    for node in _in_order(graph):
        if node.is_input:
            continue
        layer = getattr(node, "operation", None) or node.layer
        while type(layer).__name__.startswith(_WRAPPERS):
            layer = layer.layer
        if hasattr(node, "arguments"):  # Keras 3
            positional, named = node.arguments.args, node.arguments.kwargs
        else:
            positional, named = node.call_args, node.call_kwargs
        yield Call(
            layer,
            op_of(layer, operations),
            prefix + layer.name,
            swap(_inputs(node)),
            swap(tf.nest.flatten(node.outputs)),
            {
                key: swap(value) if outlines else value
                for key, value in [*enumerate(positional), *named.items()]
            },
        )


def _inputs(node: Any) -> list[Any]:
    """The tensors that a call reads."""
    if hasattr(node, "arguments"):  # Keras 3
        return list(node.arguments.keras_tensors)
    return list(node.keras_inputs)


def _in_order(graph: Any) -> list[Any]:
    """The nodes of a graph, each after those that it reads."""
    nodes = [node for nodes in graph._nodes_by_depth.values() for node in nodes]
    owners = {
        id(tensor): index
        for index, node in enumerate(nodes)
        for tensor in tf.nest.flatten(node.outputs)
    }
    inputs = [[owners[id(t)] for t in _inputs(node)] for node in nodes]
    ends = [owners[id(tensor)] for tensor in graph.outputs]
    return [nodes[index] for index in depth_first(inputs, ends)]


def op_of(layer: Any, operations: Container[str]) -> str:
    """The operation of a layer, in the one spelling the tables above use."""
    names = [kind.__name__ for kind in type(layer).__mro__]
    if "TFOpLambda" in names:  # a TensorFlow function on tf_keras tensors
        names = [(layer.symbol or layer.name).rpartition(".")[2]]
    ops = [name.replace("_", "").lower() for name in names]
    op = next((op for op in ops if op in operations), ops[0])
    if op == "activation":
        op = activation(layer.activation)
    if op == "relu" and any(
        getattr(layer, setting, 0)
        for setting in ("negative_slope", "threshold")
    ):
        op = "leakyrelu"
    return op


def activation(function: Any) -> str:
    """The name of an activation, `linear` if there is none."""
    function = getattr(function, "activation", function)
    name = getattr(function, "__name__", type(function).__name__)
    name = name.replace("_", "").lower()
    return "linear" if name in ("nonetype", "noopactivation") else name
