"""Asks the cost model what genomes cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.reach import Reach

if TYPE_CHECKING:
    from tf_cosearch.cost.price_list import PriceList
    from tf_cosearch.search.space import SearchSpace


LISTS = 8
"""Groups of accelerators whose prices of layers are kept; most are small."""

MOST_BYTES = 2**28
"""Memory for each at most."""


class Pricer:
    """Prices designs in batches and remembers those asked to.

    Args:
        space: What the genomes belong to.
        batch: Most designs to price at once. Fewer are padded to a power of
            two, so that the cost model meets few different shapes.
        estimate: Prices `space.batch(genomes)`; defaults to the cost model.

    Attributes:
        reach: Which networks may be priced now.
    """

    def __init__(
        self,
        space: SearchSpace,
        batch: int,
        estimate: Callable[..., Any] | None = None,
    ) -> None:
        self._space = space
        self._batch = batch
        self._estimate = estimate
        self._lists: dict[bytes, PriceList] = {}  # the last used last
        self._known: dict[bytes, dict[str, float]] = {}
        self.reach = Reach(space)

    def __call__(self, genomes: Any) -> dict[str, np.ndarray]:
        """Prices designs.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N]` float64 numbers for each scalar of `Cost`.

        Raises:
            ValueError: If a genome is not inside the space.
        """
        return self.price(genome_arrays.check(self._space, genomes))

    def price(self, genomes: np.ndarray) -> dict[str, np.ndarray]:
        """Like a call, for genomes that are known to be canonical."""
        count = len(genomes)
        batch = min(self._batch, 1 << max(count - 1, 0).bit_length())
        batches = max(1, -(-count // batch))
        padded = np.resize(genomes, (batches * batch, genomes.shape[1]))
        priced = [self._scalars(part) for part in np.split(padded, batches)]
        return {
            name: np.concatenate([part[name] for part in priced])[:count]
            for name in priced[0]
        }

    def within_reach(self, genomes: np.ndarray) -> np.ndarray:
        """The designs that may be priced now, of some that are suggested.

        Those of a network that is out of reach lend their accelerators to the
        networks within, in turns.

        Args:
            genomes: `[N, P]` canonical, the most wanted first.

        Returns:
            `[K, P]` canonical, those as suggested first; all of them if no
            network has to be built.
        """
        if not self.reach.is_limited:
            return genomes
        split = self._space.num_network_parameters
        within = self.reach.mask(genomes[:, :split])
        lent = genomes[~within]
        networks = genome_arrays.unseen(
            np.ascontiguousarray(genomes[within, :split])
        )
        if not len(networks):
            networks = self.reach.known()
        if len(networks):
            turns = np.arange(len(lent)) % len(networks)
            lent[:, :split] = networks[turns]
        else:
            lent = lent[:0]
        # Building may have shown that two are one.
        return genome_arrays.check(
            self._space, np.concatenate([genomes[within], lent])
        )

    def grid(
        self, networks: np.ndarray, accelerators: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Prices every network on every accelerator.

        Args:
            networks: `[N, S]` canonical genes of networks.
            accelerators: `[H, A]` genes of accelerators.

        Returns:
            `[N, H]` numbers for each scalar of `Cost`. With the cost model,
            float32, and equal to `price` but for the order of sums.
        """
        if self._estimate is None:
            costs = self._price_list(accelerators).costs(
                self._space.networks(networks)
            )
            return {
                name: value
                for name, value in costs._asdict().items()
                if value is not None
            }
        shape = (len(networks), len(accelerators))
        rows, columns = np.indices(shape).reshape(2, -1)
        pairs = np.concatenate([networks[rows], accelerators[columns]], axis=1)
        return {k: v.reshape(shape) for k, v in self.price(pairs).items()}

    def _price_list(self, genomes: np.ndarray) -> PriceList:
        """The prices on some accelerators; the last lists are kept."""
        from tf_cosearch.cost.price_list import PriceList

        key = genomes.tobytes()
        prices = self._lists.pop(key, None)
        if prices is None:
            prices = PriceList(
                self._space.accelerators(genomes), most_bytes=MOST_BYTES
            )
            while len(self._lists) >= LISTS:
                self._lists.pop(next(iter(self._lists)))
        self._lists[key] = prices
        return prices

    def remember(
        self, genomes: np.ndarray, costs: Mapping[str, np.ndarray]
    ) -> None:
        """Keeps the costs of some canonical genomes for `of`."""
        for row, genome in enumerate(genomes):
            self._known[genome.tobytes()] = {
                name: float(values[row]) for name, values in costs.items()
            }

    def of(self, genome: np.ndarray) -> dict[str, float]:
        """The costs of one canonical genome."""
        if genome.tobytes() not in self._known:
            self.remember(genome[None], self.price(genome[None]))
        return dict(self._known[genome.tobytes()])

    def of_all(self, genomes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The same of some, `[N]` numbers for each scalar of `Cost`."""
        costs = [self.of(genome) for genome in genomes]
        return {
            name: np.asarray([cost[name] for cost in costs])
            for name in costs[0]
        }

    def _scalars(self, genomes: np.ndarray) -> dict[str, np.ndarray]:
        if self._estimate is None:  # only pricing needs TensorFlow
            from tf_cosearch.cost import model

            cost = model.estimate(*self._space.batch(genomes))
        else:
            cost = self._estimate(*self._space.batch(genomes))
        return {
            name: np.asarray(value, np.float64)
            for name, value in cost._asdict().items()
            if len(getattr(value, "shape", ())) == 1
        }
