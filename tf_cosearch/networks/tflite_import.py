"""Turns a .tflite model, float or quantized, into layer-table rows.

- Values that the file holds are weights; what is computed from them and from
  shapes alone costs nothing.
- A float model is costed as the int8 design it would become.
- Reshapes, ReLU and its like cost nothing, nor does padding that only
  convolutions read: the extents of an input never include padding.
- A convolution between a space-to-batch and its inverse is one dilated
  convolution.
- A batch in the file counts as a taller image, so a row is one invocation.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable

from tf_cosearch.networks import graph_tape, tflite_file, workload
from tf_cosearch.networks.tape import TensorShape
from tf_cosearch.networks.tflite_file import Operator

_LARGEST_KERNEL = 4096  # a bit flip may state any extent

Reads = list[TensorShape]
Rows = list[TensorShape] | TensorShape | None


def from_tflite(
    source: str | pathlib.Path | bytes,
    on_unknown: Callable[[str], None] | None = None,
) -> list[workload.Layer]:
    """Reads the rows of a TFLite model.

    Args:
        source: Path of a .tflite file, or what it holds.
        on_unknown: Called with the name of every operation that cannot be
            costed, once a name. Logs a warning when it is not given. Such an
            operation becomes a `data_movement` row.

    Returns:
        The rows in execution order, named like the tensors they write. A
        convolution has a bias if the file stores one, be it of zeros.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no TFLite model, damaged, or of unknown extents.
    """
    if isinstance(source, bytes):
        name, content = "the model", source
    else:
        name, content = str(source), tflite_file.read_bytes(source)
    try:
        graph = tflite_file.read_graph(content)
        _check_inputs(graph)
        return _Walker(graph, graph_tape.GraphTape(on_unknown)).walk()
    except tflite_file.DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{name} must be a whole TFLite model. Received: {len(content)} "
            f"bytes that cannot be read: {reason}. Copy it again, or convert "
            "it with a fixed input shape."
        ) from error


def _check_inputs(graph: tflite_file.Graph) -> None:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if not tensor.is_fixed:
            raise ValueError(
                f"input {tensor.name!r} of shape {tensor.shape} leaves more "
                "than the batch open"
            )


class _Walker:
    """Records the operators of a graph, which stand in execution order."""

    def __init__(
        self, graph: tflite_file.Graph, tape: graph_tape.GraphTape
    ) -> None:
        self.tape = tape
        self._graph = graph
        self._static: set[int] = set()
        self._dilated: set[int] = set()
        self._biases: set[int] = set()
        self._tensors = {
            index: tape.input(
                graph.tensors[index].shape, graph.tensors[index].bits
            )
            for index in graph.inputs
        }
        self._readers: dict[int, list[Operator | None]] = {
            index: [None] for index in graph.outputs
        }
        for operator in graph.operators:
            for index in operator.inputs:
                self._readers.setdefault(index, []).append(operator)

    def walk(self) -> list[workload.Layer]:
        """Records all operators."""
        for call in self._graph.operators:
            self._check_written(call)
            if call.op == "SHAPE" or not self._reads(call):
                # Known before the inference, so it costs nothing then.
                self._static.update(call.outputs)
                if call.op not in _RECORDERS and call.op != "SHAPE":
                    self.tape.report(call.op)
            else:
                self._record(call)
        outputs = [
            self._tensors[index]
            for index in self._graph.outputs
            if index in self._tensors
        ]
        return self.tape.layers(outputs)

    def _check_written(self, call: Operator) -> None:
        for index in call.inputs:
            tensor = self._graph.tensors[index]
            if index >= 0 and not (
                index in self._tensors
                or index in self._static
                or tensor.is_constant
            ):
                raise ValueError(
                    f"{call.op} reads tensor {tensor.name!r}, which nothing "
                    "writes before"
                )

    def _reads(self, call: Operator) -> list[TensorShape]:
        """The activations that an operator reads."""
        return [
            self._tensors[index]
            for index in call.inputs
            if index in self._tensors
        ]

    def _record(self, call: Operator) -> None:
        bits = [self._graph.tensors[index].bits for index in call.outputs]
        self.tape.precision = {"activation_bits": bits[0]} if bits else {}
        recorder = _RECORDERS.get(call.op)
        reads = self._reads(call)
        rows = recorder(self, call, reads) if recorder and bits else None
        if rows is None:
            layouts = call.layouts or [reads[0].extents]
            rows = self.tape.unknown(call.op, call.name, reads, layouts)
        rows = rows if isinstance(rows, list) else [rows]
        if call.activation not in tflite_file.CLIPS:
            rows = [self._activate(call, row) for row in rows]
        self._tensors.update(zip(call.outputs, rows, strict=False))

    def _activate(self, call: Operator, row: TensorShape) -> TensorShape:
        name = f"{call.name}/{call.activation}"
        return self.tape.elementwise(name, [row], row.extents)

    def is_read_by_convolutions(self, call: Operator) -> bool:
        """Whether only convolutions read what an operator writes."""
        return all(
            reader is not None and reader.op in tflite_file.CONVOLUTIONS
            for reader in self._readers.get(call.outputs[0], ())
        )

    def _only_reader(self, call: Operator, op: str) -> Operator | None:
        """The operator of a kind that alone reads what another writes."""
        match self._readers.get(call.outputs[0]):
            case [Operator() as reader] if reader.op == op:
                return reader
        return None

    def undilated(self, call: Operator) -> Operator | None:
        """The batch-to-space that alone reads what an operator writes."""
        return self._only_reader(call, "BATCH_TO_SPACE_ND")

    def stores_bias(self, call: Operator, position: int, channels: int) -> bool:
        """Whether there is a bias at a position, or one is added later."""
        if call.has(position):
            return True
        last = self._only_reader(call, "RESHAPE") or call
        if (reader := self._only_reader(last, "ADD")) is None:
            return False
        constants = [
            tensor.shape
            for tensor in map(reader.tensor, range(len(reader.inputs)))
            if tensor.is_constant
        ]
        if [math.prod(shape) for shape in constants] != [channels]:
            return False
        self._biases.add(reader.outputs[0])
        return True

    def is_bias(self, call: Operator) -> bool:
        """Whether an addition is the bias of what it reads."""
        return call.outputs[0] in self._biases

    def convolved(self, call: Operator) -> graph_tape.Extents:
        """The extents that a convolution writes, dilated or not."""
        if (inverse := self.undilated(call)) is not None:
            self._dilated.add(call.outputs[0])
            return inverse.layouts[0]
        return call.layouts[0]

    def is_dilation(self, call: Operator) -> bool:
        """Whether an operator does half of what a dilated kernel does."""
        if call.op == "BATCH_TO_SPACE_ND":
            return call.inputs[0] in self._dilated
        return self.is_read_by_convolutions(call) and all(
            reader and self.undilated(reader)
            for reader in self._readers[call.outputs[0]]
        )

    def is_activation(self, call: Operator, position: int) -> bool:
        """Whether the input at a position is computed from the image."""
        return call.inputs[position] in self._tensors

    def activation(self, call: Operator, position: int) -> TensorShape:
        """The input at a position, which must not be known before."""
        if not self.is_activation(call, position):
            raise ValueError(f"{call.op} {call.name!r} has a constant input")
        return self._tensors[call.inputs[position]]

    def weights(self, call: Operator, position: int) -> tuple[int, ...]:
        """The shape of the weights at a position; they set the precision."""
        tensor = call.tensor(position)
        if min(tensor.shape, default=0) < 1:
            raise ValueError(
                f"{call.op} {call.name!r} has weights of shape {tensor.shape}"
            )
        self.tape.precision["weight_bits"] = tensor.bits
        return tensor.shape


def _fit(layout: graph_tape.Extents, elements: int) -> graph_tape.Extents:
    """Extents of a tensor whose elements are known, but maybe not its shape.

    A file that leaves the batch open states 1 for every extent that depends
    on it, also where a reshape has merged the batch with others.
    """
    channels = layout[2]
    if math.prod(layout) == elements:
        return layout
    if elements % channels:
        return 1, 1, elements
    return elements // channels, 1, channels


def _convolution(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    del reads
    tensor = walker.activation(call, 0)
    filters, k_h, k_w, depth = walker.weights(call, 1)
    output = walker.convolved(call)
    op, groups = "conv2d", tensor.channels // depth
    if call.op == "DEPTHWISE_CONV_2D":
        op, groups, filters = "depthwise_conv2d", tensor.channels, depth
    if output[2] != filters or not groups or tensor.channels % groups:
        raise ValueError(
            f"{call.op} {call.name!r} makes {output[2]} channels of "
            f"{tensor.channels} by weights of shape {call.tensor(1).shape}"
        )
    return walker.tape.add(
        call.name,
        op,
        [tensor],
        output,
        k_h=k_h,
        k_w=k_w,
        **_strides(call),
        groups=groups,
        use_bias=walker.stores_bias(call, 2, output[2]),
    )


def _strides(call: Operator) -> dict[str, int]:
    strides = {
        "stride_h": call.options.StrideH(),
        "stride_w": call.options.StrideW(),
    }
    if min(strides.values()) < 1:
        raise ValueError(f"{call.op} {call.name!r} has the strides {strides}")
    return strides


def _transposed(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    del reads
    filters, k_h, k_w, depth = walker.weights(call, 1)
    tensor, output = walker.activation(call, 2), call.layouts[0]
    if (filters, depth) != (output[2], tensor.channels):
        raise ValueError(
            f"{call.op} {call.name!r} makes {output[2]} channels of "
            f"{tensor.channels} by weights of shape {call.tensor(1).shape}"
        )
    if max(k_h, k_w) > _LARGEST_KERNEL:
        raise ValueError(f"{call.op} {call.name!r} has a kernel of {k_h}x{k_w}")
    strides = _strides(call)
    return walker.tape.transposed_convolution(
        call.name,
        tensor,
        output,
        (k_h, k_w),
        (strides["stride_h"], strides["stride_w"]),
        use_bias=walker.stores_bias(call, 3, output[2]),
    )


def _fully_connected(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    tensor = walker.activation(call, 0)
    n, k = walker.weights(call, 1)
    rows, rest = divmod(tensor.elements, k)
    output = _fit(call.layouts[0], rows * n)
    if rest or output[2] != n:
        raise ValueError(
            f"{call.op} {call.name!r} makes {output[2]} channels of "
            f"{tensor.elements} elements by weights of shape {(n, k)}"
        )
    if walker.is_activation(call, 1):
        return walker.tape.product(call.name, tensor, reads[1], (1, rows, n, k))
    if tensor.channels != k or tensor[1:3] != output[:2]:
        tensor = graph_tape.view(tensor, (*output[:2], k))
    return walker.tape.add(
        call.name,
        "dense",
        [tensor],
        output,
        use_bias=walker.stores_bias(call, 2, output[2]),
    )


def _matmul(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    left = walker.activation(call, 0)
    if left.elements != math.prod(call.tensor(0).shape):
        raise ValueError(f"{call.op} {call.name!r} has an open shape")
    sizes = graph_tape.matmul_sizes(
        call.tensor(0).shape, walker.weights(call, 1), call.shape
    )
    if sizes is None:
        return None
    right = reads[1] if walker.is_activation(call, 1) else None
    return walker.tape.product(call.name, left, right, sizes)


def _pool(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    options = call.options
    return walker.tape.add(
        call.name,
        "pool",
        reads[:1],
        call.layouts[0],
        k_h=max(1, options.FilterHeight()),
        k_w=max(1, options.FilterWidth()),
        **_strides(call),
        groups=reads[0].channels,
    )


def _reduce(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    return walker.tape.reduce(call.name, reads[0], call.layouts[0])


def _free(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    output = _fit(call.layouts[0], reads[0].elements)
    return graph_tape.view(reads[0], output)


def _elementwise(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    output = call.layouts[0]
    most = max(read.elements for read in reads)
    if math.prod(output) < most:
        output = _fit(output, most)
    if walker.is_bias(call):
        return graph_tape.view(reads[0], output)
    return walker.tape.elementwise(call.name, reads, output)


def _move(walker: _Walker, call: Operator, reads: Reads) -> Rows:
    outputs = call.layouts
    if call.op == "PAD" and walker.is_read_by_convolutions(call):
        return reads[0]
    if call.op in tflite_file.DILATIONS:
        return reads[0] if walker.is_dilation(call) else None
    if call.op == "TRANSPOSE":
        outputs = [_fit(outputs[0], reads[0].elements)]
    return walker.tape.move(call.name, reads, outputs)


_RECORDERS: dict[str, Callable[[_Walker, Operator, Reads], Rows]] = {
    **dict.fromkeys(tflite_file.CONVOLUTIONS, _convolution),
    **dict.fromkeys(tflite_file.POOLS, _pool),
    **dict.fromkeys(tflite_file.REDUCTIONS, _reduce),
    **dict.fromkeys(tflite_file.FREE, _free),
    **dict.fromkeys(tflite_file.ELEMENTWISE, _elementwise),
    **dict.fromkeys(tflite_file.MOVES | tflite_file.DILATIONS, _move),
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matmul,
    **dict.fromkeys(tflite_file.VARIABLES, _move),
}
