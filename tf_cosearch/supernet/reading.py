"""The third reading of a block: Keras layers whose weights are shared.

`KerasBuilder` asks a namespace for layers. Here the namespace hands out layers
that run at once, on tensors, with slices of weights that all networks of a
space share. So what a block or an operation does is written once, in its Keras
reading, and a network's path through the shared weights cannot differ from the
network that is built of Keras layers.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from tf_cosearch.networks.layer_ops import KerasBuilder, Operation, Shape
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.precision import Precision
from tf_cosearch.supernet.layer_rules import Part, rule
from tf_cosearch.supernet.options import Sharing


class Signal(NamedTuple):
    """What a layer of a path has put out.

    Attributes:
        value: `[N, ...]` numbers; `None` where only shapes are read.
        shape: Of the value, the number of images first, which may be `None`.
        writer: Name of the layer whose range is that of the value.
        is_final: Whether it is rounded already, where activations are.
        bits: Of an element, once it is.
    """

    value: Any
    shape: tuple[int | None, ...]
    writer: str
    is_final: bool = False
    bits: int = 8


class SharedReading(KerasBuilder, abc.ABC):
    """Reads networks with weights that they share.

    Weights belong to a layer at its place: to the expansion of an operator of
    block 2 of stage 3. Where networks differ at that place in channels, each
    takes the first ones; in kernels, the window in the middle; in groups, the
    weights within each group; in depth, later blocks are left out.

    Args:
        sharing: What is shared.

    Reference: Cai et al., Once-for-All, arXiv 1908.09791 (the window in the
    middle); Yu et al., Slimmable Neural Networks, arXiv 1812.08928 (the first
    channels).
    """

    def __init__(self, sharing: Sharing) -> None:
        super().__init__(_Namespace(self))
        self._sharing = sharing
        self._kind = ""

    def shape(self, x: Signal) -> Shape:
        """Height, width and channels of a tensor."""
        height, width, channels = x.shape[1:]
        return height, width, channels  # type: ignore[return-value]

    def bits(self, x: Signal) -> int:
        """Those of the layers that read it: `final` rounds to them."""
        return self.precision.activation_bits

    def read(self, operation: Operation, x: Any, name: str) -> Any:
        """Runs the layers of an operation."""
        return operation.keras(self, x, name)

    def logits(self, network: Network, images: Any) -> Any:
        """What a network answers.

        Args:
            network: Of the space.
            images: `[N, H, W, C]`.

        Returns:
            `[N, classes]`, or what its task answers.
        """
        x = Signal(images, (None, *network.input_shape), "image")
        y = network.end(self, network.stages(self.block, x))
        with self.at(Precision(network.classifier_bits)):
            return self.final(y).value

    def block(self, spec: BlockSpec, x: Signal) -> Signal:
        """What a block puts out."""
        settings = {"block": spec.block, **dict(spec.options)}
        kinds = [
            spec.block if name == "block" else f"{name}={settings[name]}"
            for name in self._sharing.apart
            if name in settings
        ]
        self._kind = "/".join(kinds)
        y: Signal = spec.apply(self, x)
        self._kind = ""
        return y

    def call(self, layer: Any, x: Any) -> Signal:
        """Runs a layer.

        Args:
            layer: Of tf_keras, read for its settings and never built.
            x: A `Signal`, or a list of those.
        """
        signals: list[Signal] = x if isinstance(x, list) else [x]
        known = rule(layer)
        if not known.is_fused:
            signals = [self.final(signal, layer) for signal in signals]
        values = [signal.value for signal in signals]
        parts = known.parts(layer, signals[0].shape)
        weights = {
            name: self.weight(layer, name, part) for name, part in parts.items()
        }
        y = known.run(self, layer, values, weights)
        return Signal(
            y,
            tuple(y.shape),
            signals[0].writer if known.keeps_scale else layer.name,
            is_final=known.keeps_steps and signals[0].is_final,
            bits=self.precision.activation_bits,
        )

    def key(self, layer: Any, name: str, part: Part) -> str:
        """Under which name a part of the weights is kept."""
        key = "/".join(filter(None, (layer.name, self._kind, name)))
        if part.is_of_norm and self._sharing.norms_apart:
            key += f"/{part.shape[0]}"
        return key

    # What a training, a calibration and a measurement do each in their way.

    @abc.abstractmethod
    def weight(self, layer: Any, name: str, part: Part) -> Any:
        """A part of a layer's weights, a tensor of `part.shape`."""

    def moments(self, layer: Any) -> tuple[Any, Any] | None:
        """Mean and variance to normalise by, `None` for those of the batch."""
        del layer
        return None

    def observe(self, layer: Any, mean: Any, variance: Any, count: int) -> None:
        """Told the moments of a batch that it was normalised by.

        Args:
            layer: Normalised.
            mean: `[C]`.
            variance: `[C]`, that of a sample.
            count: Of how many numbers of a channel.
        """

    def rounded(self, layer: Any, kernel: Any, axis: int | None) -> Any:
        """A kernel as it is multiplied by, each index of `axis` on its own."""
        del layer, axis
        return kernel

    def sigmoid(self, x: Any) -> Any:
        """A sigmoid, as it is multiplied by."""
        return tf.sigmoid(x)

    def final(self, x: Signal, reader: Any = None) -> Signal:
        """A tensor as the next layer reads it, if there is one."""
        del reader
        return x

    def dropped(self, layer: Any, x: Any) -> Any:
        """Dropout, where there is a training."""
        del layer
        return x


class _Namespace:
    """What `KerasBuilder` takes for Keras: `keras.layers.Conv2D(...)(x)`."""

    def __init__(self, reading: SharedReading) -> None:
        self._reading = reading

    @property
    def layers(self) -> _Namespace:
        return self

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        def make(*settings: Any, **named: Any) -> Callable[[Any], Signal]:
            if not named.get("name"):
                raise ValueError(
                    "A layer that shares weights must have a name. Received: "
                    f"a {kind} without. Use name=build.path(name)."
                )
            # Whatever a user has set for both Kerases.
            named["dtype"] = "float32"
            try:
                layer = _layer(kind, settings, tuple(sorted(named.items())))
            except TypeError:  # a setting has no hash
                layer = getattr(tf_keras.layers, kind)(*settings, **named)
            return functools.partial(self._reading.call, layer)

        return make


@functools.lru_cache(maxsize=2**14)
def _layer(
    kind: str, settings: tuple[Any, ...], named: Sequence[tuple[str, Any]]
) -> Any:
    return getattr(tf_keras.layers, kind)(*settings, **dict(named))


class Survey(SharedReading):
    """Reads shapes alone, and notes the most that is asked of each weight.

    Attributes:
        parts: The weights that there have to be, by key.
    """

    def __init__(self, sharing: Sharing) -> None:
        super().__init__(sharing)
        self.parts: dict[str, Part] = {}

    def call(self, layer: Any, x: Any) -> Signal:
        """Computes a layer's shape."""
        shapes = [s.shape for s in (x if isinstance(x, list) else [x])]
        known = rule(layer)
        known.check(layer, shapes)
        for name, part in known.parts(layer, shapes[0]).items():
            self.weight(layer, name, part)
        shape = layer.compute_output_shape(
            shapes if len(shapes) > 1 else shapes[0]
        )
        return Signal(None, tuple(shape), layer.name)

    def weight(self, layer: Any, name: str, part: Part) -> None:
        """Makes room for a part."""
        key = self.key(layer, name, part)
        known = self.parts.get(key, part)
        if len(known.shape) != len(part.shape):
            raise ValueError(
                "Networks that share weights must have the same kind of layer "
                f"under one name. Received: weights of shapes {known.shape} "
                f"and {part.shape} for {key}. Give the layers other names."
            )
        most = tuple(map(max, known.shape, part.shape))
        self.parts[key] = part._replace(shape=most)
