"""Searches to compare algorithms by whose accuracies somebody else trained."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib

import numpy as np

from tf_cosearch.benchmark import landscapes
from tf_cosearch.benchmark.landscapes import Landscape
from tf_cosearch.search.accuracy_table import AccuracyTable
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.space import SearchSpace

SPACE = "nas_bench_macro"


@dataclasses.dataclass(frozen=True)
class TableLandscape(Landscape):
    """One whose accuracies are the means of a table's trainings.

    So what is compared is how well an algorithm searches, not what it made of
    the luck of one training.

    Attributes:
        table: Path of the table, see `AccuracyTable`.
    """

    table: str = ""

    @functools.cached_property
    def _table(self) -> AccuracyTable:
        return _read(self.table)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when anything about the landscape does, but for a path."""
        text = f"{dataclasses.replace(self, table='')} {self.space.fingerprint}"
        text += self._table.digest
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def accuracy(self, genome: np.ndarray) -> float:
        """The mean of its network's trainings."""
        return float(np.mean(self._table.accuracies(genome)))


def of(path: str | os.PathLike[str]) -> dict[str, TableLandscape]:
    """Landscapes on a table of NAS-Bench-Macro's space, by name.

    Of random designs, 4 to 5 % are within the budgets of each.

    Args:
        path: The table.
    """
    asked = {
        "table_latency": (
            Budgets(latency_ms=0.018, area_mm2=90),
            ("latency_ms",),
            "hard",
        ),
        "table_energy": (
            Budgets(energy_mj=0.03, latency_ms=0.03),
            ("energy_mj",),
            "hard",
        ),
        "table_three_objectives": (
            Budgets(latency_ms=0.03, energy_mj=0.04, area_mm2=60),
            ("latency_ms", "energy_mj"),
            "soft",
        ),
    }
    return {
        name: TableLandscape(
            SPACE, budgets, costs, 0.85, form=form, table=os.fspath(path)
        )
        for name, (budgets, costs, form) in asked.items()
    }


def take(path: str | os.PathLike[str]) -> list[str]:
    """Makes the landscapes of a table known in this process.

    Args:
        path: The table.

    Returns:
        Their names.

    Raises:
        ValueError: If it is none of NAS-Bench-Macro's space.
        FileNotFoundError: If it does not exist.
    """
    found = of(path)
    _read(path)
    landscapes.TABLED.update(found)
    return list(found)


def _read(path: str | os.PathLike[str]) -> AccuracyTable:
    """The table of a file, which landscapes share while it is the same."""
    file = pathlib.Path(path)
    return _as_it_is(file, file.stat().st_mtime_ns if file.is_file() else 0)


@functools.lru_cache(maxsize=1)
def _as_it_is(path: pathlib.Path, changed_ns: int) -> AccuracyTable:
    del changed_ns
    return AccuracyTable(path, SearchSpace.load(SPACE))
