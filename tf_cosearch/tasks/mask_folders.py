"""Folders of images with masks beside them."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np

from tf_cosearch.tasks.task import Splits

IMAGES, MASKS = "images", "masks"

_LOSSY = (".jpg", ".jpeg")
_KINDS = (".png", *_LOSSY, ".bmp", ".gif", ".tif", ".tiff")
_SPLITS = ("train", "val", "test")


def mask_folders(argument: str, image_size: tuple[int, int] | None) -> Splits:
    """Images of `FOLDER/images`, masks of the same names of `FOLDER/masks`.

    The folder may hold `train` and, if you like, `val` and `test` folders with
    such two instead. A pixel of a mask is the number of its class, a grey
    value or an index of a palette. Images become colours of uint8, brought to
    one size by mixing pixels, masks by choosing among them.

    Args:
        argument: The folder.
        image_size: Height and width.

    Raises:
        FileNotFoundError: If there is no such folder, or an image has no mask.
        ValueError: If a file cannot be read, two have one name, a mask is of
            colours or stored with losses, or no size is given.
    """
    if not argument or not pathlib.Path(argument).is_dir():
        raise FileNotFoundError(
            f"images:FOLDER must be a folder. Received: {argument!r}."
        )
    if image_size is None:
        raise ValueError(
            "images:FOLDER must be resized to one size. Received: "
            "image_size=None. Pass image_size=(height, width)."
        )
    folder = pathlib.Path(argument)
    names = [name for name in _SPLITS if (folder / name).is_dir()]
    if "train" not in names:
        return {"train": _pairs(folder, image_size)}
    return {name: _pairs(folder / name, image_size) for name in names}


def _pairs(
    folder: pathlib.Path, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    files = {kind: _files(folder / kind) for kind in (IMAGES, MASKS)}
    if not files[IMAGES] or files[IMAGES].keys() != files[MASKS].keys():
        alone = sorted(files[IMAGES].keys() ^ files[MASKS].keys())
        raise FileNotFoundError(
            f"{folder} must have folders {IMAGES} and {MASKS} with a mask for "
            "each image, of its name. Received: "
            f"{f'{alone[0]} in one alone' if alone else 'no images'}."
        )
    names = sorted(files[IMAGES])
    images = [_read(files[IMAGES][name], size, True) for name in names]
    masks = [_read(files[MASKS][name], size, False) for name in names]
    return np.stack(images), np.stack(masks)


def _files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Pictures by their name without its end."""
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        kind = path.suffix.lower()
        if kind not in _KINDS:
            continue
        if path.stem in found:
            raise ValueError(
                f"{folder} must hold one picture of a name, as images and "
                f"masks find each other by it. Received: {path.name} beside "
                f"{found[path.stem].name}."
            )
        if folder.name == MASKS and kind in _LOSSY:
            raise ValueError(
                "A mask must be stored without losses, which make other "
                f"classes. Received: {path}. Save it as .png."
            )
        found[path.stem] = path
    return found


def _read(path: pathlib.Path, size: tuple[int, int], is_image: bool) -> Any:
    from PIL import Image

    height, width = size
    try:
        with Image.open(path) as opened:
            if is_image:
                image = opened.convert("RGB")
                mixed = Image.Resampling.BILINEAR
                return np.asarray(image.resize((width, height), mixed))
            bands = len(opened.getbands())
            chosen = Image.Resampling.NEAREST
            mask = np.asarray(opened.resize((width, height), chosen))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"Every image must be readable. Received: {path} ({error})."
        ) from None
    if bands > 1:
        raise ValueError(
            "A mask must have one number a pixel, grey values or indices of a "
            f"palette. Received: {path}, with {bands}."
        )
    return mask
