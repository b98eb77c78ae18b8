"""What a page says of one design: in words, by layer, on the roofline."""

from __future__ import annotations

import itertools
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import accelerators, metrics, text
from tf_cosearch.accelerators import Accelerator, families, pipelines
from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.cost import pipeline, stages
from tf_cosearch.cost.costs import bounds
from tf_cosearch.cost.explain import complexity, summary
from tf_cosearch.cost.pipeline import Pipeline
from tf_cosearch.designs import export
from tf_cosearch.designs.export import Design
from tf_cosearch.designs.page.run import Run
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.workload import Layer
from tf_cosearch.search import executions

LONGER = 4
"""Times the epochs of a search that the longer training of a design takes."""

_OF_DATA = ("data", "train_size", "validation_size", "batch_size", "seed")
_LAYER = ("name", "op", "macs", "params", "latency_ms", "energy_mj")
_LONGEST = 500  # characters of an error that are kept
_POINT = ("ops_per_bit", "achieved_tops")


def of_trial(run: Run, trial_id: str, advised: bool = False) -> dict[str, Any]:
    """All that a page tells of a trial when it is clicked.

    Args:
        run: Of which it is one.
        trial_id: Which.
        advised: Whether to say of each layer what would help.

    Returns:
        Plain values: its learning `curves`, and if its design is known what
        `of_design` says and the `command` that trains it longer.
    """
    folder = run.folder / f"trial_{trial_id}"
    details: dict[str, Any] = {"curves": _curves(folder)}
    try:
        design = export.load_design(folder)
        details |= of_design(design, advised, _link(run, design))
    except FileNotFoundError:  # it has not ended, or is not described
        return details
    except Exception as error:  # whatever the saved model of a user leads to
        return details | {"unknown": text.line(error, _LONGEST)}
    return details | {"longer": _longer(run, design)}


def of_design(design: Design, advised: bool, link: Link) -> dict[str, Any]:
    """Network and accelerator in words, and what limits each layer.

    Args:
        design: The design.
        advised: Whether to say of each layer what would help.
        link: From chip to chip, if there are several.

    Returns:
        Plain values. With several chips each layer is that of its chip, which
        has no other layers than those of its stage.

    Raises:
        ValueError: If the network cannot be priced.
    """
    layers, chip = design.network.layers(), design.accelerator
    costs = summary.summarize(layers, chip)
    advised &= design.chips == 1
    points = complexity.roofline(layers, chip, advised)
    rows = complexity.with_roofline(costs, points)["layers"]
    names = [*_LAYER, "utilization", "bound", *_POINT, *["advice"] * advised]
    told: dict[str, Any] = {
        "network": network_words(design.network, costs),
        "accelerator": _chips_words(design.chips, chip),
        "costs": _costs(costs),
    }
    lines = {pipelines.OWN: points}
    if design.chips != 1:
        chips = pipelines.of(design.chips, chip)
        cut = pipeline.partition(layers, chips, link)
        rows, names = _on_chips(rows, layers, cut), ["chip", *names]
        told |= {"stages": _stages(cut), "costs": _pipeline_costs(cut)}
        others = zip(pipelines.names(design.chips), chips, strict=True)
        lines |= {
            name: complexity.roofline(layers, other, advised=False)
            for name, other in dict(others).items()
            if name != pipelines.OWN
        }
    return {
        **told,
        "layers": {name: [_short(row[name]) for row in rows] for name in names},
        "roofs": {name: _roofs(each) for name, each in lines.items()},
    }


def _roofs(points: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _short(value)
        for name, value in points.items()
        if name.endswith(("_tops", "_tbits"))
    }


def _chips_words(
    chips: pipelines.Chips, own: Accelerator
) -> list[tuple[str, str]]:
    """The chips, if there are several, and what is chosen of each kind.

    Example:
    >>> words = _chips_words("own+coral_usb", accelerators.default())
    >>> words[0]
    ('chips', 'own+coral_usb in a pipeline; own, which was searched, is:')
    >>> words[-1][0], words[-1][1].split("; ")[0]
    ('coral_usb', 'edge_tpu: 4.1 TOPS peak')
    """
    told = f"{chips} in a pipeline, each:"
    if isinstance(chips, str):
        told = (
            f"{chips} in a pipeline; {pipelines.OWN}, which was searched, is:"
        )
    words = [("chips", told)] if chips != 1 else []
    words += accelerator_words(own)
    for name in dict.fromkeys(pipelines.names(chips)):
        if name != pipelines.OWN:
            parts = accelerator_words(pipelines.of(name, own)[0])
            said = "; ".join(f"{part}: {each}" for part, each in parts)
            words.append((name, said))
    return words


def _on_chips(
    rows: Sequence[Mapping[str, Any]], layers: Sequence[Layer], cut: Pipeline
) -> list[dict[str, Any]]:
    """What layers cost each on its chip, which holds those of its stage alone.

    Args:
        rows: What they would cost on a chip that holds all.
        layers: Of the network.
        cut: How it is cut.
    """
    moved: list[dict[str, Any]] = []
    for number, stage in enumerate(cut.stages, 1):
        begin = len(moved)
        end = begin + len(stage.layers)
        chip, names = stage.accelerator, bounds(stage.accelerator)
        cost = stages.by_layer(layers, chip, begin, end)
        busy = np.stack([cycles[0] for cycles in cost.busy_cycles])
        for place, row in enumerate(rows[begin:end]):
            latency_ms = float(cost.latency_ms[0, place])
            faster = row["latency_ms"] / latency_ms if latency_ms else 1.0
            moved.append(
                {
                    **row,
                    "chip": number,
                    "latency_ms": latency_ms,
                    "energy_mj": float(cost.energy_mj[0, place]),
                    "utilization": float(cost.utilization[0, place]),
                    "bound": names[int(busy[:, place].argmax())],
                    "achieved_tops": faster * row["achieved_tops"],
                }
            )
    return moved


def _link(run: Run, design: Design) -> Link:
    """What the search's evaluator has between two chips."""
    told = (run.state.get("identity") or {}).get("evaluator") or {}
    numbers = (told.get(name) for name in ("link_gbs", "link_pj"))
    return Link.of(design.accelerator, *numbers)


def _stages(cut: Pipeline) -> list[tuple[str, str]]:
    """What each chip does for an image, in words."""
    ms = metrics.get("latency_ms").text
    words = []
    for number, stage in enumerate(cut.stages, 1):
        first, last = stage.layers[0], stage.layers[-1]
        names = f"to {last}" if len(stage.layers) > 1 else "alone"
        words.append(
            (
                f"chip {number}",
                f"{first} {names}: {ms(stage.time_ms)}, of which "
                f"{ms(stage.work_ms)} work; {text.count(stage.params)} "
                f"parameters, {stage.weight_residency:.0%} stay; "
                f"{metrics.get('energy_mj').text(stage.energy_mj)}",
            )
        )
    return words


def _pipeline_costs(cut: Pipeline) -> list[tuple[str, str]]:
    """What the cost model says of several chips, in words."""
    names = "latency_ms", "throughput_fps", "energy_mj", "area_mm2"
    words = [
        (metrics.get(name).word, metrics.get(name).text(getattr(cut, name)))
        for name in names
    ]
    return [*words, ("chips are busy", f"{cut.utilization:.1%} of the time")]


def network_words(
    network: Any, costs: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """A network as pairs of a part and what it is.

    Args:
        network: Of a design.
        costs: What `summary.summarize` says of it.

    Example: of a network of two like blocks

    >>> told = "conv_bn", 8, 1, (("kernel_size", 3),)
    >>> blocks = BlockSpec("s1/block1", *told), BlockSpec("s1/block2", *told)
    >>> network = Network("small", (8, 8, 1), 10, blocks)
    >>> costs = {"layers": [1, 2, 3], "macs": 1e6, "params": 2e4}
    >>> for part, words in network_words(network, costs):
    ...     print(f"{part}: {words}")
    small: 3 layers, 1 M MACs, 20 k parameters, input 8x8x1, 10 classes
    s1: 2 x conv_bn, 8 filters, kernel_size 3
    """
    shape = "x".join(map(str, network.input_shape))
    size = (
        f"{len(costs['layers'])} layers, {text.count(costs['macs'])} MACs, "
        f"{text.count(costs['params'])} parameters, input {shape}, "
        f"{network.classes} classes"
    )
    words = [(str(network.name), size)]
    if not isinstance(network, Network):
        return words + [(n, str(value)) for n, value in network.values.items()]
    for (stage, told), alike in itertools.groupby(network.blocks, _block_words):
        count = len(list(alike))
        words.append((stage, f"{count} x {told}" if count > 1 else told))
    return words


def _block_words(spec: BlockSpec) -> tuple[str, str]:
    options = "".join(f", {name} {value}" for name, value in spec.options)
    stride = f", stride {spec.stride}" if spec.stride != 1 else ""
    stage = spec.path.partition("/")[0]
    return stage, f"{spec.block}, {spec.filters} filters{stride}{options}"


def accelerator_words(accelerator: Accelerator) -> list[tuple[str, str]]:
    """An accelerator as pairs of a component and what is chosen of it.

    Example:
    >>> dict(accelerator_words(accelerators.default()))["pe array"]
    'columns 4 PEs, rows 4 PEs, lanes 4, simd units 64'
    """
    family = families.name_of(accelerator)
    held = accelerators.parameters(family)
    peak = float(accelerators.peak_tops(accelerator))
    parts: dict[str, list[str]] = {family: [f"{peak:.3g} TOPS peak"]}
    for path, value in accelerators.to_paths(accelerator).items():
        parameter = held[path]
        is_process = path.startswith("process/") and value
        if not (parameter.choices or is_process):
            continue  # which presets alone set
        component, name = path.split("/")
        unit = parameter.unit
        symbol = unit.split(" ")[0].replace("/", "").lower()
        said = name.removesuffix(f"_{symbol}").replace("_", " ")
        if parameter.words:
            said += f" {parameter.words[int(value)]}"
        else:
            said += f" {float(value):g}"
            said += "" if unit.lower() in said else f" {unit}"
        parts.setdefault(component.replace("_", " "), []).append(said)
    return [(part, ", ".join(said)) for part, said in parts.items()]


def _costs(costs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the cost model says of a design, in words."""
    energy = ", ".join(
        f"{name.replace('_', ' ')} {part / costs['energy_mj']:.0%}"
        for name, part in costs["energy_parts_mj"].items()
        if part >= 0.005 * costs["energy_mj"]
    )
    told = {
        name: metrics.get(name).text(costs[name])
        for name in ("latency_ms", "energy_mj", "area_mm2", "utilization")
    }
    told["energy_mj"] += f" ({energy})"
    words = [(metrics.get(name).word, said) for name, said in told.items()]
    traffic = f"{costs['dram_bytes'] / 1e3:.4g} kB an inference"
    words.append(("off-chip traffic", traffic))
    resident = f"{costs['weight_residency']:.0%} stay on the chip"
    words.append(("weights", resident))
    if costs["cpu_operators"]:
        words.append(("left to the host", ", ".join(costs["cpu_operators"])))
    return words


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _curves(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The learning curves of a trial, one for each of its trainings."""
    curves: list[dict[str, Any]] = []
    for number in itertools.count():
        content = executions.read(folder, number)
        if content is None:
            return curves
        history = {
            name: [
                _short(value) if value == value else None for value in values
            ]
            for name, values in content["history"].items()
        }
        epochs = content["float_epochs"]
        curves.append({"history": history, "float_epochs": epochs})
    return curves


def _longer(run: Run, design: Design) -> dict[str, str]:
    """How the design is trained longer: a command, or in words."""
    if not isinstance(design.network, Network):
        return {
            "words": "Own models go on in Python: tuner.load_model(tuner."
            f"oracle.get_trial({design.folder.name.removeprefix('trial_')!r}))"
            " is the trained model."
        }
    epochs = run.flags.get("epochs")
    words: list[Any] = [f"--design={design.folder}"]
    given = {name: run.flags.get(name) for name in _OF_DATA}
    if given["data"] is None:
        given["data"] = "DATA"
    words += [
        f"--{n}={value}" for n, value in given.items() if value is not None
    ]
    if isinstance(epochs, int):
        words.append(f"--epochs={LONGER * epochs}")
    if not design.is_trained:
        words.append("--from_scratch")
    # A search takes what begins with `trial_` for one of its own.
    output = run.folder / f"longer_{design.folder.name}"
    words.append(f"--output_dir={output}")
    said = shlex.join(map(str, words))
    return {"command": f"{text.command('retrain')} {said}"}
