"""Scenes of handwritten digits, drawn with a mask that says what is where."""

from __future__ import annotations

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.tasks.task import Splits

SCENES = 1000
"""How many there are unless told, three fifths of them to train on."""

DIGITS = 4
"""Kinds of digits: 0 to 3. A mask has one class more, the background."""

MOST = 3
"""Digits in a scene, 1 at least."""

SIZE = (32, 32)
"""Height and width unless told."""

_SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
_NOISE = 0.3
_INK = 0.5


def scenes(argument: str, image_size: tuple[int, int] | None) -> Splits:
    """Scenes `scenes:N`, the same whenever they are drawn.

    Scene `i` follows from `i`, its size and its split, which depends on how
    many there are. On noise from 0 to 0.3 stand one to three of scikit-learn's
    handwritten digits of 8 x 8 pixels, each as it is or twice as large,
    anywhere as a whole, later ones over earlier ones. Pixels of half the ink
    or more are of class 1 + digit, all others of class 0. No digit that is in
    scenes to train on is in others.

    Args:
        argument: How many; nothing for `SCENES`.
        image_size: Height and width, 16 or more.

    Returns:
        Images `[N, H, W, 1]`, float32 of 0 to 1, and masks `[N, H, W]`.

    Raises:
        ValueError: If number or size are not possible.

    Example:
    >>> images, masks = scenes("10", None)["train"]
    >>> images.shape, masks.shape, bool(masks.max() <= DIGITS)
    ((6, 32, 32, 1), (6, 32, 32), True)
    """
    from sklearn.datasets import load_digits

    count = int(argument) if argument.isdecimal() else argument or SCENES
    count = configuration.at_least("scenes:N", count, 5, 1_000_000)
    height, width = image_size or SIZE
    configuration.at_least("image_size of scenes", min(height, width), 16)
    source = load_digits(n_class=DIGITS)
    splits: Splits = {}
    scene = shown = 0
    for name, share in _SHARES.items():
        kept = slice(shown, shown + int(share * len(source.target)))
        digits = source.images[kept] / 16, source.target[kept]
        drawn = [
            _scene(np.random.default_rng(scene + i), *digits, height, width)
            for i in range(int(share * count))
        ]
        images, masks = (np.stack(each) for each in zip(*drawn, strict=True))
        splits[name] = images[..., np.newaxis], masks
        scene, shown = scene + len(drawn), kept.stop
    return splits


def _scene(
    rng: np.random.Generator,
    digits: np.ndarray,
    labels: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    image = rng.uniform(0, _NOISE, (height, width)).astype(np.float32)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(1, MOST + 1)):
        chosen = rng.integers(len(digits))
        larger = np.ones((2, 2) if rng.random() < 0.5 else (1, 1))
        digit = np.kron(digits[chosen], larger)
        size = len(digit)
        top = rng.integers(height - size + 1)
        left = rng.integers(width - size + 1)
        place = slice(top, top + size), slice(left, left + size)
        is_ink = digit >= _INK
        image[place][is_ink] = digit[is_ink]
        mask[place][is_ink] = labels[chosen] + 1
    return image, mask
