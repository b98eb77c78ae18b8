"""A made-up accuracy of a network, to compare search algorithms by.

It is nobody's accuracy. It has the size and the slope of published ones, so
that budgets bind as in a real search, and structure to be found beside them.
With `m` multiply-accumulates and `p` parameters

    accuracy = ceiling * sigmoid(a + b log10(m) + c log10(p) + structure)

The ceiling, `a`, `b` and `c` are fitted by least squares to the published pairs
of network and ImageNet top-1 in `configs/measurements`; so it saturates in
capacity. `structure` is a sum of terms, made up after what papers report:

| term    | rewards                                                          |
|---------|------------------------------------------------------------------|
| depth   | blocks, at one size of maps each less than the one before        |
| kernel  | 5x5 and, little more, 7x7 late in the network, with expansion    |
| fused   | fused blocks early, depthwise ones late                          |
| groups  | few groups, unless the block is wide                             |
| balance | widths that do not fall, and at most double, block to block      |

Noise, as between trainings that differ in their seed, is a function of the
network and the seed, so that a network trained twice gets the same.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.stage_values import kernel_sides
from tf_cosearch.networks.workload import LayerTable

NOISE = 0.003
"""Standard deviation of the noise, in shares of 1."""

_DEPTH, _KERNEL, _FUSED, _GROUPS, _BALANCE = 0.15, 1.0, 0.4, 0.1, 0.04
_SLACK = 1.0  # a width may double from one block to the next


class Fit(NamedTuple):
    """What the capacity of a network is worth, fitted to published ones.

    Attributes:
        ceiling: The accuracy that capacity approaches.
        constant: `a` of the formula.
        macs: `b` of the formula.
        params: `c` of the formula.
        error: Root mean square error over the published networks.
    """

    ceiling: float
    constant: float
    macs: float
    params: float
    error: float

    def accuracy(self, macs: float, params: float, structure: float) -> float:
        """The formula.

        Args:
            macs: Multiply-accumulates of an inference.
            params: Parameters of the network.
            structure: What `structure` says of its blocks.

        Returns:
            An accuracy from 0 to 1.
        """
        logit = (
            self.constant
            + self.macs * math.log10(macs)
            + self.params * math.log10(params)
            + structure
        )
        return self.ceiling / (1 + math.exp(-logit))


class Published(NamedTuple):
    """A published pair.

    Attributes:
        network: The network, at the size of image it was trained for.
        accuracy: Its top-1 accuracy on ImageNet, from 0 to 1.
        macs: Multiply-accumulates by the same source; 0 if it has none.
    """

    network: Network
    accuracy: float
    macs: float


def published() -> list[Published]:
    """Reads the published pairs of network and accuracy."""
    path = configuration.shipped("measurements", "published_accuracies.csv")
    with path.open(newline="") as file:
        return [
            Published(
                load_network(row["model"], (int(row["input_px"]),) * 2 + (3,)),
                float(row["top1_percent"]) / 100,
                1e6 * float(row["macs_m"] or 0),
            )
            for row in csv.DictReader(file)
        ]


@functools.cache
def fit() -> Fit:
    """Fits the formula to the published pairs.

    The ceiling is the one of a grid that leaves the least error; the rest is
    linear least squares of the logits.

    Returns:
        The `Fit`.

    Example:
    >>> round(fit().error, 3)
    0.017
    """
    pairs = published()
    terms = np.asarray(
        [
            [1, math.log10(pair.network.macs), math.log10(pair.network.params)]
            for pair in pairs
        ]
    )
    structures = np.asarray([structure(pair.network.blocks) for pair in pairs])
    accuracies = np.asarray([pair.accuracy for pair in pairs])
    fits = []
    for ceiling in np.arange(0.82, 1.0, 0.01):
        logits = np.log(accuracies / (ceiling - accuracies)) - structures
        a, b, c = np.linalg.lstsq(terms, logits, rcond=None)[0].tolist()
        fitted = terms @ [a, b, c] + structures
        errors = ceiling / (1 + np.exp(-fitted)) - accuracies
        error = float(np.sqrt(np.mean(errors**2)))
        fits.append(Fit(float(ceiling), a, b, c, error))
    return min(fits, key=lambda fitted: fitted.error)


def structure(blocks: Sequence[BlockSpec]) -> float:
    """What the blocks of a network add to its logit.

    Args:
        blocks: All blocks of a network, stem and head among them.

    Returns:
        A number around 0; 0.05 is a percent of accuracy.
    """
    body = [spec for spec in blocks if "/" in spec.path]  # no stem, no head
    steps = np.cumsum([spec.stride == 2 for spec in body])
    places = ((1 + steps) / (1 + steps[-1])).tolist()  # 1 where maps are least
    depth = kernel = fused = groups = balance = 0.0
    for place, run in itertools.groupby(places):
        depth += (0.5 + place) * (1 - 0.75 ** len(list(run)))
    for place, spec in zip(places, body, strict=True):
        options = dict(spec.options)
        expansion = options.get("expansion", 6)
        taps = math.prod(kernel_sides(options.get("kernel_size", 3)))
        expanded = expansion / (expansion + 3)
        kernel += (place - 0.4) * expanded * (1 - 9 / max(taps, 9))
        fused += (0.6 - place) * (spec.block == "fused_inverted_residual")
        narrow = min(1, 64 / spec.filters)
        groups -= narrow * math.log2(options.get("groups", 1))
    for before, after in itertools.pairwise(body):
        growth = abs(math.log2(after.filters / before.filters))
        falls = after.filters < before.filters
        balance -= max(0.0, growth - _SLACK * (not falls)) ** 2
    return (
        _DEPTH * depth
        + (_KERNEL * kernel + _FUSED * fused + _GROUPS * groups) / len(body)
        + _BALANCE * balance
    )


class RandomFunction:
    """A neural network of random weights, as a function of choices.

    Two hidden layers of tanh on one column for each choice of each parameter,
    with weights so large that units saturate. So what a choice is worth turns
    on all the others.

    Args:
        counts: Choices of each parameter.
        genes: `[N, P]` over which the function has mean 0 and deviation 1.
        seed: Of the weights.

    Example:
    >>> genes = np.indices((3, 3)).reshape(2, -1).T
    >>> function = RandomFunction([3, 3], genes, seed=0)
    >>> values = np.asarray([function(pair) for pair in genes])
    >>> bool(abs(values.mean()) < 1e-9), bool(abs(values.std() - 1) < 1e-9)
    (True, True)

    Reference: Poole et al., Exponential expressivity in deep neural networks
    through transient chaos, NeurIPS 2016: such weights make it complex.
    """

    WIDTH = 64
    GAIN = 3.0

    def __init__(
        self, counts: Sequence[int], genes: np.ndarray, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        self._first = np.cumsum([0, *counts[:-1]])
        scale = self.GAIN / math.sqrt(len(counts))
        self._table = rng.normal(0, scale, (sum(counts), self.WIDTH))
        scale = self.GAIN / math.sqrt(self.WIDTH)
        self._hidden = rng.normal(0, scale, (self.WIDTH, self.WIDTH))
        self._last = rng.normal(0, 1, self.WIDTH)
        self._mean, self._std = 0.0, 1.0
        values = [self(row) for row in genes]
        self._mean, self._std = float(np.mean(values)), float(np.std(values))

    def __call__(self, genes: Sequence[int] | np.ndarray) -> float:
        """The value of `[P]` choice indices."""
        columns = self._first + np.asarray(genes)
        units = np.tanh(self._table[columns].sum(axis=0))
        value = np.tanh(units @ self._hidden) @ self._last
        return float((value - self._mean) / self._std)


def noise(key: bytes, seed: int) -> float:
    """The noise of a network: normal, of standard deviation `NOISE`.

    Args:
        key: What tells the network from others.
        seed: Of the landscape.

    Returns:
        The same number for the same arguments, on any machine.

    Example:
    >>> noise(b"a", 0) == noise(b"a", 0) != noise(b"a", 1)
    True
    """
    digest = hashlib.sha256(b"%d " % seed + key).digest()
    uniform = (int.from_bytes(digest[:6], "big") + 0.5) / 2**48
    return statistics.NormalDist(0, NOISE).inv_cdf(uniform)


def capacity(rows: np.ndarray) -> tuple[float, float]:
    """Multiply-accumulates and parameters of the layers of a network.

    Args:
        rows: `[L, F]`, see `workload.to_array`.

    Returns:
        Both, the same as `Network.macs` and `Network.params`.
    """
    table = LayerTable(*rows.T.astype(np.float64))
    weights = table.out_c * table.in_c / table.groups * table.k_h * table.k_w
    operands = table.is_mac * weights
    macs = operands @ (table.out_h * table.out_w)
    params = table.has_weights @ (operands + table.use_bias * table.out_c)
    return float(macs), float(params)
