"""Rebuilds a model of either Keras in tf_keras, layer by layer.

TensorFlow Model Optimization quantizes flat functional models of tf_keras in
float32. Configurations of Keras 3 do not load there as they are; settings that
only one of the two knows are left out if they do nothing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from tf_cosearch.networks.importers import keras_graph
from tf_cosearch.training import qat

TOLERANCE = 1e-4
"""Of outputs, relative to the largest one, where both compute in float32."""

_REDUCED_TOLERANCE = 3e-2  # bfloat16 has 8 significant bits
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
# Outputs do not depend on them, or say the same by another setting.
_UNUSED = ("autocast", "batch_input_shape", "batch_shape", "dtype", "seed")
# What is called without a layer, `x + y` or `ops.relu(x)` say.
_MERGES = {
    "add": "Add",
    "concat": "Concatenate",
    "concatenate": "Concatenate",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "mul": "Multiply",
    "multiply": "Multiply",
    "sub": "Subtract",
    "subtract": "Subtract",
}
_ACTIVATIONS = {
    "elu": "elu",
    "gelu": "gelu",
    "hardsigmoid": "hard_sigmoid",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "swish": "swish",
    "tanh": "tanh",
}
# Scale and offset that an operation with a number amounts to.
_WITH_NUMBER: dict[str, Callable[[float], tuple[float, float]]] = {
    "add": lambda number: (1.0, number),
    "divide": lambda number: (1 / number, 0.0),
    "mul": lambda number: (number, 0.0),
    "multiply": lambda number: (number, 0.0),
    "sub": lambda number: (1.0, -number),
    "subtract": lambda number: (1.0, -number),
    "truediv": lambda number: (1 / number, 0.0),
    "truedivide": lambda number: (1 / number, 0.0),
}
_JOINS = ("concat", "concatenate")
# Layers that do nothing at inference.
_RANDOM = {op for op in keras_graph.FREE if "dropout" in op or "random" in op}
_KNOWN = {*_MERGES, *_ACTIVATIONS, *_WITH_NUMBER}


class Rebuilt:
    """The same network of tf_keras layers, in float32.

    Models within the model become layers of the one. Layers and weights are
    new; regularizers, constraints and what is frozen are carried over.

    Args:
        source: A functional or sequential model of `keras` or `tf_keras`,
            with one input and one output.

    Attributes:
        model: An uncompiled functional tf_keras model. Its weights are those
            that `source` had when `carry` was called last.

    Raises:
        ValueError: If tf_keras lacks a layer, which is named, or knows no
            such setting of it.

    Example:
    >>> given = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(2), keras.layers.ReLU()]
    ... )
    >>> [type(layer).__name__ for layer in Rebuilt(given).model.layers]
    ['InputLayer', 'Dense', 'ReLU']
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._copies: dict[int, tuple[Any, list[Any]]] = {}
        self._names: set[str] = set()
        self._scales: list[Any] = []  # their weights are none of the source
        shape = tuple(source.inputs[0].shape)[1:]
        image = tf_keras.Input(shape, name=self._unique("input"))
        [output] = self._run(source, [image], "", False)
        self.model = tf_keras.Model(image, output, name="rebuilt")
        self.carry()

    def carry(self) -> None:
        """Gives the layers the weights that those of the source have now."""
        for source, copies in self._copies.values():
            weights = [np.asarray(w, np.float32) for w in source.get_weights()]
            for copy in copies:
                if copy not in self._scales:
                    count = len(copy.weights)
                    copy.set_weights(weights[:count])
                    weights = weights[count:]

    def require_equal(self, x: np.ndarray) -> None:
        """Makes sure that both give the same outputs.

        Args:
            x: Some inputs `[N, ...]`.

        Raises:
            ValueError: If an output differs by more than `TOLERANCE`.
        """
        before = np.asarray(self._source(x, training=False), np.float32)
        after = np.asarray(self.model(x, training=False), np.float32)
        scale = max(1.0, float(np.abs(before).max(initial=0)))
        error = float(np.abs(before - after).max(initial=0)) / scale
        is_reduced = any(
            str(getattr(layer, "compute_dtype", "float32")) != "float32"
            for layer, _ in self._copies.values()
        )
        tolerance = _REDUCED_TOLERANCE if is_reduced else TOLERANCE
        if not error <= tolerance:
            raise ValueError(
                "The network that was rebuilt in tf_keras must give the "
                f"outputs of the model, to {tolerance}. Received: a difference "
                f"of {error:.2g} between {self._source.name} and its copy. "
                f"{qat.ADVICE}"
            )

    def _run(
        self, model: Any, inputs: list[Any], prefix: str, is_inference: bool
    ) -> list[Any]:
        """Calls copies of the layers of a model, in its order."""
        graph = keras_graph.graph_of(model)
        if graph is None:
            raise ValueError(
                "A model must be functional or a built sequential one. "
                f"Received: {model.name} of {type(model).__name__}. "
                f"{qat.ADVICE}"
            )
        tensors = {
            id(tensor): given
            for tensor, given in zip(graph.inputs, inputs, strict=True)
        }
        for call in keras_graph.calls(graph, prefix, _KNOWN, tensors):
            given = [v for k, v in call.arguments.items() if k != "training"]
            # Keras 3 notes a default of True; outputs tell who means it.
            in_inference = is_inference or (
                call.arguments.get("training") is False
            )
            if keras_graph.graph_of(call.layer) is not None:
                outputs = self._run(
                    call.layer,
                    tf.nest.flatten(given[0]),
                    f"{call.name}_",
                    in_inference,
                )
            else:
                outputs = [self._call(call, given, in_inference)]
            for old, new in zip(call.outputs, outputs, strict=True):
                tensors[id(old)] = new
        return [tensors[id(tensor)] for tensor in graph.outputs]

    def _call(
        self, call: keras_graph.Call, given: list[Any], is_inference: bool
    ) -> Any:
        """Calls the copy of a layer, or the layer of an operation."""
        if not _is_layer(call.layer):
            return self._operate(call, given)
        x = given[0]
        if id(call.layer) not in self._copies:
            self._copies[id(call.layer)] = (call.layer, self._copy(call, x))
        for copy in self._copies[id(call.layer)][1]:
            if is_inference:  # a mode of one call, which TFMOT does not know
                if isinstance(copy, tf_keras.layers.BatchNormalization):
                    copy.trainable = False
                elif keras_graph.op_of(call.layer, keras_graph.FREE) in _RANDOM:
                    continue
            x = copy(x)
        return x

    def _operate(self, call: keras_graph.Call, given: list[Any]) -> Any:
        name = self._unique(call.name)
        operands = tf.nest.flatten(given[:1])
        if call.op not in _JOINS:
            operands += [each for each in given[1:2] if each is not None]
        tensors = [each for each in operands if tf.is_tensor(each)]
        numbers = [each for each in operands if isinstance(each, (int, float))]
        if call.op in _ACTIVATIONS and len(tensors) == 1:
            activation = _ACTIVATIONS[call.op]
            return tf_keras.layers.Activation(activation, name=name)(tensors[0])
        if call.op in _MERGES and len(tensors) == len(operands) > 1:
            kind = getattr(tf_keras.layers, _MERGES[call.op])
            settings = {}
            if kind is tf_keras.layers.Concatenate:
                axis = call.arguments.get("axis", call.arguments.get(1, -1))
                settings["axis"] = getattr(call.layer, "axis", axis)
            return kind(name=name, **settings)(tensors)
        is_first = [tf.is_tensor(each) for each in operands] == [True, False]
        if call.op in _WITH_NUMBER and is_first and numbers:
            scale, offset = _WITH_NUMBER[call.op](float(numbers[0]))
            return self._scale(call, tensors[0], scale, offset)(tensors[0])
        raise _refusal(call.layer, "an operation that is no layer")

    def _copy(self, call: keras_graph.Call, x: Any) -> list[Any]:
        """The layers that together do what one of the source does."""
        layer, name = call.layer, _kind(call.layer)
        if name == "SeparableConv2D":  # TFMOT would name its parts anew
            parts = _parts_of_separable(layer)
            return [
                self._make(call, x, kind, settings, f"_{kind.lower()}")
                for kind, settings in parts
            ]
        if name == "Rescaling":
            return [self._scale(call, x, layer.scale, layer.offset)]
        if name == "Normalization":
            deviation = np.sqrt(np.asarray(layer.variance))
            scale = 1 / np.maximum(deviation, tf_keras.backend.epsilon())
            return [self._scale(call, x, scale, -layer.mean * scale)]
        if name == "ReLU" and not _is_linear(x.node.layer):
            # TFMOT would leave the first activation in float.
            raise _refusal(layer, "after another activation")
        copy = self._make(call, x, name, None, "")
        if name == "BatchNormalization" and not _feeds_alone(x):
            # It folds into a convolution before it, and into nothing else.
            return [self._scale(call, x, 1.0, 0.0), copy]
        return [copy]

    def _make(
        self,
        call: keras_graph.Call,
        x: Any,
        name: str,
        settings: dict[str, Any] | None,
        suffix: str,
    ) -> Any:
        layer = call.layer
        kind = getattr(tf_keras.layers, name, None)
        package = type(layer).__module__.partition(".")[0]
        if kind is None or package not in ("keras", "tf_keras"):
            raise _refusal(layer, "which tf_keras does not have")
        config = _settings(layer, kind)
        if settings is not None:
            config = {**config, **settings}
        if name == "DepthwiseConv2D":
            config.pop("filters", None)  # a setting of its base class
        config["name"] = self._unique(call.name + suffix)
        try:
            copy = kind.from_config(config)
            if not suffix:
                copy.build(_shapes(call))
        except Exception as error:  # layers raise what they like
            raise _refusal(layer, str(error)) from error
        return copy

    def _scale(
        self, call: keras_graph.Call, x: Any, scale: Any, offset: Any
    ) -> Any:
        """A constant scale and offset of channels, as an int8 kernel does it.

        Constants beside a tensor would stay floats.
        """
        if len(x.shape) != 4:
            raise _refusal(call.layer, f"of a tensor of shape {x.shape[1:]}")
        copy = tf_keras.layers.DepthwiseConv2D(
            1, name=self._unique(f"{call.name}_scale"), trainable=False
        )
        copy.build(x.shape)
        channels = x.shape[-1]
        try:
            kernel, bias = (
                np.broadcast_to(np.float32(value).reshape(-1), [channels])
                for value in (scale, offset)
            )
        except ValueError as error:
            raise _refusal(call.layer, str(error)) from error
        copy.set_weights([kernel.reshape(1, 1, channels, 1), bias])
        self._scales.append(copy)
        return copy

    def _unique(self, name: str) -> str:
        """A name that TensorFlow takes and no other layer has."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        number = 1
        unique = name
        while unique in self._names:
            unique = f"{name}_{number}"
            number += 1
        self._names.add(unique)
        return unique


def to_int8(model: Any, images: np.ndarray) -> tuple[bytes, Any]:
    """The int8 file of a trained float model of either Keras.

    Keras 3 writes some layers, a normalization for one, in operations that
    TFLite has no int8 kernels for: then it is that of a copy in tf_keras.

    Args:
        model: As it was trained.
        images: float32 `[N, ...]` that its ranges are seen on.

    Returns:
        The file, and the model it was made from.

    Raises:
        ValueError: As of `qat.to_tflite`.
        RuntimeError: The same.
    """
    try:
        return qat.to_tflite(model, images), model
    except ValueError:
        try:
            rebuilt = Rebuilt(model)
            rebuilt.require_equal(images[:32])
        except ValueError:
            rebuilt = None
        if rebuilt is None:
            raise
        return qat.to_tflite(rebuilt.model, images), rebuilt.model


def _is_layer(layer: Any) -> bool:
    kinds = (keras.layers.Layer, tf_keras.layers.Layer)
    return isinstance(layer, kinds) and type(layer).__name__ != "TFOpLambda"


def _feeds_alone(x: Any) -> bool:
    """Whether a tensor comes from a convolution or product of matrices."""
    kinds = ("Conv2D", "Dense", "DepthwiseConv2D")
    return type(x.node.layer).__name__ in kinds and _is_linear(x.node.layer)


def _is_linear(layer: Any) -> bool:
    """Whether a layer has no activation."""
    activation = getattr(layer, "activation", None)
    return activation in (None, tf_keras.activations.linear)


def _parts_of_separable(layer: Any) -> list[tuple[str, dict[str, Any]]]:
    """The two layers of a separable convolution, and what is set of each."""
    depthwise = {"use_bias": False, "activation": "linear"}
    pointwise = {
        "kernel_size": 1,
        "strides": 1,
        "dilation_rate": 1,
        "padding": "valid",
        "kernel_regularizer": _carried(
            layer, "pointwise_regularizer", layer.pointwise_regularizer
        ),
        "kernel_constraint": _carried(
            layer, "pointwise_constraint", layer.pointwise_constraint
        ),
    }
    return [("DepthwiseConv2D", depthwise), ("Conv2D", pointwise)]


def _kind(layer: Any) -> str:
    """The layer of tf_keras that does the same, and has an int8 kernel."""
    name = type(layer).__name__
    if name == "ReLU" and layer.negative_slope and not layer.threshold:
        return "ReLU" if layer.max_value is not None else "LeakyReLU"
    return name


def _shapes(call: keras_graph.Call) -> Any:
    shapes = [tuple(tensor.shape) for tensor in call.inputs]
    return shapes if len(shapes) > 1 else shapes[0]


def _settings(layer: Any, kind: Any) -> dict[str, Any]:
    """What the class of tf_keras takes of a layer's settings."""
    accepted = {
        name
        for base in kind.__mro__
        if base is not tf_keras.layers.Layer
        for name in inspect.signature(base.__init__).parameters
    } | {"trainable"}
    settings: dict[str, Any] = {}
    for name, value in layer.get_config().items():
        name = _RENAMED.get((kind.__name__, name), name)
        if name in _UNUSED or name.endswith("initializer"):
            continue
        if name.endswith(("regularizer", "constraint")):
            value = _carried(layer, name, getattr(layer, name, None))
        elif name.endswith("activation"):
            value = _activation(layer, getattr(layer, name))
        elif name not in accepted:
            continue  # If it matters, the outputs differ.
        if name in accepted:
            settings[name] = value
    return settings


def _carried(layer: Any, name: str, given: Any) -> Any:
    """The regularizer or constraint of tf_keras with the same settings."""
    if given is None:
        return None
    library = getattr(tf_keras, f"{name.rpartition('_')[2]}s")
    kind = getattr(library, type(given).__name__, None)
    if kind is None or type(given).__module__.partition(".")[0] not in (
        "keras",
        "tf_keras",
    ):
        raise _refusal(layer, f"with a {name} of its own")
    return kind.from_config(given.get_config())


def _activation(layer: Any, given: Any) -> str:
    if given is None:
        return "linear"
    name = getattr(given, "__name__", type(given).__name__)
    if name == "silu":
        name = "swish"
    if getattr(tf_keras.activations, name, None) is None:
        raise _refusal(layer, f"with the activation {name}")
    return str(name)


def _refusal(layer: Any, reason: str) -> ValueError:
    return ValueError(
        "Quantization-aware training must know every layer of a network. "
        f"Received: {layer.name!r}, a {type(layer).__name__}: "
        f"{' '.join(reason.split())[:200]}. {qat.ADVICE}"
    )
