"""What a search leaves in its folder: the chosen design, and a picture."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping
from typing import Any

from tf_cosearch import metrics
from tf_cosearch.designs import picture, report
from tf_cosearch.designs.export import Design
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.tasks import Task

DESIGN = "design"
"""Folder of the chosen design within that of the search."""


def leave(
    design: Design,
    folder: pathlib.Path,
    test_data: Any,
    budgets: Budgets,
    space_name: str,
) -> str:
    """Exports the chosen design and draws it among the others.

    Args:
        design: The chosen one.
        folder: That of the search, with its `trials.csv`.
        test_data: Images and labels kept aside until now; None if the design
            was not trained.
        budgets: Of the search.
        space_name: What it was found in.

    Returns:
        What the design reaches and costs, and where everything is, in words.
    """
    description = design.export(folder / DESIGN, test_data=test_data)
    word = getattr(design.network, "task", Task).metric
    picture.plot_pareto(
        report.read_trials(folder / "trials.csv"),
        folder / "pareto.png",
        chosen=design.trial_id,
        budget=budgets.limits().get("latency_ms"),
        title=f"Joint designs of the {space_name} space",
        score=word,
    )
    accuracies = description["accuracies"]
    costs = ", ".join(
        f"{metrics.get(name).word} "
        f"{metrics.get(name).text(description['costs'][name])}"
        for name in budgets.compared()
    )
    for name, limit in budgets.limits(measured=True).items():
        if name not in budgets.compared() and name in description["costs"]:
            metric = metrics.get(name)
            value = metric.text(description["costs"][name])
            costs += f", {metric.word} {value} (at most {metric.text(limit)})"
    costs = ", ".join([costs, *other_bits(description["bits"])])
    if design.is_trained:
        reached = (
            f"int8 {word} {accuracies['accuracy_int8']:.2%} on validation "
            f"and {accuracies['accuracy_int8_test']:.2%} on test data"
        )
        files = "model.tflite, accelerator.yaml, design.json, weights"
    else:
        accuracy = accuracies[report.accuracy_of(accuracies)]
        reached = f"{word} {accuracy:.2%} in the table"
        files = "accelerator.yaml, design.json; no model, as none was trained"
    return (
        f"Chosen: trial {design.trial_id}, {reached}, {costs}.\n"
        f"  {folder / DESIGN}: {files}\n"
        f"  {folder / 'pareto.png'}, report.html, trials.csv, run.json"
    )


def other_bits(bits: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How many layers have other bits than the 8 of every network, in words.

    Args:
        bits: Of the weights, if it has any, and the activations of each layer.

    Example:
    >>> other_bits({"a": {"weights": 4, "activations": 8}, "b": {"weights": 8}})
    ['weights of 4 bits in 1 of 2 layers']
    """
    said = []
    for what in ("weights", "activations"):
        has = [layer[what] for layer in bits.values() if what in layer]
        said += [
            f"{what} of {width} bits in {count} of {len(has)} layers"
            for width, count in sorted(collections.Counter(has).items())
            if width != 8
        ]
    return said
