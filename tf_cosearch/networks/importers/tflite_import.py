"""Turns a .tflite model, float or quantized, into layer-table rows.

- Values that the file holds are weights; what is computed from them and from
  shapes alone costs nothing.
- A float model is costed as the int8 design it would become: every float
  counts as 8 bits. All other tensors have the width of their own type.
- Reshapes, ReLU and its like cost nothing, nor does padding that only
  convolutions read: the extents of an input never include padding.
- A convolution between a space-to-batch and its inverse is one dilated
  convolution.
- A batch in the file counts as a taller image, so a row is one invocation; an
  open batch is one image.
- A loop that counts up to a number is its body, as often. Of two branches the
  one with more multiply-accumulates counts, unless it is known which is taken.
- Weights that several operators read are stored once, by the first.
"""

from __future__ import annotations

import pathlib
import struct
from collections.abc import Callable, Hashable, Sequence

from absl import logging

from tf_cosearch import configuration
from tf_cosearch.networks import workload
from tf_cosearch.networks.importers import (
    graph_tape,
    tflite_file,
    tflite_graph,
    tflite_kinds,
    tflite_loops,
    tflite_ops,
    tflite_recurrent,
    tflite_shapes,
)
from tf_cosearch.networks.importers.tflite_file import Graph, Model, Operator
from tf_cosearch.networks.importers.tflite_graph import Call, Frame
from tf_cosearch.networks.importers.tflite_shapes import Facts
from tf_cosearch.networks.tape import TensorShape

_MOST_OPERATORS = 30_000  # that run, in a graph and all it calls
_MOST_TRIPS = 2**31
_DEEPEST = 32  # graphs that call one another
_READING = (struct.error, UnicodeError, IndexError, KeyError, TypeError)
"""What reading the options of an operator raises if the file is damaged."""


def from_tflite(
    source: str | pathlib.Path | bytes,
    on_unknown: Callable[[str], None] | None = None,
    input_px: int | None = None,
    signature: str | None = None,
) -> list[workload.Layer]:
    """Reads the rows of a TFLite model.

    Args:
        source: Path of a .tflite file, or what it holds.
        on_unknown: Called with the name of every operation that cannot be
            costed, once a name. Logs a warning when it is not given. Such an
            operation becomes a `data_movement` row.
        input_px: Rows and columns of input images whose size the file leaves
            open: any extent that is open besides the batch.
        signature: Which signature to read, if the file has several. By
            default its first graph, which is what an interpreter runs.

    Returns:
        The rows in execution order, named like the tensors they write. A
        convolution has a bias if the file stores one, be it of zeros.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TFLite model, damaged, compiled for a certain
            chip, of unknown extents, or an operation does not fit its inputs.
    """
    if isinstance(source, bytes):
        name, content = "the model", source
    else:
        name, content = str(source), tflite_file.read_bytes(source)
    model = _read(name, content)
    index = _chosen(name, model, signature)
    graph = model.graphs[index]
    facts = _inputs(name, graph, input_px)
    walker = _Walker(model, graph_tape.GraphTape(on_unknown))
    try:
        return walker.walk(index, facts)
    except _READING as error:
        raise _damaged(name, content, error) from error
    except (ArithmeticError, ValueError) as error:
        raise ValueError(
            f"{name} must hold operations that fit their inputs. Received: "
            f"{walker.at}: {error}. Check that an interpreter runs the file, "
            "or convert it again, with a fixed input shape."
        ) from error


def signatures(source: str | pathlib.Path) -> dict[str, int]:
    """The signatures of a TFLite model.

    Args:
        source: Path of a .tflite file.

    Returns:
        The number of the graph that each runs, by its name. By default
        `from_tflite` reads graph 0.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TFLite model, or damaged.
    """
    return _read(str(source), tflite_file.read_bytes(source)).signatures


def _read(name: str, content: bytes) -> Model:
    try:
        model = tflite_file.read_model(content)
    except tflite_file.DAMAGE as error:
        raise _damaged(name, content, error) from error
    for graph in model.graphs:
        for operator in graph.operators:
            if (
                compiler := tflite_kinds.COMPILERS.get(operator.op)
            ) is not None:
                raise ValueError(
                    f"{name} must be the model that a compiler for a certain "
                    f"chip gets. Received: what {compiler} wrote "
                    f"(operation {operator.op}), which no longer says "
                    "what is computed. Give the .tflite file it was made of."
                )
    return model


def _damaged(name: str, content: bytes, error: Exception) -> ValueError:
    reason = str(error) or type(error).__name__
    return ValueError(
        f"{name} must be a whole TFLite model. Received: {len(content)} bytes "
        f"that cannot be read: {reason}. Copy it again."
    )


def _chosen(name: str, model: Model, signature: str | None) -> int:
    if signature is None:
        return 0
    if signature not in model.signatures:
        raise configuration.unknown(
            f"signature of {name}", signature, model.signatures
        )
    return model.signatures[signature]


def _inputs(name: str, graph: Graph, input_px: int | None) -> list[Facts]:
    """The shapes of the inputs, with all open extents filled in."""
    tensors = [graph.tensors[index] for index in graph.inputs]
    is_open = any(-1 in tensor.signature[1:] for tensor in tensors)
    if input_px is not None and not is_open:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise ValueError(
            f"{name} must leave its image size open for --input_px. Received: "
            f"--input_px={input_px} with inputs of the fixed shapes {shapes}. "
            "Leave it out."
        )
    facts = []
    for tensor in tensors:
        first, others = tensor.signature[:1], tensor.signature[1:]
        if -1 in others and input_px is None:
            raise ValueError(
                f"{name} must have inputs of known shape, but for the batch. "
                f"Received: input {tensor.name!r} of shape "
                f"{list(tensor.signature)}. Say how many rows and columns "
                "the image has (--input_px=224), or convert the model with a "
                "fixed input shape."
            )
        batch = (1,) if first == (-1,) else first
        sizes = tuple(input_px or 1 if n == -1 else n for n in others)
        facts.append(Facts(batch + sizes))
    return facts


class _Walker:
    """Records the operators of a graph, and of those that it calls.

    Attributes:
        tape: Where they are recorded.
        at: The operator that is read, in words.
    """

    def __init__(self, model: Model, tape: graph_tape.GraphTape) -> None:
        self.tape = tape
        self.at = "its graph"
        self._model = model
        self._stored: set[Hashable] = set()
        self._operators = 0
        self._running: list[int] = []
        self._states: set[Hashable] = set()

    def walk(self, index: int, facts: Sequence[Facts]) -> list[workload.Layer]:
        """Records a graph, given its inputs; gives all rows."""
        graph = self._model.graphs[index]
        if not graph.operators or not graph.inputs or not graph.outputs:
            raise ValueError("it has no input, operator or output")
        self._states = _states(self._model)
        rows: list[TensorShape | None] = [
            self.tape.input(item.shape, graph.tensors[tensor].bits)
            for item, tensor in zip(facts, graph.inputs, strict=True)
        ]
        frame = self._run(index, facts, rows, [None] * len(rows))
        outputs = [frame.rows[i] for i in graph.outputs if i in frame.rows]
        return self.tape.layers(outputs)

    def _run(
        self,
        index: int,
        facts: Sequence[Facts],
        rows: Sequence[TensorShape | None],
        sources: Sequence[Hashable],
    ) -> Frame:
        """Records a graph, given what is known of its inputs."""
        graph = self._called(index, len(facts))
        if index in self._running or len(self._running) >= _DEEPEST:
            raise ValueError(f"graph {graph.name!r} calls itself, or too many")
        self._running.append(index)
        frame = Frame(index, graph, self._propagate(index, facts), self._stored)
        for tensor, row, source in zip(
            graph.inputs, rows, sources, strict=True
        ):
            if row is None:
                frame.sources[tensor] = source
            else:
                frame.rows[tensor] = row
        for call in frame.calls():
            self.at = f"{call.op} {call.name!r}"
            self._check_written(call)
            self._record(call)
        self._running.pop()
        return frame

    def _called(self, index: int, inputs: int) -> Graph:
        if not 0 <= index < len(self._model.graphs):
            raise ValueError(f"it calls graph {index}, which is not there")
        graph = self._model.graphs[index]
        if len(graph.inputs) != inputs:
            raise ValueError(
                f"it gives {inputs} inputs to graph {graph.name!r}, which has "
                f"{len(graph.inputs)}"
            )
        return graph

    def _propagate(self, index: int, inputs: Sequence[Facts]) -> list[Facts]:
        """What is known of every tensor of a graph, given its inputs."""
        graph = self._model.graphs[index]
        facts = [
            Facts(tensor.shape, tensor.numbers) for tensor in graph.tensors
        ]
        for tensor, argument in zip(graph.inputs, inputs, strict=True):
            shape = tflite_shapes.merge(graph.tensors[tensor], argument.shape)
            facts[tensor] = Facts(shape, argument.numbers)
        for operator in graph.operators:
            self.at = f"{operator.op} {operator.name!r}"
            self._operators += 1
            if self._operators > _MOST_OPERATORS:
                raise ValueError(
                    f"it runs more than {_MOST_OPERATORS} operators"
                )
            operands = [facts[i] if i >= 0 else None for i in operator.inputs]
            if operator.op == "WHILE":  # what it carries keeps its shape
                results = [
                    Facts(operand.shape)
                    for operand in operands
                    if operand is not None
                ]
            elif (callees := _callees(operator)) and any(
                tflite_shapes.is_open(graph.tensors[i])
                for i in operator.outputs
            ):
                results = self._of_callee(
                    callees[0], operands[operator.op == "IF" :]
                )
            else:
                results = tflite_shapes.infer(operator, operands)
            for output, result in zip(operator.outputs, results, strict=False):
                facts[output] = result
        return facts

    def _of_callee(
        self, index: int, inputs: Sequence[Facts | None]
    ) -> list[Facts]:
        arguments = [item for item in inputs if item is not None]
        graph = self._called(index, len(arguments))
        if index in self._running or len(self._running) >= _DEEPEST:
            raise ValueError(f"graph {graph.name!r} calls itself, or too many")
        self._running.append(index)
        facts = self._propagate(index, arguments)
        self._running.pop()
        return [facts[i] for i in graph.outputs]

    def _check_written(self, call: Call) -> None:
        frame = call.frame
        for index in call.operator.inputs:
            if index < 0 or index in frame.rows or index in frame.sources:
                continue
            tensor = frame.graph.tensors[index]
            if not tensor.is_constant:
                raise ValueError(
                    f"it reads tensor {tensor.name!r}, which nothing writes "
                    "before"
                )

    def _record(self, call: Call) -> None:
        frame, outputs = call.frame, call.operator.outputs
        control = _CONTROL.get(call.op)
        if control is not None:
            control(self, call)
        elif call.op in tflite_kinds.SHAPES_ONLY or not call.reads():
            # Known before the inference, so it costs nothing then.
            sources = call.source()
            frame.sources.update(zip(outputs, sources, strict=True))
        elif outputs:
            rows = self._rows(call)
            frame.rows.update(zip(outputs, rows, strict=False))
        elif call.op not in tflite_kinds.ON_THE_HOST:
            self.tape.report(call.op)

    def _rows(self, call: Call) -> list[TensorShape]:
        self.tape.precision = {"output_bits": call.bits, "operator": call.op}
        recorder = tflite_ops.RECORDERS.get(call.op)
        rows = recorder(self.tape, call) if recorder else None
        if rows is None:
            rows = self.tape.unknown(
                call.op, call.name, call.reads(), call.layouts
            )
        rows = rows if isinstance(rows, list) else [rows]
        activation = call.operator.activation
        if activation not in tflite_kinds.CLIPS and (
            call.op not in tflite_recurrent.RECORDERS
        ):
            name = f"{call.name}/{activation}"
            self.tape.precision = {
                "output_bits": call.bits,
                "operator": activation.upper(),
            }
            rows = [
                self.tape.elementwise(name, [row], row.extents) for row in rows
            ]
        return rows

    def _read_variable(self, call: Call) -> None:
        source = call.frame.source(call.index(0))
        index = call.operator.outputs[0]
        if source in self._states:  # what an earlier inference has left
            shape = call.outputs[0].shape
            call.frame.rows[index] = self.tape.input(shape, call.bits)
        else:
            call.frame.sources[index] = source

    def _keep(self, call: Call) -> None:
        """What only keeps books."""
        outputs = call.operator.outputs
        call.frame.sources.update(dict.fromkeys(outputs))

    def _call(self, call: Call) -> None:
        [callee] = _callees(call.operator)
        self._enter(call, callee, range(len(call.operator.inputs)))

    def _branch(self, call: Call) -> None:
        branches = _callees(call.operator)
        positions = range(1, len(call.operator.inputs))
        condition = call.integers(0)
        if condition is not None:
            chosen = branches[0 if condition[0] else 1]
        else:
            work = [self._work(call, branch, positions) for branch in branches]
            chosen = branches[work.index(max(work))]
            logging.warning(
                "%s: the branch of %s multiply-accumulates counts, not the "
                "one of %s.",
                call.op,
                f"{max(work):,}",
                f"{min(work):,}",
            )
        self._enter(call, chosen, positions)

    def _work(self, call: Call, callee: int, positions: Sequence[int]) -> int:
        """Multiply-accumulates of a graph that might be called."""
        probe = _Walker(self._model, graph_tape.GraphTape(lambda _: None))
        probe._running = list(self._running)
        probe._operators = self._operators
        probe._states = self._states
        rows = [
            probe.tape.input(call.shape(i), call.tensor(i).bits)
            if call.is_activation(i)
            else None
            for i in positions
        ]
        probe._run(
            callee,
            [call.facts(i) for i in positions],
            rows,
            [call.frame.source(call.index(i)) for i in positions],
        )
        self._operators = probe._operators
        return sum(row.macs for row in probe.tape.layers([]))

    def _enter(self, call: Call, callee: int, positions: Sequence[int]) -> None:
        """Records a graph in the place of the operator that calls it."""
        frame = self._run(
            callee,
            [call.facts(i) for i in positions],
            [call.row(i) if call.is_activation(i) else None for i in positions],
            [call.frame.source(call.index(i)) for i in positions],
        )
        self._leave(call, frame)

    def _leave(self, call: Call, frame: Frame) -> None:
        """Hands the outputs of a graph to the one that called it."""
        for ours, theirs in zip(
            call.operator.outputs, frame.graph.outputs, strict=True
        ):
            if theirs in frame.rows:
                call.frame.rows[ours] = frame.rows[theirs]
            else:
                call.frame.sources[ours] = frame.source(theirs)

    def _loop(self, call: Call) -> None:
        condition, body = _callees(call.operator)
        positions = range(len(call.operator.inputs))
        graph = self._called(body, len(positions))
        if len(graph.outputs) != len(positions):
            raise ValueError(f"graph {graph.name!r} does not go round")
        starts = [call.facts(i) for i in positions]
        stays = [
            i == j for i, j in zip(graph.inputs, graph.outputs, strict=True)
        ]
        # What changes has the shape of its start, but not the numbers.
        carried = [
            start if same else Facts(start.shape)
            for start, same in zip(starts, stays, strict=True)
        ]
        counters = tflite_loops.counters(
            graph, self._of_graph(body, carried), starts
        )
        trips = tflite_loops.trips(
            self._called(condition, len(positions)),
            self._of_graph(condition, carried),
            counters,
            self._model.graphs,
        )
        if trips is None or trips > _MOST_TRIPS:
            self.tape.report(f"{call.op} of unknown length")
            trips = 1
        rows, sources = [], []
        for i, same, counter in zip(positions, stays, counters, strict=True):
            row = call.row(i) if call.is_activation(i) else None
            if row is None and not same and counter is None and trips:
                # A state starts as a constant and depends on the input later.
                row = self.tape.start(call.shape(i), call.tensor(i).bits)
            rows.append(row)
            sources.append(call.frame.source(call.index(i)))
        if not trips:
            for index, row, source in zip(
                call.operator.outputs, rows, sources, strict=True
            ):
                if row is None:
                    call.frame.sources[index] = source
                else:
                    call.frame.rows[index] = row
            return
        before = self.tape.repeats
        self.tape.repeats *= trips
        with self.tape.loop():
            frame = self._run(body, carried, rows, sources)
        self.tape.repeats = before
        self._leave(call, frame)

    def _of_graph(self, index: int, inputs: Sequence[Facts]) -> list[Facts]:
        self._called(index, len(inputs))
        return self._propagate(index, inputs)


def _callees(operator: Operator) -> list[int]:
    """The graphs that an operator runs in its place."""
    options = {
        "WHILE": ("CondSubgraphIndex", "BodySubgraphIndex"),
        "IF": ("ThenSubgraphIndex", "ElseSubgraphIndex"),
        "CALL": ("Subgraph",),
        "STABLEHLO_COMPOSITE": ("DecompositionSubgraphIndex",),
    }
    return [operator.option(name, -1) for name in options.get(operator.op, ())]


def _states(model: Model) -> set[Hashable]:
    """The variables that an inference writes."""
    initial = {
        operator.option("InitSubgraphIndex", -1)
        for graph in model.graphs
        for operator in graph.operators
        if operator.op == "CALL_ONCE"
    }
    states: set[Hashable] = set()
    for index, graph in enumerate(model.graphs):
        if index in initial:
            continue
        names = {
            operator.outputs[0]: tflite_graph.variable(operator)
            for operator in graph.operators
            if operator.op == "VAR_HANDLE" and operator.outputs
        }
        states |= {
            names[operator.inputs[0]]
            for operator in graph.operators
            if operator.op == "ASSIGN_VARIABLE"
            and operator.inputs
            and operator.inputs[0] in names
        }
    return states


_CONTROL: dict[str, Callable[[_Walker, Call], None]] = {
    "WHILE": _Walker._loop,
    "IF": _Walker._branch,
    "CALL": _Walker._call,
    "STABLEHLO_COMPOSITE": _Walker._call,
    "READ_VARIABLE": _Walker._read_variable,
    "ASSIGN_VARIABLE": _Walker._keep,
    "CALL_ONCE": _Walker._keep,
    "HASHTABLE": _Walker._keep,
    "HASHTABLE_IMPORT": _Walker._keep,
}
"""What runs other graphs, or only keeps books."""
