"""How often a loop of a .tflite file runs, if that is known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from tf_cosearch.networks.importers.tflite_file import Graph, Operator
from tf_cosearch.networks.importers.tflite_shapes import Facts

_SAME = {"CAST", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"}


class Counter(NamedTuple):
    """A number that grows evenly from one run of a loop to the next."""

    start: Fraction
    step: Fraction


class _Walk:
    """A graph with what is known of its tensors, read from its end."""

    def __init__(
        self,
        graph: Graph,
        facts: Sequence[Facts],
        counters: Sequence[Counter | None],
        graphs: Sequence[Graph] = (),
    ) -> None:
        self.graphs = graphs
        self.owners: dict[int, Operator] = {
            index: operator
            for operator in graph.operators
            for index in operator.outputs
        }
        self.facts = facts
        self.counters = dict(zip(graph.inputs, counters, strict=True))

    def counter(self, index: int, depth: int = 0) -> Counter | None:
        """How a tensor changes from run to run, if it is a counter."""
        if depth > 16 or index < 0:
            return None
        if (counter := self.counters.get(index)) is not None:
            return counter
        numbers = self.facts[index].numbers
        if numbers is not None and numbers.size == 1:
            value = numbers.item()
            if not math.isfinite(value):
                return None
            return Counter(Fraction(value), Fraction(0))
        operator = self.owners.get(index)
        if operator is None or not operator.inputs:
            return None
        first = self.counter(operator.inputs[0], depth + 1)
        if operator.op in _SAME or first is None:
            return first
        if operator.op not in ("ADD", "SUB") or len(operator.inputs) != 2:
            return None
        second = self.counter(operator.inputs[1], depth + 1)
        if second is None:
            return None
        sign = 1 if operator.op == "ADD" else -1
        return Counter(
            first.start + sign * second.start, first.step + sign * second.step
        )

    def trips(self, index: int, depth: int = 0) -> int | None:
        """How often a condition holds before it does not."""
        operator = self.owners.get(index)
        if operator is None or depth > 16 or not operator.inputs:
            return None
        if operator.op in _SAME:
            return self.trips(operator.inputs[0], depth + 1)
        if operator.op == "LOGICAL_AND":
            bounds = [self.trips(i, depth + 1) for i in operator.inputs]
            # A condition that is not known can only end the loop earlier.
            return min((n for n in bounds if n is not None), default=None)
        if operator.op == "IF" and self._is_and(operator):
            return self.trips(operator.inputs[0], depth + 1)
        if operator.op not in _COMPARISONS or len(operator.inputs) != 2:
            return None
        left, right = (self.counter(i) for i in operator.inputs)
        if left is None or right is None:
            return None
        if operator.op.startswith("GREATER"):
            left, right = right, left
        gap, closing = right.start - left.start, left.step - right.step
        return _COMPARISONS[operator.op](gap, closing)

    def _is_and(self, operator: Operator) -> bool:
        """Whether a branch says no wherever its condition does.

        `a and b` becomes `IF(a, ..., a)`, whose other branch hands back `a`.
        """
        condition, *arguments = operator.inputs
        index = operator.option("ElseSubgraphIndex", -1)
        if not 0 <= index < len(self.graphs):
            return False
        branch = self.graphs[index]
        passed = dict(zip(branch.inputs, arguments, strict=False))
        return bool(branch.outputs) and (
            passed.get(branch.outputs[0]) == condition
        )


def _until_reached(gap: Fraction, closing: Fraction) -> int | None:
    """Steps of `closing` until a gap is no longer positive."""
    if gap <= 0:
        return 0
    return math.ceil(gap / closing) if closing > 0 else None


def _until_passed(gap: Fraction, closing: Fraction) -> int | None:
    if gap < 0:
        return 0
    return math.floor(gap / closing) + 1 if closing > 0 else None


def _until_equal(gap: Fraction, closing: Fraction) -> int | None:
    if not closing:
        return None if gap else 0
    steps = gap / closing
    return int(steps) if steps >= 0 and steps.denominator == 1 else None


_COMPARISONS = {
    "LESS": _until_reached,
    "GREATER": _until_reached,
    "LESS_EQUAL": _until_passed,
    "GREATER_EQUAL": _until_passed,
    "NOT_EQUAL": _until_equal,
}


def counters(
    body: Graph, facts: Sequence[Facts], starts: Sequence[Facts]
) -> list[Counter | None]:
    """Which numbers that a loop carries are counters.

    Args:
        body: What a run does.
        facts: What is known of the tensors of `body`, in every run.
        starts: What is known of its inputs before the first run.

    Returns:
        For each input a counter, or `None`.
    """
    counters: list[Counter | None] = []
    zero = Fraction(0)
    for position, (written, start) in enumerate(
        zip(body.outputs, starts, strict=True)
    ):
        counters.append(None)
        if start.numbers is None or start.numbers.size != 1:
            continue
        value = start.numbers.item()
        if not math.isfinite(value):
            continue
        # As if it started at 0, with nothing else known to change evenly.
        alone: list[Counter | None] = [None] * len(starts)
        alone[position] = Counter(zero, Fraction(1))
        step = _Walk(body, facts, alone).counter(written)
        if step is not None and step.step == 1:
            counters[-1] = Counter(Fraction(value), step.start)
    return counters


def trips(
    condition: Graph,
    facts: Sequence[Facts],
    carried: Sequence[Counter | None],
    graphs: Sequence[Graph],
) -> int | None:
    """How often a loop runs.

    Args:
        condition: The graph that says whether it goes on.
        facts: What is known of the tensors of `condition`, in every run.
        carried: How its inputs change from run to run, where they are numbers.
        graphs: All graphs of the file.

    Returns:
        The number of runs, or the most there can be; `None` if not known.
    """
    walk = _Walk(condition, facts, carried, graphs)
    return walk.trips(condition.outputs[0])
