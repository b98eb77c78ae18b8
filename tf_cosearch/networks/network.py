"""A network: a chain of blocks that the head of a task ends."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tf_cosearch import configuration, tasks
from tf_cosearch.networks import blocks, precision
from tf_cosearch.networks.layer_ops import (
    BlockOps,
    KerasBuilder,
    LayerRecorder,
    keras_name,
)
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.stage_values import (
    check_classes,
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
    """What reads an image and answers as its task wants, with a label say.

    Attributes:
        name: What to call it.
        input_shape: Height, width and channels of the image.
        classes: Number of classes, or whatever the task answers with.
        blocks: The blocks in order, stem first.
        dropout: Share of features dropped before the classifier in training.
        classifier_bits: Bits of the weights of the classifier.
        task: What ends it, a classifier unless told.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    blocks: tuple[BlockSpec, ...]
    dropout: float = 0.0
    classifier_bits: int = 8
    task: tasks.Task = tasks.CLASSIFICATION

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
            An uncompiled model from float images `[N, H, W, C]` to what the
            task answers, logits `[N, classes]` of a classifier.
        """
        image = keras.Input(self.input_shape, name="image")
        logits = self._apply(KerasBuilder(keras), image)
        # TensorFlow takes few characters for a name; files have any.
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"network_{self.name}")
        return keras.Model(image, logits, name=name)

    def _apply(self, ops: BlockOps, x: Any) -> Any:
        stages = self.stages(lambda spec, x: spec.apply(ops, x), x)
        return self.end(ops, stages)

    def stages(
        self, read: Callable[[BlockSpec, Any], Any], x: Any
    ) -> list[Any]:
        """What each stage puts out, the last one last.

        Args:
            read: Reads a block, starting from a tensor.
            x: The image.
        """
        outputs = {"": x}
        for spec in self.blocks:
            x = read(spec, x)
            outputs[spec.path.partition("/")[0]] = x
        return [*outputs.values()][1:] or [x]

    def end(self, ops: BlockOps, stages: list[Any]) -> Any:
        """What the task answers, of what the stages put out."""
        with ops.at(Precision(self.classifier_bits)):
            return self.task.head(
                ops,
                stages,
                image=self.input_shape,
                classes=self.classes,
                dropout=self.dropout,
            )

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
        config = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        return config | {
            "input_shape": [*self.input_shape],
            "blocks": blocks,
            "task": self.task.get_config(),
        }

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
        task = tasks.make(config.get("task", "classification"))
        return cls(
            str(config["name"]),
            image_shape(config["input_shape"], where),
            check_classes(config["classes"], task, where),
            tuple(specs),
            check_value("dropout", config["dropout"], where),
            check_value("classifier_bits", config["classifier_bits"], where),
            task,
        )

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers())

    @property
    def params(self) -> int:
        """Parameters of the deployed network, batch norms folded in."""
        return sum(layer.params for layer in self.layers())


def layers_of(network: Any) -> list[Layer]:
    """The rows of a network that is one, or is given by them.

    Args:
        network: A `Network`, or its layers in execution order.

    Raises:
        TypeError: If it is neither.
        ValueError: If there are none.
    """
    if isinstance(network, Network):
        return network.layers()
    if not isinstance(network, Sequence) or not all(
        isinstance(row, Layer) for row in network
    ):
        raise TypeError(
            "A network must be a Network or a sequence of Layer. Received: "
            f"{type(network).__name__}. Read a model by from_keras or "
            "from_tflite."
        )
    if not network:
        raise ValueError("A network must have layers. Received: none.")
    return list(network)
