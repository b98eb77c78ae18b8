"""What a family of accelerators must do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tensorflow as tf

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, families, presets
from tf_cosearch.benchmark.random_tables import (
    random_accelerators,
    random_layers,
)
from tf_cosearch.cost.costs import Cost, bounds, energy_parts
from tf_cosearch.cost.explain import complexity
from tf_cosearch.cost.explain.advice import advise
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.price_list import PriceList
from tf_cosearch.networks.workload import Layer, LayerTable, pad
from tf_cosearch.testing.requirement import require

_NETWORK = (
    Layer("image", "conv2d", 56, 56, 24, 112, 112, 3, 3, 3, 2, 2),
    Layer("expand", "conv2d", 56, 56, 144, 56, 56, 24),
    Layer(
        "depthwise",
        "depthwise_conv2d",
        28,
        28,
        144,
        56,
        56,
        144,
        3,
        3,
        2,
        2,
        groups=144,
    ),
    Layer("project", "conv2d", 28, 28, 64, 28, 28, 144),
    Layer("conv", "conv2d", 28, 28, 64, 28, 28, 64, 3, 3),
    Layer("add", "elementwise", 28, 28, 64, 28, 28, 64, side_elements=50176),
    Layer("mean", "pool", 1, 1, 64, 28, 28, 64, 28, 28),
    Layer("dense", "dense", 1, 1, 1000, 1, 1, 64),
)
_ROUNDING = 1 + 1e-5
_SPEED_UP = re.compile(r"([\d.]+)x as fast")


class FamilySuite:
    """Tests of the family called `name`, one of `families.names()`.

    Attributes:
        name: The family's name.
        may_slow: Parameters of which more may cost time, as what is built
            has to be passed through.
        slack: How much slower a network may get of more of any other, as a
            mapper does not try all there is.
        keeps_batches: Whether five images of 112 pixels find room in the
            memory of the baseline, so that none of them is spilled.
    """

    name: str
    may_slow: tuple[str, ...] = ()
    slack: float = 0.0
    keeps_batches: bool = True

    def default(self) -> Accelerator:
        """The baseline."""
        return accelerators.default(self.name)

    def random(self, count: int) -> tuple[LayerTable, Accelerator, Cost]:
        """Layers on accelerators that the search may choose, and their cost."""
        table = random_layers(count, 12)
        chips = random_accelerators(count, family=self.name)
        return table, chips, estimate(table, chips, per_layer=True)

    def test_says_what_it_is_made_of(self) -> None:
        """Names that others ask for belong to it."""
        family, paths = (
            families.get(self.name),
            accelerators.parameters(self.name),
        )
        require(family.memory in family.bounds, f"{family.memory} is no bound")
        require(
            family.memory in family.energy_parts,
            f"{family.memory} takes no energy",
        )
        require(family.bounds[0] == "compute", "compute is not the first bound")
        named = [
            *family.array,
            *family.shape,
            *family.off_chip,
            *(path for paths in family.relief.values() for path in paths),
            *(path for each in family.relations.values() for path in each),
        ]
        unknown = sorted(set(named) - set(paths))
        require(not unknown, f"{self.name} has no {', '.join(unknown)}")
        waits = {*family.bounds[1:], "dram"}
        require(set(family.relief) == waits, f"relief of other than {waits}")

    def test_baseline_can_be_saved(self, tmp_path: Any) -> None:
        """A preset of it is read as what it was."""
        path = tmp_path / "chip.yaml"
        presets.save_accelerator(self.default(), path)
        require(presets.load_accelerator(path) == self.default(), "is another")

    def test_costs_add_up(self) -> None:
        """Finite, positive, and the parts of energy are all of it."""
        table, chips, _ = self.random(64)
        standing = {"process/clocked_share": 0.5, "dram/idle_mw": 10.0}
        chips = accelerators.replace(chips, standing)
        cost = estimate(table, chips, per_layer=True)
        for name in ("latency_ms", "energy_mj", "area_mm2"):
            values = getattr(cost, name).numpy()
            require(bool((values > 0).all()), f"{name}: {values}")
            require(bool(np.isfinite(values).all()), f"{name}: {values}")
        require(
            len(cost.energy_parts_mj) == len(energy_parts(chips)),
            "parts of energy without a name, or the other way round",
        )
        require(
            len(cost.layers.busy_cycles) == len(bounds(chips)),
            "bounds without a name, or the other way round",
        )
        total = np.sum([part.numpy() for part in cost.energy_parts_mj], 0)
        np.testing.assert_allclose(total, cost.energy_mj.numpy(), rtol=1e-4)

    def test_never_faster_than_the_roofline(self) -> None:
        """Neither than the multipliers nor than the DRAM."""
        _, chips, cost = self.random(256)
        clock_ghz = chips.process.clock_ghz
        cycles = cost.latency_ms.numpy() * clock_ghz * 1e6 * _ROUNDING
        least = cost.macs.numpy() / chips.macs_per_cycle()
        require(bool((cycles >= least).all()), "above the peak")
        dram = chips.dram.cycles(cost.dram_bytes.numpy(), clock_ghz)
        require(bool((cycles >= dram).all()), "faster than the DRAM")
        by_layer = cost.layers
        busiest = np.max(
            [busy.numpy() for busy in by_layer.busy_cycles[:-1]], 0
        )
        require(
            bool((by_layer.cycles.numpy() * _ROUNDING >= busiest).all()),
            "a layer faster than its busiest component",
        )

    def test_more_is_never_slower(self) -> None:
        """Twice or four times of anything that is searched."""
        values = accelerators.to_paths(self.default())
        for path, held in accelerators.parameters(self.name).items():
            if held.words or not held.choices or path in self.may_slow:
                continue
            sizes = [values[path] * factor for factor in (0.5, 1, 2, 4)]
            sizes = [min(max(size, held.low), held.high) for size in sizes]
            if held.integer:
                sizes = [float(int(size)) for size in sizes]
            chips = accelerators.from_paths(
                {path: np.asarray(sizes, np.float32)}, self.name
            )
            table = pad([_NETWORK] * len(sizes))
            times = estimate(table, chips).latency_ms.numpy()
            bound = times[:-1] * (_ROUNDING + self.slack)
            require(bool((times[1:] <= bound).all()), f"{path}: {times}")

    def test_area_grows_with_what_is_built(self) -> None:
        """More of what is built is not free; more of a setting costs none."""
        for path, held in accelerators.parameters(self.name).items():
            if held.words or not held.choices:
                continue
            sizes = np.asarray(held.choices, np.float32)
            chips = accelerators.from_paths({path: sizes}, self.name)
            step = np.diff(np.broadcast_to(chips.area_mm2(), sizes.shape))
            good = (step > 0).all() or (step == 0).all()
            require(bool(good), f"{path}: {step}")

    def test_batch_equals_singles(self) -> None:
        """No candidate feels its neighbours in a batch."""
        table, chips, cost = self.random(6)
        for row in range(6):
            alone = estimate(
                LayerTable(
                    *(np.asarray(f)[row : row + 1] for f in table.columns())
                ),
                tf.nest.map_structure(
                    lambda f, row=row: f[row] if np.ndim(f) else f, chips
                ),
            )
            for name in ("latency_ms", "energy_mj", "area_mm2"):
                np.testing.assert_allclose(
                    getattr(alone, name).numpy()[0],
                    getattr(cost, name).numpy()[row],
                    rtol=2e-6,
                )

    def test_price_lists_agree(self) -> None:
        """Two ways to price, one answer."""
        chips = random_accelerators(200, family=self.name)
        networks = [_NETWORK, _NETWORK[2:]]
        priced = PriceList(chips).costs(networks)
        for row, network in enumerate(networks):
            cost = estimate(pad([network] * 200), chips)
            for name in ("latency_ms", "energy_mj", "area_mm2", "dram_bytes"):
                np.testing.assert_allclose(
                    getattr(priced, name)[row],
                    getattr(cost, name).numpy(),
                    rtol=1e-5,
                )

    def test_images_together_cost_no_more_than_one_by_one(self) -> None:
        """What is worked on together shares weights, starts and filling."""
        table = pad([_NETWORK])
        one = estimate(table, self.default())
        for images in (2, 5):
            cost = estimate(table, self.default(), batch_size=images)
            macs = float(cost.macs[0])
            require(macs == images * float(one.macs[0]), f"MACs: {macs}")
            for name in ("latency_ms", "energy_mj", "dram_bytes"):
                alone, together = (
                    float(getattr(each, name)[0]) for each in (one, cost)
                )
                told = f"{name} of {images} images: {together}, of one: {alone}"
                require(alone <= together, told)
                if name == "latency_ms" or self.keeps_batches:
                    require(together <= alone * images * _ROUNDING, told)
            least = macs / (
                self.default().macs_per_cycle()
                * self.default().process.clock_ghz
                * 1e6
            )
            slow_enough = float(cost.latency_ms[0]) * _ROUNDING >= least
            require(bool(slow_enough), f"{images} images above the peak")

    def test_advice_is_possible_and_true(self) -> None:
        """Every change exists, and does of a layer what is said of it."""
        chip, count = self.default(), 0
        bandwidth = chip.dram.bandwidth_gbs
        starved = {"dram/bandwidth_gbs": bandwidth / 8}
        slow = {"dram/bandwidth_gbs": 64 * bandwidth}
        slow |= {"runtime/memory_share": 0.1}
        waits: set[str] = set()
        for handicap in ({}, starved, slow):
            machine = accelerators.replace(chip, handicap)
            tried: dict[tuple[tuple[str, float], ...], Cost] = {}
            answers = advise(_NETWORK, machine)
            before = estimate(pad([_NETWORK]), machine, per_layer=True)
            for row, answer in enumerate(answers):
                require(answer.advice.strip() != "", f"layer {row}: no advice")
                said = _SPEED_UP.findall(answer.advice)
                for number, change in enumerate(answer.changes):
                    for path, value in change.items():
                        presets.check_value(path, value, "advice", self.name)
                    key = tuple(change.items())
                    if key not in tried:
                        better = accelerators.replace(machine, change)
                        table = pad([_NETWORK])
                        tried[key] = estimate(table, better, per_layer=True)
                    old, new = (
                        float(cost.layers.latency_ms[0, row])
                        for cost in (before, tried[key])
                    )
                    promised = float(said[min(number, len(said) - 1)])
                    np.testing.assert_allclose(old / new, promised, rtol=0.01)
                    count += 1
                waits.add(re.split(r"[ :]", answer.advice)[0])
        memory = families.get(self.name).memory
        known = {"compute", "dram", memory}
        require(waits >= known, f"nothing waits for {known - waits}")
        require(count > 0, "no change is proposed")

    def test_layers_are_explained(self) -> None:
        """Every layer has a mapping in words, and a place on the roofline."""
        points = complexity.roofline(_NETWORK, self.default())
        for row in points["layers"]:
            require(
                row["achieved_tops"] <= row["attainable_tops"] * _ROUNDING,
                f"above its roof: {row}",
            )
        family = families.get(self.name)
        cost = estimate(pad([_NETWORK]), self.default(), per_layer=True)
        words = [family.describe(int(m)) for m in cost.layers.mapping[0]]
        require(all(words), f"a mapping without words: {words}")
