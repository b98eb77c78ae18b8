r"""Measures how fast the cost model is, beside baselines of the same run.

    python tools/benchmark_cost_model.py
    python tools/benchmark_cost_model.py --quick --format=json

`general`: random layers, each network on its own random accelerator, through
`estimate`; beside it the same model in the TensorFlow graph, uncompiled.
`in_space`: networks of a space, each on all of its accelerators, or many on a
short list, through `PriceList`; beside it `estimate`. `exact_hardware`:
`best_accelerators` of one network; beside it `estimate` of all accelerators.
`scaling`: how the rate of `estimate` changes with batch, layers, mappings and
threads. `machine`: what of the machine's arithmetic and memory bandwidth,
measured here, that takes.

Times on a busy machine differ from run to run; compare within one. Seconds of
processor time (`candidates_per_core_second`, `first_call_core_seconds`) differ
less: they do not count what other programs take.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import command_line
import numpy as np
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_bool("quick", False, "Fewer repetitions: at most 45 s.")
flags.DEFINE_enum("format", "table", ["table", "json"], "What to print.")
flags.DEFINE_integer(
    "candidates", 1_000_000, "Candidates of the general batch.", lower_bound=300
)
flags.DEFINE_integer(
    "layers", 48, "Layers of each network of it.", lower_bound=1
)
flags.DEFINE_string("space", "mobilenet_v2", "Space of `in_space`.")
flags.DEFINE_string("network", "mobilenet_v2", "Network of `exact_hardware`.")


def main() -> None:
    result: dict[str, Any] = {"general": _general()}
    result["exact_hardware"] = _exact_hardware()
    result["in_space"] = _in_space()
    result["scaling"] = _scaling()
    result["machine"] = _machine(result["general"])
    if FLAGS.format == "json":
        print(json.dumps(result, indent=2))
    else:
        _print_table(result)


def some(table: Any, part: slice) -> Any:
    """Some candidates of a batch."""
    import tensorflow as tf

    return tf.nest.map_structure(
        lambda field: field[part] if np.ndim(field) else field, table
    )


def seconds(run: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Seconds of a run, and of processor time in it: medians of some."""
    times = np.empty((repeat, 2))
    for row in times:
        before = time.perf_counter(), time.process_time()
        run()
        row[:] = (
            time.perf_counter() - before[0],
            time.process_time() - before[1],
        )
    wall, core = np.median(times, 0).tolist()
    return wall, core


def _rate(run: Callable[[], Any], count: int, repeat: int) -> float:
    """Candidates a second."""
    return count / seconds(run, repeat)[0]


def _repeat() -> int:
    return 3 if FLAGS.quick else 7


def _general() -> dict[str, float]:
    from tf_cosearch.benchmark.tables import random_accelerators, random_layers
    from tf_cosearch.cost import kernels, mapping, model

    count, depth = int(FLAGS.candidates), int(FLAGS.layers)
    layers, chips = random_layers(count, depth), random_accelerators(count)
    few = some((layers, chips), slice(300))
    first_call, first_core = seconds(lambda: model.estimate(*few), 1)
    each, core_each = seconds(lambda: model.estimate(layers, chips), _repeat())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    in_graph = kernels.SMALL * 4

    def graph() -> None:
        for begin in range(0, in_graph, kernels.SMALL):
            part = slice(begin, begin + kernels.SMALL)
            model.estimate(*some((layers, chips), part))

    graph()
    return {
        "candidates_per_second": count / each,
        "candidates_per_core_second": count / core_each,
        "graph_candidates_per_second": _rate(graph, in_graph, _repeat()),
        "peak_memory_bytes": float(peak),
        "table_bytes": float(sum(f.nbytes for f in layers.columns())),
        "first_call_seconds": first_call,
        "first_call_core_seconds": first_core,
        "candidates": count,
        "layers": depth,
        "mappings": len(mapping.MAPPINGS),
    }


def _in_space() -> dict[str, float]:
    import tf_cosearch as cs
    from tf_cosearch.benchmark.tables import random_accelerators
    from tf_cosearch.cost.model import estimate
    from tf_cosearch.cost.price_list import PriceList
    from tf_cosearch.search.exact import all_accelerators

    space = cs.SearchSpace.load(FLAGS.space)
    networks, chips = _networks(space, 20), all_accelerators({})
    PriceList(some(chips, slice(10))).costs(networks[:1])  # compiles
    start = time.perf_counter()
    prices = PriceList(chips)
    prices.costs(networks)
    building = time.perf_counter() - start
    count = len(networks) * space.num_accelerators
    sampled = space.batch(space.sample(np.random.default_rng(1), 16384))
    estimate(*sampled)
    many, few = _networks(space, 512), random_accelerators(2000)
    shortlist = PriceList(few)
    fresh = seconds(lambda: shortlist.costs(many), 1)[0]
    return {
        "candidates_per_second": _rate(
            lambda: prices.costs(networks), count, _repeat()
        ),
        "estimate_candidates_per_second": _rate(
            lambda: estimate(*sampled), 16384, _repeat()
        ),
        "shortlist_candidates_per_second": _rate(
            lambda: shortlist.costs(many), 512 * 2000, _repeat()
        ),
        "shortlist_first_seconds": fresh,
        "price_list_seconds": building,
        "candidates": count,
        "different_layers": prices.num_layers,
        "different_arrays": prices.num_arrays,
    }


def _networks(space: Any, count: int) -> list[np.ndarray]:
    """Layers of random networks of a space."""
    networks = len(space.network_space.parameters)
    genomes = space.sample(np.random.default_rng(0), count)
    return [
        space.network_space.rows(tuple(genes))
        for genes in genomes[:, :networks].tolist()
    ]


def _exact_hardware() -> dict[str, float]:
    import tf_cosearch as cs
    from tf_cosearch.cost.model import estimate
    from tf_cosearch.networks.workload import LayerTable, pad
    from tf_cosearch.search.exact import all_accelerators, best_accelerators

    network = cs.load_network(FLAGS.network)
    budgets = cs.Budgets(latency_ms=1.0, area_mm2=60.0)

    def run() -> None:
        best_accelerators(network, budgets, top=10)

    cold = seconds(run, 1)[0]
    warm = seconds(run, 2 * _repeat() + 1)[0]
    chips = all_accelerators({})
    count = len(chips.pe_array.rows)
    one = pad([network.layers()])
    table = LayerTable(*(np.repeat(f, count, 0) for f in one.columns()))
    estimate(table, chips)
    return {
        "seconds": warm,
        "first_seconds": cold,
        "estimate_seconds": seconds(lambda: estimate(table, chips), _repeat())[
            0
        ],
        "accelerators": count,
        "layers": len(network.layers()),
    }


def _scaling() -> list[dict[str, float]]:
    """Rates of `estimate` as one thing changes."""
    from tf_cosearch import environment, machine
    from tf_cosearch.benchmark.tables import random_accelerators, random_layers
    from tf_cosearch.cost import kernels, mapping
    from tf_cosearch.cost.model import estimate

    rows = []
    count, depth = 32768, 48

    def add(batch: int = count, layers: int = depth, **settings: Any) -> None:
        tables = random_layers(batch, layers), random_accelerators(batch)
        estimate(*tables)
        wall, core = seconds(lambda: estimate(*tables), _repeat())
        rows.append(
            {
                "batch": batch,
                "layers": layers,
                "mappings": len(mapping.MAPPINGS),
                "threads": machine.threads(),
                **settings,
                "candidates_per_second": batch / wall,
                "candidates_per_core_second": batch / core,
                "layers_per_core_second": batch * layers / core,
            }
        )

    largest = count // 4 if FLAGS.quick else 4 * count
    for batch in sorted((1, 64, 256, 2048, count, largest)):
        add(batch)
    if FLAGS.quick:
        return rows
    for layers in (16, 50, 96):
        add(count, layers)
    with environment.kept("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = "1"
        add(threads=1)
    every = mapping.MAPPINGS
    for kept in (6, 12):
        mapping.MAPPINGS = every[:kept]
        kernels.forget()
        add()
    mapping.MAPPINGS = every
    kernels.forget()
    return rows


def _machine(general: dict[str, float]) -> dict[str, float]:
    """What the machine can do, and what of it the general path takes."""
    import tensorflow as tf

    values = tf.random.uniform((4096, 64), 1.0, 2.0)

    @tf.function(jit_compile=True)
    def arithmetic(x: Any) -> Any:
        four = [x * factor for factor in (1.1, 1.2, 1.3, 1.4)]
        for _ in range(64):
            four = [tf.minimum(y * 1.0001, four[0]) + x for y in four]
        return tf.add_n(four)

    arithmetic(values)
    operations = 4096 * 64 * 64 * 4 * 3
    rate = operations / seconds(lambda: arithmetic(values).numpy(), 9)[1]
    source = np.ones(2**26, np.uint8)
    target = np.empty_like(source)
    copied = _rate(lambda: np.copyto(target, source), 2 * source.nbytes, 9)
    per_layer = _operations_per_layer()
    rows = general["candidates_per_core_second"] * general["layers"]
    read = general["candidates_per_second"] / general["candidates"]
    return {
        "operations_per_core_second": rate,
        "bytes_per_second": copied,
        "operations_per_layer": per_layer,
        "share_of_arithmetic": rows * per_layer / rate,
        "share_of_memory_bandwidth": read * general["table_bytes"] / copied,
    }


def _operations_per_layer() -> int:
    """Element-wise operations on `[B, L]` in the code before fusion."""
    import tensorflow as tf

    from tf_cosearch.accelerators import stacking
    from tf_cosearch.benchmark.tables import random_accelerators, random_layers
    from tf_cosearch.cost import kernels, model
    from tf_cosearch.networks.workload import LayerTable

    layers = random_layers(kernels.CHUNK, 48).columns()
    compiled = tf.function(
        lambda *fields: tf.stack(
            model.price(
                LayerTable(*(tf.cast(f, tf.float32) for f in fields[:-1])),
                stacking.unstack(fields[-1]),
                tf.constant(1.0),
                "latency",
                per_layer=False,
            )[:-2]
        ),
        jit_compile=True,
        autograph=False,
    )
    hardware = stacking.stack(random_accelerators(kernels.CHUNK), kernels.CHUNK)
    text = compiled.experimental_get_compiler_ir(*layers, hardware)(
        "optimized_hlo"
    )
    arithmetic = (
        *("multiply", "add", "subtract", "divide", "minimum", "maximum"),
        *("ceil", "floor", "select", "compare", "and", "or"),
    )
    shape = f"[{kernels.CHUNK},48]"
    return sum(
        shape in line and any(f" {name}(" in line for name in arithmetic)
        for line in text.splitlines()
    )


def _print_table(result: dict[str, Any]) -> None:
    general, space = result["general"], result["in_space"]
    exact, machine = result["exact_hardware"], result["machine"]
    print(
        f"general         {general['candidates_per_second']:>12,.0f} "
        f"candidates/s, {general['layers']} layers x {general['mappings']} "
        "mappings, any table\n"
        f"  in the graph  {general['graph_candidates_per_second']:>12,.0f} "
        "candidates/s: "
        f"{_times(general, 'candidates_per_second', 'graph_')}\n"
        "  of a core     "
        f"{general['candidates_per_core_second']:>12,.0f} "
        "candidates for each second of it\n"
        f"  first call    {general['first_call_seconds']:>12.2f} s, "
        f"{general['first_call_core_seconds']:.2f} s of a core\n"
        f"  peak memory   {general['peak_memory_bytes'] / 2**30:>12.2f} GiB "
        f"for {general['candidates']:,} candidates, all in all\n"
        f"in a space      {space['candidates_per_second']:>12,.0f} "
        f"candidates/s, {space['different_layers']} layers x "
        f"{space['different_arrays']:,} arrays priced once in "
        f"{space['price_list_seconds']:.2f} s\n"
        f"  by estimate   {space['estimate_candidates_per_second']:>12,.0f} "
        f"candidates/s: {_times(space, 'candidates_per_second', 'estimate_')}\n"
        f"  short list    {space['shortlist_candidates_per_second']:>12,.0f} "
        "candidates/s, 512 networks x 2,000 accelerators; "
        f"{space['shortlist_first_seconds']:.2f} s at first\n"
        f"exact hardware  {exact['seconds']:>12.3f} s for "
        f"{exact['accelerators']:,} accelerators, {exact['layers']} layers\n"
        f"  first time    {exact['first_seconds']:>12.2f} s\n"
        f"  by estimate   {exact['estimate_seconds']:>12.3f} s"
    )
    print(
        "\n   batch  layers  mappings  threads  candidates/s"
        "   of a core   Mlayers of a core"
    )
    for row in result["scaling"]:
        print(
            f"{row['batch']:>8}{row['layers']:>8}{row['mappings']:>10}"
            f"{row['threads']:>9}{row['candidates_per_second']:>14,.0f}"
            f"{row['candidates_per_core_second']:>12,.0f}"
            f"{row['layers_per_core_second'] / 1e6:>20.1f}"
        )
    print(
        f"\n{machine['operations_per_layer']:,} operations a layer: "
        f"{machine['share_of_arithmetic']:.0%} of the "
        f"{machine['operations_per_core_second'] / 1e9:.1f} G operations/s "
        "measured on a core; tables take "
        f"{machine['share_of_memory_bandwidth']:.0%} of the "
        f"{machine['bytes_per_second'] / 1e9:.1f} GB/s measured"
    )


def _times(values: dict[str, float], name: str, base: str) -> str:
    return f"{values[name] / values[base + name]:.1f} times slower"


if __name__ == "__main__":
    command_line.run(main)
