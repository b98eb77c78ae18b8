"""A network: a chain of blocks that a classifier ends."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks import blocks, precision
from tf_cosearch.networks.layer_ops import (
    BlockOps,
    KerasBuilder,
    LayerRecorder,
    keras_name,
)
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.stage_values import (
    check_value,
    image_shape,
    kernel_sides,
)
from tf_cosearch.networks.workload import Layer


@dataclasses.dataclass(frozen=True, slots=True)
class BlockSpec:
    """One block with everything it is told.

    Attributes:
        path: Where it stands, for example `stage2/block1`.
        block: Name of the block, see `blocks.names()`.
        filters: Channels it ends in.
        stride: Its stride.
        options: Its other options, as sorted pairs of key and value.
    """

    path: str
    block: str
    filters: int
    stride: int
    options: tuple[tuple[str, Any], ...] = ()

    def apply(self, ops: BlockOps, x: Any) -> Any:
        """Reads the block with `ops`, starting from tensor `x`."""
        bits, options = precision.split(self.options)
        if isinstance(options.get("kernel_size"), str):
            options["kernel_size"] = kernel_sides(options["kernel_size"])
        with ops.scope(self.path), ops.at(bits):
            return blocks.get(self.block)(
                ops, x, filters=self.filters, stride=self.stride, **options
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """An image classifier.

    Attributes:
        name: What to call it.
        input_shape: Height, width and channels of the image.
        classes: Number of classes.
        blocks: The blocks in order, stem first.
        dropout: Share of features dropped before the classifier in training.
        classifier_bits: Bits of the weights of the classifier.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    blocks: tuple[BlockSpec, ...]
    dropout: float = 0.0
    classifier_bits: int = 8

    def layers(self) -> list[Layer]:
        """The rows of the network's layer table, in execution order."""
        recorder = LayerRecorder()
        self._apply(recorder, recorder.input(*self.input_shape))
        return recorder.layers()

    def build(self, keras: Any) -> Any:
        """Builds the Keras model.

        Args:
            keras: The namespace to build with: `keras` or `tf_keras`.

        Returns:
            An uncompiled model from float images `[N, H, W, C]` to logits
            `[N, classes]`.
        """
        image = keras.Input(self.input_shape, name="image")
        logits = self._apply(KerasBuilder(keras), image)
        # TensorFlow takes few characters for a name; files have any.
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"network_{self.name}")
        return keras.Model(image, logits, name=name)

    def _apply(self, ops: BlockOps, x: Any) -> Any:
        for spec in self.blocks:
            x = spec.apply(ops, x)
        with ops.at(Precision(self.classifier_bits)):
            return ops.classify(x, self.classes, self.dropout, name="logits")

    def precision(self, layer: str) -> Precision:
        """Bits that a layer of the Keras model works in.

        Args:
            layer: Its name.

        Example:
        >>> stem = BlockSpec("stem", "conv_bn", 8, 1, (("weight_bits", 4),))
        >>> network = Network("small", (8, 8, 1), 10, (stem,))
        >>> network.precision("stem_conv").weight_bits
        4
        """
        for spec in self.blocks:
            if layer.startswith(f"{keras_name(spec.path)}_"):
                return precision.split(spec.options)[0]
        return Precision(self.classifier_bits)

    def get_config(self) -> dict[str, Any]:
        """Everything about the network as plain values, for JSON."""
        blocks = [
            dataclasses.asdict(spec) | {"options": dict(spec.options)}
            for spec in self.blocks
        ]
        config = dataclasses.asdict(self)
        return config | {"input_shape": [*self.input_shape], "blocks": blocks}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Network:
        """The network that `get_config` describes.

        Raises:
            ValueError: If a value is not possible.
            TypeError, KeyError, AttributeError: If it describes none.
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        configuration.check_keys(config, "the network", fields)
        specs = []
        for spec in config["blocks"]:
            where = f"the block {spec['path']}"
            block = check_value("block", spec["block"], where)
            options = spec["options"]
            configuration.check_keys(options, where, blocks.options(block))
            precision.check({key: [options[key]] for key in options}, where)
            specs.append(
                BlockSpec(
                    str(spec["path"]),
                    block,
                    configuration.at_least("filters", spec["filters"], 1),
                    check_value("stride", spec["stride"], where),
                    tuple(
                        (key, check_value(key, value, where))
                        for key, value in options.items()
                    ),
                )
            )
        where = "the network"
        return cls(
            str(config["name"]),
            image_shape(config["input_shape"], where),
            check_value("classes", config["classes"], where),
            tuple(specs),
            check_value("dropout", config["dropout"], where),
            check_value("classifier_bits", config["classifier_bits"], where),
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers())

    @property
    def params(self) -> int:
        """Parameters of the deployed network, batch norms folded in."""
        return sum(layer.params for layer in self.layers())
