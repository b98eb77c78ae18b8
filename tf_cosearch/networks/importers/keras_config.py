"""Reduces the configuration of a Keras model to what Keras itself brings.

Keras imports the modules that a configuration names and calls what it finds
there. So nothing of a file is handed to Keras as it stands: a configuration is
copied, and only numbers, texts and names from the tables of this file get into
the copy. What a network costs does not depend on how it is trained, so that
initializers, regularizers, constraints, losses and optimizers are left out.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

from tf_cosearch.networks.importers import keras_calls


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _axes(kinds: str) -> frozenset[str]:
    return frozenset(f"{kind}{n}D" for kind in kinds.split() for n in (1, 2, 3))


MODELS = _words("Functional Model Sequential")
"""Models that consist of layers."""
LAYERS = _axes(
    "AdaptiveAveragePooling AdaptiveMaxPooling AveragePooling ConvLSTM "
    "Cropping GlobalAveragePooling GlobalMaxPooling MaxPooling SpatialDropout "
    "UpSampling ZeroPadding"
) | _words(
    "Activation ActivityRegularization Add AdditiveAttention AlphaDropout "
    "Attention AugMix AutoContrast Average BatchNormalization "
    "BatchNormalizationV1 Bidirectional CategoryEncoding CenterCrop "
    "Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D "
    "Conv3DTranspose CuDNNGRU CuDNNLSTM Dense DepthwiseConv1D DepthwiseConv2D "
    "Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten "
    "GRU GRUCell GRUV1 GRUCellV1 GaussianDropout GaussianNoise "
    "GroupNormalization GroupQueryAttention GroupedQueryAttention Hashing "
    "Identity InputLayer LSTM LSTMCell LSTMV1 LSTMCellV1 LayerNormalization "
    "LeakyReLU Masking Maximum "
    "MelSpectrogram Minimum MultiHeadAttention Multiply Normalization PReLU "
    "Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness "
    "RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
    "RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight "
    "RandomHue RandomInvert RandomPerspective RandomPosterization "
    "RandomRotation RandomSaturation RandomSharpness RandomShear "
    "RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling "
    "Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D "
    "SeparableConv2D SimpleRNN SimpleRNNCell SlicingOpLambda Softmax "
    "Solarization SpectralNormalization StackedRNNCells Subtract TFOpLambda "
    "ThresholdedReLU TimeDistributed UnitNormalization"
)
"""Layers that compute with tensors, and read nothing but those."""
ACTIVATIONS = _words(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu "
    "hard_swish hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu "
    "relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus "
    "sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold"
)
"""Functions that may be an activation."""
APPLICATION_LAYERS = {
    "CustomScaleLayer": "inception_resnet_v2",
    "LayerScale": "convnext",
}
"""Layers that only a network of `keras.applications` has, and which."""
OPERATION_MODULES = tuple(
    f"keras.src.ops.{name}"
    for name in ("core", "image", "linalg", "math", "nn", "numpy")
)
"""Where Keras 3 keeps operations that are called without a layer."""
TENSORFLOW_FUNCTIONS = {
    "__operators__": _words(
        "abs add and eq floordiv ge getitem gt invert le logical_and "
        "logical_not logical_or lt matmul mod mul ne neg or pow radd rdiv "
        "rfloordiv rmatmul rmod rmul rpow rsub rtruediv sub truediv xor"
    ),
    "": _words(
        "argsort broadcast_to cast clip_by_value concat cumsum einsum "
        "expand_dims gather gather_nd identity "
        "norm one_hot ones_like pad rank repeat reshape reverse roll shape "
        "size slice sort split squeeze stack stop_gradient strided_slice "
        "tensordot tile transpose unstack where zeros_like"
    ),
    "math": _words(
        "abs add add_n argmax argmin ceil cos cumsum divide divide_no_nan "
        "equal erf exp expm1 floor floordiv floormod greater greater_equal "
        "l2_normalize less less_equal log log1p log_sigmoid log_softmax "
        "logical_and logical_not logical_or maximum minimum mod multiply "
        "negative not_equal pow reciprocal reduce_all reduce_any "
        "reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod "
        "reduce_std reduce_sum reduce_variance round rsqrt scalar_mul sigmoid "
        "sign sin softmax softplus softsign sqrt square squared_difference "
        "subtract tan tanh top_k truediv"
    ),
    "nn": _words(
        "avg_pool avg_pool2d bias_add conv1d conv2d crelu depth_to_space elu "
        "gelu leaky_relu local_response_normalization log_softmax "
        "l2_normalize max_pool max_pool2d moments relu relu6 selu sigmoid "
        "silu softmax softplus softsign space_to_depth swish tanh top_k"
    ),
    "linalg": _words("einsum l2_normalize matmul matrix_transpose norm"),
    "image": _words(
        "adjust_brightness central_crop crop_to_bounding_box "
        "extract_patches flip_left_right flip_up_down grayscale_to_rgb "
        "pad_to_bounding_box per_image_standardization resize "
        "resize_with_crop_or_pad resize_with_pad rgb_to_grayscale rot90"
    ),
}
"""Functions of TensorFlow that a tf_keras file may call, by namespace."""

_MOST_CALLS = 30_000  # of layers, in a model and the models within it
_BYTECODE = ("Lambda", "__lambda__")
# Operations that take a function.
_HIGHER_ORDER = _words(
    "AssociativeScan Cond ForiLoop JVP Map Scan Switch VectorizedMap WhileLoop"
)
_TRAINING = _words(
    "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity "
    "IdentityInitializer LecunNormal LecunUniform Ones Orthogonal "
    "OrthogonalInitializer RandomNormal RandomUniform STFT TruncatedNormal "
    "VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer MaxNorm "
    "MinMaxNorm NonNeg RadialConstraint UnitNorm"
)
_POLICIES = _words(
    "AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy "
    "GPTQDTypePolicy Int4DTypePolicy Policy PolicyV1 "
    "QuantizedDTypePolicy QuantizedFloat8DTypePolicy"
)
_VALUES = _words("__keras_tensor__ __numpy__ __slice__ __tensor__")
_PACKAGES = ("builtins", "keras", "tensorflow", "tf_keras")
_MODEL = (
    "build_input_shape",
    "input_layers",
    "layers",
    "name",
    "output_layers",
)
# What TensorFlow Model Optimization puts around a layer or an activation, and
# puts between layers. What is inside costs something, and nothing else.
_TRANSPARENT = _words(
    "PruneLowMagnitude QuantizeAnnotate QuantizeWrapper QuantizeWrapperV2"
)
_AWARE = _words("NoOpActivation QuantizeAwareActivation")
_FAKE_QUANTIZATION = "QuantizeLayer"


def reduced(
    config: Any, keras: Any, input_px: int | None = None
) -> dict[str, Any]:
    """Copies what is known of a model's configuration.

    Args:
        config: What a file states.
        keras: The Keras that is to build the copy: `keras` or `tf_keras`.
        input_px: Rows and columns of images whose size the file leaves open.

    Returns:
        A configuration that `keras` builds without running anything that is
        not its own.

    Raises:
        ValueError: If the model holds code, or anything that is not of Keras.
            The message lacks its subject, which is the file.
    """
    for entry in _dictionaries(config):
        if entry.get("class_name") in _BYTECODE:
            raise _code("a Lambda", entry)
    copy = _Copy(keras, input_px)
    model = copy.model(config)
    if input_px is not None and not copy.is_filled_in:
        raise ValueError(
            "must leave its image size open for --input_px. Received: "
            f"input_px={input_px} with inputs of fixed shapes. Leave it out."
        )
    return model


def _dictionaries(config: Any) -> Iterator[dict[str, Any]]:
    """All mappings within a configuration, however deep."""
    pending = [config]
    while pending:
        entry = pending.pop()
        if isinstance(entry, dict):
            yield entry
            pending.extend(entry.values())
        elif isinstance(entry, list):
            pending.extend(entry)


def _code(what: str, entry: dict[str, Any]) -> ValueError:
    config = entry.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = f", layer {name!r}" if isinstance(name, str) else ""
    return ValueError(
        f"must not bring code of its own. Received: {what[:80]}{name}. Use "
        "layers of Keras instead, or build the model in Python and use "
        "`from_keras`."
    )


class _Copy:
    """Copies a configuration for one of the two Kerases.

    Attributes:
        is_filled_in: Whether an image size was open.
    """

    def __init__(self, keras: Any, input_px: int | None) -> None:
        self._keras = keras
        self._input_px = input_px
        self._times = 1  # that the model is called whose layers are copied
        self._calls = 0
        self.is_filled_in = False
        self._is_keras_3 = keras.__name__ == "keras"

    def model(self, entry: Any) -> dict[str, Any]:
        """Copies a whole model."""
        name = entry.get("class_name") if isinstance(entry, dict) else entry
        if not isinstance(name, str) or name not in MODELS:
            raise ValueError(
                "must hold a functional or sequential model. Received: "
                f"{str(name)[:80]}. Convert it to .tflite, or build it in "
                "Python and use `from_keras`."
            )
        return self._object(entry, "the model")

    def _any(self, value: Any, where: str) -> Any:
        """Copies a value of any kind."""
        if isinstance(value, list):
            return [self._any(part, where) for part in value]
        if not isinstance(value, dict):
            return value
        if "class_name" in value:
            return self._object(value, where)
        return {key: self._any(part, where) for key, part in value.items()}

    def _object(self, entry: dict[str, Any], where: str) -> Any:
        name, config = str(entry["class_name"]), entry.get("config", {})
        plain = name.removeprefix("Custom>")  # how tf_keras registers them
        name = plain if plain in APPLICATION_LAYERS else name
        if name == "function":
            return _activation(config, where)
        if name == "__ellipsis__":
            return entry if self._is_keras_3 else Ellipsis
        if name in ("__tuple__", "TensorShape"):
            items = self._any(entry.get("items"), where)
            return tuple(items) if name == "__tuple__" else items
        if name in _VALUES and isinstance(config, dict):
            copy = self._any(config, where)
            if not self._is_keras_3:
                return copy.get("value")
            _check_number(copy.get("dtype", "int"), where)
            return {"class_name": name, "config": copy}
        if name in _TRANSPARENT and isinstance(config, dict):
            return self._unwrapped(entry, config, where)
        if name in _AWARE and isinstance(config, dict):
            return self._config(
                {"activation": config.get("activation", "linear")}, where
            )["activation"]
        if name == _FAKE_QUANTIZATION and isinstance(config, dict):
            config = {"name": config.get("name"), "activation": "linear"}
            built_in = {"module": None, "registered_name": None}
            entry = {**entry, **built_in, "config": config}
            return self._object({**entry, "class_name": "Activation"}, where)
        if isinstance(config, dict):
            label = config.get("name") or entry.get("name")
            where = f"layer {label!r}" if isinstance(label, str) else where
        module = self._module(name, entry, where)
        if name in _POLICIES and isinstance(config, dict):
            return _policy(name, config)
        if name in MODELS:
            config = _model_config(config)
        elif not isinstance(config, dict):
            raise _unconfigured(where, config)
        calls = entry.get("inbound_nodes")
        before = self._times
        self._times *= len(calls) if isinstance(calls, list) and calls else 1
        self._calls += self._times
        if self._calls > _MOST_CALLS:
            raise ValueError(
                f"must call at most {_MOST_CALLS} layers, in all models within "
                f"it. Received: more, up to {where}. Price the models within "
                "it one by one."
            )
        copy = {"class_name": name, "config": self._config(config, where)}
        self._times = before
        if name in MODELS:
            keras_calls.check(config["layers"])
            layers = copy["config"]["layers"]
            copy["config"]["layers"] = keras_calls.Layers(layers, self._calls)
        for key in ("name", "inbound_nodes", "shared_object_id"):
            if key in entry:
                copy[key] = self._any(entry[key], where)
        if self._is_keras_3:
            copy |= {"module": module, "registered_name": None}
        return copy

    def _module(self, name: str, entry: dict[str, Any], where: str) -> str:
        """Where a class is found; refuses all that are not in the tables."""
        module = entry.get("module")
        registered = entry.get("registered_name")
        names = [None, name]
        if name in APPLICATION_LAYERS:
            names.append(f"Custom>{name}")
        if registered in names and (
            module is None or str(module).partition(".")[0] in _PACKAGES
        ):
            if name in _POLICIES:
                return "keras"
            if name in MODELS:
                is_functional = name == "Functional"
                return "keras.src.models.functional" * is_functional or "keras"
            if name in APPLICATION_LAYERS:
                path = f"src.applications.{APPLICATION_LAYERS[name]}"
                return f"{self._keras.__name__}.{path}"
            if self._is_keras_3 and _is_operation_entry(entry):
                for path in [module] if module else OPERATION_MODULES:
                    if _is_operation(path, name):
                        return str(path)
            elif name in LAYERS and (
                not self._is_keras_3 or hasattr(self._keras.layers, name)
            ):
                return "keras.layers"
        owner, is_registered, _ = str(registered).partition(">")
        package = owner if is_registered else module
        package = f" of {package}" if package else ""
        raise ValueError(
            f"must consist of layers of {self._keras.__name__} that compute "
            f"with tensors alone. Received: {str(name)[:80]}{package[:80]} in "
            f"{where}. Convert the model to .tflite, or build it in Python "
            "and use `from_keras`."
        )

    def _config(self, config: dict[str, Any], where: str) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for key, value in config.items():
            if key.endswith(("initializer", "regularizer", "constraint")):
                _check_training(value, where)
                is_first = key.endswith("initializer")
                copy[key] = "zeros" if is_first else None
            elif key.endswith("activation") and isinstance(value, str):
                copy[key] = _activation(value, where)
            elif key == "function":
                copy[key] = _tensorflow_function(value, where)
            elif key in ("batch_shape", "batch_input_shape"):
                copy[key] = self._fixed(self._any(value, where))
            elif key in ("stateful", "unroll"):
                copy[key] = False  # which is a variable, or a step each
            elif key not in ("quantization_config", "weights"):
                copy[key] = self._any(value, where)
        return copy

    def _fixed(self, shape: Any) -> Any:
        """The shape of an input, with the size of an image filled in."""
        if self._input_px is None or not shape or len(shape) != 4:
            return shape
        self.is_filled_in |= None in shape[1:]
        rest = [self._input_px if n is None else n for n in shape[1:]]
        return [shape[0], *rest]

    def _unwrapped(
        self, entry: dict[str, Any], config: dict[str, Any], where: str
    ) -> Any:
        """What a transparent wrapper holds, under the wrapper's name."""
        layer = config.get("layer")
        if not isinstance(layer, dict) or "class_name" not in layer:
            raise ValueError(
                f"must state what {where} wraps. Received: "
                f"{str(layer)[:80]!r}. Save it again with Keras."
            )
        inner = layer.get("config", {})
        if not isinstance(inner, dict):
            raise _unconfigured(where, inner)
        inner = {**inner, "name": config.get("name")}
        copy = {**layer, "config": inner}
        for key in ("name", "inbound_nodes"):
            if key in entry:
                copy[key] = entry[key]
        return self._object(copy, where)


def _unconfigured(where: str, config: Any) -> ValueError:
    return ValueError(
        f"must state how {where} is configured. Received: "
        f"{str(config)[:80]!r}. Save it again with Keras."
    )


def _model_config(config: Any) -> dict[str, Any]:
    """What a model states of itself; an old sequential one is a list."""
    if isinstance(config, list):
        config = {"name": "sequential", "layers": config}
    if not isinstance(config, dict) or "layers" not in config:
        raise ValueError(
            "must state its layers. Received: a model that was subclassed. "
            "Convert it to .tflite, or build it in Python of layers and use "
            "`from_keras`."
        )
    if not isinstance(config["layers"], list):
        raise ValueError(
            f"must list its layers. Received: {str(config['layers'])[:80]}."
        )
    return {key: config[key] for key in _MODEL if key in config}


def _is_operation_entry(entry: dict[str, Any]) -> bool:
    """Whether Keras 3 has called something without a layer.

    A .h5 file does not say so, but every layer has a dtype.
    """
    if entry.get("module") is None:
        config = entry.get("config", {})
        return entry["class_name"] not in LAYERS or "dtype" not in config
    return entry["module"] in OPERATION_MODULES


def _is_operation(module: str, name: str) -> bool:
    """Whether Keras 3 has an operation that computes with tensors alone."""
    import keras

    value = vars(importlib.import_module(module)).get(name)
    return (
        inspect.isclass(value)
        and issubclass(value, keras.Operation)
        and value.__module__ == module
        and name not in _HIGHER_ORDER
    )


def _check_number(dtype: Any, where: str) -> None:
    """Refuses what is no type of numbers: a text may be of any length."""
    kinds = r"bool|int|float|(u?int|b?float|complex|float8_e\dm)\d+"
    if not re.fullmatch(kinds, str(dtype)):
        raise ValueError(
            f"must have constants of numbers. Received: {str(dtype)[:80]} in "
            f"{where}. Convert the model to .tflite."
        )


def _policy(name: str, config: dict[str, Any]) -> Any:
    """The name of a dtype policy, which says all of it."""
    if name == "DTypePolicyMap":
        default = config.get("default_policy")
        inner = default.get("config") if isinstance(default, dict) else None
        return _policy("", inner) if isinstance(inner, dict) else default
    if "source_name" in config:
        return f"{config.get('mode')}_from_{config['source_name']}"
    return str(config.get("name"))


def _activation(name: Any, where: str) -> str:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise _code(f"the function {name} in {where}", {})
    return name


def _tensorflow_function(name: Any, where: str) -> str:
    path = str(name).removeprefix("compat.v1.")
    namespace, _, function = path.rpartition(".")
    if function not in TENSORFLOW_FUNCTIONS.get(namespace, ()):
        raise ValueError(
            "must call functions that compute with tensors alone. Received: "
            f"tf.{path[:80]} in {where}. Convert the model to .tflite, or "
            "build it in Python and use `from_keras`."
        )
    return str(name)


def _check_training(value: Any, where: str) -> None:
    """Refuses what is no initializer, regularizer or constraint of Keras."""
    if not isinstance(value, dict):
        return
    name, module = str(value.get("class_name")), value.get("module") or "keras"
    is_known = name in _TRAINING and str(module).split(".")[0] in _PACKAGES
    if not is_known or value.get("registered_name") not in (None, name):
        raise _code(f"{name} of {module} in {where}", {})
