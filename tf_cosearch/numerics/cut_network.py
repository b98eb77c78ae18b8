"""A float network cut at tensors, so that each layer can be fed on its own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from tf_cosearch.networks.importers.tflite_file import IDENTIFIER
from tf_cosearch.numerics.matching import Layer


class CutNetwork(NamedTuple):
    """A float .tflite file of many inputs.

    What layers put out are the tensors that they did before.

    Attributes:
        content: The file.
        inputs: For each input of its graph, the tensor of the quantized graph
            whose numbers belong there, and that of the float graph which it
            stands for.
    """

    content: bytes
    inputs: list[tuple[int, int]]


def cut(content: bytes, layers: Sequence[Layer]) -> CutNetwork:
    """Cuts a float network wherever the quantized one has a tensor.

    What a layer then puts out is right for what the quantized layer before it
    put out: what differs from the quantized layer is that layer's own error.

    Args:
        content: Of the float .tflite file.
        layers: What `matching.match` returned.
    """
    model = schema.ModelT.InitFromPackedBuf(content)
    [graph, *_] = model.subgraphs
    places: dict[tuple[int, int], int] = {}

    def place(quantized: int, original: int) -> int:
        """The input that stands for a tensor in the eyes of an operator."""
        if (quantized, original) not in places:
            tensor = copy.copy(graph.tensors[original])
            tensor.name = f"cut_{quantized}_{original}"
            graph.tensors.append(tensor)
            places[quantized, original] = len(graph.tensors) - 1
        return places[quantized, original]

    for layer in layers:
        if layer.counterpart is None:
            continue
        operator = graph.operators[layer.counterpart]
        for quantized, original in zip(layer.inputs, layer.reads, strict=True):
            # An addition of a tensor and itself reads it twice.
            at = list(operator.inputs).index(original)
            inputs = list(operator.inputs)
            inputs[at] = place(quantized, original)
            operator.inputs = inputs
    compared = [
        layer
        for layer in layers
        if layer.operator is not None
        and not layer.is_copy
        and not layer.is_inner
    ]
    graph.inputs = list(places.values())
    graph.outputs = [layer.target for layer in compared]
    model.subgraphs = [graph]
    model.signatureDefs = []
    model.metadata = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return CutNetwork(
        bytes(builder.Output()),
        list(places),
    )
