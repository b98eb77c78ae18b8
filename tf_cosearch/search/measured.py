"""What a trial says of costs that an evaluator measured.

Of a cost that is a metric known before, `latency_ms` for one, what was
measured counts. Beside it stand what the search had predicted, what the
analytic model says, and the noise of the measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from keras_tuner.engine.trial import Trial

from tf_cosearch import metrics

PREDICTED, ANALYTIC, NOISE = metrics.ENDINGS

SECONDS = "seconds_measurement"
"""The price of the call."""


def compared(costs: Iterable[str]) -> list[str]:
    """Those costs that count instead of what the analytic model says.

    Example:
    >>> compared(["latency_ms", "cycles"])
    ['latency_ms']
    """
    known = metrics.names(measured=False)
    return [name for name in costs if name in known]


def columns(costs: Sequence[str]) -> list[str]:
    """Columns of a table of trials that are there for measured costs alone.

    Example:
    >>> columns(["area_mm2", "cycles"])
    ['area_mm2_predicted', 'area_mm2_analytic', 'area_mm2_noise', 'cycles',
     'cycles_noise', 'seconds_measurement']
    """
    told = [
        column
        for name in costs
        for column in (
            [f"{name}{PREDICTED}", f"{name}{ANALYTIC}", f"{name}{NOISE}"]
            if compared([name])
            else [name, f"{name}{NOISE}"]
        )
    ]
    return [*told, SECONDS] if told else []


def of_trial(
    reported: Mapping[str, float], costs: Iterable[str]
) -> dict[str, float]:
    """Those costs that were measured in a trial.

    Args:
        reported: What it reported.
        costs: Names of those to look for.
    """
    return {
        name: reported[name] for name in costs if f"{name}{NOISE}" in reported
    }


def predicted(
    costs: Mapping[str, float], names: Iterable[str]
) -> dict[str, float]:
    """What a trial reports of costs that are predicted of it."""
    return {f"{name}{PREDICTED}": costs[name] for name in names}


def expected(trial: Trial) -> dict[str, float]:
    """What costs are predicted of a trial, by name."""
    return {
        name.removesuffix(PREDICTED): float(trial.metrics.get_best_value(name))
        for name in trial.metrics.metrics
        if name.endswith(PREDICTED)
    }


def without(reported: Mapping[str, float]) -> dict[str, float]:
    """What a trial reported but all that was measured of costs."""
    costs = [n.removesuffix(NOISE) for n in reported if n.endswith(NOISE)]
    left_out = {*costs, *columns(costs)}
    return {n: v for n, v in reported.items() if n not in left_out}


def note(trial: Trial, numbers: Mapping[str, float]) -> None:
    """Adds numbers to what a trial reports; each once."""
    for name, value in numbers.items():
        if not trial.metrics.exists(name):
            trial.metrics.register(name, direction="min")
            trial.metrics.update(name, value)
