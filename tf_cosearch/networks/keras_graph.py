"""Reads the graph of a Keras 3 or tf_keras model, both the same way."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from tf_cosearch.networks import graph_tape


def _words(text: str) -> set[str]:
    return set(text.split())


CONVOLUTIONS = {
    f"{kind}{axes}d": kind
    for kind in ("conv", "depthwiseconv", "separableconv")
    for axes in (1, 2)
}
"""Layers that slide a kernel, and which kind each is."""
TRANSPOSED = {"conv1dtranspose", "conv2dtranspose"}
"""Transposed convolutions."""
POOLS = {
    *(
        f"{kind}pooling{axes}d"
        for kind in ("max", "average")
        for axes in (1, 2)
    ),
    *("maxpool", "averagepool"),
}
"""Layers that slide a window without weights."""
FREE = _words(
    "linear identity inputlayer flatten reshape dropout spatialdropout1d "
    "spatialdropout2d alphadropout gaussiandropout gaussiannoise masking "
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
    "rmsnormalization unitnormalization layernorm normalize customscalelayer"
)
"""One operation an element."""
REDUCTIONS = {
    f"{prefix}{kind}"
    for prefix in ("", "a", "reduce")
    for kind in ("mean", "sum", "max", "min", "prod")
} | {
    f"global{kind}pooling{axes}d"
    for kind in ("max", "average")
    for axes in (1, 2)
}
"""One result of many elements."""
MOVES = _words(
    "concatenate concat permute transpose swapaxes moveaxis upsampling1d "
    "upsampling2d cropping1d cropping2d zeropadding1d zeropadding2d pad "
    "getitem slice stridedslice split stack unstack repeat repeatvector tile "
    "broadcastto resize resizing centercrop flip roll depthtospace "
    "spacetodepth"
)
"""What only moves elements."""

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
        value = getattr(self.layer, setting)
        return graph_tape.pair(value, axes=len(self.outputs[0].shape) - 2)


def calls(graph: Any, prefix: str, known: Container[str]) -> Iterator[Call]:
    """The calls of a graph in execution order."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = getattr(node, "operation", None) or node.layer
            while type(layer).__name__.startswith(_WRAPPERS):
                layer = layer.layer
            if hasattr(node, "arguments"):  # Keras 3
                inputs = node.arguments.keras_tensors
                positional, named = node.arguments.args, node.arguments.kwargs
            else:
                inputs = node.keras_inputs
                positional, named = node.call_args, node.call_kwargs
            yield Call(
                layer,
                _op(layer, known),
                prefix + layer.name,
                list(inputs),
                tf.nest.flatten(node.outputs),
                {**dict(enumerate(positional)), **named},
            )


def _op(layer: Any, known: Container[str]) -> str:
    """The operation of a layer, in the one spelling the tables above use."""
    names = [kind.__name__ for kind in type(layer).__mro__]
    if "TFOpLambda" in names:  # a TensorFlow function on tf_keras tensors
        names = [(layer.symbol or layer.name).rpartition(".")[2]]
    ops = [name.replace("_", "").lower() for name in names]
    op = next((op for op in ops if op in known), ops[0])
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
