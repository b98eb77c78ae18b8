"""Reads and writes accelerators as YAML: `configs/accelerators/*.yaml`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from tf_cosearch import accelerators, configuration, files
from tf_cosearch.accelerators import Accelerator, families

TEXTS = ("family", "description", "calibration")
"""What a file may say in words beside the components."""


def load_accelerator(name_or_path: str | pathlib.Path) -> Accelerator:
    """Loads an accelerator by the name of a preset or from a YAML file.

    Args:
        name_or_path: For example `edge_tpu` or `my_chip.yaml`. Parameters
            that the file leaves out are those of its family's baseline; one
            that names no `family` is an `edge_tpu`.

    Returns:
        An `Accelerator` of numbers.

    Raises:
        ValueError: If the name, a key or a value is not known or possible.
        FileNotFoundError: If the path does not exist.

    Example:
    >>> load_accelerator("edge_tpu_v3").pe_array.lanes
    8
    """
    content = configuration.load("accelerators", name_or_path)
    return from_mapping(content, str(name_or_path))


def load_description(name_or_path: str | pathlib.Path) -> str:
    """Reads what an accelerator is, in words.

    Args:
        name_or_path: As for `load_accelerator`.

    Returns:
        The `description` of the file, empty if it has none.

    Raises:
        ValueError: If the name is not known, or the file is no YAML.
        FileNotFoundError: If the path does not exist.
    """
    content = configuration.load("accelerators", name_or_path)
    return str(content.get("description", "")).strip()


def from_mapping(content: Mapping[str, Any], where: str) -> Accelerator:
    """Builds an accelerator from nested values, checking each.

    Args:
        content: Values by component and parameter, as in a preset.
        where: What they come from, for messages.

    Returns:
        An `Accelerator` of numbers.

    Raises:
        ValueError: If a key is unknown, a value outside its range, or what
            stands for words is no text.
    """
    family = family_in(content, where)
    parameters = accelerators.parameters(family)
    components = dict.fromkeys(path.split("/")[0] for path in parameters)
    configuration.check_keys(content, where, [*components, *TEXTS])
    values = {}
    for component, fields in content.items():
        if component in TEXTS:
            if not isinstance(fields, str):
                raise ValueError(
                    f"{component} in {where} must be a text. Received: "
                    f"{fields!r}. Put it in quotes, or leave {component} out."
                )
            continue
        names = [
            name
            for each, name in (path.split("/") for path in parameters)
            if each == component
        ]
        configuration.check_keys(fields, f"{where}, {component}", names)
        for name, value in fields.items():
            path = f"{component}/{name}"
            values[path] = check_value(path, value, where, family)
    return accelerators.from_paths(values, family)


def family_in(content: Mapping[str, Any], where: str) -> str:
    """The family that a mapping names under `family`, or the usual one.

    Args:
        content: What a file says of an accelerator.
        where: Which one it is, for messages.

    Returns:
        One of `families.names()`.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(content, Mapping):
        return families.DEFAULT
    family = content.get("family", families.DEFAULT)
    if family not in families.names():
        raise configuration.unknown(
            f"family in {where}", family, families.names()
        )
    return str(family)


def check_value(
    path: str, value: object, where: str, family: str = families.DEFAULT
) -> float:
    """Checks one value of an accelerator against what the model holds for.

    Args:
        path: For example `pe_array/rows`.
        value: The value to check.
        where: What it comes from, for messages.
        family: Which family the accelerator is of.

    Returns:
        The value as a number; an `int` where the parameter counts something.

    Raises:
        ValueError: If it is no number or outside the range.
    """
    parameter = accelerators.parameters(family)[path]
    if parameter.words and isinstance(value, str):
        if value not in parameter.words:
            raise configuration.unknown(
                f"{path} in {where}", value, parameter.words
            )
        value = parameter.words.index(value)
    number = configuration.number(value, f"{path} in {where}")
    if parameter.values and number not in parameter.values:
        *some, last = (f"{value:g}" for value in parameter.values)
        raise ValueError(
            f"{path} in {where} must be {', '.join(some)} or {last} "
            f"{parameter.unit}. Received: {number:g}."
        )
    if not parameter.low <= number <= parameter.high:
        raise ValueError(
            f"{path} in {where} must lie in {parameter.low:g} to "
            f"{parameter.high:g} {parameter.unit}. Received: {number:g}."
        )
    if parameter.integer and number != int(number):
        raise ValueError(
            f"{path} in {where} must be a whole number of {parameter.unit}. "
            f"Received: {number:g}."
        )
    return int(number) if number == int(number) else number


def save_accelerator(
    accelerator: Accelerator,
    path: str | pathlib.Path,
    description: str = "",
    calibration: str = "",
) -> None:
    """Writes an accelerator as YAML that `load_accelerator` reads.

    Args:
        accelerator: An `Accelerator` of numbers.
        path: File to write.
        description: What it is.
        calibration: What its constants were fitted to, if they were.
    """
    content: dict[str, Any] = {
        "family": families.name_of(accelerator),
        "description": description,
    }
    known = accelerators.parameters(content["family"])
    if calibration:
        content["calibration"] = calibration
    for parameter, value in accelerators.to_paths(accelerator).items():
        component, name = parameter.split("/")
        number = float(value)
        words = known[parameter].words
        content.setdefault(component, {})[name] = (
            words[int(number)]
            if words
            else int(number)
            if number == int(number)
            else number
        )
    files.write_text(path, yaml.safe_dump(content, sort_keys=False, width=76))
