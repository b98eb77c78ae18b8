"""Loads Keras model files of either Keras, without running what they hold.

Only the architecture is read, and only what `keras_config` leaves of it is
built. Weights are neither read nor allocated, unless they are asked for: what a
network costs does not depend on their values.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import pathlib
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

from tf_cosearch.networks.importers import keras_config

_FEW = 2**16
_LARGEST_CONFIG = 2**26  # bytes; a thousand layers take about 2**20


def load_keras(
    path: str | pathlib.Path,
    input_px: int | None = None,
    with_weights: bool = False,
) -> Any:
    """Builds the model of a `.keras` or `.h5` file, without its weights.

    Args:
        path: A model file, with its architecture.
        input_px: Rows and columns of input images whose size the file leaves
            open.
        with_weights: Whether its weights get initial values, to be set.

    Returns:
        The model, not compiled, of the Keras that saved it: `keras` (version
        3) or `tf_keras` (version 2). Its weights have shapes and, unless
        asked for, no values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds no architecture, consists of more
            than layers of Keras, or would run code of its own.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The model file must exist. Received: {path}.")
    try:
        config, version = _stated(path)
    except Exception as error:  # zipfile, h5py and json share no base class
        raise ValueError(
            f"{path} must be a whole .keras or .h5 model. Received: "
            f"{_short(error)}. Save or copy it again."
        ) from error
    if config is None:
        raise ValueError(
            f"{path} must state the architecture of a model. Received: a file "
            "without an architecture, of weights alone. Save the whole model "
            "with `model.save`."
        )
    return from_config(config, path, version, input_px, with_weights)


def load_trained(path: str | pathlib.Path) -> Any:
    """Builds the model of a `.keras` or `.h5` file, with its weights.

    Args:
        path: A model file, with its architecture.

    Returns:
        As of `load_keras`, with the weights of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As of `load_keras`, or if weights are damaged or missing.
    """
    path = pathlib.Path(path)
    # A small file may state weights that no memory has room for.
    count = load_keras(path).count_params()
    stored = _weight_bytes(path)
    if count > stored:
        raise ValueError(
            f"{path} must hold the weights of its model. Received: {stored:,} "
            f"bytes for {count:,} weights. Save the whole model again."
        )
    model = load_keras(path, with_weights=True)
    try:
        with warnings.catch_warnings():
            # The state of an optimizer, which the model does not have.
            warnings.filterwarnings("ignore", "Skipping variable loading")
            model.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise what they like
        raise ValueError(
            f"{path} must hold the weights of its model. Received: "
            f"{_short(error)}. Save the whole model again."
        ) from error
    return model


def from_config(
    config: Any,
    path: Any,
    version: str = "",
    input_px: int | None = None,
    with_weights: bool = False,
) -> Any:
    """Builds the model of a configuration.

    Args:
        config: What `to_json` of a model states.
        path: Where it stands, for messages.
        version: Of the Keras that wrote it; empty if that is not known.
        input_px: See `load_keras`.
        with_weights: See `load_keras`.

    Returns:
        See `load_keras`.

    Raises:
        ValueError: If it consists of more than layers of Keras, or would run
            code of its own.
    """
    keras = _saved_by(config, version)
    try:
        config = keras_config.reduced(config, keras, input_px)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    except RecursionError:
        raise ValueError(
            f"{path} must hold fewer models within models than Python can "
            "follow. Received: one in another, and so on. Take them apart."
        ) from None
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} must state each setting in the form in which Keras writes "
            f"it. Received: {_short(error)}. Save it again with Keras."
        ) from error
    try:
        with contextlib.nullcontext() if with_weights else without_weights():
            return _built(config, keras)
    except Exception as error:  # layers raise what they like
        first: BaseException = error
        while first.__context__ is not None:  # the others only wrap it
            first = first.__context__
        raise ValueError(
            f"{path} must hold a model that {keras.__name__} "
            f"{keras.__version__} can build. Received: {_short(first)}. Saved "
            f"by version {version or 'unknown'}. Build it in Python with the "
            "installed version and use `from_keras`, or convert it to .tflite."
        ) from error


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Within it, weights of new layers take no memory and have no values."""
    import tensorflow as tf
    from keras import StatelessScope
    from keras.src.backend.common import global_state
    from tensorflow.python.ops import resource_variable_ops

    def create(next_creator: Any, **settings: Any) -> Any:
        shape = settings.get("shape")
        # Small ones are read while a layer is built: those of a Normalization.
        if shape is None or math.prod(shape) < _FEW:
            return next_creator(**settings)
        return resource_variable_ops.UninitializedVariable(
            **{name: settings[name] for name in ("shape", "dtype", "trainable")}
        )

    # Keras would fill the weights at the end of the next such scope.
    waiting = "uninitialized_variables"
    before = global_state.get_global_attribute(waiting)
    global_state.set_global_attribute(waiting, [])
    try:
        with (
            StatelessScope(initialize_variables=False),
            tf.variable_creator_scope(create),
        ):
            yield
    finally:
        global_state.set_global_attribute(waiting, before)


def _built(config: dict[str, Any], keras: Any) -> Any:
    if keras.__name__ == "keras":
        from keras.src.saving import serialization_lib

        with serialization_lib.ObjectSharingScope():
            return keras.saving.deserialize_keras_object(config)
    from tf_keras.src.saving.legacy import serialization

    others = {
        name: getattr(
            importlib.import_module(f"tf_keras.src.applications.{module}"), name
        )
        for name, module in keras_config.APPLICATION_LAYERS.items()
    }
    with serialization.SharedObjectLoadingScope():
        return keras.layers.deserialize(config, others, use_legacy_format=True)


def _saved_by(config: Any, version: str) -> Any:
    """The Keras that saved a model."""
    import keras
    import tf_keras  # what was Keras until version 3

    if not version:
        is_new = isinstance(config, dict) and "module" in config
        version = "3" if is_new else "2.0"
    return tf_keras if version.startswith(("0.", "1.", "2.")) else keras


def _stated(path: pathlib.Path) -> tuple[Any, str]:
    """The architecture that a file states, and the version that wrote it."""
    if zipfile.is_zipfile(path):
        return _stated_in_zip(path)
    import h5py

    with h5py.File(path, "r") as file:
        config, version = (
            text.decode() if isinstance(text, bytes) else str(text)
            for text in (
                file.attrs.get(name, "null" if "config" in name else "")
                for name in ("model_config", "keras_version")
            )
        )
    return json.loads(config), version


def _stated_in_zip(path: pathlib.Path) -> tuple[Any, str]:
    with zipfile.ZipFile(path) as archive:

        def read(name: str) -> Any:
            if name not in archive.namelist():
                return None
            with archive.open(name) as file:
                content = file.read(_LARGEST_CONFIG + 1)
            if len(content) > _LARGEST_CONFIG:
                raise ValueError(f"{name} has over {_LARGEST_CONFIG} bytes")
            return json.loads(content)

        metadata = read("metadata.json") or {}
        return read("config.json"), str(metadata.get("keras_version", ""))


def _weight_bytes(path: pathlib.Path) -> int:
    """The most bytes that weights of a file can have."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _short(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
