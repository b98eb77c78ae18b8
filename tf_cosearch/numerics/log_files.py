"""Images that a device has logged: a folder of .npz files, a batch each."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np


def batches(
    folder: str | pathlib.Path, after: str = ""
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Reads the files of a log in the order of their names.

    Args:
        folder: Of `.npz` files with `images` `[N, ...]` and, if they are
            known, `labels` `[N]`; those written later have later names.
        after: The name of the last one that is not to be read again.

    Yields:
        The name, images, and labels or None.

    Raises:
        NotADirectoryError: If there is no such folder.
        ValueError: If a file is damaged or lacks images; it is named.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"A log must be a folder of .npz files. Received: {folder}."
        )
    for path in sorted(folder.glob("*.npz")):
        if path.name <= after:
            continue
        try:
            with open(path, "rb") as opened, np.load(opened) as file:
                arrays = {name: file[name] for name in file.files}
            if "images" not in arrays:
                raise ValueError(f"one with {sorted(arrays) or 'nothing'}")
            images, labels = arrays["images"], arrays.get("labels")
        except Exception as error:  # zipfile raises half a dozen types
            raise ValueError(
                f"{path} must be a file of numpy.savez with `images`. "
                f"Received: {' '.join(str(error).split())[:200]}. Those before "
                "it are counted; repair it, or move it away."
            ) from None
        yield path.name, images, labels
