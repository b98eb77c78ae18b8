"""Rows of the Keras layers that let positions attend to each other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tf_cosearch.networks.importers import graph_tape, keras_graph
from tf_cosearch.networks.importers.keras_walker import (
    Rows,
    Walker,
    stored_elements,
)
from tf_cosearch.networks.tape import TensorShape, view


class _Heads(NamedTuple):
    """Sizes of an attention.

    Attributes:
        batch: Attentions that run side by side, without the heads.
        heads: Heads of the query.
        stored: Heads of the key and of the value.
        steps: Positions that ask.
        sources: Positions that are asked.
        key: Channels of a head's query and key.
        value: Channels of a head's value.
    """

    batch: int
    heads: int
    stored: int
    steps: int
    sources: int
    key: int
    value: int


def _operands(call: keras_graph.Call) -> list[Any]:
    """Query, value and key; the key may be left out."""
    first = call.arguments.get(0)
    if isinstance(first, (list, tuple)):
        query, value, *rest = first
        return [query, value, rest[0] if rest else value]
    query, value, key = (
        call.arguments.get(position, call.arguments.get(name))
        for position, name in enumerate(("query", "value", "key"))
    )
    return [query, value, value if key is None else key]


def multi_head(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records projections to heads, what `_attend` does, and one back."""
    query, value, key = operands = _operands(call)
    config = call.layer.get_config()
    heads = config.get("num_query_heads") or config["num_heads"]
    axes = getattr(call.layer, "_attention_axes", None) or range(
        1, len(query.shape) - 1
    )
    if any(len(tensor.shape) < 3 for tensor in operands):
        return None
    steps, sources = (
        math.prod(tensor.shape[axis] for axis in axes)
        for tensor in (query, value)
    )
    key_dim = config.get("head_dim") or config["key_dim"]
    sizes = _Heads(
        math.prod(n or 1 for n in query.shape[:-1]) // steps,
        heads,
        config.get("num_key_value_heads") or heads,
        steps,
        sources,
        key_dim,
        config.get("value_dim") or key_dim,
    )

    def project(step: str, tensor: Any, size: int) -> TensorShape:
        read = walker.read(call, tensor)
        rows = read.elements // read.channels
        return walker.tape.add(
            f"{call.name}/{step}",
            "dense",
            [view(read, (rows, 1, read.channels))],
            (rows, 1, size),
            use_bias=config["use_bias"],
        )

    context, weights = _attend(
        walker,
        call.name,
        project("query", query, sizes.heads * sizes.key),
        project("key", key, sizes.stored * sizes.key),
        project("value", value, sizes.stored * sizes.value),
        sizes,
    )
    if config.get("use_gate"):
        gate = project("gate", query, sizes.heads * sizes.value)
        gate = walker.tape.elementwise(
            f"{call.name}/sigmoid", [gate], gate.extents
        )
        context = walker.tape.elementwise(
            f"{call.name}/gated",
            [view(context, gate.extents), gate],
            gate.extents,
        )
    rows = (sizes.batch * steps, 1)
    channels = context.elements // rows[0]
    output = graph_tape.extents(call.outputs[0].shape)
    written = walker.tape.add(
        f"{call.name}/output",
        "dense",
        [view(context, (*rows, channels))],
        (*rows, math.prod(output) // rows[0]),
        use_bias=config["use_bias"],
    )
    outputs = [written, weights][: len(call.outputs)]
    return [
        view(row, graph_tape.extents(tensor.shape))
        for row, tensor in zip(outputs, call.outputs, strict=True)
    ]


def _attend(
    walker: Walker,
    name: str,
    query: TensorShape,
    key: TensorShape,
    value: TensorShape,
    sizes: _Heads,
) -> tuple[TensorShape, TensorShape]:
    """Records scores, their softmax, and the context that they choose."""
    batch = sizes.batch * sizes.heads
    tape = walker.tape
    scores = tape.product(
        f"{name}/scores",
        query,
        key,
        (batch, sizes.steps, sizes.sources, sizes.key),
    )
    weights = tape.elementwise(f"{name}/softmax", [scores], scores.extents)
    context = tape.product(
        f"{name}/context",
        weights,
        value,
        (batch, sizes.steps, sizes.value, sizes.sources),
    )
    return context, weights


def dot_product(walker: Walker, call: keras_graph.Call) -> Rows:
    """Records attention without projections, of one head or of several."""
    query, value, key = _operands(call)
    if call.op == "dotproductattention":
        value, key = key, value  # `keras.ops` has them in this order
    if not all(hasattr(t, "shape") for t in (query, value, key)):
        return None
    *batch, steps, channels = (n or 1 for n in query.shape)
    heads = 1
    if call.op == "dotproductattention":
        *batch, steps, heads, channels = (n or 1 for n in query.shape)
    sources = value.shape[len(batch)]
    sizes = _Heads(
        math.prod(batch),
        heads,
        heads,
        steps,
        sources,
        channels,
        value.shape[-1],
    )
    tape, name = walker.tape, call.name
    queries, keys, values = (walker.read(call, t) for t in (query, key, value))
    if call.op == "additiveattention" or _is_concat(call.layer):
        context, weights = _additive(
            walker, call, (queries, keys, values), sizes
        )
    else:
        stored = stored_elements(call.layer)
        if stored:
            queries = tape.add(
                f"{name}/scale",
                "elementwise",
                [queries],
                queries.extents,
                stored_elements=stored,
            )
        context, weights = _attend(walker, name, queries, keys, values, sizes)
    return [
        view(row, graph_tape.extents(tensor.shape))
        for row, tensor in zip((context, weights), call.outputs, strict=False)
    ]


def _is_concat(layer: Any) -> bool:
    return getattr(layer, "score_mode", "dot") == "concat"


def _additive(
    walker: Walker,
    call: keras_graph.Call,
    operands: tuple[TensorShape, TensorShape, TensorShape],
    sizes: _Heads,
) -> tuple[TensorShape, TensorShape]:
    """Scores are sums over the channels of `tanh(query + key)`."""
    query, key, value = operands
    tape, name = walker.tape, call.name
    pairs = sizes.batch * sizes.steps, sizes.sources
    stored = stored_elements(call.layer)
    is_weighted = stored == sizes.key  # else a gain of all scores, or none
    hidden = tape.add(
        f"{name}/tanh",
        "elementwise",
        [query, key],
        (*pairs, sizes.key),
        stored_elements=0 if is_weighted else stored,
    )
    if is_weighted:
        scores = tape.add(
            f"{name}/scores", "dense", [hidden], (*pairs, 1), use_bias=False
        )
    else:
        scores = tape.reduce(f"{name}/scores", hidden, (*pairs, 1))
    weights = tape.elementwise(f"{name}/softmax", [scores], scores.extents)
    context = tape.product(
        f"{name}/context",
        weights,
        value,
        (sizes.batch, sizes.steps, sizes.value, sizes.sources),
    )
    return context, weights
