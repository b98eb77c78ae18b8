"""What limits a layer, and what would have to change.

Every answer is tried before it is given: the network is priced again on
accelerators that differ in one thing, all of them in one batch, and the
smallest change that helps is the advice. So it holds for any mapping that the
cost model knows, and for the layer in its network, not on its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families
from tf_cosearch.accelerators.parameter import Fixed, Searched, at_least
from tf_cosearch.cost.costs import bounds
from tf_cosearch.cost.explain import waste
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad, to_array

WORTHWHILE = 1.05
"""The least speed-up that is worth a word."""

# What is said about a change has two digits, so these are what is tried.
_FACTORS = np.concatenate([np.arange(11, 100) / 10, np.arange(10, 100)])
# By how much the bottleneck must be past, so that rounding cannot undo it.
_CLEAR = 0.999


def _parameters(accelerator: Accelerator) -> dict[str, Searched | Fixed]:
    return accelerators.parameters(families.name_of(accelerator))


class Advice(NamedTuple):
    """The answer for one layer.

    Attributes:
        advice: What limits the layer and what to change, in a sentence.
        changes: The changes named in it, each enough by itself: new values by
            the path of the parameter.
    """

    advice: str
    changes: list[dict[str, float]]


class _Prices(NamedTuple):
    """`V` variants: `[V, L]`, and cycles of each of `names`, `[V, L, R]`."""

    names: tuple[str, ...]
    latency_ms: np.ndarray
    utilization: np.ndarray
    busy: np.ndarray

    def bound(self, variant: int, layer: int) -> str:
        """What limits a layer."""
        return self.names[int(self.busy[variant, layer].argmax())]

    def faster(self, now: _Prices, variant: int, layer: int) -> str:
        """The speed-up of a layer and, as it may be at a price, of all."""
        alone = now.latency_ms[0, layer] / self.latency_ms[variant, layer]
        together = now.latency_ms[0].sum() / self.latency_ms[variant].sum()
        return f"{alone:.3g}x as fast (the network {together:.3g}x)"


def advise(layers: Sequence[Layer], accelerator: Accelerator) -> list[Advice]:
    """Says for every layer what limits it and what would help.

    A layer that waits for data is told how much more bandwidth, or memory,
    makes something else the limit; a layer that keeps the array busy what of
    the array it leaves idle, and which array would be faster.

    Args:
        layers: `L` rows of one network.
        accelerator: An `Accelerator` of numbers.

    Returns:
        `L` answers.

    Example:
    >>> conv = Layer("c", "conv2d", 32, 32, 16, 32, 32, 16)
    >>> answer = advise([conv], accelerators.default())[0]
    >>> answer.advice.split()[0], list(answer.changes[0])
    ('dram:', ['dram/bandwidth_gbs'])
    """
    now = _price(layers, accelerator, [{}])
    bounds = [now.bound(0, row) for row in range(len(layers))]
    answers: dict[int, Advice] = {}
    for bound in dict.fromkeys(bounds):
        rows = [row for row, name in enumerate(bounds) if name == bound]
        if bound == "compute":
            answers |= _advise_compute(layers, accelerator, now, rows)
        else:
            answers |= _advise_transfer(layers, accelerator, now, bound, rows)
    return [answers[row] for row in range(len(layers))]


def _price(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    changes: Sequence[Mapping[str, float]],
) -> _Prices:
    """Prices a network on variants of an accelerator, `V` of them."""
    values = accelerators.to_paths(accelerator)
    variants = {
        path: np.asarray([c.get(path, value) for c in changes], np.float32)
        for path, value in values.items()
    }
    table = pad([to_array(layers)] * len(changes))
    chips = accelerators.replace(accelerator, variants)
    cost = estimate(table, chips, per_layer=True)
    return _Prices(
        bounds(accelerator),
        cost.layers.latency_ms.numpy(),
        cost.layers.utilization.numpy(),
        np.stack([cycles.numpy() for cycles in cost.layers.busy_cycles], -1),
    )


def _advise_transfer(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    now: _Prices,
    bound: str,
    rows: Sequence[int],
) -> dict[int, Advice]:
    """Answers for layers that wait for the same thing."""
    values, held = accelerators.to_paths(accelerator), _parameters(accelerator)
    family, index = families.of(accelerator), now.names.index(bound)
    found: dict[int, list[tuple[str, str]]] = {row: [] for row in rows}
    changes: dict[int, list[dict[str, float]]] = {row: [] for row in rows}
    for path in family.relief[bound]:
        wanted = [float(f"{value:.6g}") for value in values[path] * _FACTORS]
        possible = [at_least(held[path], value) for value in wanted]
        variants = [{path: v} for v in dict.fromkeys(possible) if v is not None]
        if not variants:
            continue
        prices = _price(layers, accelerator, variants)
        others = np.delete(prices.busy, index, -1).max(-1)
        past = prices.busy[..., index] <= _CLEAR * others
        for row in rows:
            if not past[:, row].any():
                continue
            first = int(past[:, row].argmax())
            then = f" before {prices.bound(first, row)} limits it, "
            then += prices.faster(now, first, row)
            words = _widened(path, variants[first][path], accelerator)
            found[row].append((words, then))
            changes[row].append(variants[first])
    return {
        row: Advice(
            _transfer_words(bound, found[row], family.memory_noun), changes[row]
        )
        for row in rows
    }


def _widened(path: str, value: float, accelerator: Accelerator) -> str:
    """A change of bandwidth, memory or array in words."""
    if path in families.of(accelerator).array:
        return _array_words({path: value}, accelerator)
    factor = value / accelerators.to_paths(accelerator)[path]
    unit = _parameters(accelerator)[path].unit
    larger = accelerators.replace(accelerator, {path: value}).room()
    more = larger.capacity_bytes - accelerator.room().capacity_bytes
    if more > 0:
        noun = families.of(accelerator).memory_noun
        return f"{more / 1024:.4g} KiB more {noun} ({value:.4g} {unit})"
    noun = path.split("/")[1].rsplit("_", 1)[0].replace("_", " ")
    return f"{factor:.3g}x the {noun} ({value:.4g} {unit})"


def _transfer_words(
    bound: str, found: Sequence[tuple[str, str]], memory: str
) -> str:
    if not found:
        return f"{bound}: nothing that was tried makes something else the limit"
    words, thens = zip(*found, strict=True)
    if len(set(thens)) == 1:
        text = " or ".join(words) + thens[0]
    else:
        text = ", or ".join(map("".join, found))
    futile = bound == "dram" and not any(memory in w for w in words)
    return f"{bound}: {text}" + f"; more {memory} does not help" * futile


def _advise_compute(
    layers: Sequence[Layer],
    accelerator: Accelerator,
    now: _Prices,
    rows: Sequence[int],
) -> dict[int, Advice]:
    """Answers for layers that keep the array busy."""
    reshaped = _reshaped(accelerator)
    variants = [*reshaped, *_doubled(accelerator), {}]
    same_peak = np.arange(len(variants)) < len(reshaped)
    prices = _price(layers, accelerator, variants)
    wasted = waste.find_waste(layers, accelerator, now.utilization[0], rows)
    answers = {}
    for row in rows:
        if not now.latency_ms[0, row]:
            answers[row] = Advice("nothing: it takes no time", [])
            continue
        text = _used_words(layers[row], now.utilization[0, row])
        if row in wasted:
            text += f": {wasted[row]}"
        faster = now.latency_ms[0, row] / prices.latency_ms[:, row]
        # An array of the same peak costs least, a larger one comes second.
        idle = row in wasted or not layers[row].macs
        cheap = bool(idle and (faster[same_peak] >= WORTHWHILE).any())
        best = int(np.where(same_peak == cheap, faster, 0).argmax())
        if faster[best] < WORTHWHILE:
            answers[row] = Advice(f"{text}; no larger array helps", [])
            continue
        text += f"; {_array_words(variants[best], accelerator)} would be"
        text += f" {prices.faster(now, best, row)}"
        if (then := prices.bound(best, row)) != "compute":
            text += f", then {then} limits it"
        answers[row] = Advice(text, [variants[best]])
    return answers


def _used_words(layer: Layer, used: float) -> str:
    if not layer.macs:
        return "compute: one element a SIMD unit and cycle, without reduction"
    return f"compute at {used:.0%} of the peak"


def _reshaped(accelerator: Accelerator) -> list[dict[str, float]]:
    """Arrays of as many multipliers, arranged differently within a PE."""
    values, held = accelerators.to_paths(accelerator), _parameters(accelerator)
    shape = families.of(accelerator).shape
    return [
        {less: values[less] // factor, more: values[more] * factor}
        for less, more in itertools.permutations(shape, 2)
        for factor in (2, 4)
        if values[less] % factor == 0
        and values[more] * factor <= held[more].high
    ]


def _doubled(accelerator: Accelerator) -> list[dict[str, float]]:
    """Arrays of twice the multipliers."""
    values, held = accelerators.to_paths(accelerator), _parameters(accelerator)
    array = families.of(accelerator).array
    return [
        {path: value}
        for path in array
        if (value := at_least(held[path], 2 * values[path])) is not None
    ]


def _array_words(change: Mapping[str, float], accelerator: Accelerator) -> str:
    values = accelerators.to_paths(accelerator)
    array = families.of(accelerator).array
    parts = [
        f"{value:g} instead of {values[path]:g} {array[path]}"
        for path, value in change.items()
    ]
    return " and ".join(parts) + " (the same peak)" * (len(change) > 1)
