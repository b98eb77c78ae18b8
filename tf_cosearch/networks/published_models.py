"""Published networks that are no images' chains of blocks, built in Keras.

Each function builds one that `keras.applications` lacks, of the size that it
was published with, in the namespace that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Model(NamedTuple):
    """A network that a function builds.

    Attributes:
        function: Builds it, of the namespace `keras` or `tf_keras` and the
            pixels.
        input_px: Rows and columns of the image it was published for; the
            positions of a sequence, of a layer of a Transformer.
    """

    function: Callable[[Any, int], Any]
    input_px: int

    def build(self, keras: Any, input_px: int) -> Any:
        """Builds the Keras model, uncompiled."""
        return self.function(keras, input_px)


def resnet18(keras: Any, input_px: int) -> Any:
    """The 18-layer residual network, with 1000 classes.

    Reference:
        He et al., arXiv 1512.03385, table 1. Where the shape changes the
        shortcut is a 1x1 convolution (their option B).
    """
    layers = keras.layers

    def conv(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
        x = layers.Conv2D(
            filters,
            kernel,
            stride,
            padding="same",
            use_bias=False,
            name=name,
        )(x)
        return layers.BatchNormalization(name=f"{name}_bn")(x)

    image = keras.Input((input_px, input_px, 3), name="image")
    x = layers.ReLU(name="stem_relu")(conv(image, 64, 7, 2, "stem"))
    x = layers.MaxPool2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for block in (1, 2):
            path = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = conv(x, filters, 3, stride, f"{path}_conv1")
            y = layers.ReLU(name=f"{path}_relu1")(y)
            y = conv(y, filters, 3, 1, f"{path}_conv2")
            if stride > 1:
                x = conv(x, filters, 1, stride, f"{path}_shortcut")
            x = layers.Add(name=f"{path}_add")([y, x])
            x = layers.ReLU(name=f"{path}_relu2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(1000, name="logits")(x))


def dqn(keras: Any, input_px: int) -> Any:
    """The network that plays Atari games: four frames to 18 actions.

    Reference:
        Mnih et al., "Human-level control through deep reinforcement
        learning", Nature 518, 2015, methods.
    """
    layers = keras.layers
    frames = x = keras.Input((input_px, input_px, 4), name="frames")
    for number, (filters, kernel, stride) in enumerate(
        ((32, 8, 4), (64, 4, 2), (64, 3, 1)), 1
    ):
        x = layers.Conv2D(
            filters, kernel, stride, activation="relu", name=f"conv{number}"
        )(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="relu", name="hidden")(x)
    return keras.Model(frames, layers.Dense(18, name="values")(x))


def mlp(keras: Any, input_px: int) -> Any:
    """Two hidden layers of 512 units that read handwritten digits.

    Reference:
        `mnist_mlp.py` of the examples of Keras 2, which counts 669,706
        parameters.
    """
    layers = keras.layers
    image = keras.Input((input_px, input_px, 1), name="image")
    x = layers.Flatten(name="flatten")(image)
    for number in (1, 2):
        x = layers.Dense(512, activation="relu", name=f"hidden{number}")(x)
    return keras.Model(image, layers.Dense(10, name="logits")(x))


def transformer_encoder(keras: Any, positions: int) -> Any:
    """An encoder layer of the base Transformer.

    Reference:
        Vaswani et al., arXiv 1706.03762, section 3.1 and table 3: 512
        channels, 8 heads of 64, 2048 channels inside.
    """
    tokens = keras.Input((positions, _CHANNELS), name="tokens")
    x = _attend(keras, tokens, tokens, "attention")
    return keras.Model(tokens, _feed_forward(keras, x))


def transformer_decoder(keras: Any, positions: int) -> Any:
    """A decoder layer of the base Transformer, of all positions at once.

    It reads as many positions of an encoder. Scores that the causal mask
    hides are computed like the others.

    Reference: as of `transformer_encoder`.
    """
    tokens = keras.Input((positions, _CHANNELS), name="tokens")
    encoded = keras.Input((positions, _CHANNELS), name="encoded")
    x = _attend(keras, tokens, tokens, "self_attention")
    x = _attend(keras, x, encoded, "cross_attention")
    return keras.Model([tokens, encoded], _feed_forward(keras, x))


_CHANNELS = 512
_HEADS = 8
_INNER_CHANNELS = 2048


def _attend(keras: Any, asking: Any, asked: Any, name: str) -> Any:
    layers = keras.layers
    attention = layers.MultiHeadAttention(
        _HEADS, _CHANNELS // _HEADS, name=name
    )
    x = layers.Add(name=f"{name}_add")([asking, attention(asking, asked)])
    return layers.LayerNormalization(name=f"{name}_norm")(x)


def _feed_forward(keras: Any, x: Any) -> Any:
    layers = keras.layers
    y = layers.Dense(_INNER_CHANNELS, activation="relu", name="inner")(x)
    y = layers.Dense(_CHANNELS, name="outer")(y)
    x = layers.Add(name="feed_forward_add")([x, y])
    return layers.LayerNormalization(name="feed_forward_norm")(x)
