"""Loads Keras model files of either Keras, without running what they hold."""

from __future__ import annotations

import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

_LAMBDAS = ("Lambda", "__lambda__")
_PACKAGES = ("keras", "tf_keras", "builtins")


def load_keras(path: str | pathlib.Path) -> Any:
    """Loads a `.keras` or `.h5` model with Keras 3, else with tf_keras.

    Args:
        path: A model file, with its architecture.

    Returns:
        The model, not compiled: a Keras 3 model, or a tf_keras one where
        Keras 3 cannot read the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds no architecture, or would run code
            of its own (a Lambda layer, a class of another package).
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The model file must exist. Received: {path}.")
    try:
        config = _config(path)
    except Exception as error:  # zipfile, h5py and json share no base class
        raise _unreadable(path, error) from error
    _refuse_code(path, config)
    import keras

    try:
        return _load(keras, path)
    except Exception as error:  # the loaders let anything through
        reason = error
    import tf_keras

    try:
        return _load(tf_keras, path)
    except Exception:
        raise _unreadable(path, reason) from reason


def _load(package: Any, path: pathlib.Path) -> Any:
    return package.models.load_model(path, compile=False, safe_mode=True)


def _config(path: pathlib.Path) -> Any:
    """The architecture that a model file states."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights without an architecture")
        return json.loads(file.attrs["model_config"])


def _refuse_code(path: pathlib.Path, config: Any) -> None:
    for entry in _dictionaries(config):
        name, package = entry.get("class_name"), entry.get("module")
        if name in _LAMBDAS:
            raise ValueError(
                f"{path} must not bring code of its own. Received: a Lambda "
                "layer. Replace it by a layer of Keras, or build the model "
                "in Python and use `from_keras`."
            )
        if package and str(package).partition(".")[0] not in _PACKAGES:
            raise ValueError(
                f"{path} must consist of layers of Keras. Received: {name} "
                f"of {package}. Build the model in Python and use "
                "`from_keras`."
            )


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


def _unreadable(path: pathlib.Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return ValueError(
        f"{path} must be a whole .keras or .h5 model. Received: {reason}. "
        "Save or copy it again."
    )
