"""Other bits for layers of an int8 TFLite file: int4 weights, int16 tensors."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tf_cosearch.training import evaluate

WEIGHT_BITS = (4, 8)
ACTIVATION_BITS = (8, 16)

_TYPE = schema.TensorType
_NUMBERS: dict[int, Any] = {
    _TYPE.INT8: np.int8,
    _TYPE.INT16: np.int16,
    _TYPE.INT32: np.int32,
    _TYPE.INT64: np.int64,
}
_BITS = {
    _TYPE.INT4: 4,
    **{kind: np.iinfo(each).bits for kind, each in _NUMBERS.items()},
}
_KINDS = {
    code: kind
    for kind, code in vars(schema.BuiltinOperator).items()
    if isinstance(code, int)
}
_OPERANDS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Where operators have what they read, weights and bias."""

_PATH = r"(Conv2D|convolution|depthwise|MatMul)\d*"
"""What Keras calls these operators in the path of a layer."""

_TAKE_INT4 = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_MOST_INT4, _MOST_INT16 = 7, 32767  # there are as many steps below 0
_MOST_DEPRECATED = 127  # a byte
_FIXED_SCALES = dict.fromkeys(("LOGISTIC", "TANH", "SOFTMAX"), 2.0**-15)
"""What kernels of int16 put out, whatever the range."""


def requantize(
    tflite: bytes,
    weight_bits: Mapping[str, int] | None = None,
    activation_bits: Mapping[str, int] | None = None,
    is_symmetric: bool = False,
) -> bytes:
    """Gives layers of an int8 file other bits.

    Weights of 4 bits are rounded from those of 8: steps of a channel whose
    largest integer is `m` become `m / 7` times as wide. Weights that have 4
    bits already stay as they are. A layer of 16-bit activations reads and puts
    out the ranges it did, with 0 in the middle and in 65,535 steps instead of
    256. Where it meets a layer of 8 bits, a `QUANTIZE` stands between them.

    Args:
        tflite: The file, of `qat.to_tflite` or of TensorFlow's converter.
        weight_bits: 4 or 8 by name of a Keras layer, or by one of
            `layer_bits`. Layers that are left out stay as they are.
        activation_bits: 8 or 16 likewise.
        is_symmetric: Whether ranges with 0 in the middle have 127 steps on
            either side, as those that were trained for 16 bits, and leave
            out the lowest of int8.

    Returns:
        The file, which `ai-edge-litert` runs.

    Raises:
        ValueError: If bits are no format of the file, a layer is not in it or
            has no weights, or there is no kernel for what is asked.
    """
    narrow = _asked("weight_bits", weight_bits, WEIGHT_BITS, 4)
    wide = _asked("activation_bits", activation_bits, ACTIVATION_BITS, 16)
    if not narrow and not wide:
        return tflite
    file = File(tflite, {*(weight_bits or ()), *(activation_bits or ())})
    lowest = 127 if is_symmetric else 128
    for layer in narrow:
        file.narrow(layer)
    file.widen(wide, lowest)
    content = file.content()
    try:
        evaluate.open_interpreter(content).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            "There must be kernels for the bits of every layer. Received: "
            f"4-bit weights of {narrow} and 16-bit activations of {wide}, of "
            f"which the interpreter says: {error}."
        ) from None
    return content


def names(tflite: bytes) -> set[str]:
    """Layers that a file tells by name, whether or not they have weights."""
    return set(File(tflite).layers)


def layer_bits(tflite: bytes) -> dict[str, tuple[int, int]]:
    """Bits of the weights, and of what is read, of layers that have weights.

    Args:
        tflite: A .tflite file.

    Returns:
        Both, by names that tell layers of the file apart: those of Keras
        layers, as far as the converter keeps them.
    """
    file, found = File(tflite), {}
    for graph, operator in file.operators():
        kind = file.kind(operator)
        if kind in _OPERANDS:
            read, weights = (
                graph.tensors[operator.inputs[at]] for at in _OPERANDS[kind][:2]
            )
            name = _owner(weights.name.decode())
            found[name] = _BITS.get(weights.type, 32), _BITS.get(read.type, 32)
    return found


def operator_layers(tflite: bytes) -> list[str]:
    """The layer of each operator of a file, as `requantize` takes it.

    Args:
        tflite: A .tflite file.

    Returns:
        A name for each operator of the first graph: of what it is made of,
        the one that the fewest other operators have, too.
    """
    file = File(tflite)
    return [file.layer_of(operator) for operator in file.graph.operators]


def _asked(
    name: str, asked: Mapping[str, int] | None, formats: Any, other: int
) -> list[str]:
    """Layers that are to have bits which no int8 file has."""
    for layer, bits in (asked or {}).items():
        if isinstance(bits, bool) or bits not in formats:
            raise ValueError(
                f"{name} must be {formats[0]} or {formats[1]}, for which there "
                f"are formats. Received: {bits!r} for {layer!r}."
            )
    return [layer for layer, bits in (asked or {}).items() if bits == other]


def _parts(name: str) -> list[str]:
    """Layers that a tensor is of: the last one, and what is fused into it.

    Example:
    >>> _parts("model/quant_a_relu/Relu;model/quant_a/Conv2D")
    ['a_relu', 'a']
    >>> _parts("convolution1")
    ['convolution1']
    """
    paths = [path.split("/") for path in name.split(";")]
    parts = [path[1] if len(path) > 1 else path[0] for path in paths]
    return [re.sub("^quant_", "", part) for part in parts]


def _owner(name: str) -> str:
    """The layer whose weights a tensor has.

    Example:
    >>> _owner("model/a_bn/mul;model/a/depthwise;model/a_bn/Rsqrt")
    'a'
    """
    paths = [path.split("/") for path in name.split(";")]
    own = [p for p in paths if len(p) > 2 and re.fullmatch(_PATH, p[2])]
    return _parts("/".join((own or paths)[0]))[0]


def packed(integers: np.ndarray) -> np.ndarray:
    """Integers of 4 bits, two a byte, as TFLite stores them.

    Example:
    >>> packed(np.asarray([1, -1, 7]))
    array([241,   7], dtype=uint8)
    """
    nibbles = np.append(integers.ravel(), np.zeros(integers.size % 2)) % 16
    low, high = nibbles.astype(np.uint8).reshape(-1, 2).T
    return low | high << 4


class File:
    """A file whose tensors change.

    Args:
        tflite: What it was.
        asked: Layers that are asked for by these names.

    Attributes:
        layers: Operators by layer, each after its graph.
    """

    def __init__(self, tflite: bytes, asked: Collection[str] = ()) -> None:
        self._asked = asked
        self._narrowed: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
        self._model = flatbuffer_utils.convert_bytearray_to_object(
            bytearray(tflite)
        )
        self.layers: dict[str, list[tuple[Any, Any]]] = {}
        for graph, operator in self.operators():
            weights = _OPERANDS.get(self.kind(operator), ())[1:2]
            numbers = [
                *operator.outputs,
                *(operator.inputs[at] for at in weights),
            ]
            names = ";".join(graph.tensors[i].name.decode() for i in numbers)
            for part in dict.fromkeys(_parts(names)):
                self.layers.setdefault(part, []).append((graph, operator))

    def content(self) -> bytes:
        """The file as it is now, without what nobody uses any more."""
        for number, graph in enumerate(self._model.subgraphs):
            signatures = [
                tensor
                for signature in self._model.signatureDefs or ()
                if signature.subgraphIndex == number
                for tensor in (*signature.inputs, *signature.outputs)
            ]
            lists = [
                (owner, name)
                for owner in (graph, *graph.operators)
                for name in ("inputs", "outputs")
            ]
            used = {i for owner, name in lists for i in getattr(owner, name)}
            used.update(tensor.tensorIndex for tensor in signatures)
            kept = sorted(used - {-1})
            now = {-1: -1, **{old: new for new, old in enumerate(kept)}}
            graph.tensors = [graph.tensors[old] for old in kept]
            for owner, name in lists:
                numbers = [now[old] for old in getattr(owner, name)]
                setattr(owner, name, np.asarray(numbers, np.int32))
            for tensor in signatures:
                tensor.tensorIndex = now[tensor.tensorIndex]
        tensors = [t for graph in self._model.subgraphs for t in graph.tensors]
        owners = [*tensors, *(self._model.metadata or ())]
        used = {0, *(owner.buffer for owner in owners)}  # 0 is always empty
        now = {old: new for new, old in enumerate(sorted(used))}
        self._model.buffers = [self._model.buffers[old] for old in sorted(used)]
        for owner in owners:
            owner.buffer = now[owner.buffer]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self._model))

    @property
    def graph(self) -> Any:
        """The one that an inference runs."""
        return self._model.subgraphs[0]

    def layer_of(self, operator: Any) -> str:
        """The layer that an operator is of, and as few others as possible."""
        found = [
            (len(operators), -place, part)
            for place, (part, operators) in enumerate(self.layers.items())
            if any(each is operator for _, each in operators)
        ]
        return min(found)[2]

    def operators(self) -> Iterator[tuple[Any, Any]]:
        """All operators, each after its graph."""
        for graph in self._model.subgraphs:
            for operator in graph.operators:
                yield graph, operator

    def kind(self, operator: Any) -> str:
        """What an operator is called in the schema."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return _KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def of_layer(self, layer: str) -> list[tuple[Any, Any]]:
        """Operators of a layer, each after its graph.

        Raises:
            ValueError: If there are none.
        """
        found = self.layers.get(layer)
        if found is None:
            # Keras 3 numbers what TensorFlow has traced before; but layers
            # without a name of their own are numbered, too.
            numbered = re.compile(re.escape(layer) + r"_\d+")
            again = [*filter(numbered.fullmatch, self.layers)]
            if again == [f"{layer}_1"] and again[0] not in self._asked:
                found = self.layers[again[0]]
        if found is None:
            raise ValueError(
                "Bits must be of layers in the file. Received: "
                f"{layer!r}. There are {', '.join(self.layers)}."
            )
        return found

    def narrow(self, layer: str) -> None:
        """Rounds the weights of a layer to 4 bits, for this layer alone."""
        operators = self.of_layer(layer)
        kinds = [self.kind(operator) for _, operator in operators]
        if not set(kinds) & {*_TAKE_INT4}:
            raise ValueError(
                "Weights of 4 bits must be of a convolution or a dense layer. "
                f"Received: {layer!r}, which is {', '.join(kinds)} in the file."
            )
        for (graph, operator), kind in zip(operators, kinds, strict=True):
            if kind in _TAKE_INT4:
                _, at, bias_at = _OPERANDS[kind]
                number = operator.inputs[at]
                if graph.tensors[number].type == _TYPE.INT8:
                    # Operators that share weights share the narrow ones.
                    key = id(graph), number
                    if key not in self._narrowed:
                        self._narrowed[key] = self._narrow(graph, number)
                    operator.inputs[at], wider = self._narrowed[key]
                    self._scale_bias(graph, operator, bias_at, 1 / wider)

    def _narrow(self, graph: Any, number: int) -> tuple[int, np.ndarray]:
        """Adds rounded weights; with how much wider steps of channels are."""
        weights = copy.deepcopy(graph.tensors[number])
        how = weights.quantization
        integers = self._numbers(weights).reshape(weights.shape)
        others = tuple(
            axis
            for axis in range(integers.ndim)
            if len(how.scale) == 1 or axis != how.quantizedDimension
        )
        most = np.abs(integers).max(others, keepdims=True).clip(1)
        rounded = np.round(integers * (_MOST_INT4 / most)).astype(np.int8)
        self.store(weights, packed(rounded))
        weights.type = _TYPE.INT4
        wider = most.ravel() / _MOST_INT4
        how.scale = np.float32(how.scale * wider)
        graph.tensors.append(weights)
        return len(graph.tensors) - 1, np.asarray(wider)

    def widen(self, layers: list[str], lowest: int) -> None:
        """Gives what layers read and put out 16 bits; `lowest` is below 0."""
        wide = {id(op) for layer in layers for _, op in self.of_layer(layer)}
        for graph in self._model.subgraphs:
            twins: dict[int, int] = {}  # of 16 bits, by number of that of 8
            behind: set[int] = set()  # those of 8 bits that nobody has written
            operators = []
            for operator in graph.operators:
                is_wide = id(operator) in wide
                for number in dict.fromkeys(self._read(graph, operator)):
                    if is_wide and number not in twins:
                        twins[number] = self._widened(graph, number, lowest)
                        if not self._is_constant(graph.tensors[number]):
                            pair = number, twins[number]
                            operators.append(self._conversion(*pair))
                    elif not is_wide and number in behind:
                        behind.remove(number)
                        pair = twins[number], number
                        operators.append(self._conversion(*pair))
                if is_wide:
                    written = [
                        number
                        for number in operator.outputs
                        if graph.tensors[number].type == _TYPE.INT8
                    ]
                    for number in written:
                        twins[number] = self._widened(
                            graph,
                            number,
                            lowest,
                            _FIXED_SCALES.get(self.kind(operator)),
                        )
                    behind.update(written)
                    self._exchange(graph, operator, twins)
                operators.append(operator)
            operators += [
                self._conversion(twins[number], number)
                for number in behind.intersection(graph.outputs)
            ]
            graph.operators = operators

    def _read(self, graph: Any, operator: Any) -> list[int]:
        """Numbers of the int8 tensors that an operator reads, no weights."""
        own = _OPERANDS.get(self.kind(operator), ())[1:]
        return [
            number
            for at, number in enumerate(operator.inputs)
            if number >= 0
            and at not in own
            and graph.tensors[number].type == _TYPE.INT8
        ]

    def _widened(
        self, graph: Any, number: int, lowest: int, scale: float | None = None
    ) -> int:
        """Adds a tensor of the same range in 16 bits."""
        old = graph.tensors[number]
        new = copy.deepcopy(old)
        [step], [zero] = old.quantization.scale, old.quantization.zeroPoint
        if scale is None:
            scale = step * max(127 - zero, lowest + zero) / _MOST_INT16
        new.name = old.name + b"_int16"
        new.type = _TYPE.INT16
        new.quantization.scale = np.asarray([scale], np.float32)
        new.quantization.zeroPoint = np.asarray([0])
        if self._is_constant(old):
            values = (self._numbers(old) - zero) * (step / scale)
            self.store(new, np.round(values).astype(np.int16))
        graph.tensors.append(new)
        return len(graph.tensors) - 1

    def _exchange(
        self, graph: Any, operator: Any, twins: Mapping[int, int]
    ) -> None:
        """Lets an operator read and write tensors of 16 bits."""
        read = set(self._read(graph, operator))
        kind = self.kind(operator)
        if kind in _OPERANDS:
            at, weights_at, bias_at = _OPERANDS[kind]
            weights = graph.tensors[operator.inputs[weights_at]]
            if kind == "DEPTHWISE_CONV_2D" and weights.type == _TYPE.INT4:
                raise ValueError(  # its kernel takes them for int8
                    "A depthwise layer of 4-bit weights must have 8-bit "
                    "activations, as TFLite has no kernel for 16. Received: "
                    f"{_owner(weights.name.decode())!r}."
                )
            number = operator.inputs[at]
            steps = [
                graph.tensors[each].quantization.scale[0]
                for each in (number, twins[number])
            ]
            finer = steps[0] / steps[1]
            self._scale_bias(graph, operator, bias_at, finer, _TYPE.INT64)
        operator.inputs = np.asarray(
            [twins[each] if each in read else each for each in operator.inputs],
            np.int32,
        )
        operator.outputs = np.asarray(
            [twins.get(each, each) for each in operator.outputs], np.int32
        )
        if hasattr(operator.builtinOptions, "potScaleInt16"):
            operator.builtinOptions.potScaleInt16 = False

    def _scale_bias(
        self, graph: Any, operator: Any, at: int, by: Any, kind: Any = None
    ) -> None:
        """Gives an operator a bias in so much finer steps."""
        if at >= len(operator.inputs) or operator.inputs[at] < 0:
            return
        bias = copy.deepcopy(graph.tensors[operator.inputs[at]])
        bias.type = bias.type if kind is None else kind
        values = np.round(
            self._numbers(graph.tensors[operator.inputs[at]]) * by
        )
        self.store(bias, values.astype(_NUMBERS[bias.type]))
        bias.quantization.scale = np.float32(bias.quantization.scale / by)
        graph.tensors.append(bias)
        operator.inputs[at] = len(graph.tensors) - 1

    def _conversion(self, start: int, end: int) -> Any:
        """A QUANTIZE from one tensor to another."""
        return self.operator("QUANTIZE", [start], [end])

    def operator(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int]
    ) -> Any:
        """A new operator, which has no place in the graph yet."""
        kinds = [
            max(code.builtinCode, code.deprecatedBuiltinCode)
            for code in self._model.operatorCodes
        ]
        number = getattr(schema.BuiltinOperator, kind)
        if number not in kinds:
            code = schema.OperatorCodeT()
            code.builtinCode = number
            code.deprecatedBuiltinCode = min(number, _MOST_DEPRECATED)
            code.version = 1
            self._model.operatorCodes.append(code)
            kinds.append(number)
        operator = schema.OperatorT()
        operator.opcodeIndex = kinds.index(number)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        return operator

    def _is_constant(self, tensor: Any) -> bool:
        return self._model.buffers[tensor.buffer].data is not None

    def _numbers(self, tensor: Any) -> np.ndarray:
        data = np.asarray(self._model.buffers[tensor.buffer].data, np.uint8)
        return data.view(_NUMBERS[tensor.type]).astype(np.float64)

    def store(self, tensor: Any, numbers: np.ndarray) -> None:
        """In a buffer of its own: equal tensors share theirs."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(numbers.tobytes(), np.uint8)
        tensor.buffer = len(self._model.buffers)
        self._model.buffers.append(buffer)
