"""What designs are judged by, a function each, found by scan.

A metric is a function

    @metric(unit="mJ ms", direction="min")
    def edp(latency_ms, energy_mj):
        return latency_ms * energy_mj

Its parameters are named after what it is made of:

- a number of `Cost`, or another metric: an array `[...]`, one number a design;
- `layers`: the `LayerTable` of the networks, arrays `[..., L]`;
- `accelerator`: the `Accelerator` of the designs, arrays `[...]` or numbers;
- `trial`: what a trial measured by name, and its file as `tflite`. Such a
  metric is known of trained designs alone.

It returns numbers `[...]`. The axes `...` are of designs, or of networks and
accelerators where all are priced with all: some may be 1 wide there, so that
arrays meet by broadcasting. Sum over layers with `.sum(-1)`.

It is computed when a budget, a target, a front or a table asks for it, and for
as many designs at a time as there are. Other packages register theirs by the
same decorator.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from tf_cosearch import configuration
from tf_cosearch.cost.costs import SCALARS
from tf_cosearch.metrics.metric import Metric

Function = TypeVar("Function", bound=Callable[..., Any])

SOURCES = ("layers", "accelerator", "trial")
"""What the parameter of a metric may stand for, beside numbers by name."""

TAKEN = (*SOURCES, "trial_id", "status", "feasible", "reward", "seconds")
"""Names that mean something else where those of metrics stand."""

ENDINGS = ("_predicted", "_analytic", "_noise")
"""What follows the name of a cost that was measured, for what stands beside."""

_METRICS: dict[str, Metric] = {}

_IS_SCANNING = False
"""What a metric is made of may be in a file of ours further on."""


def metric(
    *, unit: str, direction: str, **how: Any
) -> Callable[[Function], Function]:
    """Registers a metric under the name of its function.

    Args:
        unit: Unit of its values; empty for a plain number.
        direction: `min` if less is better, `max` if more is.
        **how: `remedy`, `format` and `always_compared` of `Metric`.

    Returns:
        A decorator, which returns the function as it is.

    Raises:
        ValueError: If another function has the name, a parameter is named
            after nothing known, or an argument is not possible.
        TypeError: If it is not the function of a metric.
    """

    def register(function: Function) -> Function:
        name, inputs = _signature(function)
        other = _METRICS.get(name)
        if other is not None and (
            other.function.__module__ != function.__module__
        ):
            raise ValueError(
                f"Metric {name!r} is already registered by "
                f"{other.function.__module__}. Choose another function name."
            )
        if name in TAKEN or (name in SCALARS and inputs != (name,)):
            raise ValueError(
                "A metric must have a name without another meaning. Received: "
                f"{name}. Choose another function name."
            )
        if not _IS_SCANNING:
            _require_known(name, inputs)
        about = (inspect.getdoc(function) or "").partition("\n")[0]
        _METRICS[name] = Metric(
            name, unit, direction, function, inputs, about, **how
        )
        return function

    return register


def get(name: str) -> Metric:
    """Finds a metric by its name.

    Args:
        name: One of `names()`.

    Returns:
        The metric.

    Raises:
        ValueError: If there is none; names a close one.

    Example:
    >>> get("latency_ms").unit
    'ms'
    """
    if name not in _METRICS:
        raise configuration.unknown("metric", name, _METRICS)
    return _METRICS[name]


def names(measured: bool | None = None) -> list[str]:
    """Names of metrics: those that are always compared, then all others.

    Each in the order of their registration, whatever file they are in.

    Args:
        measured: Those that only a trial can tell, or those that are known
            before one; by default all.

    Returns:
        The names.

    Example:
    >>> names()[:3]
    ['latency_ms', 'energy_mj', 'area_mm2']
    """
    first = compared()
    return [
        name
        for name in [*first, *(each for each in _METRICS if each not in first)]
        if measured is None or ("trial" in sources(name)) is measured
    ]


def compared() -> list[str]:
    """Names of those that every search compares designs by.

    Example:
    >>> compared()
    ['latency_ms', 'energy_mj', 'area_mm2']
    """
    return [name for name, each in _METRICS.items() if each.always_compared]


def accuracies() -> list[str]:
    """Names of what a trial measures of which more is better.

    Example:
    >>> accuracies()[:3]
    ['accuracy_int8', 'accuracy_qat', 'accuracy_float']
    """
    return [
        name for name in names(measured=True) if get(name).direction == "max"
    ]


def known_before(name: str, use: str) -> Metric:
    """Finds a metric that needs no trial.

    Args:
        name: One of `names(measured=False)`.
        use: What it is for, for the message: a noun.

    Returns:
        The metric.

    Raises:
        ValueError: If there is none of that name, or only a trial can tell it.
    """
    if name in _METRICS and "trial" in sources(name):
        raise ValueError(
            f"A {use} must be on what is known before a trial. Received: "
            f"{name}, which a trial measures. Use one of "
            f"{', '.join(names(measured=False))}."
        )
    if name not in _METRICS:
        raise configuration.unknown(use, name, names(measured=False))
    return _METRICS[name]


def losses(values: Mapping[str, Any], chosen: Iterable[str]) -> list[Any]:
    """Values of some metrics as numbers of which less is better.

    Args:
        values: Numbers by name.
        chosen: Names of metrics.

    Returns:
        A number, or an array, for each of these.

    Example:
    >>> losses({"latency_ms": 2.0, "throughput_fps": 500.0},
    ...        ["throughput_fps", "latency_ms"])
    [-500.0, 2.0]
    """
    return [get(name).loss(values[name]) for name in chosen]


def sources(name: str) -> frozenset[str]:
    """What a metric is made of in the end: numbers of `Cost` and `SOURCES`.

    Example:
    >>> sorted(sources("latency_ms"))
    ['latency_ms']
    """
    return frozenset(chain(name) - (_METRICS.keys() - {*SCALARS}))


def chain(name: str) -> set[str]:
    """A name, and the names of all that it is made of.

    Example:
    >>> sorted(chain("edp"))
    ['edp', 'energy_mj', 'latency_ms']
    """
    names, ahead = {name}, [name]
    while ahead:
        made = _METRICS.get(ahead.pop())
        further = set(made.inputs) - names if made else set()
        names |= further
        ahead += further
    return names


def _require_known(name: str, inputs: tuple[str, ...]) -> None:
    """Refuses what a metric cannot be made of, itself included."""
    known = {*SCALARS, *SOURCES}
    known |= {each for each in _METRICS if name not in chain(each)}
    for parameter in inputs:
        if parameter not in known:
            raise configuration.unknown(
                f"parameter of the metric {name}", parameter, known
            )


def _signature(function: Any) -> tuple[str, tuple[str, ...]]:
    """Name and parameters of the function of a metric, checked."""
    if not inspect.isfunction(function) or not function.__name__.isidentifier():
        raise TypeError(
            "A metric must be a function with a name. Received: "
            f"{function!r}. Write @metric(unit=..., direction=...) above a def."
        )
    parameters = inspect.signature(function).parameters.values()
    plain = [
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.default is parameter.empty
    ]
    if not plain or len(plain) < len(parameters):
        raise TypeError(
            "A metric must have parameters, none of them with a default or a "
            f"star. Received: {function.__name__}"
            f"{inspect.signature(function)}."
        )
    return function.__name__, tuple(plain)


def _scan() -> None:
    """Registers those of every file of ours, made of each other's or not."""
    global _IS_SCANNING
    _IS_SCANNING = True
    try:
        for module in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{module.name}")
    finally:
        _IS_SCANNING = False
    for each in _METRICS.values():
        _require_known(each.name, each.inputs)


_scan()
