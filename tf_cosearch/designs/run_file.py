"""The `run.json` of a search's folder: which command it is the folder of."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, TypedDict

from tf_cosearch import files, identity
from tf_cosearch.search.space import SearchSpace

NAME = "run.json"


class Run(TypedDict):
    """What of `run.json` says which search a folder is of."""

    flags: dict[str, Any]
    seed: int | None


def write(
    folder: pathlib.Path,
    flags: Mapping[str, Any],
    space: SearchSpace,
    seed: int,
) -> None:
    """Writes what a search follows from, whole or not at all.

    Args:
        folder: Of the search.
        flags: Values of the command's flags, by name.
        space: What is searched.
        seed: Of the search.
    """
    content = {
        "flags": flags,
        "space": {
            "name": space.name,
            "fingerprint": space.fingerprint,
            "networks": space.num_networks,
            "accelerators": space.num_accelerators,
            "parameters": {p.name: list(p.choices) for p in space.parameters},
            "family": space.family,
            "fixed": space.fixed,
        },
        "seed": seed,
        "versions": identity.versions(),
    }
    files.write_text(folder / NAME, f"{json.dumps(content, indent=2)}\n")


def read(folder: pathlib.Path) -> Run | None:
    """Reads which search a folder is of.

    Args:
        folder: A folder that is there.

    Returns:
        What `run.json` says; `None` of an empty folder.

    Raises:
        ValueError: If the folder holds something else.
    """
    if {path.name for path in folder.iterdir()} <= {files.LOCK}:
        return None
    run = None
    with contextlib.suppress(ValueError):
        run, _ = files.read_json(folder / NAME, Run)
    if run is None:
        raise ValueError(
            "The folder of a search must be new, empty or that of a search. "
            f"Received: {folder}, which holds something else. Choose another "
            "folder."
        )
    return run
