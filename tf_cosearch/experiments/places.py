"""Where experiments search: on a table's accuracies, or on made-up ones."""

from __future__ import annotations

from tf_cosearch.benchmark import landscapes, table_landscapes
from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.experiments import Setting

_MADE_UP = {"latency": "tight_latency", "energy": "energy"}


def latency_and_energy(setting: Setting) -> dict[str, Landscape]:
    """A landscape with a budget of latency, and one with a budget of energy."""
    if setting.table is None:
        return {name: landscapes.get(of) for name, of in _MADE_UP.items()}
    known = table_landscapes.of(setting.table)
    return {name: known[f"table_{name}"] for name in _MADE_UP}


def accuracies(setting: Setting) -> str:
    """Whose accuracies these are, for a verdict."""
    if setting.table is None:
        return "on made-up accuracies"
    return "on NAS-Bench-Macro's accuracies"
