"""Other bits for tables of embeddings in an int8 TFLite file.

TensorFlow's converter gives a table 8 bits and one scale, as what is looked up
has one scale, too. What the kernels of TFLite have beside that:

- 4 bits with a scale for each row: `EMBEDDING_LOOKUP` makes floats of them, of
  which a `QUANTIZE` makes int8;
- 16 bits with one scale: `GATHER` puts out int16, of which a `QUANTIZE` makes
  int8. There is no kernel for scales of rows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from tf_cosearch.training import evaluate, mixed_precision
from tf_cosearch.training.mixed_precision import File

_TYPE = schema.TensorType
_MOST = {4: 7, 16: 32767}


class Table(NamedTuple):
    """A table as it was trained.

    Attributes:
        values: float32 `[rows, dimension]`.
        bits: Those it is to have: 4, 8 or 16.
    """

    values: np.ndarray
    bits: int


def with_tables(tflite: bytes, tables: Mapping[str, Table]) -> bytes:
    """Gives tables their bits, rounded from what was trained.

    Args:
        tflite: The file, of `qat.to_tflite`, whose tables have 8 bits.
        tables: By name of the Keras layer.

    Returns:
        The file, which `ai-edge-litert` runs.

    Raises:
        ValueError: If the file has no such table, or one of another shape.
    """
    others = {name: table for name, table in tables.items() if table.bits != 8}
    if not others:
        return tflite
    file = File(tflite)
    for name, table in others.items():
        found = [
            (graph, operator)
            for graph, operator in file.of_layer(name)
            if file.kind(operator) == "GATHER"
        ]
        if not found:
            raise ValueError(
                "Bits of a table must be of a layer that looks rows up. "
                f"Received: {name!r}."
            )
        for graph, operator in found:
            _replace(file, graph, operator, table)
    content = file.content()
    evaluate.open_interpreter(content).allocate_tensors()
    return content


def rounded(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The integers of a table of 4 or 16 bits, and their scales.

    Args:
        table: The table.

    Returns:
        Integers, and a scale for each row, or one of 16 bits.

    Example:
    >>> integers, scales = rounded(
    ...     Table(np.asarray([[0.7, -0.31], [14.0, 2.9]]), 4))
    >>> integers.tolist(), scales.round(2).tolist()
    ([[7, -3], [7, 1]], [0.1, 2.0])
    """
    most = np.abs(table.values)
    most = most.max(-1) if table.bits == 4 else most.max(keepdims=True)[0]
    scales = np.where(most > 0, most, 1.0) / _MOST[table.bits]
    return np.round(table.values / scales[:, None]).astype(np.int32), scales


def _replace(file: File, graph: Any, operator: Any, table: Table) -> None:
    """Puts operators that look up other integers in the place of one."""
    number, places = operator.inputs[:2]
    [written] = operator.outputs
    shape = [*map(int, graph.tensors[number].shape)]
    if shape != [*table.values.shape]:
        raise ValueError(
            f"A table must have the shape of that of the file, {shape}. "
            f"Received: {table.values.shape}."
        )
    integers, scales = rounded(table)

    def add(like: int, name: bytes, kind: int, **fields: Any) -> int:
        tensor = copy.deepcopy(graph.tensors[like])
        tensor.name, tensor.type = tensor.name + name, kind
        for field, value in fields.items():
            setattr(tensor, field, value)
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def quantization(scales: np.ndarray) -> Any:
        how = schema.QuantizationParametersT()
        how.scale = scales.astype(np.float32)
        how.zeroPoint = np.zeros(len(scales), np.int64)
        how.quantizedDimension = 0
        return how

    if table.bits == 16:
        of_table = quantization(scales)
        wide = add(number, b"_int16", _TYPE.INT16, quantization=of_table)
        file.store(graph.tensors[wide], integers.astype(np.int16))
        found = add(written, b"_int16", _TYPE.INT16, quantization=of_table)
        operator.inputs[0], operator.outputs[0] = wide, found
        after = [file.operator("QUANTIZE", [found], [written])]
        before = []
    else:
        narrow = add(
            number, b"_int4", _TYPE.INT4, quantization=quantization(scales)
        )
        file.store(graph.tensors[narrow], mixed_precision.packed(integers))
        count = int(np.prod(graph.tensors[places].shape))
        flat, rows = [count], [count, shape[1]]
        list_of = add(places, b"_list", _TYPE.INT32, shape=flat)
        floats = add(
            written, b"_float", _TYPE.FLOAT32, shape=rows, quantization=None
        )
        found = add(written, b"_rows", graph.tensors[written].type, shape=rows)
        before = [_reshape(file, places, list_of, flat)]
        look_up = file.operator("EMBEDDING_LOOKUP", [list_of, narrow], [floats])
        after = [
            file.operator("QUANTIZE", [floats], [found]),
            _reshape(file, found, written, graph.tensors[written].shape),
        ]
    at = [each is operator for each in graph.operators].index(True)
    middle = [operator] if table.bits == 16 else [look_up]
    graph.operators[at : at + 1] = [*before, *middle, *after]


def _reshape(file: File, start: int, end: int, shape: Any) -> Any:
    """A RESHAPE, told by its options where to."""
    operator = file.operator("RESHAPE", [start], [end])
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = np.asarray(shape, np.int32)
    return operator
