"""Scales of tensors that contradict those of the biases after them.

A bias is stored in steps of the scale of what its layer reads times that of the
weights. Where the file states other steps, one of both scales is wrong, and the
bias counts for more or less than it should.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics.matching import Layer
from tf_cosearch.numerics.playback import Playback, Quantization
from tf_cosearch.numerics.weight_errors import WeightErrors

_TOLERANCE = 0.01  # scales are stored in float32


class Doubt(NamedTuple):
    """What is doubted of a layer.

    Attributes:
        ratio: The scale, in that of the steps that biases are stored in.
        is_own: Whether it is the scale of what the layer puts out; else of
            what it reads.
    """

    ratio: float
    is_own: bool


def doubts(
    layers: Sequence[Layer],
    weights: Mapping[int, WeightErrors | None],
    graph: Graph,
    player: Playback,
) -> dict[int, Doubt]:
    """Finds layers whose scale contradicts biases, and the layers of these.

    Args:
        layers: Of `matching.match`.
        weights: Of each, by its tensor.
        graph: The quantized graph.
        player: Of it.

    Returns:
        Doubts by the tensor of the layer.
    """
    found: dict[int, Doubt] = {}
    for layer in layers:
        ratio = _ratio(layer, graph, player)
        own = weights[layer.tensor]
        if ratio is None or abs(ratio - 1) < _TOLERANCE:
            continue
        if own is not None and abs(own.median_gain - 1) > _TOLERANCE:
            continue  # the weights are to blame
        found[layer.inputs[0]] = Doubt(ratio, is_own=True)
        found.setdefault(layer.tensor, Doubt(ratio, is_own=False))
    return found


def _ratio(layer: Layer, graph: Graph, player: Playback) -> float | None:
    """Steps that a bias should have by those it has, of the median channel."""
    if layer.operator is None or len(layer.inputs) != 1:
        return None
    kernels = [
        i
        for i in layer.operator.inputs
        if i >= 0 and i not in layer.inputs and len(graph.tensors[i].shape) > 1
    ]
    biases = [
        i
        for i in layer.operator.inputs
        if i >= 0
        and graph.tensors[i].type in ("INT32", "INT64")
        and len(graph.tensors[i].shape) == 1
    ]
    if not kernels or not biases:
        return None
    stated = [
        Quantization(player.tensors[i])
        for i in (layer.inputs[0], kernels[0], biases[-1])
    ]
    read, kernel, bias = (each.scale for each in stated)
    if any(each.is_float for each in stated) or not bias.all():
        return None
    if kernel.size not in (1, bias.size) and bias.size != 1:
        return None
    return float(np.median(read * kernel / bias))
