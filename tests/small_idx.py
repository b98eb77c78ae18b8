"""Writes small files of MNIST's format."""

import gzip
import struct

import numpy as np

CODES = {"u1": 8, "i1": 9, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def content(array):
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    numbers = array.astype(f">{kind}").tobytes()
    return bytes([0, 0, CODES[kind], array.ndim]) + sizes + numbers


def write(path, array):
    """Compressed if the name ends in `.gz`."""
    packed = path.suffix == ".gz"
    file = content(array)
    path.write_bytes(gzip.compress(file) if packed else file)


def write_set(folder, train=60, test=20, classes=3, pixels=4, ending=""):
    """Images whose first pixel is their number, the second their class."""
    for split, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % classes
        images = np.zeros((count, pixels, pixels), np.uint8)
        images[:, 0, 0], images[:, 0, 1] = np.arange(count), labels
        write(folder / f"{split}-images-idx3-ubyte{ending}", images)
        write(folder / f"{split}-labels-idx1-ubyte{ending}", labels)
