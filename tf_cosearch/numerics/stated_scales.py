"""Scales of tensors that contradict those of the biases after them.

A bias counts in steps of the scale of what its layer reads times that of the
weights. Where the file states other steps for it, and it counts for as much
more or less than the bias of the float layer, one of both scales is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics import matching
from tf_cosearch.numerics.matching import Layer
from tf_cosearch.numerics.playback import Playback, Quantization
from tf_cosearch.numerics.weight_errors import WeightErrors

_TOLERANCE = 0.01  # scales are stored in float32
_ALIKE = 0.1  # small biases are rounded


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
    floats: Graph,
    graph: Graph,
    player: Playback,
) -> dict[int, Doubt]:
    """Finds layers whose scale contradicts biases, and the layers of these.

    Args:
        layers: Those that are noisy, of `matching.match`.
        weights: Of each, by its tensor.
        floats: The float graph.
        graph: The quantized graph.
        player: Of it.

    Returns:
        Doubts by the tensor of the layer.
    """
    found: dict[int, Doubt] = {}
    for layer in layers:
        ratio = _ratio(layer, floats, graph, player)
        own = weights[layer.tensor]
        if ratio is None or abs(ratio - 1) < _TOLERANCE:
            continue
        if own is not None and abs(own.median_gain - 1) > _TOLERANCE:
            continue  # the weights are to blame
        found[layer.inputs[0]] = Doubt(ratio, is_own=True)
        found.setdefault(layer.tensor, Doubt(ratio, is_own=False))
    return found


def _ratio(
    layer: Layer, floats: Graph, graph: Graph, player: Playback
) -> float | None:
    """How many times what it should a bias counts; None if that is not known.

    By what the file states and by what the float layer has, if both agree.
    """
    if layer.operator is None or layer.counterpart is None:
        return None
    if len(layer.inputs) != 1:
        return None
    numbers = layer.operator.inputs
    last = floats.operators[layer.counterpart].inputs[-1]
    kernels = [
        i
        for i in numbers
        if i >= 0 and i not in layer.inputs and len(graph.tensors[i].shape) > 1
    ]
    ends = graph.tensors[numbers[-1]], floats.tensors[last]
    if not kernels or min(numbers[-1], last) < 0:
        return None
    if any(end.data is None or len(end.shape) != 1 for end in ends):
        return None
    stated = [
        Quantization(player.tensors[i])
        for i in (layer.inputs[0], kernels[0], numbers[-1])
    ]
    read, kernel, bias = (each.scale for each in stated)
    integers, wanted = (matching.values(end).astype(float) for end in ends)
    if any(each.is_float for each in stated) or not wanted.any():
        return None
    if integers.shape != wanted.shape or not bias.all():
        return None
    steps = read * kernel
    counted = float((integers * steps * wanted).sum() / (wanted**2).sum())
    ratio = float(np.median(steps / bias))
    return ratio if abs(counted / ratio - 1) < _ALIKE else None
