"""Rows of the Keras layers that go over the steps of a sequence.

The products with the input do not wait for each other: they are one product of
all time steps. Those with the state do, so they repeat, once a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_cosearch.networks.importers import graph_tape, keras_graph
from tf_cosearch.networks.importers.keras_walker import Rows, Walker
from tf_cosearch.networks.tape import TensorShape, view

GATES = {"lstmcell": 4, "grucell": 3, "simplernncell": 1}
"""Products with the input, and with the state, that a cell adds up."""

# What treats every vector alike, so that steps are rows of one operation.
_POSITIONAL = {"dense"} | keras_graph.FREE | keras_graph.ELEMENTWISE


def recurrent(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records a layer of one cell or of cells on top of each other."""
    layer, shape = call.layer, call.inputs[0].shape
    if getattr(layer, "time_major", False) or len(shape) != 3:
        return None
    batch, steps = shape[0] or 1, shape[1]
    tensor = walker.read(call, call.inputs[0])
    cells = _cells(layer.cell)
    if any(_kind(cell) is None for cell in cells):
        return None
    for cell in cells:
        name = f"{call.name}/{cell.name}" if len(cells) > 1 else call.name
        with walker.weights_of(cell):
            tensor = _run(walker, name, cell, tensor, steps, batch)
    return _outputs(call, tensor)


def _cells(cell: Any) -> list[Any]:
    parts = getattr(cell, "cells", None)
    return [part for c in parts for part in _cells(c)] if parts else [cell]


def _kind(cell: Any) -> str | None:
    names = [kind.__name__.lower() for kind in type(cell).__mro__]
    return next((name for name in names if name in GATES), None)


def _outputs(call: keras_graph.Call, states: TensorShape) -> Rows:
    """The outputs of a layer: all steps or the last, and its states."""
    return [
        view(states, graph_tape.extents(tensor.shape))
        for tensor in call.outputs
    ]


def _run(
    walker: Walker,
    name: str,
    cell: Any,
    tensor: TensorShape,
    steps: int,
    batch: int,
) -> TensorShape:
    """Records a cell that runs over a sequence; gives its outputs."""
    kind, units = str(_kind(cell)), cell.units
    width = GATES[kind] * units
    inputs = walker.tape.add(
        f"{name}/input",
        "dense",
        [view(tensor, (steps * batch, 1, tensor.channels))],
        (steps * batch, 1, width),
        use_bias=cell.use_bias,
    )
    # What a step reads of the state is as much as the step before has written.
    with walker.tape.loop():
        state = walker.tape.add(
            f"{name}/state",
            "dense",
            [view(inputs, (batch, 1, units))],
            (batch, 1, width),
            repeats=steps,
            use_bias=bool(
                cell.use_bias and getattr(cell, "reset_after", False)
            ),
        )
        return walker.tape.gates(
            name,
            [inputs, state],
            (batch, 1, units),
            GATES[kind],
            steps,
            has_cell=kind == "lstmcell",
        )


def convolutional(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records a layer whose cell convolves its input and its state."""
    layer, cell = call.layer, call.layer.cell
    batch, steps, *size = call.inputs[0].shape
    axes = len(size) - 1
    shape = call.outputs[0].shape[-len(size) :]
    *out_size, _ = _channels_last(layer, shape)
    image = graph_tape.extents((batch, *_channels_last(layer, size)))
    output = graph_tape.extents((batch, *out_size, layer.filters))
    gates = (*output[:2], 4 * layer.filters)
    with walker.weights_of(cell):
        inputs = walker.tape.add(
            f"{call.name}/input",
            "conv2d",
            [view(walker.read(call, call.inputs[0]), image)],
            gates,
            repeats=steps,
            written=(steps * gates[0], *gates[1:]),
            use_bias=layer.use_bias,
            **keras_graph.window(layer, axes, image, gates),
        )
        k_h, k_w = keras_graph.fold(layer.kernel_size, axes)
        with walker.tape.loop():
            state = walker.tape.add(
                f"{call.name}/state",
                "conv2d",
                [view(inputs, output)],
                gates,
                k_h=k_h,
                k_w=k_w,
                repeats=steps,
                use_bias=False,
            )
            states = walker.tape.gates(
                call.name, [inputs, state], output, 4, steps, has_cell=True
            )
    return _outputs(call, states)


def _channels_last(layer: Any, shape: Sequence[Any]) -> Sequence[Any]:
    """The shape of a step with its channels last."""
    if layer.data_format == "channels_first":
        return (*shape[1:], shape[0])
    return shape


def both_ways(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records a layer that runs forwards, and one that runs backwards."""
    layer, source = call.layer, call.inputs[0]
    tensor = walker.read(call, source)
    directions = [
        walker.call(inner, f"{call.name}/{name}", tensor, source.shape)
        for inner, name in (
            (layer.forward_layer, "forward"),
            (layer.backward_layer, "backward"),
        )
    ]
    firsts = [outputs[0] for outputs in directions]
    states = [state for outputs in directions for state in outputs[1:]]
    if layer.merge_mode is None:
        return [*firsts, *states]
    output = graph_tape.extents(call.outputs[0].shape)
    name = f"{call.name}/merge"
    if layer.merge_mode == "concat":
        [merged] = walker.tape.move(name, firsts, [output])
    else:
        merged = walker.tape.elementwise(name, firsts, output)
    return [merged, *states]


def time_distributed(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records a layer that is applied to every step of a sequence."""
    layer, source = call.layer.layer, call.inputs[0]
    batch, steps, *rest = source.shape
    count = (batch or 1) * steps
    op = keras_graph.op_of(layer, _POSITIONAL)
    is_model = keras_graph.graph_of(layer) is not None
    tensor = walker.read(call, source)
    if op in _POSITIONAL and not is_model:
        outputs = walker.call(layer, call.name, tensor, (count, *rest))
    else:
        step = view(tensor, graph_tape.extents((None, *rest)))
        with walker.running(count):
            outputs = walker.call(layer, call.name, step, (None, *rest))
    layouts = [graph_tape.extents(tensor.shape) for tensor in call.outputs]
    return [view(*pair) for pair in zip(outputs, layouts, strict=True)]
