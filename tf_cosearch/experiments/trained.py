"""Where experiments search on accuracies of trainings of their own.

Spaces are those of the YAML files, made small enough for small images, with
budgets that some of their random designs meet.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.benchmark.landscapes import TrainedLandscape
from tf_cosearch.benchmark.trainings import Trainings
from tf_cosearch.experiments import Setting
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.space import SearchSpace

FLOOR = 0.5
"""The accuracy that counts nothing for a hypervolume."""

SHARE = 0.05
"""Of random designs, those within the budgets of a search."""

FILE = "trainings.jsonl"
"""Keeps accuracies, in the folder where experiments leave their tables."""

_DRAWN = 1024


def trainings(
    setting: Setting, data: str | None = None, **others: Any
) -> Trainings:
    """How networks are trained in the form that is asked for.

    Args:
        setting: The form, the data, and where accuracies are kept.
        data: Other data than the setting's.
        **others: Of `Trainings`, instead of what follows from the form.
    """
    short = {"epochs": 3, "train_size": 1500, "validation_size": 1000}
    long = {"epochs": 15, "train_size": 6000, "validation_size": 2000}
    sizes: dict[str, Any] = short if setting.is_short else long
    file = setting.folder and setting.folder / FILE
    name = data or setting.data or ""
    most = setting.trainings_per_process
    return Trainings(name, **{**sizes, **others}, file=file, per_process=most)


def require(setting: Setting) -> None:
    """Refuses data that networks cannot be trained on, before anything is.

    Raises:
        ValueError: If they are no images of classes, or too small ones.
        FileNotFoundError: If a file or folder does not exist.
    """
    trainings(setting).template(small_space(), setting.data or "")


def told(setting: Setting, epochs: int | None = None) -> str:
    """Whose accuracies these are, for a verdict.

    Args:
        setting: What they are trained on.
        epochs: For how many, if not as the form says.
    """
    how = trainings(setting)
    count = min(how.train_size or 0, len(how.dataset.train[1]))
    return (
        f"trained on {count:,} examples of {setting.data} for "
        f"{epochs or how.epochs} epochs"
    )


def small_space() -> dict[str, Any]:
    """The space `digits`, whose first convolution halves the image."""
    content: dict[str, Any] = copy.deepcopy(
        configuration.load("spaces", "digits")
    )
    content["stem"]["stride"] = 2
    return content


def landscape(
    name: str, content: Mapping[str, Any], how: Trainings
) -> TrainedLandscape:
    """A search without budgets, see `within`."""
    return TrainedLandscape(
        name, Budgets(), (), FLOOR, trainings=how, content=content
    )


def latency_and_energy(setting: Setting) -> dict[str, TrainedLandscape]:
    """A landscape with a budget of latency, and one with a budget of energy.

    Both have room for the baseline chip.
    """
    place = landscape("small", small_space(), trainings(setting))
    space = place.space
    area = Budgets(area_mm2=90)
    time = limit(space, "latency_ms", 0.5)
    slow = Budgets(latency_ms=time)
    latency = limit(space, "latency_ms", SHARE, area)
    energy = limit(space, "energy_mj", SHARE, slow)
    return {
        "latency": within(place, latency_ms=latency, area_mm2=90),
        "energy": within(place, energy_mj=energy, latency_ms=time),
    }


def within(place: TrainedLandscape, **limits: Any) -> TrainedLandscape:
    """The same search within budgets, the first of which is an objective."""
    objective = next(iter(limits))
    return dataclasses.replace(
        place, budgets=Budgets(**limits), objectives=(objective,)
    )


def limit(
    space: SearchSpace,
    name: str,
    share: float,
    budgets: Budgets | None = None,
    held: Mapping[str, Any] | None = None,
) -> float:
    """The budget that a share of random designs meet, to two digits.

    Args:
        space: Of the designs.
        name: Of the cost.
        share: Of all designs, those that meet this and the other budgets.
        budgets: The others.
        held: The accelerator of all of them, by path; random ones if left out.

    Raises:
        ValueError: If fewer meet the others alone.
    """
    genomes = space.sample(np.random.default_rng(0), _DRAWN)
    if held is not None:
        split = space.num_network_parameters
        chip = space.genome({**space.values(genomes[0]), **held})
        genomes[:, split:] = chip[split:]
    costs = Pricer(space, _DRAWN)(genomes)
    values = np.asarray(costs[name])
    is_within = (budgets or Budgets()).is_feasible(costs) & np.isfinite(values)
    values = np.sort(values[is_within])
    count = math.ceil(share * _DRAWN)
    if count > len(values):
        raise ValueError(
            f"{share:.0%} of random designs must be within {budgets}. "
            f"Received: {len(values)} of {_DRAWN}. Take other data."
        )
    return float(f"{values[count - 1]:.2g}")
