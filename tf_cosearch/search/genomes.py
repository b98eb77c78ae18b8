"""Arrays of genomes: checked, varied, told apart."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.search.hardware import as_chosen

if TYPE_CHECKING:
    from tf_cosearch.search.space import SearchSpace

ENUMERABLE = 4096
"""Designs up to which a space counts as small."""


def check(space: SearchSpace, genomes: Any) -> np.ndarray:
    """Makes sure that genomes are inside the space.

    Args:
        space: What they belong to.
        genomes: `[N, P]` choice indices.

    Returns:
        The same as canonical `[N, P]` int64 genomes.

    Raises:
        ValueError: If they have another shape or type, or a gene is no choice.
    """
    genomes = np.asarray(genomes)
    counts = np.asarray(space.choice_counts)
    shaped = genomes.ndim == 2 and genomes.shape[1] == counts.size
    if not (shaped and np.issubdtype(genomes.dtype, np.integer)):
        raise ValueError(
            f"Genomes must be [N, {counts.size}] integers. Received: "
            f"{genomes.dtype} of shape {genomes.shape}."
        )
    outside = np.argwhere((genomes < 0) | (genomes >= counts))
    if len(outside):
        row, gene = outside[0]
        raise ValueError(
            f"Gene {gene} ({space.parameters[gene].name}) must be from 0 to "
            f"{counts[gene] - 1}. Received: {genomes[row, gene]}."
        )
    canonical = space.canonical(genomes.astype(np.int64))
    return np.ascontiguousarray(canonical, np.int64)


def unseen(genomes: np.ndarray, seen: Collection[bytes] = ()) -> np.ndarray:
    """Drops repetitions, keeping the order.

    Args:
        genomes: `[N, P]`, as `check` returns them.
        seen: `tobytes()` of genomes to drop as well.

    Returns:
        `[K, P]`, every genome once.
    """
    rows: dict[bytes, int] = {}
    for row, genome in enumerate(genomes):
        rows.setdefault(genome.tobytes(), row)
    return genomes[[row for key, row in rows.items() if key not in seen]]


def mutate(
    space: SearchSpace,
    rng: np.random.Generator,
    genomes: np.ndarray,
    mutations: Any = 1,
) -> np.ndarray:
    """Gives genes another of their choices.

    Args:
        space: What the genomes belong to.
        rng: Where chance comes from.
        genomes: `[N, P]` parents.
        mutations: How many genes of each change, a number or `[N]`; every
            gene is equally likely.

    Returns:
        `[N, P]` children, not canonical. A child equals its parent if no gene
        has a second choice.
    """
    counts = np.asarray(space.choice_counts)
    free = np.flatnonzero(counts > 1)
    shape = (len(genomes), free.size)
    rank = np.argsort(np.argsort(rng.random(shape), axis=1), axis=1)
    changes = rank < np.reshape(mutations, (-1, 1))
    children = np.array(genomes, np.int64)
    steps = rng.integers(1, counts[free], shape) * changes
    children[:, free] = (children[:, free] + steps) % counts[free]
    return children


def crossover(
    rng: np.random.Generator,
    first: np.ndarray,
    second: np.ndarray,
    probability: float,
) -> np.ndarray:
    """Takes every gene from either of two parents (uniform crossover).

    Args:
        rng: Where chance comes from.
        first: `[N, P]` parents.
        second: `[N, P]` other parents.
        probability: Share of the children with two parents; the others
            equal their first one.

    Returns:
        `[N, P]` children, not canonical.
    """
    crossed = rng.random((len(first), 1)) < probability
    other = rng.random(first.shape) < 0.5
    return np.where(crossed & other, second, first)


def all_designs(space: SearchSpace) -> np.ndarray | None:
    """Every design of a small space.

    Args:
        space: What to enumerate.

    Returns:
        `[size, P]` canonical genomes, or `None` if there are more than
        `ENUMERABLE`.
    """
    counts = [int(count) for count in space.choice_counts]
    genomes = math.prod(counts)  # with inactive genes, more than designs
    if space.size > ENUMERABLE or genomes > 16 * ENUMERABLE:
        return None
    index = np.unravel_index(np.arange(genomes), counts)
    return unseen(check(space, np.stack(index, axis=1)))


def of_values(space: SearchSpace, values: Mapping[str, Any]) -> np.ndarray:
    """The genome of a whole design.

    Args:
        space: What the design belongs to.
        values: A value for every parameter, but for those that depend on
            others and may not be active; more are ignored.

    Returns:
        The `[P]` canonical genome.

    Raises:
        KeyError: If a value is missing.
        ValueError: If one is none of the choices.
    """
    optional = conditional(space)
    return space.genome(
        {
            parameter.name: values[parameter.name]
            for parameter in space.parameters
            if parameter.name in values or parameter.name not in optional
        }
    )


def conditional(space: SearchSpace) -> set[str]:
    """Names of the parameters that depend on others."""
    entries = space.hyperparameters().space
    return {entry.name for entry in entries if entry.conditions}


def fixed_genes(space: SearchSpace, design: Any) -> dict[int, int]:
    """The genes that a whole or partial design sets.

    Args:
        space: What the design belongs to.
        design: A `[P]` genome, or a mapping of some parameters to values.

    Returns:
        Choice indices by the position of the gene.

    Raises:
        ValueError: If a name or value is not part of the space.
    """
    if not isinstance(design, Mapping):
        return dict(enumerate(check(space, [design])[0].tolist()))
    names = [parameter.name for parameter in space.parameters]
    genes = {}
    for name, value in design.items():
        if name not in names:
            raise configuration.unknown("parameter", name, names)
        position = names.index(name)
        choices = list(space.parameters[position].choices)
        value = as_chosen(name, choices, value)
        if value not in choices:
            raise ValueError(
                f"{name} of a given design must be one of {choices}, the "
                f"choices of the space. Received: {value!r}."
            )
        genes[position] = choices.index(value)
    return genes


def complete(
    space: SearchSpace,
    rng: np.random.Generator,
    genes: Mapping[int, int],
    n: int,
) -> np.ndarray:
    """Draws designs that agree with fixed genes.

    Args:
        space: What is drawn from.
        rng: Where chance comes from.
        genes: Choice indices by the position of the gene.
        n: How many to draw.

    Returns:
        `[n, P]` genomes, not canonical.
    """
    # Not `space.sample`: genes inactive there may be active here.
    genomes = rng.integers(0, space.choice_counts, (n, len(space.parameters)))
    genomes[:, list(genes)] = list(genes.values())
    return genomes
