"""Networks that results were published for, by name, as layer-table rows.

Chains of blocks are in `configs/networks`, what branches is in
`published_layouts`, what is no classifier of photographs, and ResNet-18, in
`published_models`, recommendation models in `dlrm`, the rest is built by
`keras.applications`. None ends in a softmax.
"""

from __future__ import annotations

from concurrent import futures
from typing import Any, NamedTuple

from tf_cosearch import configuration
from tf_cosearch.networks import (
    dlrm,
    published_layouts,
    published_models,
    stacks,
)
from tf_cosearch.networks.importers import keras_import
from tf_cosearch.networks.published_layouts import Layout
from tf_cosearch.networks.published_models import Model
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.stage_values import image_shape
from tf_cosearch.networks.workload import Layer


class _Application(NamedTuple):
    """A function of `keras.applications`, with 1000 classes."""

    function: str
    input_px: int = 224
    width: float | None = None

    def build(self, keras: Any, input_px: int) -> Any:
        options: dict[str, Any] = {}
        if self.width is not None:
            options["alpha"] = self.width
        if self.function.startswith("MobileNetV3"):
            options["include_preprocessing"] = False
        return getattr(keras.applications, self.function)(
            weights=None,
            input_shape=(input_px, input_px, 3),
            classifier_activation=None,
            **options,
        )


_LAYOUTS: dict[str, Layout | _Application | Model] = {
    "densenet121": _Application("DenseNet121"),
    "densenet169": _Application("DenseNet169"),
    "densenet201": _Application("DenseNet201"),
    "dqn": Model(published_models.dqn, 84),
    "inception_resnet_v2": _Application("InceptionResNetV2", 299),
    "inception_v1": published_layouts.INCEPTION_V1,
    "inception_v2": published_layouts.INCEPTION_V2,
    "inception_v3": _Application("InceptionV3", 299),
    "inception_v4": published_layouts.INCEPTION_V4,
    "mlp": Model(published_models.mlp, 28),
    "mobilenet_v1_0.25": _Application("MobileNet", width=0.25),
    "mobilenet_v1_0.5": _Application("MobileNet", width=0.5),
    "mobilenet_v1_0.75": _Application("MobileNet", width=0.75),
    "mobilenet_v3_large": _Application("MobileNetV3Large"),
    "mobilenet_v3_small": _Application("MobileNetV3Small"),
    "nasnet_mobile": _Application("NASNetMobile"),
    "resnet18": Model(published_models.resnet18, 224),
    # The benchmarks of Coral have their ResNets at 299 pixels.
    "resnet50_v1": _Application("ResNet50", 299),
    "resnet50_v2": _Application("ResNet50V2", 299),
    "resnet101_v1": _Application("ResNet101", 299),
    "resnet101_v2": _Application("ResNet101V2", 299),
    "resnet152_v1": _Application("ResNet152", 299),
    "resnet152_v2": _Application("ResNet152V2", 299),
    "squeezenet": published_layouts.SQUEEZENET,
    "squeezenet_v1.1": published_layouts.SQUEEZENET_V1_1,
    "transformer_decoder": Model(published_models.transformer_decoder, 128),
    "transformer_encoder": Model(published_models.transformer_encoder, 128),
    "vgg16": _Application("VGG16"),
    "vgg19": _Application("VGG19"),
    "xception": _Application("Xception", 299),
}

_ALIASES = {
    "densenet": "densenet121",
    "mobilenet_edgetpu_dm1.0": "mobilenet_edgetpu",
}


def names() -> list[str]:
    """Sorted names of all networks that `load` knows."""
    shipped = configuration.names("networks")
    return sorted({*shipped, *_LAYOUTS, *_ALIASES, *dlrm.PUBLISHED})


def load(name: str, input_px: int | None = None) -> list[Layer]:
    """Loads a published network as the rows of its layer table.

    Args:
        name: One of `names()`, a stack as of `stacks.load`, or a YAML file
            that `load_network` reads.
        input_px: Rows and columns of the image in pixels, or positions of a
            Transformer's sequence. Defaults to those that the network was
            published or benchmarked with, and to 128 positions.

    Returns:
        The rows in execution order, costed as 8-bit.

    Raises:
        ValueError: If the name is not known, or the network takes no images,
            or none that small.
        FileNotFoundError: If the YAML file does not exist.

    Example:
    >>> rows = load("mobilenet_v1")
    >>> sum(row.macs for row in rows), sum(row.params for row in rows)
    (568741376, 4222057)
    """
    if input_px is not None:
        configuration.at_least("input_px", input_px, 1)
    name = _ALIASES.get(name, name)
    if stacks.is_stack(name) and input_px is None:
        return stacks.load(name)
    if name in dlrm.PUBLISHED:
        if input_px is not None:
            raise ValueError(
                "Of a network that reads no image there must be no input_px. "
                f"Received: input_px={input_px} for {name}."
            )
        return dlrm.PUBLISHED[name].layers()
    if name not in _LAYOUTS:
        if name not in names() and not name.endswith((".yaml", ".yml")):
            raise configuration.unknown("network", name, names())
        return load_network(name, _image_shape(name, input_px)).layers()
    layout = _LAYOUTS[name]
    # Keras counts the layers it has named a thread, and rows are named so.
    with futures.ThreadPoolExecutor(1) as own_thread:
        task = own_thread.submit(_rows, layout, input_px or layout.input_px)
        try:
            return task.result()
        except ValueError as error:
            if input_px is None:
                raise
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Images must be large enough for {name}. Received: "
                f"input_px={input_px}. {reason}"
            ) from error


def _image_shape(
    name: str, input_px: int | None
) -> tuple[int, int, int] | None:
    """A square image of as many channels as the file has, or else three."""
    if input_px is None:
        return None
    stated = configuration.load("networks", name).get("input_shape")
    channels = 3 if stated is None else image_shape(stated, name)[-1]
    return input_px, input_px, channels


def _rows(layout: Layout | _Application | Model, input_px: int) -> list[Layer]:
    import keras

    # Without values: the weights of VGG16 alone are half a gigabyte.
    with keras.StatelessScope(initialize_variables=False):
        return keras_import.from_keras(layout.build(keras, input_px))
