"""What a space may choose of the accelerator."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import pipelines, presets
from tf_cosearch.networks.spaces.network_space import Parameter

CHIPS = "chips"
"""The parameter that says which chips a design has in a pipeline."""


def read_choices(
    settings: Mapping[str, Any], where: str
) -> tuple[str, list[Parameter], dict[str, float]]:
    """Reads the family of accelerators, and what is chosen of its parameters.

    Args:
        settings: A list of choices or a fixed value by path; those left out
            have the choices of their component. The `family`, if it is not
            `edge_tpu`, and which `chips`, if it is not one.
        where: What they belong to, for messages.

    Returns:
        The family, what is searched, and what is fixed, by path.

    Raises:
        ValueError: If the family or a path is not known, or a value not
            possible.

    Example:
    >>> family, searched, fixed = read_choices({"pe_array/rows": 4}, "here")
    >>> "pe_array/rows" in [parameter.name for parameter in searched], fixed
    (False, {'pe_array/rows': 4})
    """
    family = presets.family_in(settings, where)
    known = accelerators.parameters(family)
    for path in settings:
        if path not in known and path not in ("family", CHIPS):
            raise configuration.unknown(
                f"parameter of {family} accelerators", path, known
            )
    searched, fixed = [], {}
    for path, parameter in known.items():
        if path not in settings and not parameter.choices:
            continue
        choices = settings.get(path, list(parameter.choices))
        checked = _different(
            path,
            choices,
            where,
            functools.partial(_check_value, path, where, family),
        )
        if isinstance(choices, (list, tuple)):
            searched.append(Parameter(path, checked))
        else:
            fixed[path] = checked[0]
    if CHIPS in settings:
        checked = _different(CHIPS, settings[CHIPS], where, pipelines.check)
        if any(isinstance(each, str) for each in checked):
            # KerasTuner's choices are of one type.
            checked = tuple("+".join(pipelines.names(each)) for each in checked)
        searched.append(Parameter(CHIPS, checked))
    return family, searched, fixed


def as_chosen(name: str, choices: Sequence[Any], value: Any) -> Any:
    """A value as the choices of a space spell it: of `chips`, 2 is `own+own`.

    Args:
        name: Of the parameter.
        choices: Its choices.
        value: What a user or a file says.

    Returns:
        The choice; the value as it is, if it is none or no `chips`.

    Example:
    >>> as_chosen(CHIPS, ("own+own", "own+coral_usb"), 2)
    'own+own'
    """
    if name != CHIPS:
        return value
    with contextlib.suppress(TypeError, ValueError):
        is_count = isinstance(value, str) and value.strip().isdigit()
        chips = pipelines.check(int(value) if is_count else value)
        for choice in choices:
            if pipelines.plain(choice) == chips:
                return choice
    return value


def _different(
    name: str, choices: Any, where: str, check: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Choices or a fixed value, each checked, none twice."""
    listed = choices if isinstance(choices, (list, tuple)) else [choices]
    checked = tuple(map(check, listed))
    if not checked or len(set(checked)) < len(checked):
        raise ValueError(
            f"{name} in {where} must be a list of different values. "
            f"Received: {choices!r}."
        )
    return checked


def _check_value(path: str, where: str, family: str, value: Any) -> float:
    return presets.check_value(path, value, where, family)
