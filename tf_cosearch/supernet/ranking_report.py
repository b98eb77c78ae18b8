"""Holds a supernet against networks that were trained: numbers and a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_cosearch import text
from tf_cosearch.supernet import quantization_gap, ranking
from tf_cosearch.supernet.accuracies import ACCURACY
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.trained_networks import TrainedNetwork

_NAMES = {
    ACCURACY: "the supernet",
    "macs": "multiply-accumulates alone",
    "params": "parameters alone",
    "accuracy_float": "float accuracies of the same trainings",
}


def report(
    evaluator: Evaluator,
    trained: Sequence[TrainedNetwork],
    top: int = ranking.TOP,
    seed: int = 0,
    files: int = 0,
    on_network: Callable[[int], None] = lambda done: None,
    on_file: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Measures trained networks on shared weights, and compares.

    Args:
        evaluator: Of the supernet.
        trained: The networks, each once.
        top: See `ranking.compare`.
        seed: The same.
        files: Of how many networks an int8 file is made as well.
        on_network: Told how many networks are measured.
        on_file: Told how many int8 files are.

    Returns:
        Plain JSON. `networks` has each one's accuracies, size and seconds;
        `rankings` what `ranking.compare` says of the supernet, of
        multiply-accumulates and of parameters, and of the float accuracies
        of the same trainings if they are known: the supernet could hardly be
        closer to the int8 ones than those are. `seconds` has the medians for
        a network on the supernet, calibration included, and by training;
        `quantization_gap` what `quantization_gap.measure` says of networks
        from the worst to the best, if any were asked for.

    Raises:
        ValueError: If there is nothing to rank, see `ranking.compare`, or there
            are not as many networks as files.
    """
    accuracies = [each.accuracy for each in trained]
    sizes = {
        "macs": [each.network.macs for each in trained],
        "params": [each.network.params for each in trained],
    }
    # What is to be refused is so before work starts.
    ranking.compare(sizes, accuracies, top)
    if files:
        quantization_gap.spread(accuracies, files)
    rows: list[dict[str, Any]] = []
    for place, each in enumerate(trained):
        start = time.perf_counter()
        accuracy = evaluator.accuracy(each.network)
        rows.append(
            {
                "accuracy": each.accuracy,
                "accuracy_float": each.float_accuracy,
                ACCURACY: accuracy,
                "macs": sizes["macs"][place],
                "params": sizes["params"][place],
                "trials": each.trials,
                "seconds": each.seconds,
                "seconds_supernet": time.perf_counter() - start,
            }
        )
        on_network(place + 1)
    figures = {
        name: [row[name] for row in rows]
        for name in _NAMES
        if all(row[name] is not None for row in rows)
    }
    rankings = ranking.compare(figures, accuracies, top, seed)
    result: dict[str, Any] = {
        "top": top,
        "metric": trained[0].network.task.metric,
        "rankings": {name: each._asdict() for name, each in rankings.items()},
        "seconds": _seconds(rows),
        "networks": rows,
    }
    if files:
        own = figures[ACCURACY]
        places = quantization_gap.spread(own, files)
        result["quantization_gap"] = quantization_gap.measure(
            evaluator,
            [trained[place].network for place in places],
            [own[place] for place in places],
            on_file,
        )
    return result


def _seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Medians; those of a training may not be known."""
    trainings = [row["seconds"] for row in rows if row["seconds"] is not None]
    return {
        "supernet": statistics.median(row["seconds_supernet"] for row in rows),
        "training": statistics.median(trainings) if trainings else None,
    }


def table(result: Mapping[str, Any]) -> str:
    """What `report` gave, for people."""
    level = f"{100 * ranking.LEVEL:.0f} % interval"
    top = result["top"]
    lines = [("ranked by", "tau", level, "Spearman", f"top-{top} regret")]
    for name, each in result["rankings"].items():
        low, high = each["interval"]
        lines.append(
            (
                _NAMES[name],
                f"{each['tau']:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{each['spearman']:.2f}",
                f"{100 * each['regret']:.2f} points",
            )
        )
    own, training = result["seconds"].values()
    took = f"A network took {own:.3g} s on the supernet"
    if training is not None:
        took += (
            f", {training:.3g} s to train: {training / own:.3g} times as long"
        )
    count = len(result["networks"])
    return (
        f"{count} trained networks, int8 {result['metric']}; tau is "
        "Kendall's.\n\n"
        f"{text.table(lines, '<>>>>')}\n\n{took} (medians).{_gap(result)}"
    )


def _gap(result: Mapping[str, Any]) -> str:
    gap = result.get("quantization_gap")
    if gap is None:
        return ""
    return (
        f"\nInt8 files of {len(gap['files'])} of them, with the weights of the "
        f"supernet, are {100 * gap['mean']:.2f} points from it in the mean, "
        f"{100 * gap['largest']:.2f} at most; tau of both {gap['tau']:.2f}."
    )
