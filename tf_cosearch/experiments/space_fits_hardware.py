"""Does the space of networks have to fit the accelerator?"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.benchmark.landscapes import TrainedLandscape
from tf_cosearch.cost.model import estimate
from tf_cosearch.experiments import (
    Findings,
    Setting,
    experiment,
    places,
    slide,
    trained,
    wins,
)
from tf_cosearch.networks import blocks
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import pad, to_array

CHIP = "edge_tpu"
EVOLVED = "evolved"
SPACES = ("mobilenet_v2", "efficientnet_b0", EVOLVED)
FUSED, DEPTHWISE = "fused_inverted_residual", "inverted_residual"


@experiment(
    paper="NAHAS, arXiv 2102.08619, observation 1",
    question="Which block is faster where on the accelerator: fused ones "
    "early, depthwise ones late?",
    accuracies=("data",),
)
def space_fits_hardware(setting: Setting) -> Findings:
    """Fuses one stage of MobileNetV2 after another, and prices each.

    A fused block computes more, so that it wins where it takes less time all
    the same: in the first half of the stages, and not in the second, on each
    network and chip. Short: MobileNetV2 on `edge_tpu`. Long: EfficientNet-B0,
    too, and on `edge_tpu_v2`.

    With data, networks of the three spaces are searched for `edge_tpu` and
    trained, all within one latency, which about a fifth of the designs of each
    space meet, or more. Short: 6 trials in spaces of half the channels, two
    blocks a stage and no more than 5 stages. Long: 24 in whole ones.
    """
    names = ["mobilenet_v2"] if setting.is_short else _LONG
    chips = [CHIP] if setting.is_short else [CHIP, "edge_tpu_v2"]
    rows = [
        row
        for name in names
        for chip in chips
        for row in _stages(load_network(name), chip)
    ]
    holds, verdict = _verdict(rows)
    searched = [] if setting.data is None else _searched(setting)
    if searched:
        is_ahead, told = _trained_verdict(searched)
        holds &= is_ahead
        verdict += f"; {told} {trained.told(setting)}"
    columns = dict.fromkeys(name for row in [*rows, *searched] for name in row)
    return Findings(
        [
            {name: row.get(name, "") for name in columns}
            for row in [*rows, *searched]
        ],
        holds,
        verdict,
        functools.partial(_draw, rows, searched),
        setting.seeds if searched else 0,
    )


def _verdict(rows: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether it holds on every network and chip, and by how much on each."""
    told = []
    failed = []
    for (network, chip), own in _groups(rows).items():
        ratios = [row["time"] for row in own]
        half = len(ratios) // 2
        early, late = np.mean(ratios[:half]), np.mean(ratios[half:])
        faster = [row["stage"] for row in own if row["time"] < 1]
        name = f"{network} on {chip}"
        told.append(
            f"{early:.2f} times as long as depthwise ones in the first half of "
            f"{name}, {late:.2f} times in the second (faster in "
            f"{', '.join(faster) or 'none'})"
        )
        if not early < 1 < late:
            failed.append(name)
    macs = np.mean([row["macs"] for row in rows])
    verdict = (
        f"fused stages take {'; '.join(told)}; they have {macs:.1f} times the "
        "multiply-accumulates in the mean"
    )
    if failed:
        verdict += f"; not so: {', '.join(failed)}"
    return not failed, verdict


def _groups(
    rows: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Rows by network and chip."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["chip"]), []).append(row)
    return groups


_LONG = ["mobilenet_v2", "efficientnet_b0"]


def _stages(network: Network, chip: str) -> list[dict[str, Any]]:
    """What fusing each stage of a network does to the stage."""
    stages = list(
        dict.fromkeys(
            spec.path.split("/")[0]
            for spec in network.blocks
            if spec.block == DEPTHWISE
            and dict(spec.options).get("expansion", 6) != 1
        )
    )
    plain = _costs(network, chip)
    rows = []
    for stage in stages:
        fused = _costs(_fused(network, stage), chip)
        times = [_of(costs, stage, 0) for costs in (plain, fused)]
        macs = [_of(costs, stage, 1) for costs in (plain, fused)]
        rows.append(
            {
                "network": network.name,
                "chip": chip,
                "stage": stage,
                "depthwise_ms": times[0],
                "fused_ms": times[1],
                "time": times[1] / times[0],
                "macs": macs[1] / macs[0],
            }
        )
    return rows


def _fused(network: Network, stage: str) -> Network:
    accepted = blocks.options(FUSED)
    return dataclasses.replace(
        network,
        blocks=tuple(
            dataclasses.replace(
                spec,
                block=FUSED,
                options=tuple(p for p in spec.options if p[0] in accepted),
            )
            if spec.path.split("/")[0] == stage
            else spec
            for spec in network.blocks
        ),
    )


def _costs(network: Network, chip: str) -> list[tuple[str, float, float]]:
    """Name, milliseconds and multiply-accumulates of each layer."""
    layers = network.layers()
    cost = estimate(
        pad([to_array(layers)]), load_accelerator(chip), per_layer=True
    )
    times = np.asarray(cost.layers.latency_ms)[0]
    return [
        (layer.name, float(time), float(layer.macs))
        for layer, time in zip(layers, times, strict=False)
    ]


def _of(
    costs: Sequence[tuple[str, float, float]], stage: str, which: int
) -> float:
    return sum(
        (time, macs)[which]
        for name, time, macs in costs
        if name.split("/")[0] == stage
    )


def _searched(setting: Setting) -> list[dict[str, Any]]:
    """The most accurate network of each space and seed within a latency."""
    how = trained.trainings(setting)
    asked = []
    for name in SPACES:
        content = configuration.load("spaces", name)
        content = _small(content) if setting.is_short else content
        asked.append(trained.landscape(name, content, how))
    time = max(
        trained.limit(each.space, "latency_ms", 0.2, held=each.accelerator)
        for each in asked
    )
    return [
        _best(trained.within(place, latency_ms=time), seed, setting)
        for place in asked
        for seed in range(setting.seeds)
    ]


def _small(content: Mapping[str, Any]) -> dict[str, Any]:
    """A space of the same blocks with fewer and narrower ones."""
    stages = []
    for stage in content["stages"][:5]:
        counts = stage.get("repeats", 1)
        several = counts if isinstance(counts, list) else [counts]
        repeats = sorted({min(count, 2) for count in several})
        filters = stage["filters"] // 2
        stages.append({**stage, "filters": filters, "repeats": repeats})
    head = {**content["head"], "filters": 256}
    return {**content, "stages": stages, "head": head}


def _best(
    place: TrainedLandscape, seed: int, setting: Setting
) -> dict[str, Any]:
    """The best design of a search of networks, and where its blocks fuse."""
    trials = 6 if setting.is_short else 24
    held = {"searched": "network", "fixed": place.accelerator}
    genome = places.winner(place, seed, trials, **held)
    best = place.evaluate(place.space.values(genome))
    network = place.space.decode(genome).network
    kinds = [
        spec.block == FUSED
        for spec in network.blocks
        if spec.block in (FUSED, DEPTHWISE)
    ]
    half = len(kinds) // 2
    return {
        "network": place.space_name,
        "chip": CHIP,
        "seed": seed,
        "accuracy": best.accuracy,
        "latency_ms": best.costs["latency_ms"],
        "limit_ms": place.budgets.limits()["latency_ms"],
        "fused_early": float(np.mean(kinds[:half])),
        "fused_late": float(np.mean(kinds[half:])),
    }


def _trained_verdict(rows: Sequence[Mapping[str, Any]]) -> tuple[bool, str]:
    """Whether the space with both blocks is most accurate on most seeds."""
    known = {(row["network"], row["seed"]): row["accuracy"] for row in rows}
    others = [name for name in SPACES if name != EVOLVED]
    gains = [
        known[EVOLVED, seed] - max(known[name, seed] for name in others)
        for seed in dict.fromkeys(row["seed"] for row in rows)
    ]
    medians = {
        name: float(
            np.median([r["accuracy"] for r in rows if r["network"] == name])
        )
        for name in SPACES
    }
    early, late = (
        np.mean([row[half] for row in rows if row["network"] == EVOLVED])
        for half in ("fused_early", "fused_late")
    )
    told = ", ".join(f"{name} {each:.1%}" for name, each in medians.items())
    return wins.mostly(gains), (
        f"within {rows[0]['limit_ms']:g} ms on {CHIP} {told}: evolved "
        f"{100 * np.median(gains):+.2f} points from the better of the others "
        f"(ahead on {wins.count(gains)} of {len(gains)} seeds), of its blocks "
        f"{early:.0%} fused in the first half and {late:.0%} in the second,"
    )


def _draw(
    rows: Sequence[Mapping[str, Any]],
    searched: Sequence[Mapping[str, Any]],
    path: pathlib.Path,
) -> None:
    title = "Fused blocks against depthwise ones, stage by stage"
    with slide.panels(path, title, 2 if searched else 1) as (axes, *others):
        for (name, chip), own in _groups(rows).items():
            stages = [int(row["stage"].removeprefix("stage")) for row in own]
            times = [row["time"] for row in own]
            axes.plot(stages, times, "o-", label=f"{name} on {chip}")
        axes.axhline(1, color="0.4", linestyle="--")
        axes.set_xlabel("stage, early to late")
        axes.set_ylabel("time of fused blocks / of depthwise ones")
        axes.legend(frameon=False)
        for each in others:
            seeds = list(dict.fromkeys(row["seed"] for row in searched))
            series = {
                name: [
                    100 * row["accuracy"]
                    for row in searched
                    if row["network"] == name
                ]
                for name in SPACES
            }
            label = f"accuracy within {searched[0]['limit_ms']:g} ms, %"
            slide.bars(each, [f"seed {seed}" for seed in seeds], series, label)
            lowest = min(map(min, series.values()))
            each.set_ylim(bottom=lowest - 2)
