"""What does a recommendation model lose by narrow tables and layers?"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import tasks
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    slide,
    wins,
)
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.tasks import click_log
from tf_cosearch.tasks.recommendation import normalised_entropy, table_rows

BUDGET = 0.05
"""Percent of normalised entropy that may be lost, as is usual for ads."""

WITHOUT_GUARD = {
    "tables 16, layers 8": (16, 8),
    "tables 8, layers 8": (8, 8),
    "tables 4, layers 8": (4, 8),
    "tables 8, layers 4": (8, 4),
    "tables 4, layers 4": (4, 4),
}
"""Bits of all tables, and of the weights of all layers."""

GUARDED = "4, some restored"

_EIGHT = "tables 8, layers 8"

_HELD_OUT = 30_000
"""Examples to validate on, and as many to test on."""


class _Size(NamedTuple):
    """Rows of tables, examples to train on, and how often."""

    tables: str
    examples: int
    epochs: int


_SHORT = _Size("60 40 20 10", 100_000, 2)
_LONG = _Size("400 200 100 50 20 10", 600_000, 2)


@experiment(
    paper="Deng et al., arXiv 2105.12676",
    question="Are tables and layers of 8 bits within 0.05 % of the float "
    "model's normalised entropy, and ones of 4 where the worst are restored?",
)
def low_precision(setting: Setting) -> Findings:
    """Rounds trained DLRMs to int8 files of other bits, after training.

    Each seed draws clicks of another truth, and trains a model in float. The
    guard begins with 4 bits everywhere and gives 8 back, first to what loses
    most alone, until validation data lose 0.05 % at most; test data say what
    is lost then. Short: 4 tables of 10 to 60 rows, 100,000 examples to train
    on. Long: 6 of 10 to 400, 600,000.
    """
    size = _SHORT if setting.is_short else _LONG
    rows = [
        {"seed": seed, **row}
        for seed in range(setting.seeds)
        for row in _of_seed(size, seed)
    ]
    names = [*WITHOUT_GUARD, GUARDED]
    lost, kib = (
        {
            name: float(
                np.mean([row[column] for row in rows if row["bits"] == name])
            )
            for name in names
        }
        for column in ("lost_percent", "weights_kib")
    )
    eight, four = _EIGHT, "tables 4, layers 4"
    within = _within(rows)
    verdict = (
        f"within {BUDGET} % on {wins.count(within)} of {len(within)} seeds: in "
        f"the mean 8 bits lose {lost[eight]:.3f} %, 4 bits {lost[four]:.3f} %, "
        f"with the guard {lost[GUARDED]:.3f} % at "
        f"{kib[GUARDED] / kib[eight]:.2f} times the size of 8 bits; "
        "on made-up clicks"
    )
    return Findings(
        rows,
        wins.mostly(within),
        verdict,
        lambda path: _draw(path, lost, kib),
        setting.seeds,
    )


def _within(rows: Iterable[Mapping[str, Any]]) -> list[bool]:
    """Whether 8 bits lose little, and so do fewer with the guard, by seed."""
    known = {(row["seed"], row["bits"]): row for row in rows}
    return [
        eight["lost_percent"] <= BUDGET
        and known[seed, GUARDED]["lost_percent"] <= BUDGET
        and known[seed, GUARDED]["weights_kib"] < eight["weights_kib"]
        for (seed, bits), eight in known.items()
        if bits == _EIGHT
    ]


def _of_seed(size: _Size, seed: int) -> Iterable[dict[str, Any]]:
    """What is lost of a model by each choice of bits."""
    from tf_cosearch.training import session

    with session.private():
        session.seed(seed, "build")
        model = _Model(size, seed)
        for name, (tables, layers) in WITHOUT_GUARD.items():
            bits = dict.fromkeys(model.tables, tables)
            yield model.row(name, bits | dict.fromkeys(model.layers, layers))
        yield model.row(GUARDED, model.guarded())


class _Model:
    """A trained model, and files of it."""

    def __init__(self, size: _Size, seed: int) -> None:
        import tensorflow as tf
        import tf_keras

        from tf_cosearch.training import mixed_precision, qat

        task = tasks.make({"name": "recommendation", "tables": size.tables})
        rows = table_rows(size.tables)
        count = size.examples + 2 * _HELD_OUT
        log = click_log.draw(count, rows, seed=seed)
        x = np.asarray(task.inputs(tf.constant(log.columns)))
        y = np.asarray(task.targets(tf.constant(log.clicks), 1))
        train, held_out = np.split(np.arange(count), [size.examples])
        self._parts = {
            name: (x[part], log.clicks[part])
            for name, part in zip(
                ("validation", "test"), np.split(held_out, 2), strict=True
            )
        }
        self._least = normalised_entropy(
            log.clicks[held_out], _logits(log.probabilities[held_out])
        )
        self._network = _network(task, size.tables)
        self._model = self._network.build(tf_keras)
        self._model.compile(tf_keras.optimizers.Adam(0.005), task.loss())
        self._model.fit(
            x[train], y[train], batch_size=256, epochs=size.epochs, verbose=0
        )
        self._file = qat.to_tflite(self._model, x[:500])
        named = mixed_precision.names(self._file)
        self.tables = [
            each.name for each in self._model.layers if _is_table(each)
        ]
        self.layers = [
            each.name
            for each in self._model.layers
            if hasattr(each, "kernel") and each.name in named
        ]
        self._float = {
            name: normalised_entropy(
                clicks,
                np.ravel(self._model.predict(x, batch_size=4096, verbose=0)),
            )
            for name, (x, clicks) in self._parts.items()
        }

    def file(self, bits: Mapping[str, int]) -> bytes:
        """The model in a file, with bits of tables and layers by name."""
        from tf_cosearch.training import mixed_precision
        from tf_cosearch.training.table_bits import Table, with_tables

        weights = {name: bits[name] for name in self.layers}
        tables = {
            name: Table(
                self._model.get_layer(name).embeddings.numpy(), bits[name]
            )
            for name in self.tables
        }
        file = mixed_precision.requantize(self._file, weights)
        return with_tables(file, tables)

    def lost_percent(self, file: bytes, part: str) -> float:
        """How much higher the normalised entropy is than that of floats."""
        from tf_cosearch.training import evaluate

        x, clicks = self._parts[part]
        logits = np.ravel(evaluate.Runner(file).dequantized(x))
        entropy = normalised_entropy(clicks, logits.astype(np.float64))
        return 100 * (entropy / self._float[part] - 1)

    def guarded(self) -> dict[str, int]:
        """Bits of 4 but for what has to be restored to lose little."""
        names = [*self.tables, *self.layers]
        eight, four = dict.fromkeys(names, 8), dict.fromkeys(names, 4)
        alone = {
            name: self.lost_percent(self.file(eight | {name: 4}), "validation")
            for name in names
        }
        bits = four
        for name in sorted(names, key=lambda name: -alone[name]):
            if self.lost_percent(self.file(bits), "validation") <= BUDGET:
                break
            bits = bits | {name: 8}
        return bits

    def row(self, name: str, bits: Mapping[str, int]) -> dict[str, Any]:
        """Of the CSV."""
        file = self.file(bits)
        lost = self.lost_percent(file, "test")
        return {
            "bits": name,
            "lost_percent": lost,
            "normalised_entropy": self._float["test"] * (1 + lost / 100),
            "of_floats": self._float["test"],
            "of_the_truth": self._least,
            "weights_kib": self._weights_bits(bits) / 8192,
            "file_kib": len(file) / 1024,
            "restored": " ".join(n for n in bits if bits[n] == 8)
            if name == GUARDED
            else "",
        }

    def _weights_bits(self, bits: Mapping[str, int]) -> int:
        """Bits of all weights, and of the scales of rows of 4."""
        total = 0
        for name in self.tables:
            rows, dimension = self._model.get_layer(name).embeddings.shape
            total += rows * (dimension * bits[name] + 32 * (bits[name] == 4))
        for name in self.layers:
            kernel = self._model.get_layer(name).kernel
            total += int(np.prod(kernel.shape)) * bits[name]
        return total


def _is_table(layer: Any) -> bool:
    return hasattr(layer, "embeddings")


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities) - np.log1p(-probabilities)


def _network(task: tasks.Task, tables: str) -> Network:
    """A DLRM of rows of 32 numbers."""
    options = {
        "bottom_layers": 1,
        "bottom_units": 32,
        "dimension": 32,
        "tables": tables,
    }
    return Network(
        "dlrm",
        (1, 1, 4 + len(table_rows(tables))),
        1,
        (
            BlockSpec("stem", "dlrm", 64, 1, tuple(sorted(options.items()))),
            BlockSpec("stage1/block1", "perceptron", 32, 1),
        ),
        task=task,
    )


def _draw(
    path: pathlib.Path, lost: Mapping[str, float], kib: Mapping[str, float]
) -> None:
    with slide.panels(path, "Recommendation in few bits", 2) as (left, right):
        names = [name.replace(", ", ",\n") for name in lost]
        slide.bars(
            left,
            names,
            {"lost": [*lost.values()]},
            "normalised entropy lost, %",
        )
        left.axhline(BUDGET, color="grey", linestyle="--", linewidth=1)
        slide.bars(right, names, {"size": [*kib.values()]}, "weights, KiB")
        for each in (left, right):
            each.tick_params(axis="x", labelsize=7)
