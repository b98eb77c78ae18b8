"""Asks the cost model what genomes cost, and what follows from that.

Where an evaluator measures, the model is corrected by what that has found, and
a design that was measured costs what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tf_cosearch import accelerators as accelerators_lib
from tf_cosearch.accelerators import (
    Accelerator,
    families,
    pipelines,
    power,
    presets,
)
from tf_cosearch.cost import balance
from tf_cosearch.cost.costs import SCALARS
from tf_cosearch.metrics.values import Designs, Values
from tf_cosearch.networks.workload import LayerTable, pad
from tf_cosearch.search import genomes as genome_arrays
from tf_cosearch.search.budgets import MORE_MEMORY, TRAINING
from tf_cosearch.search.correction import Correction
from tf_cosearch.search.reach import Reach

if TYPE_CHECKING:
    from tf_cosearch.cost.price_list import PriceList
    from tf_cosearch.search.space import SearchSpace


LISTS = 8
"""Groups of accelerators whose prices of layers are kept; most are small."""

MOST_BYTES = 2**28
"""Memory for each at most."""

SLACK = 2.0
"""What several chips are predicted to cost may be too much by this factor."""

_IF_CUT = ("latency_ms", "energy_mj", "power_mw", "throughput_fps")


class Pricer:
    """Prices designs in batches and remembers those asked to.

    Args:
        space: What the genomes belong to.
        batch: Most designs to price at once. Fewer are padded to a power of
            two, so that the cost model meets few different shapes.
        estimate: Prices `space.batch(genomes)`; defaults to the cost model.

    Attributes:
        reach: Which networks may be priced now.
        correction: From what the model says to what is measured.
        ask: From a canonical genome to all its values as an evaluator says
            that needs no file, `None` if it refuses; `None` without such.
        leaves_out: Why some of what was priced will not be trained here, if
            there was such a design; else empty.
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
        # A space without networks is a toy.
        self._has_layers = hasattr(space, "networks")
        self._lists: dict[bytes, PriceList] = {}  # the last used last
        self._analytic: dict[bytes, dict[str, float]] = {}
        self._measured: dict[bytes, dict[str, float]] = {}
        self._known: dict[bytes, dict[str, float]] = {}
        self.correction = Correction()
        self.reach = Reach(space)
        self.ask: Callable[[np.ndarray], Mapping[str, float] | None] | None
        self.ask = None
        self._needs: Callable[[LayerTable], np.ndarray] | None = None
        self._room = 0
        self.leaves_out = ""

    def __getstate__(self) -> dict[str, Any]:
        """Without lists of prices, which are large and soon made again."""
        return {**vars(self), "_lists": {}}

    def limit_training(
        self, needs: Callable[[LayerTable], np.ndarray], room: int
    ) -> None:
        """Lets no design pass any more whose training does not fit.

        Args:
            needs: From the layers `[N, L]` of networks to the `[N]` bytes
                that training each takes.
            room: Bytes that there are.
        """
        if self._has_layers:
            self._needs, self._room = needs, room

    def limit_as(self, other: Pricer) -> None:
        """Lets the same designs pass as another one, at the same costs."""
        self._needs, self._room = other._needs, other._room
        self.correction = other.correction

    def _lacks(self, layers: LayerTable) -> dict[str, np.ndarray]:
        """The bytes that trainings of some networks `[N, L]` lack."""
        if self._needs is None:
            return {}
        missing = np.maximum(self._needs(layers) - self._room, 0)
        if missing.any():
            self.leaves_out = (
                "Networks whose training takes more than "
                f"{self._room / 2**30:.3g} GiB are not proposed, as there is "
                f"no more memory for one here. {MORE_MEMORY} for larger ones"
            )
        return {TRAINING: missing}

    def why_not_trained(self, genome: np.ndarray) -> str:
        """Why a canonical genome cannot be trained here; empty if it can."""
        if self._needs is None:
            return ""
        layers, _ = self._space.batch(genome[None])
        needed = float(self._needs(layers)[0])
        if needed <= self._room:
            return ""
        return (
            "A training must fit the memory that this machine has for one, "
            f"{self._room / 2**30:.3g} GiB. Received: a network that takes "
            f"{needed / 2**30:.3g} GiB. {MORE_MEMORY}."
        )

    def __call__(self, genomes: Any) -> Values:
        """Prices designs.

        Args:
            genomes: `[N, P]` choice indices.

        Returns:
            `[N]` float64 numbers for each scalar of `Cost`, and the metrics
            that follow.

        Raises:
            ValueError: If a genome is not inside the space.
        """
        return self.price(genome_arrays.check(self._space, genomes))

    def price(self, genomes: np.ndarray) -> Values:
        """Like a call, for genomes that are known to be canonical."""
        return self.correction(self.analytic(genomes))

    def analytic(self, genomes: np.ndarray) -> Values:
        """The same by the model alone, whatever was measured."""
        return Values(self._priced(genomes), self.designs(genomes))

    def forecast(self, genomes: np.ndarray) -> tuple[Values, Values]:
        """What designs cost as predicted, and what they may cost at best.

        Of several chips what is predicted before an evaluator is asked is off
        by a factor of `SLACK`: more if weights find room on several chips
        that do not on one. Of one chip both are the same.

        Args:
            genomes: `[N, P]` canonical.
        """
        analytic = self.analytic(genomes)
        predicted = self.correction(analytic)
        if self.ask is None or not self._has_layers:
            return predicted, predicted
        split = self._space.num_network_parameters
        chips = self._space.chips(genomes[:, split:])
        are_several = sum(chips.values()) > 1
        numbers = {}
        for name in {*_IF_CUT} & {*self.correction.names}:
            each = analytic[name], predicted[name]
            best = np.minimum(*each) / SLACK
            if name == "throughput_fps":
                best = np.maximum(*each) * SLACK
            numbers[name] = np.where(are_several, best, predicted[name])
        return predicted, predicted.replaced(numbers)

    def designs(self, genomes: np.ndarray) -> Callable[[Any], Designs] | None:
        """Makes what metrics ask of designs; None of a space without any.

        Args:
            genomes: `[N, P]`, canonical.
        """

        def make(rows: Any) -> Designs:
            layers, accelerator = self._space.batch(genomes[rows])
            return Designs(layers.arrays(), accelerator)

        return make if self._has_layers else None

    def _priced(self, genomes: np.ndarray) -> dict[str, np.ndarray]:
        """`[N]` float64 numbers for each scalar of the estimate."""
        count = len(genomes)
        batch = min(self._batch, 1 << max(count - 1, 0).bit_length())
        batches = max(1, -(-count // batch))
        padded = np.resize(genomes, (batches * batch, genomes.shape[1]))
        priced = [self._scalars(part) for part in np.split(padded, batches)]
        return {
            name: np.concatenate([part[name] for part in priced])[:count]
            for name in priced[0]
        }

    def _over(
        self,
        genomes: np.ndarray,
        costs: Mapping[str, Any],
        layers: Callable[[], LayerTable],
    ) -> dict[str, np.ndarray]:
        """What of costs of one chip another one has that is cut over several.

        Area is exact, the rest that of stages of any size, see `cost.balance`;
        an evaluator says what it really is.

        Args:
            genomes: `[H, A]` genes of accelerators.
            costs: On one of them, `[H]`, or of N networks `[N, H]`.
            layers: Gives those of the networks, `[H, L]` or `[N, L]`.
        """
        counts = self._space.chips(genomes)
        counts = {name: count for name, count in counts.items() if count.any()}
        own = counts.pop(pipelines.OWN)
        if not counts and (own == 1).all():
            return {}
        chips = self._space.accelerators(genomes)
        kinds = [_kind(own, costs, chips)]
        for name, count in counts.items():
            chip = presets.load_accelerator(name)
            alone = self._on_preset(chip, layers())
            if np.ndim(costs["latency_ms"]) > 1:  # networks by accelerators
                alone = {each: value[:, None] for each, value in alone.items()}
            kinds.append(_kind(count, alone, chip))
        is_one = sum(counts.values(), own) == 1
        return {
            name: np.where(is_one, costs.get(name, value), value)
            for name, value in balance.over(kinds).items()
        }

    def _on_preset(
        self, chip: Accelerator, layers: LayerTable
    ) -> dict[str, np.ndarray]:
        """What networks cost on a preset, `[N]` each."""
        from tf_cosearch.cost import model

        count = len(layers.columns()[0])
        values = {
            path: np.full(count, value, np.float32)
            for path, value in accelerators_lib.to_paths(chip).items()
        }
        family = families.name_of(chip)
        many = accelerators_lib.from_paths(values, family)
        cost = (self._estimate or model.estimate)(layers, many)
        return {
            name: np.asarray(getattr(cost, name), np.float64)
            for name in ("latency_ms", "energy_mj", "area_mm2")
        }

    def within_reach(
        self, genomes: np.ndarray, are_given: bool = False
    ) -> np.ndarray:
        """The designs that may be priced now, of some that are suggested.

        Those of a network that is out of reach lend their accelerators to the
        networks within, in turns.

        Args:
            genomes: `[N, P]` canonical, the most wanted first.
            are_given: Whether a user wants these; else known networks take
                their place if none of them is within reach.

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
        if not len(networks) and not are_given:
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

    def grid(self, networks: np.ndarray, accelerators: np.ndarray) -> Values:
        """Prices every network on every accelerator.

        Args:
            networks: `[N, S]` canonical genes of networks.
            accelerators: `[H, A]` genes of accelerators.

        Returns:
            `[N, H]` numbers for each scalar of `Cost`, and the metrics that
            follow. With the cost model, float32, and equal to `price` but for
            the order of sums.
        """
        costs: dict[str, Any]
        if self._estimate is None:
            priced = self._price_list(accelerators).costs(
                self._space.networks(networks)
            )
            costs = {name: getattr(priced, name) for name in SCALARS}
            costs |= self._over(
                accelerators, costs, lambda: pad(self._space.networks(networks))
            )
            if self._needs is not None:
                lacks = self._lacks(pad(self._space.networks(networks)))
                shape = costs["latency_ms"].shape
                costs |= {
                    name: np.broadcast_to(missing[:, None], shape)
                    for name, missing in lacks.items()
                }
        else:
            shape = (len(networks), len(accelerators))
            rows, columns = np.indices(shape).reshape(2, -1)
            pairs = np.concatenate(
                [networks[rows], accelerators[columns]], axis=1
            )
            costs = {
                name: values.reshape(shape)
                for name, values in self._priced(pairs).items()
            }

        def designs(rows: Any) -> Designs:
            table = pad(self._space.networks(networks[rows])).arrays()
            return Designs(
                LayerTable(*(field[:, None] for field in table)),
                self._space.accelerators(accelerators),
            )

        return self.correction(
            Values(costs, designs if self._has_layers else None)
        )

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
        self, genomes: np.ndarray, values: Values | None = None
    ) -> None:
        """Keeps all values of some canonical genomes for `of`.

        But not whether they can be trained here, as they may be trained.

        Args:
            genomes: `[N, P]`.
            values: What `analytic` has said of them, if it has.
        """
        columns = dict(self.analytic(genomes) if values is None else values)
        columns.pop(TRAINING, None)
        for row, genome in enumerate(genomes):
            self._analytic[genome.tobytes()] = {
                name: float(column[row]) for name, column in columns.items()
            }

    def of(self, genome: np.ndarray) -> dict[str, float]:
        """All values of one canonical genome: measured, or else predicted."""
        key = genome.tobytes()
        if not self.correction.names:
            return self.analytic_of(genome)
        if key not in self._known:
            if key in self._measured:
                costs = self.overlaid(genome, self._measured[key])
            else:
                costs = _numbers(self.correction(self._row(genome)))
            self._known[key] = costs
        return dict(self._known[key])

    def analytic_of(self, genome: np.ndarray) -> dict[str, float]:
        """All values of one canonical genome, by the model alone."""
        key = genome.tobytes()
        if key not in self._analytic:
            self.remember(genome[None])
        return dict(self._analytic[key])

    def overlaid(
        self, genome: np.ndarray, measured: Mapping[str, float]
    ) -> dict[str, float]:
        """All values of one canonical genome, some of them measured.

        Args:
            genome: `[P]`.
            measured: Numbers by name; what follows from them follows.
        """
        numbers = {name: np.full(1, each) for name, each in measured.items()}
        return _numbers(self._row(genome).replaced(numbers))

    def learn(
        self,
        genome: np.ndarray,
        measured: Mapping[str, float],
        is_trained: bool = True,
    ) -> None:
        """Takes what was measured of one canonical genome for what it costs.

        Args:
            genome: `[P]`.
            measured: Numbers by name.
            is_trained: Whether it was measured of a trained file, which goes
                before one that is not, whichever is told first.
        """
        key = genome.tobytes()
        if key in self._measured and not is_trained:
            return
        self._measured[key] = dict(measured)
        self.correction.add(key, self._row(genome), measured)
        self._known.clear()

    def _row(self, genome: np.ndarray) -> Values:
        costs = self.analytic_of(genome)
        return Values(
            {name: np.full(1, each) for name, each in costs.items()},
            self.designs(genome[None]),
        )

    def of_all(self, genomes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """The same of some, `[N]` numbers by name."""
        values = [self.of(genome) for genome in genomes]
        return {
            name: np.asarray([each[name] for each in values])
            for name in values[0]
        }

    def _scalars(self, genomes: np.ndarray) -> dict[str, np.ndarray]:
        layers, accelerators = self._space.batch(genomes)
        if self._estimate is None:  # only pricing needs TensorFlow
            from tf_cosearch.cost import model

            cost = model.estimate(layers, accelerators)
        else:
            cost = self._estimate(layers, accelerators)
        costs = {
            name: np.asarray(value, np.float64)
            for name, value in cost._asdict().items()
            if len(getattr(value, "shape", ())) == 1
        }
        if self._has_layers:
            split = self._space.num_network_parameters
            costs |= self._over(genomes[:, split:], costs, lambda: layers)
        return costs | self._lacks(layers)


def _kind(
    count: np.ndarray, costs: Mapping[str, Any], chips: Accelerator
) -> balance.Kind:
    """Chips of a pipeline, and what networks cost on one of them."""
    return balance.Kind(
        count=count,
        latency_ms=costs["latency_ms"],
        energy_mj=costs["energy_mj"],
        area_mm2=costs["area_mm2"],
        start_ms=np.asarray(chips.runtime.inference_us, np.float64) / 1e3,
        idle_mw=np.asarray(power.idle_mw(chips), np.float64),
    )


def _numbers(values: Values) -> dict[str, float]:
    """What is known of one design, as plain numbers."""
    return {name: float(column[0]) for name, column in values.items()}
