"""Runs a float and a quantized network side by side, layer by layer.

Two errors are told apart. One is against the float network, which grows along
the depth. The other is the layer's own: the float layer is fed with what the
quantized layer has read, so that what differs is its rounding and nothing from
before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import text
from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics import (
    cut_network,
    layer_errors,
    layer_names,
    matching,
    stated_scales,
    weight_errors,
)
from tf_cosearch.numerics.diagnosis import COARSE_DB, Diagnosis, diagnose
from tf_cosearch.numerics.images import require_numbers
from tf_cosearch.numerics.layer_errors import LayerErrors
from tf_cosearch.numerics.matching import Layer
from tf_cosearch.numerics.playback import Playback, Quantization
from tf_cosearch.numerics.weight_errors import WeightErrors

_BATCH_BYTES = 2**26  # of all tensors, for the images that run at a time


class LayerReport(NamedTuple):
    """What the debugger says of a layer.

    Attributes:
        name: Of the layer.
        tensor: What the quantized file calls what it puts out.
        kind: Its operator; `INPUT` is the image.
        depth: Its place in the order of execution.
        errors: Of what it puts out.
        weights: Of its weights, if it has any.
        diagnosis: The likely cause of its error.
    """

    name: str
    tensor: str
    kind: str
    depth: int
    errors: LayerErrors
    weights: WeightErrors | None
    diagnosis: Diagnosis

    def described(self) -> dict[str, Any]:
        """All numbers by name; what there is not is None.

        A ratio without noise is `inf`, one without a signal `-inf`, as text.
        """
        errors, weights = self.errors, self.weights
        dead = errors.dead()
        return {
            "layer": self.name,
            "operator": self.kind,
            "depth": self.depth,
            "sqnr_db": layer_errors.plain(errors.sqnr_db),
            "own_sqnr_db": layer_errors.plain(errors.own_sqnr_db),
            "largest_error": errors.largest,
            "mean_error": errors.mean,
            "saturated_share": errors.saturated_share,
            "used_share": errors.used_share,
            "bulk_share": errors.bulk_share,
            "channels": len(dead),
            "dead_channels": int(dead.sum()),
            "dead_by_rounding": int((dead & ~errors.dead_in_float()).sum()),
            "weight_spread": weights and weights.spread,
            "weight_sqnr_db": weights and layer_errors.plain(weights.sqnr_db),
            "cause": self.diagnosis.cause,
            "advice": self.diagnosis.advice,
        }


def compare(
    float_content: bytes, quantized_content: bytes, images: np.ndarray
) -> list[LayerReport]:
    """Compares two networks on the same images.

    Args:
        float_content: Of a float .tflite file.
        quantized_content: Of the quantized one that was made from it.
        images: float32 `[N, ...]`, as the float network takes them.

    Returns:
        Layers in execution order, the image first.

    Raises:
        ValueError: If a file is damaged, layers do not match, or the images
            are none, of another shape, or no numbers.
    """
    floats = matching.read(float_content, "The float model")
    quantized = matching.read(quantized_content, "The quantized model")
    layers = matching.match(floats, quantized)
    check_images(images, quantized.tensors[quantized.inputs[0]].shape[1:])
    parts = cut_network.cut(float_content, layers)
    players = (
        Playback(quantized_content, "The quantized model"),
        Playback(float_content, "The float model"),
        Playback(parts.content, "The float model"),
    )
    shown = [each for each in layers if not each.is_inner]
    errors = [
        LayerErrors(
            Quantization(players[0].tensors[layer.tensor]),
            _channels(quantized, layer.tensor),
        )
        for layer in shown
    ]
    size = max(
        1, _BATCH_BYTES // sum(player.bytes_an_image() for player in players)
    )
    size = min(size, len(images))
    while size > 1 and not _can_take(players, size, len(images) % size):
        size = 1
    for start in range(0, len(images), size):
        batch = np.ascontiguousarray(images[start : start + size])
        _play(players, batch, layers, shown, errors, parts.inputs)
    return _reports(shown, errors, floats, quantized, players[0])


def check_images(
    images: np.ndarray, shape: Sequence[int], name: str = "Images"
) -> None:
    """Refuses images that say nothing of a network.

    Args:
        images: `[N, ...]`.
        shape: What the network takes, without the batch.
        name: What they are called.

    Raises:
        ValueError: If there are none, their shape is another, or one holds
            no finite number.
    """
    require_numbers(images)
    if images.ndim < 1 or images.shape[1:] != tuple(shape):
        expected = ", ".join(map(str, ("N", *shape)))
        raise ValueError(
            f"{name} must be [{expected}], what the network takes. Received: "
            f"shape {images.shape}."
        )
    if not len(images):
        raise ValueError("There must be images. Received: an empty batch.")
    wrong = ~np.isfinite(images).reshape(len(images), -1).all(-1)
    if wrong.any():
        raise ValueError(
            f"{name} must be finite numbers. Received: NaN or infinity in "
            f"{int(wrong.sum())} of {len(images)}, first in number "
            f"{int(wrong.argmax())}."
        )


def _can_take(players: Sequence[Playback], size: int, remainder: int) -> bool:
    """Whether both networks take several images at a time."""
    sizes = [remainder, size] if remainder else [size]
    return all(player.takes(n) for player in players[:2] for n in sizes)


def _play(
    players: Sequence[Playback],
    images: np.ndarray,
    layers: Sequence[Layer],
    shown: Sequence[Layer],
    errors: Sequence[LayerErrors],
    places: Sequence[tuple[int, int]],
) -> None:
    """Plays a batch through all networks, and counts."""
    quantized, floats, parts = players
    [entry] = quantized.inputs
    details = quantized.tensors[entry]
    quantized.play([Quantization(details).integers(images, details["dtype"])])
    floats.play([images.astype(np.float32)])
    stored = {layer.tensor: quantized.tensor(layer.tensor) for layer in layers}
    numbers = {
        index: Quantization(quantized.tensors[index]).numbers(array)
        for index, array in stored.items()
    }
    parts.play(
        [
            # Only once it is played has each tensor its shape.
            numbers[given].reshape(floats.tensor(original).shape)
            for given, original in places
        ]
    )
    for layer, counted in zip(shown, errors, strict=True):
        if layer.operator is None:
            own = images
        elif layer.is_copy:
            own = numbers[layer.inputs[0]]
        else:
            own = parts.tensor(layer.target)
        counted.add(stored[layer.tensor], floats.tensor(layer.target), own)


def _channels(graph: Graph, tensor: int) -> int:
    """Numbers along the last axis."""
    shape = graph.tensors[tensor].shape
    return shape[-1] if len(shape) > 1 else 1


def _reports(
    shown: Sequence[Layer],
    errors: Sequence[LayerErrors],
    floats: Graph,
    quantized: Graph,
    player: Playback,
) -> list[LayerReport]:
    weights = {
        layer.tensor: _weights(layer, floats, quantized, player)
        for layer in shown
    }
    noisy = [
        layer
        for layer, counted in zip(shown, errors, strict=True)
        if counted.own_sqnr_db < COARSE_DB
    ]
    doubts = stated_scales.doubts(noisy, weights, floats, quantized, player)
    reports: list[LayerReport] = []
    names: set[str] = set()
    for layer, counted in zip(shown, errors, strict=True):
        if layer.operator is not None and layer.kind in matching.MOVES:
            continue  # it puts out what it reads
        own = weights[layer.tensor]
        found = diagnose(layer.kind, counted, own, doubts.get(layer.tensor))
        report = LayerReport(
            layer_names.of(layer, floats, names),
            quantized.tensors[layer.tensor].name,
            layer.kind,
            len(reports),
            counted,
            own,
            found,
        )
        reports.append(report)
    return reports


def _weights(
    layer: Layer, floats: Graph, quantized: Graph, player: Playback
) -> WeightErrors | None:
    """The errors of the kernel of a layer, if it has one."""
    if layer.operator is None or layer.counterpart is None:
        return None
    kernels = []
    for graph, operator in (
        (quantized, layer.operator),
        (floats, floats.operators[layer.counterpart]),
    ):
        found = [
            i
            for i in operator.inputs
            if i >= 0
            and len(graph.tensors[i].shape) > 1
            and graph.tensors[i].data is not None
            and graph.tensors[i].type not in ("INT32", "INT64")
        ]
        if not found:
            return None
        kernels.append(found[0])
    stored = matching.values(quantized.tensors[kernels[0]])
    quantization = Quantization(player.tensors[kernels[0]])
    return weight_errors.compare(
        layer.kind,
        matching.values(floats.tensors[kernels[1]]),
        quantization.numbers(stored),
        quantization.scale,
        quantized.tensors[kernels[0]].bits,
    )._replace(biases=_bias_errors(layer, floats, quantized, player))


def _bias_errors(
    layer: Layer, floats: Graph, quantized: Graph, player: Playback
) -> np.ndarray | None:
    """What biases are off by; None if not both networks have one."""
    if layer.operator is None or layer.counterpart is None:
        return None
    biases = []
    for graph, operator in (
        (quantized, layer.operator),
        (floats, floats.operators[layer.counterpart]),
    ):
        last = operator.inputs[-1]
        tensor = graph.tensors[last]
        if last < 0 or tensor.data is None or len(tensor.shape) != 1:
            return None
        biases.append(matching.values(tensor))
    how = Quantization(player.tensors[layer.operator.inputs[-1]])
    if biases[0].shape != biases[1].shape:
        return None
    off = how.numbers(biases[0]) - biases[1]
    # Within a step it is rounded.
    return np.where(np.abs(off) > how.scale, off, 0.0)


def worst_first(reports: Sequence[LayerReport]) -> list[LayerReport]:
    """Layers by what they add themselves: faults, then the noisiest first."""
    return sorted(
        reports,
        key=lambda report: (
            not report.diagnosis.is_fault,
            report.errors.own_sqnr_db,
        ),
    )


def table(reports: Sequence[LayerReport]) -> str:
    """A line a layer.

    Args:
        reports: In the order to print.
    """
    rows = [
        (
            "layer",
            "operator",
            "SQNR",
            "own",
            "largest error",
            "mean error",
            "saturated",
            "range used",
            "dead",
            "spread",
            "likely cause",
        )
    ]
    for report in reports:
        of = report.described()
        rows.append(
            (
                report.name,
                report.kind,
                layer_errors.told(report.errors.sqnr_db),
                layer_errors.told(report.errors.own_sqnr_db),
                f"{of['largest_error']:.3g}",
                f"{of['mean_error']:.3g}",
                f"{of['saturated_share']:.2%}",
                _or_dash(of["used_share"], "{:.0%}"),
                f"{of['dead_channels']}/{of['channels']}",
                _or_dash(of["weight_spread"], "{:.3g}x"),
                of["cause"],
            )
        )
    return text.table(rows, "<<>>>>>>>><")


def written(reports: Sequence[LayerReport], form: str, top: int) -> str:
    """All that is to be said.

    Args:
        reports: In execution order.
        form: `table`, `csv` or `json`; the latter two have all layers.
        top: Rows of a table.
    """
    worst = worst_first(reports)
    rows = [report.described() for report in worst]
    if form == "csv":
        return text.comma_separated(rows)
    if form == "json":
        return f"{json.dumps({'layers': rows}, indent=2)}\n"
    lines = [table(worst[:top])]
    if len(worst) > top:
        lines.append(f"and {len(worst) - top} layers of less noise.")
    advised: dict[str, list[str]] = {}
    for report in worst[:top]:
        advised.setdefault(report.diagnosis.advice, []).append(report.name)
    advised.pop("", None)
    lines.append("\nWhat to do:" if advised else "\nNothing is to be done.")
    lines += [f"  {', '.join(names)}: {to}" for to, names in advised.items()]
    return "\n".join(lines) + "\n"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
