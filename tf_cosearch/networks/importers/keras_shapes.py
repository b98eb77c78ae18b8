"""Finds the extents that a graph leaves open, from those it is called with.

A model within a model may take images of any size, and a layer may not say
what follows from its input: only a call settles the shapes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """What a tensor looks like: it stands for one that is not there."""

    shape: Shape
    dtype: Any = "float32"


def outlines(graph: Any, shapes: Sequence[Shape]) -> dict[int, Outline]:
    """Shapes of the tensors of a graph, if it leaves any of them open.

    Args:
        graph: What holds the nodes of a model.
        shapes: Shapes of its inputs, as it is called.

    Returns:
        Outlines by the `id` of a tensor; none if the graph knows all extents.
    """
    nodes = [
        node
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
    ]
    tensors = [t for node in nodes for t in tf.nest.flatten(node.outputs)]
    if not any(None in tuple(tensor.shape)[1:] for tensor in tensors):
        return {}
    outlines_by_id = {
        id(tensor): Outline(tuple(shape), tensor.dtype)
        for tensor, shape in zip(graph.inputs, shapes, strict=True)
    }
    for node in nodes:
        if not node.is_input:
            written = tf.nest.flatten(node.outputs)
            for tensor, shape in zip(
                written, _called(node, outlines_by_id), strict=True
            ):
                outlines_by_id[id(tensor)] = Outline(shape, tensor.dtype)
    return outlines_by_id


def _called(node: Any, outlines_by_id: dict[int, Outline]) -> list[Shape]:
    """The shapes that a call writes."""
    if hasattr(node, "arguments"):  # Keras 3
        import keras

        def stand_in(tensor: Any) -> Any:
            outline = outlines_by_id.get(id(tensor))
            return outline and keras.KerasTensor(outline.shape, outline.dtype)

        args, kwargs = _replaced(
            (node.arguments.args, node.arguments.kwargs), stand_in
        )
        layer = node.operation
        outputs = layer.compute_output_spec(*args, **kwargs)
    else:
        with tf.__internal__.FuncGraph("shapes").as_default():

            def stand_in(tensor: Any) -> Any:
                outline = outlines_by_id.get(id(tensor))
                return outline and tf.compat.v1.placeholder(
                    outline.dtype, outline.shape
                )

            args, kwargs = _replaced(
                (node.call_args, node.call_kwargs), stand_in
            )
            layer = node.layer
            outputs = layer(*args, **kwargs)
    if hasattr(layer, "equation"):
        return [_einsum_shape(layer, tuple(args[0].shape))]
    return [tuple(tensor.shape) for tensor in tf.nest.flatten(outputs)]


def _replaced(value: Any, stand_in: Callable[[Any], Any]) -> Any:
    """A copy of nested arguments with stand-ins for tensors of the graph."""
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(part, stand_in) for part in value)
    if isinstance(value, dict):
        return {k: _replaced(part, stand_in) for k, part in value.items()}
    replacement = stand_in(value)
    return value if replacement is None else replacement


def _einsum_shape(layer: Any, shape: Shape) -> Shape:
    """What an `EinsumDense` writes, which may state its shape in part.

    Labels stand for extents of the input or of the weights.
    """
    operands, output = layer.equation.replace(" ", "").split("->")
    labels, weights = operands.split(",")
    hidden = "0123456789"[: len(shape) - len(labels.replace("...", ""))]
    labels, output = (t.replace("...", hidden) for t in (labels, output))
    sizes = dict(zip(weights, tuple(layer.kernel.shape), strict=False))
    sizes |= dict(zip(labels, shape, strict=True))
    return tuple(sizes[label] for label in output)
