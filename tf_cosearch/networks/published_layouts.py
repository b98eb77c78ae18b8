"""Layouts of published networks that `keras.applications` lacks.

A layout maps names of modules to what they do, in a small notation:

| notation          | meaning                                               |
|-------------------|-------------------------------------------------------|
| `128@3/2`         | convolution: 128 filters, 3x3, stride 2               |
| `256@1x7`         | kernel of one row and seven columns; none is 1x1      |
| `sep64@7/2`       | separable convolution, 8 depthwise channels a channel |
| `max@3/2`, `avg@3`| pooling with a 3x3 window                             |
| `384@3/2v`        | `valid` padding; without the v it is `same`           |
| `64 96@3`         | one after the other                                   |
| `64+64@3`         | side by side, their channels concatenated             |
| `64 | max@3 32`   | branches of several steps, concatenated               |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_STEP = re.compile(
    r"(?P<kind>max|avg|sep|)(?P<filters>\d*)"
    r"(?:@(?P<k_h>\d+)(?:x(?P<k_w>\d+))?)?(?:/(?P<stride>\d+))?(?P<valid>v?)"
)
_SEPARABLE_MULTIPLIER = 8


class Layout(NamedTuple):
    """A network of branching convolutions, each with a ReLU.

    Attributes:
        modules: What the network does, by name, in the notation above.
        classes: Channels of the dense layer at the end, after a global
            average pooling; 0 for a network that ends in the pooling.
        input_px: Rows and columns of the image it was published for.
        normalized: Whether a batch normalisation follows a convolution, in
            place of a bias.
    """

    modules: Mapping[str, str]
    classes: int
    input_px: int = 224
    normalized: bool = True

    def build(self, keras: Any, input_px: int) -> Any:
        """Builds the Keras model.

        Args:
            keras: The namespace to build with: `keras` or `tf_keras`.
            input_px: Rows and columns of the image.

        Returns:
            An uncompiled model from images to logits.
        """
        layers = keras.layers
        image = x = keras.Input((input_px, input_px, 3), name="image")
        for name, module in self.modules.items():
            x = self._module(layers, x, module, name)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        if self.classes:
            x = layers.Dense(self.classes, name="logits")(x)
        return keras.Model(image, x)

    def _module(self, layers: Any, x: Any, module: str, name: str) -> Any:
        branches = module.split(" | ")
        ends = []
        for number, branch in enumerate(branches, 1):
            path = f"{name}_branch{number}" if len(branches) > 1 else name
            end, steps = x, branch.split()
            for index, step in enumerate(steps, 1):
                deep = f"{path}_{index}" if len(steps) > 1 else path
                end = self._step(layers, end, step, deep)
            ends.append(end)
        return _concatenate(layers, ends, name)

    def _step(self, layers: Any, x: Any, step: str, name: str) -> Any:
        sides = step.split("+")
        if len(sides) == 1:
            return self._operation(layers, x, step, name)
        ends = [
            self._operation(layers, x, side, f"{name}_side{number}")
            for number, side in enumerate(sides, 1)
        ]
        return _concatenate(layers, ends, name)

    def _operation(self, layers: Any, x: Any, text: str, name: str) -> Any:
        match = _STEP.fullmatch(text)
        if match is None:
            raise ValueError(
                "A step of a layout must follow its notation. Received: "
                f"{text!r} in {name}."
            )
        kind, filters = match["kind"], match["filters"]
        k_h = int(match["k_h"] or 1)
        sizes = {
            "strides": int(match["stride"] or 1),
            "padding": "valid" if match["valid"] else "same",
            "name": name,
        }
        kernel = (k_h, int(match["k_w"] or k_h))
        if kind in ("max", "avg"):
            pools = {"max": layers.MaxPool2D, "avg": layers.AvgPool2D}
            return pools[kind](kernel, **sizes)(x)
        sizes["use_bias"] = not self.normalized
        y = (
            layers.SeparableConv2D(
                int(filters),
                kernel,
                depth_multiplier=_SEPARABLE_MULTIPLIER,
                **sizes,
            )
            if kind == "sep"
            else layers.Conv2D(int(filters), kernel, **sizes)
        )(x)
        if self.normalized:
            y = layers.BatchNormalization(name=f"{name}_bn")(y)
        return layers.ReLU(name=f"{name}_relu")(y)


def _concatenate(layers: Any, tensors: Sequence[Any], name: str) -> Any:
    if len(tensors) == 1:
        return tensors[0]
    return layers.Concatenate(name=f"{name}_concat")(tensors)


# TF-Slim, which has 3x3 where arXiv 1409.4842 has 5x5: tensorflow/models,
# research/slim/nets/inception_v1.py.
INCEPTION_V1 = Layout(
    {
        "stem": "64@7/2 max@3/2 64 192@3 max@3/2",
        "mixed_3b": "64 | 96 128@3 | 16 32@3 | max@3 32",
        "mixed_3c": "128 | 128 192@3 | 32 96@3 | max@3 64",
        "pool_4a": "max@3/2",
        "mixed_4b": "192 | 96 208@3 | 16 48@3 | max@3 64",
        "mixed_4c": "160 | 112 224@3 | 24 64@3 | max@3 64",
        "mixed_4d": "128 | 128 256@3 | 24 64@3 | max@3 64",
        "mixed_4e": "112 | 144 288@3 | 32 64@3 | max@3 64",
        "mixed_4f": "256 | 160 320@3 | 32 128@3 | max@3 128",
        "pool_5a": "max@2/2",
        "mixed_5b": "256 | 160 320@3 | 32 128@3 | max@3 128",
        "mixed_5c": "384 | 192 384@3 | 48 128@3 | max@3 128",
    },
    classes=1001,
)

# TF-Slim, with a separable stem: research/slim/nets/inception_v2.py, after
# arXiv 1502.03167, figure 5.
INCEPTION_V2 = Layout(
    {
        "stem": "sep64@7/2 max@3/2 64 192@3 max@3/2",
        "mixed_3b": "64 | 64 64@3 | 64 96@3 96@3 | avg@3 32",
        "mixed_3c": "64 | 64 96@3 | 64 96@3 96@3 | avg@3 64",
        "mixed_4a": "128 160@3/2 | 64 96@3 96@3/2 | max@3/2",
        "mixed_4b": "224 | 64 96@3 | 96 128@3 128@3 | avg@3 128",
        "mixed_4c": "192 | 96 128@3 | 96 128@3 128@3 | avg@3 128",
        "mixed_4d": "160 | 128 160@3 | 128 160@3 160@3 | avg@3 96",
        "mixed_4e": "96 | 128 192@3 | 160 192@3 192@3 | avg@3 96",
        "mixed_5a": "128 192@3/2 | 192 256@3 256@3/2 | max@3/2",
        "mixed_5b": "352 | 192 320@3 | 160 224@3 224@3 | avg@3 128",
        "mixed_5c": "352 | 192 320@3 | 192 224@3 224@3 | max@3 128",
    },
    classes=1001,
)

# arXiv 1602.07261, figures 3 to 9, as in research/slim/nets/inception_v4.py.
_INCEPTION_A = "96 | 64 96@3 | 64 96@3 96@3 | avg@3 96"
_INCEPTION_B = (
    "384 | 192 224@1x7 256@7x1"
    " | 192 192@7x1 224@1x7 224@7x1 256@1x7 | avg@3 128"
)
_INCEPTION_C = (
    "256 | 384 256@1x3+256@3x1"
    " | 384 448@3x1 512@1x3 256@1x3+256@3x1 | avg@3 256"
)
INCEPTION_V4 = Layout(
    {
        "stem": "32@3/2v 32@3v 64@3",
        "mixed_3a": "max@3/2v | 96@3/2v",
        "mixed_4a": "64 96@3v | 64 64@1x7 64@7x1 96@3v",
        "mixed_5a": "192@3/2v | max@3/2v",
        **{f"mixed_5{letter}": _INCEPTION_A for letter in "bcde"},
        "mixed_6a": "384@3/2v | 192 224@3 256@3/2v | max@3/2v",
        **{f"mixed_6{letter}": _INCEPTION_B for letter in "bcdefgh"},
        "mixed_7a": "192 192@3/2v | 256 256@1x7 320@7x1 320@3/2v | max@3/2v",
        **{f"mixed_7{letter}": _INCEPTION_C for letter in "bcd"},
    },
    classes=1001,
    input_px=299,
)

# arXiv 1602.07360, table 1. Its images of 224 pixels give its 55, 27 and 13
# after the poolings when the first convolution pads.
SQUEEZENET = Layout(
    {
        "conv1": "96@7/2 max@3/2v",
        "fire2": "16 64+64@3",
        "fire3": "16 64+64@3",
        "fire4": "32 128+128@3 max@3/2v",
        "fire5": "32 128+128@3",
        "fire6": "48 192+192@3",
        "fire7": "48 192+192@3",
        "fire8": "64 256+256@3 max@3/2v",
        "fire9": "64 256+256@3",
        "conv10": "1000",
    },
    classes=0,
    normalized=False,
)

# forresti/SqueezeNet, SqueezeNet_v1.1: smaller first, pooled earlier.
SQUEEZENET_V1_1 = Layout(
    {
        "conv1": "64@3/2 max@3/2v",
        "fire2": "16 64+64@3",
        "fire3": "16 64+64@3 max@3/2v",
        "fire4": "32 128+128@3",
        "fire5": "32 128+128@3 max@3/2v",
        "fire6": "48 192+192@3",
        "fire7": "48 192+192@3",
        "fire8": "64 256+256@3",
        "fire9": "64 256+256@3",
        "conv10": "1000",
    },
    classes=0,
    normalized=False,
)
