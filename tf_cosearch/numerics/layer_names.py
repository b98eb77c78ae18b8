"""Short names of layers, from what converters call tensors."""

from __future__ import annotations

import re

from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics.matching import Layer

_KERNELS = ("convolution", "depthwise", "Conv2D", "MatMul")

IMAGE = "image"
"""What the layer is called that is the image itself."""


def short(*given: str) -> str:
    """The Keras layer of a tensor, as far as its names tell.

    Of what was folded into one operator, its own part comes last.

    Args:
        *given: Names, of which the first that has a path counts.

    Example:
    >>> short("Identity", "net/quant_conv_relu/Relu;net/quant_conv/Conv2D")
    'conv'
    """
    paths = [
        part.split("/")
        for name in given
        for part in reversed(name.split(";"))
        if "ReadVariableOp" not in part
    ]
    paths = [path for path in paths if len(path) > 1]
    # A kernel rather than what was folded into it.
    paths.sort(key=lambda path: path[-1].rstrip("0123456789") not in _KERNELS)
    path = paths[0] if paths else ["", given[-1]]
    name = path[-2] or path[-1]
    return re.sub(r"[^\w.-]", "_", name).removeprefix("quant_")


def of(layer: Layer, floats: Graph, taken: set[str]) -> str:
    """A name that no other layer has.

    Args:
        layer: A layer.
        floats: The float graph.
        taken: Names of others; this one is added.
    """
    name = IMAGE
    if layer.operator is not None:
        given = [layer.operator.name]
        if layer.counterpart is not None:
            operator = floats.operators[layer.counterpart]
            # What the graph puts out is often called nothing but that.
            given = [
                operator.name,
                layer.operator.name,
                *(
                    floats.tensors[i].name
                    for i in operator.inputs
                    if i >= 0 and floats.tensors[i].data is not None
                ),
            ]
        name = short(*given) or layer.kind.lower()
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    taken.add(unique)
    return unique
