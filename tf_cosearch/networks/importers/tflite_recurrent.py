"""Rows of the recurrent operators of a .tflite file.

The products with the input do not wait for each other: they are one product of
all time steps. Those with the state do, so they repeat, once a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tf_cosearch.networks.importers.graph_tape import GraphTape
from tf_cosearch.networks.importers.tflite_graph import Call
from tf_cosearch.networks.tape import TensorShape, view


class Cell(NamedTuple):
    """Where the weights of a cell stand among the inputs of an operator.

    Attributes:
        inputs: Weights of the input, one a gate; some may be left out.
        states: Weights of the state, one a gate.
        biases: Biases, one a gate.
        peepholes: Weights that let gates see the cell, one a gate.
        projection: Weights and bias of the projection of the output.
        side_inputs: Weights of a second input, one a gate.
    """

    inputs: Sequence[int]
    states: Sequence[int]
    biases: Sequence[int]
    peepholes: Sequence[int] = ()
    projection: tuple[int, int] | None = None
    side_inputs: Sequence[int] = ()


_LSTM = Cell(range(1, 5), range(5, 9), range(12, 16), range(9, 12), (16, 17))
_FORWARD_LSTM = Cell(
    range(1, 5),
    range(5, 9),
    range(12, 16),
    range(9, 12),
    (16, 17),
    range(40, 44),
)
_BACKWARD_LSTM = Cell(
    range(18, 22),
    range(22, 26),
    range(29, 33),
    range(26, 29),
    (33, 34),
    range(44, 48),
)
_RNN = Cell([1], [2], [3])
_FORWARD_RNN = Cell([1], [2], [3], side_inputs=[10])
_BACKWARD_RNN = Cell([5], [6], [7], side_inputs=[11])


def _present(call: Call, positions: Sequence[int]) -> list[int]:
    return [i for i in positions if call.has(i) and all(call.shape(i))]


def _weights(call: Call, positions: Sequence[int]) -> dict[str, Any]:
    """Fields of a row by weights that work side by side."""
    sides = [call.weights(position) for position in positions]
    return {
        "weight_bits": max(fields["weight_bits"] for fields in sides),
        "reuses_weights": all(fields["reuses_weights"] for fields in sides),
        "use_bias": False,
    }


def _steps(call: Call, position: int) -> tuple[int, int]:
    """Time steps and sequences of an input."""
    *axes, _ = call.shape(position)
    if len(axes) == 1:
        return 1, axes[0]
    first, second = axes
    is_time_major = call.option("TimeMajor", True)
    return (first, second) if is_time_major else (second, first)


def _run(tape: GraphTape, call: Call, cell: Cell, name: str) -> TensorShape:
    """Records a cell that runs over a sequence; gives its outputs."""
    steps, batch = _steps(call, 0)
    gates = _present(call, cell.inputs)
    states = _present(call, cell.states)
    if not gates or len(states) != len(gates):
        raise ValueError("it lacks weights of a gate")
    units, features = call.weight_shape(gates[0], 2)
    width = len(gates) * units
    biases = _present(call, cell.biases)
    row = view(call.row(0), (steps * batch, 1, features))
    if row.elements != call.row(0).elements:
        raise ValueError(f"it reads {call.shape(0)} by {units}x{features}")
    products = [
        tape.add(
            f"{name}/input",
            "dense",
            [row],
            (steps * batch, 1, width),
            **(_weights(call, gates) | {"use_bias": bool(biases)}),
        )
    ]
    sides = _present(call, cell.side_inputs)
    if sides and call.is_activation(39 if len(gates) > 1 else 9):
        side = call.row(39 if len(gates) > 1 else 9)
        channels = call.weight_shape(sides[0], 2)[1]
        products.append(
            tape.add(
                f"{name}/side_input",
                "dense",
                [view(side, (steps * batch, 1, channels))],
                (steps * batch, 1, width),
                **_weights(call, sides),
            )
        )
    # What a step reads of the state is as much as the step before has written.
    outputs = call.weight_shape(states[0], 2)[1]
    state = view(products[0], (batch, 1, outputs))
    with tape.loop():
        products.append(
            tape.add(
                f"{name}/state",
                "dense",
                [state],
                (batch, 1, width),
                repeats=steps,
                **_weights(call, states),
            )
        )
        written = tape.gates(
            name,
            products,
            (batch, 1, units),
            len(gates),
            steps,
            has_cell=len(gates) > 1,
            stored_elements=units * len(_present(call, cell.peepholes)),
        )
        if cell.projection and (weights := _present(call, cell.projection[:1])):
            written = tape.add(
                f"{name}/projection",
                "dense",
                [view(written, (batch, 1, units))],
                (batch, 1, outputs),
                repeats=steps,
                written=(steps * batch, 1, outputs),
                **(
                    _weights(call, weights)
                    | {"use_bias": bool(_present(call, cell.projection[1:]))}
                ),
            )
    return written


def _forward(tape: GraphTape, call: Call, cell: Cell) -> list[TensorShape]:
    written = _run(tape, call, cell, call.name)
    return [view(written, call.layouts[0])]


def _lstm(tape: GraphTape, call: Call) -> list[TensorShape]:
    if call.option("KernelType") != 1:
        return _forward(tape, call, _LSTM)
    # The basic kernel: one matrix for all gates, of the input and the state.
    width, channels = call.weight_shape(2, 2)
    batch = call.shape(0)[0]
    gates = tape.add(
        f"{call.name}/gates",
        "dense",
        [view(call.row(0), (batch, 1, channels))],
        (batch, 1, width),
        **call.weights(2, call.has(3)),
    )
    cell = tape.elementwise(
        f"{call.name}/cell", [gates], (batch, 1, width // 4)
    )
    return [view(cell, layout) for layout in call.layouts]


def _both_ways(
    tape: GraphTape, call: Call, cells: tuple[Cell, Cell]
) -> list[TensorShape]:
    written = [
        _run(tape, call, cell, f"{call.name}/{direction}")
        for cell, direction in zip(cells, ("forward", "backward"), strict=True)
    ]
    layouts = call.layouts
    if len(layouts) > 1:
        return [view(*pair) for pair in zip(written, layouts, strict=False)]
    return tape.move(f"{call.name}/merged", written, layouts)


def _svdf(tape: GraphTape, call: Call) -> list[TensorShape]:
    """A product, a window over its last results, sums of `rank` of them."""
    filters, features = call.weight_shape(1, 2)
    taps = call.weight_shape(2, 2)[1]
    batch, units = call.shape(0)[0], call.outputs[0].shape[-1]
    row = tape.add(
        f"{call.name}/features",
        "dense",
        [view(call.row(0), (batch, 1, features))],
        (batch, 1, filters),
        **call.weights(1),
    )
    has_bias = call.has(3) and units
    row = tape.add(
        f"{call.name}/time",
        "depthwise_conv2d",
        [view(row, (batch * taps, 1, filters))],
        (batch, 1, filters),
        k_h=taps,
        stride_h=taps,
        groups=filters,
        stored_elements=units if has_bias else 0,
        held_elements=batch * (taps - 1) * filters,
        **call.weights(2),
    )
    if units != filters:
        row = tape.reduce(f"{call.name}/sum", row, (batch, 1, units))
    return [view(row, call.layouts[0])]


RECORDERS = {
    "LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lambda tape, call: _forward(
        tape, call, _LSTM
    ),
    "BIDIRECTIONAL_SEQUENCE_LSTM": lambda tape, call: _both_ways(
        tape, call, (_FORWARD_LSTM, _BACKWARD_LSTM)
    ),
    "RNN": lambda tape, call: _forward(tape, call, _RNN),
    "UNIDIRECTIONAL_SEQUENCE_RNN": lambda tape, call: _forward(
        tape, call, _RNN
    ),
    "BIDIRECTIONAL_SEQUENCE_RNN": lambda tape, call: _both_ways(
        tape, call, (_FORWARD_RNN, _BACKWARD_RNN)
    ),
    "SVDF": _svdf,
}
"""What records each recurrent operator."""
