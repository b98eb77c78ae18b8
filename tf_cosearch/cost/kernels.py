"""All that makes the cost model fast, apart from the physics it speeds up.

A small batch goes through the TensorFlow graph, which takes any shape at once.
A large one goes through XLA, which is several times faster but compiles for
one shape: it is cut into chunks of `CHUNK` candidates, and layers are padded
to whole vectors. Every core works on a chunk of its own, which it copies to
where XLA reads it in place. One trace serves all batches of a kind.

What makes the formulas themselves fast is in `arithmetic`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators, environment, machine
from tf_cosearch.accelerators import Accelerator, families, stacking
from tf_cosearch.cost import fusion
from tf_cosearch.networks import workload
from tf_cosearch.networks.workload import LayerTable

CHUNK = 4096
"""Candidates that compiled code prices at a time."""

SMALL = 256
"""Up to so many candidates the graph is used, which needs no compiling."""

_VECTOR = 16  # float32 numbers that compiled code works on at a time
_LEAST = 48  # layers; XLA sums up to 32 in a loop that it does not vectorize
_ALIGNMENT = 64  # bytes; XLA reads arrays in place that start at a multiple
_WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
_PADDING = [workload.PADDING[name] for name in LayerTable._fields]

Price = Callable[[LayerTable, Accelerator, Any], Any]
"""Prices `[B, L]` layers on `[B]` accelerators with images in a batch."""


@functools.cache
def prefer_wide_vectors() -> None:
    """Lets XLA use 512-bit vectors where the processor has them.

    Its own choice is 256 bits. Large batches are priced a fifth to two fifths
    faster so. XLA reads its flags when the process first compiles something,
    so that is done here, and `XLA_FLAGS` is put back. A width that the user
    chose stays, and so does all if the process has compiled before.
    """
    chosen = os.environ.get("XLA_FLAGS", "")
    if _WIDE_VECTORS.partition("=")[0] in chosen:
        return
    with environment.kept("XLA_FLAGS"):
        os.environ["XLA_FLAGS"] = f"{chosen} {_WIDE_VECTORS}".strip()
        tf.function(tf.negative, jit_compile=True)(0.0)


def run_graph(
    price: Price, layers: LayerTable, accelerator: Accelerator, images: int
) -> Any:
    """Prices a batch in the TensorFlow graph.

    Args:
        price: What to run; a nest of tensors comes out.
        layers: `LayerTable` of `[B, L]` tensors or arrays.
        accelerator: `Accelerator` of `[B]` tensors or of numbers.
        images: Images that are worked on together.

    Returns:
        What `price` returns.

    Raises:
        ValueError: If a parameter is not possible or batch sizes differ.
    """
    hardware = stacking.stack(accelerator, len(layers.out_h))
    fields = _columns(layers, accelerator)
    columns = [np.asarray(field, np.float32) for field in fields]
    return _graph(price, len(columns), families.name_of(accelerator))(
        columns, tf.constant(hardware), tf.constant(images, tf.float32)
    )


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Runs each operation at once, for who prices a single small batch.

    No graph is made of them: 0.2 s instead of 2.3 for a network on an Edge TPU,
    where each further one takes 0.09 s instead of 0.01. Sums may be rounded
    otherwise, and of mappings that are equally good another one be named.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def run_compiled(
    price: Price, layers: LayerTable, accelerator: Accelerator, images: int
) -> list[np.ndarray]:
    """Prices a large batch by compiled code, chunk by chunk on all cores.

    Args:
        price: What to run; a sequence of `[B]` tensors comes out.
        layers: `LayerTable` of `[B, L]` tensors or arrays; small integers
            take least memory.
        accelerator: `Accelerator` of `[B]` tensors or of numbers.
        images: Images that are worked on together.

    Returns:
        `[B]` float32 arrays, one for each tensor of `price`.

    Raises:
        ValueError: As `run_graph`.
    """
    fields = _columns(layers, accelerator)
    batch, depth = fields[0].shape
    parameters = stacking.columns(accelerator, batch)
    dtypes = tuple(field.dtype for field in fields)
    compiled = _compiled(price, dtypes, families.name_of(accelerator))
    images = tf.constant(images, tf.float32)
    results = np.empty((compiled.output_shapes[0], batch), np.float32)
    starts = iter(range(0, batch, CHUNK))
    wide = max(depth + -depth % _VECTOR, _LEAST)

    def work(_: int) -> None:
        # What a chunk does not fill is padding, or of the one before.
        tables = [
            _aligned((CHUNK, wide), field.dtype, padding)
            for field, padding in zip(fields, _PADDING, strict=False)
        ]
        hardware = _aligned((len(parameters), CHUNK), np.float32, 1)
        for start in starts:
            rows = slice(start, min(start + CHUNK, batch))
            size = rows.stop - start
            for table, field in zip(tables, fields, strict=True):
                table[:size, :depth] = field[rows]
            for row, values in zip(hardware, parameters, strict=True):
                row[:size] = values[rows] if values.size > 1 else values
            costs = compiled(*map(_in_place, (*tables, hardware)), images)
            results[:, rows] = costs.numpy()[:, :size]

    # One more than cores: a call waits for others now and then.
    workers = min(machine.threads() + 1, -(-batch // CHUNK))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return list(results)


def forget() -> None:
    """Drops all traced and compiled code, for example of other mappings."""
    _graph.cache_clear()
    _compiled.cache_clear()


@functools.cache
def _graph(price: Price, columns: int, family: str) -> Callable[..., Any]:
    """The graph for tables of any shape with the first so many columns."""

    def run(fields: Any, hardware: Any, images: Any) -> Any:
        chips = stacking.unstack(hardware, family)
        return price(LayerTable(*fields), chips, images)

    return tf.function(
        run,
        input_signature=(
            [tf.TensorSpec((None, None))] * columns,
            tf.TensorSpec((None, None)),
            tf.TensorSpec(()),
        ),
        autograph=False,
    )


@functools.cache
def _compiled(price: Price, dtypes: tuple[Any, ...], family: str) -> Any:
    """The compiled code for tables of some number types.

    Few arguments and one result, as each costs time in every call.
    """
    prefer_wide_vectors()

    def run(*arguments: Any) -> Any:
        *fields, hardware, images = arguments
        layers = LayerTable(*(tf.cast(f, tf.float32) for f in fields))
        chips = stacking.unstack(hardware, family)
        return tf.stack(price(layers, chips, images))

    return tf.function(
        run,
        input_signature=[
            *(tf.TensorSpec((CHUNK, None), dtype) for dtype in dtypes),
            tf.TensorSpec((len(accelerators.parameters(family)), CHUNK)),
            tf.TensorSpec(()),
        ],
        autograph=False,
        jit_compile=True,
    ).get_concrete_function()


def _columns(layers: LayerTable, accelerator: Accelerator) -> list[np.ndarray]:
    """The columns that are needed: who follows whom, for fusion only."""
    if not fusion.is_on(accelerator):
        layers = layers._replace(continues=0.0)
    return layers.columns()


def _aligned(shape: tuple[int, int], kind: Any, fill: float) -> np.ndarray:
    """An array that XLA can read where it lies."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + size].view(kind).reshape(shape)
    array[:] = fill
    return array


def _in_place(array: np.ndarray) -> tf.Tensor:
    """A tensor that shares the memory of an array."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
