"""Walks the graph of a Keras model, and of the models within it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tf_cosearch.networks import workload
from tf_cosearch.networks.importers import graph_tape, keras_graph
from tf_cosearch.networks.importers.graph_tape import Extents
from tf_cosearch.networks.importers.keras_shapes import Outline, Shape, outlines
from tf_cosearch.networks.tape import TensorShape, view

Rows = list[TensorShape] | TensorShape | None
Recorder = Callable[["Walker", keras_graph.Call], Rows]


class KerasTape(graph_tape.GraphTape):
    """A tape of which a part may run several times, or with known weights.

    Attributes:
        runs: How often the rows to come run, one run after the other.
        reuses: Whether their weights are stored with earlier rows.
    """

    runs = 1
    reuses = False

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[TensorShape],
        output: Extents,
        **bounds: Any,
    ) -> TensorShape:
        """Records an operation; see `Tape.add`."""
        stores = workload.OPS[op].has_weights or bounds.get("stored_elements")
        if self.reuses and stores:
            bounds.setdefault("reuses_weights", True)
        if self.runs > 1:
            height, *rest = bounds.get("written") or output
            bounds["written"] = (height * self.runs, *rest)
            bounds["repeats"] = bounds.get("repeats", 1) * self.runs
        written = super().add(name, op, inputs, output, **bounds)
        return view(written, output) if self.runs > 1 else written


class Walker:
    """Records the calls of a graph and of the graphs within it.

    Args:
        tape: Where they are recorded.
        recorders: What records an operation, by its name in `keras_graph`.
    """

    def __init__(
        self, tape: KerasTape, recorders: Mapping[str, Recorder]
    ) -> None:
        self.tape = tape
        self.float_types: set[str] = set()
        self._recorders = recorders
        self._tensors: dict[int, TensorShape] = {}
        self._readers: dict[int, list[keras_graph.Call | None]] = {}
        self._folded: set[int] = set()
        self._unpadded: dict[int, Extents] = {}
        self._stored: set[int] = set()
        self._outlines: list[Outline] = []

    def walk(
        self,
        graph: Any,
        inputs: Sequence[TensorShape],
        shapes: Sequence[Shape],
        prefix: str,
    ) -> list[TensorShape]:
        """Records a graph.

        Args:
            graph: What holds the nodes of a model.
            inputs: Its inputs, which are on the tape.
            shapes: Their shapes, with their batch axes.
            prefix: What the names of its layers start with.

        Returns:
            Its outputs.
        """
        by_id = outlines(graph, shapes)
        self._outlines += by_id.values()  # `id` needs them alive
        ends = [
            [by_id.get(id(tensor), tensor) for tensor in tensors]
            for tensors in (graph.inputs, graph.outputs)
        ]
        for tensor, recorded in zip(ends[0], inputs, strict=True):
            self._tensors[id(tensor)] = recorded
        calls = list(keras_graph.calls(graph, prefix, self._recorders, by_id))
        readers: list[tuple[Any, keras_graph.Call | None]] = [
            (tensor, call) for call in calls for tensor in call.inputs
        ]
        readers += [(tensor, None) for tensor in ends[1]]
        self._readers |= {id(tensor): [] for tensor, _ in readers}
        for tensor, call in readers:
            self._readers[id(tensor)].append(call)
        for call in calls:
            self._record(call)
        return [self._tensors[id(tensor)] for tensor in ends[1]]

    def _record(self, call: keras_graph.Call) -> None:
        rows: Rows = None
        if (graph := keras_graph.graph_of(call.layer)) is not None:
            if len(graph.inputs) == len(call.inputs):
                inputs = [self._tensors[id(tensor)] for tensor in call.inputs]
                shapes = [tuple(tensor.shape) for tensor in call.inputs]
                rows = self.walk(graph, inputs, shapes, f"{call.name}/")
        elif call.op in self._recorders and (
            call.inputs or call.op in keras_graph.FREE
        ):
            with self.weights_of(call.layer):
                self.tape.precision = self._precision(call)
                rows = self._recorders[call.op](self, call)
        if rows is None:
            rows = self.tape.unknown(
                type(call.layer).__name__,
                call.name,
                [self.read(call, tensor) for tensor in call.inputs],
                [graph_tape.extents(t.shape) for t in call.outputs],
            )
        rows = rows if isinstance(rows, list) else [rows]
        for tensor, row in zip(call.outputs, rows, strict=True):
            self._tensors[id(tensor)] = row

    def _precision(self, call: keras_graph.Call) -> dict[str, Any]:
        """Bits that differ from 8: of weights, and where there are integers.

        Beside them the operator that an accelerator may not have.
        """
        policy = getattr(call.layer, "dtype_policy", None)
        mode = getattr(policy, "quantization_mode", None)
        if (
            policy is not None
            and mode is None
            and "float" in (kind := str(policy.compute_dtype))
        ):
            self.float_types.add(kind)
        operator = keras_graph.OPERATORS.get(call.op, "")
        precision: dict[str, Any] = {"operator": operator}
        precision |= {"weight_bits": 4} if mode == "int4" else {}
        bits = keras_graph.bits(call.outputs[0])
        # A row puts out the bits that it reads, unless told.
        is_plain = {bits, *map(keras_graph.bits, call.inputs)} == {8}
        return precision if is_plain else {**precision, "output_bits": bits}

    @contextlib.contextmanager
    def weights_of(self, layer: Any) -> Iterator[None]:
        """Within it rows are of a layer, which stores its weights once."""
        before, self.tape.reuses = self.tape.reuses, id(layer) in self._stored
        self._stored.add(id(layer))
        yield
        self.tape.reuses = before

    def call(
        self,
        layer: Any,
        name: str,
        tensor: TensorShape,
        shape: Sequence[int | None],
    ) -> list[TensorShape]:
        """Records a layer that another one calls.

        Args:
            layer: The layer.
            name: Name of its rows.
            tensor: What it reads.
            shape: The shape of that, with its batch axis.

        Returns:
            What it writes.
        """
        read = Outline(tuple(shape))
        written = [
            Outline(shape)
            for shape in _shapes(layer.compute_output_shape(read.shape))
        ]
        self._outlines += [read, *written]
        self._tensors[id(read)] = tensor
        op = keras_graph.op_of(layer, self._recorders)
        inputs: list[Any] = [read]
        self._record(
            keras_graph.Call(layer, op, name, inputs, [*written], {0: read})
        )
        return [self._tensors[id(outline)] for outline in written]

    @contextlib.contextmanager
    def running(self, times: int) -> Iterator[None]:
        """Within it all rows run several times."""
        before, self.tape.runs = self.tape.runs, self.tape.runs * times
        yield
        self.tape.runs = before

    def read(
        self, call: keras_graph.Call, tensor: Any, image: bool = False
    ) -> TensorShape:
        """A tensor that a call reads, laid out as it reads it."""
        layout = self._unpadded.get(id(tensor)) or (
            call.image(tensor) if image else graph_tape.extents(tensor.shape)
        )
        return view(self._tensors[id(tensor)], layout)

    def leave_unpadded(self, call: keras_graph.Call) -> TensorShape:
        """Leaves a padding to who reads it, which sees its input instead."""
        tensor = self.read(call, call.inputs[0], image=True)
        self._unpadded[id(call.outputs[0])] = tensor.extents
        return tensor

    def readers(self, call: keras_graph.Call) -> list[keras_graph.Call | None]:
        """The calls that read what a call writes; `None` reads an output."""
        return self._readers.get(id(call.outputs[0]), [])

    def stores_bias(self, call: keras_graph.Call) -> bool:
        """Whether a call has a bias, its own or a batch normalisation."""
        readers = [reader and reader.op for reader in self.readers(call)]
        folds = (
            readers == ["batchnormalization"]
            and keras_graph.activation(call.layer.activation) == "linear"
        )
        if folds:
            self._folded.add(id(call.outputs[0]))
        return folds or bool(call.layer.use_bias)

    def is_folded(self, call: keras_graph.Call) -> bool:
        """Whether a batch normalisation is the bias of what it reads."""
        return id(call.inputs[0]) in self._folded

    def activate(
        self, call: keras_graph.Call, tensor: TensorShape
    ) -> TensorShape:
        """Records the activation that a layer brings along, if it costs."""
        function = call.layer.activation
        name = keras_graph.activation(function)
        if name in keras_graph.FREE:
            return tensor
        return self.tape.add(
            f"{call.name}/{name}",
            "elementwise",
            [tensor],
            tensor.extents,
            stored_elements=stored_elements(function),
            operator=keras_graph.OPERATORS.get(name.replace("_", ""), ""),
        )


def stored_elements(layer: Any) -> int:
    """Parameters that an element-wise operation works with."""
    return sum(math.prod(w.shape) for w in getattr(layer, "weights", ()))


def _shapes(shape: Any) -> list[tuple[int | None, ...]]:
    """One or several shapes, as tuples."""
    if hasattr(shape, "as_list"):
        shape = shape.as_list()
    if all(extent is None or isinstance(extent, int) for extent in shape):
        return [tuple(shape)]
    return [inner for part in shape for inner in _shapes(part)]
