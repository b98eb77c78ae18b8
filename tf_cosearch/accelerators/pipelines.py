"""Which chips a design has in a pipeline: alike ones, or such that differ.

`chips` is a number of the accelerator that a search chooses, or says the chips
one by one, in the order of the pipeline, joined by `+`: presets by their name,
and `own` for the accelerator that is searched.
"""

from __future__ import annotations

from typing import Any

from tf_cosearch import configuration
from tf_cosearch.accelerators import Accelerator, presets

OWN = "own"
"""The accelerator that is searched."""

MOST = 64

Chips = int | str
"""For example 2, or `own+coral_usb`."""


def names(chips: Chips) -> list[str]:
    """The chips of a pipeline by name.

    Example:
    >>> names(2), names("coral_usb+own")
    (['own', 'own'], ['coral_usb', 'own'])
    """
    if isinstance(chips, int):
        return [OWN] * chips
    return [name.strip() for name in chips.split("+")]


def of(chips: Chips, own: Accelerator) -> list[Accelerator]:
    """The chips of a pipeline.

    Args:
        chips: Which.
        own: The accelerator that was searched.
    """
    return [
        own if name == OWN else presets.load_accelerator(name)
        for name in names(chips)
    ]


def check(value: Any) -> Chips:
    """What a user says of `chips`, checked.

    Args:
        value: What was given.

    Raises:
        ValueError: If it is no integer from 1 to `MOST`, and names no presets
            with the accelerator that is searched among them.

    Example:
    >>> check(2), check("own+own"), check("own+coral_usb")
    (2, 2, 'own+coral_usb')
    """
    if not isinstance(value, str):
        return configuration.at_least("chips", value, 1, MOST)
    listed = names(value)
    known = [OWN, *configuration.names("accelerators")]
    for name in listed:
        if name not in known:
            raise configuration.unknown(f"chip in {value!r}", name, known)
    if OWN not in listed or len(listed) > MOST:
        raise ValueError(
            f"`chips` must have {OWN}, which is searched, among {MOST} chips "
            f"or fewer. Received: {value!r}. Write, for example, "
            f"{OWN}+{listed[-1]}."
        )
    return plain(value)


def plain(chips: Chips) -> Chips:
    """The number of chips where they are alike.

    Example:
    >>> plain("own+own"), plain("own+coral_usb")
    (2, 'own+coral_usb')
    """
    listed = names(chips)
    return len(listed) if {*listed} == {OWN} else "+".join(listed)
