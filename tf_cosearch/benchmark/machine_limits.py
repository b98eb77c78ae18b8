"""What a machine can do, and how much of that the cost model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators import stacking
from tf_cosearch.benchmark.random_tables import (
    random_accelerators,
    random_layers,
)
from tf_cosearch.benchmark.stopwatch import seconds
from tf_cosearch.cost import kernels, model
from tf_cosearch.networks.workload import LayerTable

_REPEAT = 9
_DEPTH = 48  # layers that operations are counted with

_ARITHMETIC = (
    *("multiply", "add", "subtract", "divide", "minimum", "maximum"),
    *("ceil", "floor", "select", "compare", "and", "or"),
)


def compare(general: Mapping[str, float]) -> dict[str, float]:
    """Measures arithmetic and memory of this machine.

    Args:
        general: What `speed.general` gave in the same run.

    Returns:
        Operations a core second and bytes a second, of loops of our own, the
        operations of the cost model a layer, and which shares it took.
    """
    operations = operations_per_core_second()
    copied = bytes_per_second()
    per_layer = operations_per_layer()
    rows = general["candidates_per_core_second"] * general["layers"]
    tables = general["candidates_per_second"] / general["candidates"]
    return {
        "operations_per_core_second": operations,
        "bytes_per_second": copied,
        "operations_per_layer": per_layer,
        "share_of_arithmetic": rows * per_layer / operations,
        "share_of_memory_bandwidth": tables * general["table_bytes"] / copied,
    }


def operations_per_core_second() -> float:
    """Element-wise operations of compiled code whose values stay in a cache."""
    values = tf.random.stateless_uniform((4096, 64), (0, 0), 1.0, 2.0)

    @tf.function(jit_compile=True)
    def arithmetic(x: Any) -> Any:
        four = [x * factor for factor in (1.1, 1.2, 1.3, 1.4)]
        for _ in range(64):
            four = [tf.minimum(y * 1.0001, four[0]) + x for y in four]
        return tf.add_n(four)

    arithmetic(values)
    operations = 4096 * 64 * 64 * 4 * 3
    return operations / seconds(lambda: arithmetic(values).numpy(), _REPEAT)[1]


def bytes_per_second() -> float:
    """Bytes that are read or written while memory is copied."""
    source = np.ones(2**26, np.uint8)
    target = np.empty_like(source)
    passed, _ = seconds(lambda: np.copyto(target, source), _REPEAT)
    return 2 * source.nbytes / passed


def operations_per_layer() -> int:
    """Element-wise operations on `[B, L]` in the code before fusion."""
    layers = random_layers(kernels.CHUNK, _DEPTH).columns()
    compiled = tf.function(
        lambda *fields: tf.stack(
            model.price(
                LayerTable(*(tf.cast(f, tf.float32) for f in fields[:-1])),
                stacking.unstack(fields[-1], "edge_tpu"),
                tf.constant(1.0),
                "latency",
                per_layer=False,
            )[:-2]
        ),
        jit_compile=True,
        autograph=False,
    )
    hardware = stacking.stack(random_accelerators(kernels.CHUNK), kernels.CHUNK)
    lines = compiled.experimental_get_compiler_ir(*layers, hardware)(
        "optimized_hlo"
    ).splitlines()
    shape = f"[{kernels.CHUNK},{_DEPTH}]"
    return sum(
        shape in line and any(f" {name}(" in line for name in _ARITHMETIC)
        for line in lines
    )
