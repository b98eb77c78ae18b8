"""Pipelines of chips, as tables to read or to work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tf_cosearch import metrics, text
from tf_cosearch.cost.pipeline import Pipeline


def plain(pipeline: Pipeline, chips: Sequence[str]) -> dict[str, Any]:
    """A pipeline as plain values, for JSON.

    Args:
        pipeline: What `partition` gave.
        chips: A name for each chip.

    Returns:
        Its numbers, `chips`, and `stages`, a list with those of each.
    """
    stages = [
        stage._asdict() | {"accelerator": chip, "layers": [*stage.layers]}
        for chip, stage in zip(chips, pipeline.stages, strict=False)
    ]
    rest = pipeline._asdict() | {"stages": stages}
    return {"chips": len(stages), **rest}


def rows(
    pipelines: Sequence[Pipeline], chips: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each stage of each pipeline, for other programs.

    Args:
        pipelines: Of a growing number of chips.
        chips: A name for each chip of the longest.

    Returns:
        Numbers and words by column; those of the pipeline, but for its
        stages, begin with `pipeline/`.
    """
    result = []
    for pipeline in pipelines:
        values = plain(pipeline, chips)
        stages = values.pop("stages")
        of_all = {f"pipeline/{name}": value for name, value in values.items()}
        for number, stage in enumerate(stages, 1):
            names = stage.pop("layers")
            ends = {"layers": len(names), "first": names[0], "last": names[-1]}
            result.append({**of_all, "stage": number, **ends, **stage})
    return result


def table(pipelines: Sequence[Pipeline], chips: Sequence[str]) -> str:
    """The pipelines in words, with units, and the stages of the last.

    Args:
        pipelines: Of a growing number of chips.
        chips: A name for each chip of the longest.

    Returns:
        Lines, without the last newline.
    """
    columns = ("throughput_fps", "latency_ms", "energy_mj", "area_mm2")
    counts = [("chips", *(metrics.get(n).word for n in columns), "busy")]
    counts += [
        (
            str(len(each.stages)),
            *(metrics.get(n).text(getattr(each, n)) for n in columns),
            f"{each.utilization:.1%}",
        )
        for each in pipelines
    ]
    heading = "stage chip layers first time work link parameters stay energy"
    stages = [tuple(heading.split())]
    stages += [
        (
            str(number),
            chip,
            str(len(stage.layers)),
            stage.layers[0],
            _ms(stage.time_ms),
            _ms(stage.work_ms),
            _ms(stage.receive_ms + stage.send_ms),
            text.count(stage.params),
            f"{stage.weight_residency:.0%}",
            metrics.get("energy_mj").text(stage.energy_mj),
        )
        for number, (chip, stage) in enumerate(
            zip(chips, pipelines[-1].stages, strict=False), 1
        )
    ]
    return "\n\n".join(
        (
            text.table(counts, ">" * (2 + len(columns))),
            text.table(stages, "><><" + ">" * 6),
        )
    )


def _ms(value: float) -> str:
    return metrics.get("latency_ms").text(value)
