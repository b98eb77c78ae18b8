"""What a space may choose of the accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.networks.spaces.network_space import Parameter


def read_choices(
    settings: Mapping[str, Any], where: str
) -> tuple[str, list[Parameter], dict[str, float]]:
    """Reads the family of accelerators, and what is chosen of its parameters.

    Args:
        settings: A list of choices or a fixed value by path; those left out
            have the choices of their component. The `family`, if it is not
            `edge_tpu`.
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
        if path not in known and path != "family":
            raise configuration.unknown(
                f"parameter of {family} accelerators", path, known
            )
    searched, fixed = [], {}
    for path, parameter in known.items():
        if path not in settings and not parameter.choices:
            continue
        choices = settings.get(path, list(parameter.choices))
        if isinstance(choices, tuple):
            choices = list(choices)
        listed = choices if isinstance(choices, list) else [choices]
        checked = tuple(
            presets.check_value(path, value, where, family) for value in listed
        )
        if not checked or len(set(checked)) < len(checked):
            raise ValueError(
                f"{path} in {where} must be a list of different values. "
                f"Received: {choices!r}."
            )
        if isinstance(choices, list):
            searched.append(Parameter(path, checked))
        else:
            fixed[path] = checked[0]
    return family, searched, fixed
