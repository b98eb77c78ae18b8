"""The IDX format of MNIST, and of Fashion-MNIST, EMNIST, KMNIST and others.

A file is two zero bytes, a code of its numbers' type, how many dimensions it
has, the size of each in 4 bytes, and the numbers, all big endian.

Reference: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import io
import math
import pathlib
import re
import zlib

import numpy as np
from absl import logging

_TYPES = {
    0x08: "u1",
    0x09: "i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}
_GZIP = b"\x1f\x8b"  # how such a file begins
_CHUNK = 1 << 20  # bytes

_NAME = re.compile(
    r"(?P<set>(?:.*[-_.])?)(?P<split>train|t10k|test)-(?P<kind>images|labels)"
    r"[-.]idx\d.*"
)


def load(folder: pathlib.Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Reads the data set of a folder.

    Labels that count from 1, as those of EMNIST's letters, are made to count
    from 0, and a warning says so.

    Args:
        folder: With the files, named as `find` says.

    Returns:
        Images `[N, H, W]` or `[N, H, W, C]` and labels `[N]` of `train` and,
        if there are any, of `test`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If files are damaged, do not belong together, or are of
            several data sets.
    """
    splits = {}
    for split, (images, labels) in find(folder).items():
        x, y = read(images, (3, 4)), read(labels, (1,))
        if len(x) != len(y):
            raise ValueError(
                f"{labels} must hold a label for each image of {images.name}. "
                f"Received: {len(y)} labels for {len(x)} images."
            )
        splits[split] = x, y
    if min(y.min() for _, y in splits.values()) == 1:
        logging.warning(
            "Labels of %s count from 1: 1 becomes class 0, and so on.", folder
        )
        splits = {split: (x, y - 1) for split, (x, y) in splits.items()}
    return splits


def find(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """Finds the files of a data set by their usual names.

    Those are `train-images-idx3-ubyte` with `train-labels-idx1-ubyte`, and
    `t10k` or `test` for `train`; also with a dot before `idx`, a name before
    all (`emnist-letters-train-...`), or `.gz` behind. Of a file that is there
    with and without `.gz` the one without is taken.

    Args:
        folder: Where they are.

    Returns:
        Images and labels of `train` and, if there are any, of `test`.

    Raises:
        FileNotFoundError: If images or labels are missing.
        ValueError: If there are files of several sets, or several of a kind.
    """
    files: dict[str, tuple[re.Match[str], pathlib.Path]] = {}
    for path in sorted(folder.iterdir()):  # a name before the same with .gz
        name = path.name.removesuffix(".gz")
        match = _NAME.fullmatch(name)
        if match and path.is_file():
            files.setdefault(name, (match, path))
    sets = {match["set"]: path.name for match, path in files.values()}
    if len(sets) > 1:
        raise _several(folder, *sets.values())
    found: dict[tuple[str, str], pathlib.Path] = {}
    for match, path in files.values():
        split = "train" if match["split"] == "train" else "test"
        other = found.setdefault((split, match["kind"]), path)
        if other != path:
            raise _several(folder, other.name, path.name)
    splits = {"train": "train"}
    if any(split == "test" for split, _ in found):
        splits["test"] = "t10k"
    for split, usual in splits.items():
        for kind, rank in (("images", 3), ("labels", 1)):
            if (split, kind) not in found:
                names = ", ".join(path.name for path in found.values())
                raise FileNotFoundError(
                    f"{folder} must hold {usual}-{kind}-idx{rank}-ubyte, plain "
                    f"or .gz. Received: {names or 'no file of such a name'}."
                )
    return {s: (found[s, "images"], found[s, "labels"]) for s in splits}


def read(path: pathlib.Path, ranks: tuple[int, ...]) -> np.ndarray:
    """Reads a file, plain or compressed by gzip.

    Args:
        path: Where it is.
        ranks: How many dimensions it may have.

    Returns:
        An array of the shape and type that it says, of native byte order.

    Raises:
        ValueError: If it is damaged or something else.

    Example:
    >>> import tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "train-labels-idx1-ubyte")
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read(path, (1,))
    array([7, 2, 1], dtype=uint8)
    """
    with open(path, "rb") as raw:
        is_packed = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) if is_packed else raw as stream:
            try:
                return _array(stream, ranks)
            # The last three are of a damaged gzip file.
            except (ValueError, OSError, EOFError, zlib.error) as error:
                raise ValueError(
                    f"{path} must be a whole IDX file that is not empty. "
                    f"Received: {error}."
                ) from None


def _array(stream: io.BufferedIOBase, ranks: tuple[int, ...]) -> np.ndarray:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise ValueError(
            f"one that begins with {magic.hex(' ') or 'nothing'}, not with 00 "
            "00, a type of 08 to 0e and a count of dimensions"
        )
    dtype, rank = np.dtype(_TYPES[magic[2]]), magic[3]
    if rank not in ranks:
        raise ValueError(
            f"one of {rank} dimensions, not {' or '.join(map(str, ranks))}"
        )
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("one that ends in its header")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    size = math.prod(shape) * dtype.itemsize
    content = bytearray()
    # Bit by bit, as a damaged header may promise more than memory holds.
    while len(content) <= size and (chunk := stream.read(_CHUNK)):
        content += chunk
    if not size or len(content) != size:
        held = "more" if len(content) > size else f"{len(content):,}"
        raise ValueError(
            f"one whose header says {list(shape)}, so {size:,} bytes, and "
            f"that has {held}"
        )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _several(folder: pathlib.Path, *names: str) -> ValueError:
    return ValueError(
        f"{folder} must hold one IDX data set. Received: {', '.join(names)}. "
        "Put, or link, the files of one into a folder of their own."
    )
