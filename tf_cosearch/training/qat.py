"""Quantization-aware copies of tf_keras models, and int8 TFLite from them."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.python.eager import wrap_function
from tensorflow.python.framework import convert_to_constants

from tf_cosearch import environment, files
from tf_cosearch.networks.importers import keras_graph
from tf_cosearch.networks.precision import Precision
from tf_cosearch.training import evaluate, mixed_precision

with environment.kept("TF_USE_LEGACY_KERAS"):  # it sets that for good
    from tensorflow_model_optimization.quantization import keras as tfmot

# TFMOT moves a range by this share of the way to the range of the batch.
_RANGE_STEP = 1 - 0.999
# Of the largest layer's output, for the images that are calibrated at a time;
# a few such outputs are alive at once.
_BATCH_BYTES = 2**26


class OutputOnly(tfmot.QuantizeConfig):
    """Quantizes what a layer without weights puts out, to 8 bits."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """There are no weights."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """There is no activation function."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """There are no weights."""
        # AutoGraph stumbles over a body that is only a docstring.
        del layer, quantize_weights

    def set_quantize_activations(
        self, layer: Any, quantize_activations: Any
    ) -> None:
        """There is no activation function."""
        del layer, quantize_activations

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """One range for the whole tensor, as TFLite has it."""
        return [
            tfmot.quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self) -> dict[str, Any]:
        """There is nothing to configure."""
        return {}


class SameRange(OutputOnly):
    """Leaves what a layer puts out in the range of what it reads."""

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """None: the values are on the grid of the input, or between."""
        return []


class KernelOnly(SameRange):
    """Quantizes the kernel of a layer whose activation has the range."""

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """The kernel, with one scale and 0 in the middle."""
        return [
            (
                layer.kernel,
                tfmot.quantizers.LastValueQuantizer(
                    num_bits=8,
                    per_axis=False,
                    symmetric=True,
                    narrow_range=True,
                ),
            )
        ]

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        """Has the layer use the rounded kernel."""
        (layer.kernel,) = quantize_weights


class DenseBeforeReLU(tf_keras.layers.Dense):
    """A Dense that TFMOT does not know.

    Of one that it knows, and that a ReLU follows, it leaves the kernel as it
    is: training would not notice what rounding does, and the file would have
    8 bits whatever was asked.
    """


# TFMOT refuses these, though TFLite's kernels of int8 exist.
_OUTPUT_ONLY = (
    tf_keras.layers.Maximum,
    tf_keras.layers.Minimum,
    tf_keras.layers.Multiply,
    tf_keras.layers.Subtract,
)
_RANDOM = (
    tf_keras.layers.AlphaDropout,
    tf_keras.layers.GaussianDropout,
    tf_keras.layers.GaussianNoise,
    tf_keras.layers.RandomBrightness,
    tf_keras.layers.RandomContrast,
    tf_keras.layers.RandomFlip,
    tf_keras.layers.RandomRotation,
    tf_keras.layers.RandomTranslation,
    tf_keras.layers.RandomZoom,
)
ADVICE = (
    "Use another layer, or pass quantization='after_training', which leaves "
    "the model as it is."
)
"""What to do about a layer that quantization-aware training cannot have."""


def _keeps_its_scale(layer: Any) -> bool:
    """Whether TFLite's kernel puts out the scale that it reads.

    TFMOT gives these a range of their own, which takes another operation.
    """
    if isinstance(layer, tf_keras.layers.UpSampling2D):
        return True
    return isinstance(layer, tf_keras.layers.AveragePooling2D)


def run_groups_natively(model: tf_keras.Model) -> None:
    """Keeps tf_keras from compiling grouped convolutions with XLA.

    It does so for want of a gradient on the CPU, which TensorFlow has had
    since. XLA is ten times slower there, and its graphs are never freed.

    Args:
        model: A model, quantization-aware or not, that was not yet trained.
    """
    for layer in model.layers:
        # A quantization-aware layer wraps the original.
        layer = getattr(layer, "layer", layer)
        if getattr(layer, "groups", 1) > 1:
            layer._jit_compiled_convolution_op = layer.convolution_op


def quantize(
    model: tf_keras.Model, precision: Callable[[str], Precision] | None = None
) -> tf_keras.Model:
    """Copies a model and fakes int8 arithmetic in the copy.

    Args:
        model: A functional tf_keras model, trained in float. It stays as it
            is.
        precision: The bits of a layer by its name, instead of 8 everywhere.
            Weights of 4 bits have 15 values; activations of 16 bits have a
            range around 0.

    Returns:
        An uncompiled model with the same weights. Its ranges are those of
        TFMOT, [-6, 6] everywhere, until `calibrate`.

    Raises:
        ValueError: If a layer has no int8 counterpart.
    """

    def annotate(layer: Any) -> Any:
        if _is_before_relu(layer):
            dense = DenseBeforeReLU.from_config(layer.get_config())
            return tfmot.quantize_annotate_layer(dense, KernelOnly())
        copy = layer.__class__.from_config(layer.get_config())
        if isinstance(layer, _RANDOM) or _keeps_its_scale(layer):
            return tfmot.quantize_annotate_layer(copy, SameRange())
        if isinstance(layer, _OUTPUT_ONLY) or (
            _is_conversion(layer)
            and precision is not None
            and precision(layer.name).activation_bits == 8
        ):
            return tfmot.quantize_annotate_layer(copy, OutputOnly())
        return copy

    ours = OutputOnly, SameRange, KernelOnly, DenseBeforeReLU
    scope = {each.__name__: each for each in ours}
    with tfmot.quantize_scope(scope):
        annotated = tf_keras.models.clone_model(model, clone_function=annotate)
        annotated.set_weights(model.get_weights())
        try:
            annotated = tfmot.quantize_annotate_model(annotated)
            quantized = tfmot.quantize_apply(annotated)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                "Every layer must have an int8 counterpart. Received: "
                f"{_culprit(model, str(error))}. {ADVICE}"
            ) from error
    run_groups_natively(quantized)
    if precision is not None:
        _set_bits(quantized, precision)
    return quantized


def _is_before_relu(layer: Any) -> bool:
    """Whether it is a Dense whose range is that of the ReLU behind it."""
    if type(layer) is not tf_keras.layers.Dense:
        return False
    readers = [node.layer for node in layer.outbound_nodes]
    if len(readers) != 1 or layer.activation is not tf_keras.activations.linear:
        return False
    activation = getattr(readers[0], "activation", None)
    is_relu = isinstance(readers[0], tf_keras.layers.ReLU)
    return is_relu or activation is tf_keras.activations.relu


def _is_conversion(layer: Any) -> bool:
    """Whether it is one of `KerasBuilder.convert`, by its kind and name."""
    is_named = re.search(r"(^|_)quantize\d*$", layer.name) is not None
    return is_named and isinstance(layer, tf_keras.layers.Activation)


def _set_bits(
    model: tf_keras.Model, precision: Callable[[str], Precision]
) -> None:
    """Gives the quantizers of layers their bits."""
    for layer in _wrappers(model):
        bits = precision(layer.layer.name)
        is_depthwise = isinstance(layer.layer, tf_keras.layers.DepthwiseConv2D)
        weight_bits = bits.weights_of(is_depthwise)
        # TFMOT lets layers share a quantizer.
        layer._weight_vars = [
            (weight, _with(quantizer, num_bits=weight_bits), variables)
            for weight, quantizer, variables in layer._weight_vars
        ]
        layer.activation_bits = bits.activation_bits
        if bits.activation_bits != 8:
            _replace_quantizers(
                layer,
                num_bits=bits.activation_bits,
                symmetric=True,
                narrow_range=True,
            )


def _wrappers(model: tf_keras.Model) -> list[Any]:
    """Quantization-aware layers, each around a `layer`."""
    return [each for each in model.layers if hasattr(each, "_weight_vars")]


def _replace_quantizers(layer: Any, **settings: Any) -> None:
    """Sets how a layer quantizes activations."""
    layer._output_quantizers = [
        _with(quantizer, **settings) for quantizer in layer._output_quantizers
    ]
    for activation in layer._quantize_activations:
        activation.quantizer = _with(activation.quantizer, **settings)


def _with(quantizer: Any, **settings: Any) -> Any:
    """A quantizer with other settings, but for one that does nothing."""
    changed = copy.copy(quantizer)
    if hasattr(quantizer, "num_bits"):
        vars(changed).update(settings)
    return changed


def _quantizing(layer: Any) -> Any:
    """The layer whose range an output has: its own, or one further up.

    A shuffle leaves values in the range of what it reads.
    """
    while not getattr(layer, "_output_quantizers", True) and not isinstance(
        layer.inbound_nodes[0].inbound_layers, list
    ):
        layer = layer.inbound_nodes[0].inbound_layers
    return layer


@contextlib.contextmanager
def _in_8_bits(model: Any) -> Iterator[set[str]]:
    """Lets layers of 16 bits cover their ranges in 8, which they name.

    TensorFlow's converter takes all activations of a file to have the same
    width. Where the next layer has a range of 8 bits for the same tensor, it
    would be lost behind another one: there it is the only one.
    """
    wide = [
        layer
        for layer in _wrappers(model)
        if getattr(layer, "activation_bits", 8) == 16
    ]
    converted = [
        _quantizing(layer.inbound_nodes[0].inbound_layers)
        for layer in _wrappers(model)
        if layer not in wide and _is_conversion(layer.layer)
    ]
    before = [(layer, layer._output_quantizers) for layer in wide]
    for layer in wide:
        _replace_quantizers(layer, num_bits=8)
        if layer in converted:
            layer._output_quantizers = []
    try:
        yield {layer.layer.name for layer in wide}
    finally:
        for layer, quantizers in before:
            _replace_quantizers(layer, num_bits=16)
            layer._output_quantizers = quantizers


def _culprit(model: tf_keras.Model, message: str) -> str:
    """The layer that TFMOT complains about."""
    name = re.match(r"Layer ([^:]+):<class '[\w.]*\.(\w+)'>", message)
    if name is not None:
        return f"{name[1]!r}, a {name[2]}"
    activation = re.match(r"Activation <function (\w+) at", message)
    for layer in model.layers:
        function = getattr(layer, "activation", None)
        if activation and getattr(function, "__name__", "") == activation[1]:
            return f"{layer.name!r}, with the activation {activation[1]}"
    return " ".join(message.split())[:300]


def calibrate(model: tf_keras.Model, images: np.ndarray) -> None:
    """Sets the activation ranges to those seen on some images.

    TFMOT starts at [-6, 6] and moves a thousandth of the way each step,
    which takes thousands of steps; short trainings would end with ranges
    that waste most of the 256 values.

    The images go through in batches, as many at a time as memory allows.
    Normalization and dropout are those of inference, so that ranges are the
    same for any size of the batches.

    Args:
        model: What `quantize` returned.
        images: float32 `[N, H, W, C]`; a few hundred do.
    """
    bounds = {
        i: np.minimum if weight.name.endswith("_min:0") else np.maximum
        for i, weight in enumerate(model.weights)
        if weight.name.endswith(("_min:0", "_max:0"))
    }
    size = max(1, _BATCH_BYTES // _bytes_of_largest_layer(model))
    weights = model.get_weights()
    with _as_in_inference(model):
        for attempt in range(4):
            moved = list(weights)
            for start in range(0, len(images), size):
                model(images[start : start + size], training=True)
                now = model.get_weights()
                for i, bound in bounds.items():
                    moved[i] = bound(moved[i], now[i]) if start else now[i]
                model.set_weights(weights)
            for i in bounds:
                if attempt == 0:
                    # Ranges of kernels arrive at once, and stand still then.
                    weights[i] = moved[i]
                else:
                    # A pass sees what the last one clipped in earlier layers.
                    weights[i] += (moved[i] - weights[i]) / _RANGE_STEP
            model.set_weights(weights)


def _bytes_of_largest_layer(model: tf_keras.Model) -> int:
    """What the largest output of a layer takes, of one image in float32."""
    return max(
        4 * math.prod(size or 1 for size in output.shape[1:])
        for layer in model.layers
        for output in tf.nest.flatten(layer.output)
    )


@contextlib.contextmanager
def _as_in_inference(model: tf_keras.Model) -> Iterator[None]:
    """Lets ranges move while normalization and dropout do as in inference."""
    layers = [getattr(layer, "layer", layer) for layer in model.layers]
    kinds = tf_keras.layers.BatchNormalization, tf_keras.layers.Dropout, _RANDOM
    normal, dropping, random = (
        [layer for layer in layers if isinstance(layer, kind)] for kind in kinds
    )
    were_trainable = [layer.trainable for layer in normal]
    rates = [layer.rate for layer in dropping]
    for layer in normal:
        layer.trainable = False  # Keras then takes the moving statistics
    for layer in dropping:
        layer.rate = 0
    for layer in random:
        layer.call = lambda inputs, training=None: inputs
    try:
        yield
    finally:
        for layer in random:
            del layer.call  # that of its class again
        for layer, was_trainable in zip(normal, were_trainable, strict=True):
            layer.trainable = was_trainable
        for layer, rate in zip(dropping, rates, strict=True):
            layer.rate = rate


def to_tflite(model: Any, images: np.ndarray | None = None) -> bytes:
    """Converts to TFLite with nothing but integers inside, int8 in and out.

    A model that casts what it reads to integers, as numbers of rows are, reads
    floats, which no range rounds.

    Args:
        model: A trained quantization-aware model; or, with images, a float
            model of either Keras.
        images: float32 `[N, ...]` that the ranges of a float model are seen
            on, one after the other; a few hundred do.

    Returns:
        The file. Its batch size is 1; an interpreter may resize it.

    Raises:
        ValueError: If the model has a loop, or a float tensor is left, see
            `check_int8`.
        RuntimeError: If TensorFlow cannot convert the model.
    """
    with _in_8_bits(model) as wide:
        content = _convert(model, images)
    named = wide & mixed_precision.names(content) if wide else wide
    content = mixed_precision.requantize(
        content,
        activation_bits=dict.fromkeys(sorted(named), 16),
        is_symmetric=True,
    )
    check_int8(content)
    return content


def _convert(model: Any, images: np.ndarray | None) -> bytes:
    """The file that TensorFlow's converter makes of a model."""
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if not _reads_numbers(model):
        converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    if images is not None:
        converter.representative_dataset = lambda: (
            [images[i : i + 1]] for i in range(len(images))
        )
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
    return _converted(converter)


def _reads_numbers(model: Any) -> bool:
    """Whether a model casts what it reads to integers."""
    return any(
        str(layer.compute_dtype).startswith("int")
        and layer.input is model.inputs[0]
        for layer in model.layers
    )


def to_float_tflite(model: Any) -> bytes:
    """Converts to TFLite as it is, in float32.

    Args:
        model: A float model of either Keras.

    Returns:
        The file. Its batch size is 1; an interpreter may resize it.

    Raises:
        ValueError: If the model has a loop.
        RuntimeError: If TensorFlow cannot convert the model.
    """
    return _converted(_converter(model))


def _converter(model: Any) -> Any:
    """A converter of a model, for a batch of one."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, "images")
    function = tf.function(
        lambda images: model(images, training=False)
    ).get_concrete_function(spec)
    # Writing a SavedModel, Keras functions and all, is nine tenths of the
    # time of from_keras_model; with constants there is nothing to write.
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        function, lower_control_flow=False
    )
    _refuse_loops(frozen.graph.as_graph_def())
    scopes = [node.name for node in function.graph.get_operations()]
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [_renamed(frozen, _layer_scopes(scopes, model))], tf.Module()
    )


def _layer_scopes(names: Sequence[str], model: Any) -> dict[str, str]:
    """What the scopes of layers are to be called; nothing if all are right.

    Keras 3 opens the scope of a layer twice, so that the operations of `conv2d`
    are in `conv2d_1`, which may be the name of another layer.

    Args:
        names: Of operations in the order in which layers are called.
        model: Whose layers they are of.
    """
    graph = keras_graph.graph_of(model)
    if graph is None:
        return {}
    layers = (call.name for call in keras_graph.calls(graph, "", (), {}))
    paths = [name.split("/") for name in names]
    found = {}
    given = dict.fromkeys("/".join(path[:2]) for path in paths if path[1:])
    for scope in given:
        root, own = scope.split("/")
        # Layers without operations are passed over.
        for layer in layers:
            if re.fullmatch(rf"{re.escape(layer)}(_\d+)?", own):
                found[scope] = f"{root}/{layer}"
                break
    # Neither a layer that is called twice, nor a scope of none, loses its own.
    others = given.keys() - found.keys()
    is_clear = len({*found.values()} - others) == len(found)
    is_right = all(old == new for old, new in found.items())
    return found if is_clear and not is_right else {}


def _renamed(frozen: Any, scopes: Mapping[str, str]) -> Any:
    """A function whose operations are in other scopes."""
    if not scopes:
        return frozen

    def renamed(name: str) -> str:
        mark = "^" if name.startswith("^") else ""
        root, _, rest = name.removeprefix("^").partition("/")
        layer, _, rest = rest.partition("/")
        scope = f"{root}/{layer}"
        return f"{mark}{scopes[scope]}/{rest}" if scope in scopes else name

    graph = frozen.graph.as_graph_def()
    for node in graph.node:
        node.name = renamed(node.name)
        node.input[:] = [renamed(name) for name in node.input]
        node.attr.pop("_class", None)  # which device, by names
    return wrap_function.function_from_graph_def(
        graph,
        [tensor.name for tensor in frozen.inputs],
        [renamed(tensor.name) for tensor in frozen.outputs],
    )


def _converted(converter: Any) -> bytes:
    with warnings.catch_warnings():
        # The statistics are in the fake-quantization nodes.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        try:
            return bytes(converter.convert())
        except Exception as error:
            raise RuntimeError(
                "TensorFlow must be able to convert the network. "
                f"Received: {error}"
            ) from error


def _refuse_loops(graph: Any) -> None:
    """Refuses what kills the converter, and with it the whole process."""
    loops = [node.name for node in graph.node if node.op in _LOOPS]
    if loops:
        raise ValueError(
            "A network must have no loops to become int8. Received: "
            f"{', '.join(loops)}. Pass unroll=True to recurrent layers."
        )


_LOOPS = ("While", "StatelessWhile", "Enter")
"""Operations that a loop has in a graph."""


def check_int8(tflite: bytes) -> None:
    """Refuses a TFLite file that computes anything in float.

    What is cast from floats, or to them, is computed in integers.

    Args:
        tflite: The file.

    Raises:
        ValueError: If another tensor is float, or input or output not int8.
    """
    interpreter = evaluate.open_interpreter(tflite)
    cast = {
        number
        for operator in interpreter._get_ops_details()
        if operator["op_name"] == "CAST"
        for number in (*operator["inputs"], *operator["outputs"])
    }
    floats = [
        tensor["name"]
        for tensor in interpreter.get_tensor_details()
        if np.issubdtype(tensor["dtype"], np.floating)
        and tensor["index"] not in cast
    ]
    if floats:
        raise ValueError(
            "Every tensor of the TFLite file must be an integer. Received "
            f"{len(floats)} float tensors: {', '.join(floats[:5])}. Use other "
            "layers there."
        )
    for tensor in (
        interpreter.get_input_details() + interpreter.get_output_details()
    ):
        if tensor["dtype"] != np.int8 and tensor["index"] not in cast:
            raise ValueError(
                "Input and output of the TFLite file must be int8. Received: "
                f"{tensor['name']} of {tensor['dtype'].__name__}."
            )


def save_weights(model: tf_keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes weights so that the file is never half-written.

    Args:
        model: A float or quantization-aware model.
        path: Ends in `.weights.h5`. The weights of a float model can be
            loaded by Keras 3 as well.

    Raises:
        ValueError: If the path ends differently.
    """
    path = pathlib.Path(path)
    _check_ending(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        temporary = pathlib.Path(folder) / path.name
        with warnings.catch_warnings():
            # Of how Keras 3 makes arrays of variables.
            warnings.filterwarnings("ignore", "__array__ implementation")
            model.save_weights(temporary)
        files.replace(temporary, path)


def load_weights(model: tf_keras.Model, path: str | os.PathLike[str]) -> None:
    """Reads weights into a model of the same layers.

    Args:
        model: For float weights what `build` returned, for those of a
            quantization-aware model what `quantize` returned.
        path: A file of `save_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or belongs to another network.
    """
    path = pathlib.Path(path)
    _check_ending(path)
    if not path.is_file():
        raise FileNotFoundError(f"Weights must exist. Received: {path}.")
    try:
        with warnings.catch_warnings():
            # The state of another optimizer than the model has now.
            warnings.filterwarnings("ignore", "Skipping variable loading")
            model.load_weights(path)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} must hold weights of this network. Received: {reason}"
        ) from error


def _check_ending(path: pathlib.Path) -> None:
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            f"The file of weights must end in .weights.h5. Received: {path}."
        )
