import functools
import json
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_cosearch.networks.importers import keras_files, keras_import

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras calls HDF5 legacy

BOTH = pytest.mark.parametrize(
    "package", [keras, tf_keras], ids=["keras", "tf_keras"]
)
ENDINGS = pytest.mark.parametrize("ending", ["keras", "h5"])


def chain(package, *layers, shape=(4, 6)):
    x = image = package.Input(shape)
    for layer in layers:
        x = layer(x)
    return package.Model(image, x)


def config_of(model):
    """The architecture as a file states it."""
    if isinstance(model, keras.Model):
        return keras.saving.serialize_keras_object(model)
    return json.loads(model.to_json())


def write(path, config, version=keras.__version__):
    """Writes a file that states an architecture and holds nothing else."""
    text = config if isinstance(config, (str, bytes)) else json.dumps(config)
    if path.suffix == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", text)
            metadata = json.dumps({"keras_version": version})
            archive.writestr("metadata.json", metadata)
    else:
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = text
            file.attrs["keras_version"] = version
    return path


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    y = keras.layers.Flatten()(y)
    return keras.Model(image, keras.layers.Dense(2, name="fc")(y))


@BOTH
@ENDINGS
def test_round_trip(tmp_path, package, ending):
    kl = package.layers
    saved = chain(
        package,
        kl.Conv2D(8, 3, kernel_regularizer="l2", name="conv"),
        kl.BatchNormalization(),
        kl.LeakyReLU(),
        kl.TimeDistributed(kl.Dense(3, activation="tanh"), name="each"),
        package.Sequential([kl.Flatten(), kl.Dense(2, kernel_constraint=None)]),
        kl.Activation("softmax", name="softmax"),
        shape=(8, 8, 3),
    )
    saved.compile("adam", "mse")
    path = tmp_path / f"model.{ending}"
    saved.save(path)
    loaded = keras_files.load_keras(path)
    assert type(loaded).__module__.split(".")[0] == package.__name__
    assert loaded.count_params() == saved.count_params()
    assert keras_import.from_keras(loaded) == keras_import.from_keras(saved)


def trained(package):
    """A model whose every weight and moment is a number of its own."""
    kl = package.layers
    model = chain(
        package,
        kl.Conv2D(8, 3, name="conv"),
        kl.BatchNormalization(epsilon=0.1),
        kl.LeakyReLU(),
        package.Sequential([kl.Flatten(), kl.Dense(2, activation="swish")]),
        shape=(8, 8, 3),
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    return model


@BOTH
@ENDINGS
def test_weights_come_with_the_model_if_asked_for(tmp_path, package, ending):
    saved = trained(package)
    saved.compile("adam", "mse")
    path = tmp_path / f"model.{ending}"
    saved.save(path)
    loaded = keras_files.load_trained(path)
    assert not getattr(loaded, "compiled", False)
    images = np.random.default_rng(1).random((4, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(loaded(images), saved(images))


@BOTH
@ENDINGS
def test_weights_that_are_not_there_are_missed(tmp_path, package, ending):
    config = config_of(trained(package))
    path = write(tmp_path / f"m.{ending}", config, package.__version__)
    with pytest.raises(ValueError, match="must hold the weights") as info:
        keras_files.load_trained(path)
    assert "\n" not in str(info.value)
    small = json.dumps(config_of(chain(package, package.layers.Dense(2**20))))
    huge = small.replace("[null, 4, 6]", f"[null, 4, {2**20}]")
    path = write(tmp_path / f"h.{ending}", huge, package.__version__)
    with pytest.raises(ValueError, match="for 1,099,512,676,352 weights"):
        keras_files.load_trained(path)


@ENDINGS
def test_operations_without_a_layer(tmp_path, ending):
    image = keras.Input((4, 6))
    y = keras.layers.Masking(name="masking")(image)
    y = keras.layers.LSTM(6, return_sequences=True, stateful=False)(y)
    y = keras.ops.mean(y * (image + 1.0), axis=1)
    saved = keras.Model(image, keras.ops.concatenate([y, y]))
    image = tf_keras.Input((4, 6))
    y = tf.reduce_mean(tf.nn.relu6(2.0 + image[:, ::2]), axis=1)
    also = tf_keras.Model(image, tf.concat([y, y], 1))
    for number, model in enumerate((saved, also)):
        path = tmp_path / f"{number}.{ending}"
        model.save(path)
        loaded = keras_files.load_keras(path)
        assert keras_import.from_keras(loaded) == keras_import.from_keras(model)


@BOTH
@ENDINGS
def test_states_of_a_stateful_layer(tmp_path, package, ending):
    layer = package.layers.LSTM(6, stateful=True, name="layer")
    image = package.Input((4, 3), batch_size=2)
    saved = package.Model(image, layer(image))
    path = tmp_path / f"model.{ending}"
    saved.save(path)
    loaded = keras_files.load_keras(path)
    assert keras_import.from_keras(loaded) == keras_import.from_keras(saved)


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0"])
@BOTH
@pytest.mark.slow
def test_networks_with_layers_of_their_own(tmp_path, package, name):
    with keras_files.without_weights():
        saved = getattr(package.applications, name)(
            weights=None, input_shape=(224, 224, 3)
        )
    for ending in ("keras", "h5"):
        path = write(
            tmp_path / f"m.{ending}", config_of(saved), package.__version__
        )
        loaded = keras_files.load_keras(path)
        rows = keras_import.from_keras(loaded, pytest.fail)
        assert rows == keras_import.from_keras(saved)


@ENDINGS
def test_quantization_aware_files(tmp_path, ending):
    from tensorflow_model_optimization.quantization.keras import quantize_model

    kl = tf_keras.layers
    image = tf_keras.Input((8, 8, 3))
    y = kl.Conv2D(4, 3, use_bias=False, name="conv")(image)
    y = kl.Flatten()(kl.ReLU()(kl.BatchNormalization()(y)))
    model = tf_keras.Model(image, kl.Dense(2, name="fc")(y))
    path = tmp_path / f"model.{ending}"
    quantize_model(model).save(path)
    rows = keras_import.from_keras(keras_files.load_keras(path), pytest.fail)
    assert [row.name for row in rows] == ["quant_conv", "quant_fc"]
    assert [(row.macs, row.params) for row in rows] == [
        (row.macs, row.params) for row in keras_import.from_keras(model)
    ]


def test_weights_are_neither_needed_nor_allocated(tmp_path):
    """A model of 2**42 bytes of weights, in a file of none."""
    for package in (keras, tf_keras):
        small = chain(package, package.layers.Dense(2**20, name="d"))
        text = json.dumps(config_of(small))
        text = text.replace("[null, 4, 6]", f"[null, 4, {2**20}]")
        path = write(tmp_path / "m.h5", text, package.__version__)
        loaded = keras_files.load_keras(path)
        assert loaded.count_params() == 2**40 + 2**20


def test_later_models_get_their_weights(tmp_path, model):
    """Leaving weights out must not leak into what the user builds."""
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras_files.load_keras(path)
    with keras.StatelessScope():  # which fills what waits for values
        pass
    assert loaded.get_layer("conv").kernel._value is None
    fresh = keras.layers.Dense(2)
    fresh.build((None, 3))
    assert np.any(fresh.get_weights()[0])
    also = tf_keras.layers.Dense(2)
    also.build((None, 3))
    assert np.any(also.get_weights()[0])


def test_open_images_get_a_size(tmp_path):
    for package in (keras, tf_keras):
        conv = package.layers.Conv2D(2, 3, padding="same", name="conv")
        path = tmp_path / f"{package.__name__}.h5"
        chain(package, conv, shape=(None, None, 3)).save(path)
        [row] = keras_import.from_keras(keras_files.load_keras(path, 12))
        assert (row.in_h, row.in_w, row.in_c) == (12, 12, 3)


class TestDamage:
    @ENDINGS
    def test_truncated(self, tmp_path, model, ending):
        path = tmp_path / f"model.{ending}"
        model.save(path)
        whole = path.read_bytes()
        for size in (0, 8, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=f"model.{ending} must be"):
                keras_files.load_keras(path)

    def test_missing_or_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"none\.keras"):
            keras_files.load_keras(tmp_path / "none.keras")
        with pytest.raises(ValueError, match="must be a whole"):
            keras_files.load_keras(tmp_path)

    @ENDINGS
    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, b"\xff"])
    def test_no_json(self, tmp_path, ending, text):
        path = write(tmp_path / f"m.{ending}", text)
        with pytest.raises(ValueError, match=r"Save or copy it again\.$"):
            keras_files.load_keras(path)

    @ENDINGS
    @pytest.mark.parametrize("config", [[], {}, 3, "x", {"class_name": []}])
    def test_other_json(self, tmp_path, ending, config):
        path = write(tmp_path / f"m.{ending}", json.dumps(config))
        with pytest.raises(ValueError, match="functional or sequential"):
            keras_files.load_keras(path)

    def test_a_small_file_of_a_huge_config(self, tmp_path, monkeypatch, model):
        monkeypatch.setattr(keras_files, "_LARGEST_CONFIG", 2**10)
        path = tmp_path / "model.keras"
        model.save(path)
        with pytest.raises(ValueError, match=r"config\.json has over"):
            keras_files.load_keras(path)

    def test_weights_do_not_matter(self, tmp_path, model):
        """Windows calls them `layers\\conv`, a bad disk takes them away."""
        path = tmp_path / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            texts = {
                name: archive.read(name)
                for name in archive.namelist()
                if name.endswith(".json")
            }
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
            archive.writestr("model.weights.h5", b"not HDF5")
        rows = keras_import.from_keras(keras_files.load_keras(path))
        assert rows == keras_import.from_keras(model)

    def test_weights_alone(self, tmp_path, model):
        path = tmp_path / "model.weights.h5"
        model.save_weights(path)
        with pytest.raises(ValueError, match="without an architecture") as info:
            keras_files.load_keras(path)
        assert "copy" not in str(info.value)

    def test_what_keras_cannot_build_names_the_layer(self, tmp_path):
        config = config_of(chain(keras, keras.layers.Dense(3, name="odd")))
        config["config"]["layers"][1]["config"]["of_tomorrow"] = 3
        path = write(tmp_path / "m.keras", config, "99.1")
        with pytest.raises(ValueError, match=r"of_tomorrow") as info:
            keras_files.load_keras(path)
        assert "99.1" in str(info.value)
        assert "copy" not in str(info.value)


# --- Files that want to run code. Each would leave a mark.


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "mark"


@pytest.fixture
def module(tmp_path, monkeypatch, mark):
    """A module that leaves the mark when it is imported, or called."""
    text = f"""
import pathlib
pathlib.Path({str(mark)!r}).touch()
def run(*args, **kwargs):
    pathlib.Path({str(mark)!r}).touch()
class Layer:
    from_config = run
"""
    (tmp_path / "evil_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield "evil_module"
    sys.modules.pop("evil_module", None)


def toucher(mark):
    """A function whose bytecode takes the mark along."""

    def touch(x, y=None, path=str(mark)):
        open(path, "w").close()
        return x if y is None else y

    return touch


def refused(path, mark, match):
    mark.unlink(missing_ok=True)  # what saving the file has left
    with pytest.raises(ValueError, match=match) as info:
        keras_files.load_keras(path)
    assert not mark.exists()
    message = str(info.value)
    assert message.startswith(str(path))
    assert "copy it again" not in message
    assert "\n" not in message


@BOTH
@ENDINGS
def test_lambda_layers(tmp_path, mark, package, ending):
    for number, wrap in enumerate(
        (lambda x: x, package.layers.TimeDistributed)
    ):
        layer = package.layers.Lambda(toucher(mark), name="own")
        path = tmp_path / f"model{number}.{ending}"
        chain(package, wrap(layer)).save(path)
        refused(path, mark, "code of its own.*Lambda.*'own'")


@ENDINGS
def test_functions_within_cells(tmp_path, mark, ending):
    """This very file ran its function in `tf_keras.models.load_model`."""
    cell = tf.nn.RNNCellResidualWrapper(
        tf_keras.layers.SimpleRNNCell(6), residual_fn=toucher(mark)
    )
    path = tmp_path / f"model.{ending}"
    chain(tf_keras, tf_keras.layers.RNN(cell)).save(path)
    if ending == "h5":
        mark.unlink()
        tf_keras.models.load_model(path)
        assert mark.exists()
    refused(path, mark, "ResidualWrapper")


@pytest.mark.parametrize("function", ["io.gfile.copy", "compat.v1.gfile.Copy"])
def test_tensorflow_functions_that_do_more_than_compute(
    tmp_path, mark, function
):
    image = tf_keras.Input((4,))
    config = config_of(tf_keras.Model(image, tf.math.add(1.0, image)))
    layer = config["config"]["layers"][1]
    layer["config"]["function"] = function
    source = tmp_path / "source"
    source.touch()
    target = {"dst": str(mark), "overwrite": True}
    if function.startswith("compat"):
        target = {"newpath": str(mark), "overwrite": True}
    layer["inbound_nodes"] = [["_CONSTANT_VALUE", -1, str(source), target]]
    config["config"]["output_layers"] = [["input_1", 0, 0]]
    path = write(tmp_path / "m.h5", config, tf_keras.__version__)
    with pytest.raises(Exception, match="_keras_history"):
        tf_keras.models.model_from_json(json.dumps(config))
    assert mark.exists()
    refused(path, mark, f"tf.*{function.split('.')[-1]}")


@pytest.mark.parametrize(
    "function",
    [
        "py_function", "numpy_function", "io.read_file", "io.write_file",
        "raw_ops.ReadFile", "load_op_library", "map_fn", "function",
        "math.add.__globals__", "keras.utils.get_file", None, ["add"],
    ],
)  # fmt: skip
def test_other_tensorflow_functions(tmp_path, mark, function):
    image = tf_keras.Input((4,))
    config = config_of(tf_keras.Model(image, tf.math.add(1.0, image)))
    config["config"]["layers"][1]["config"]["function"] = function
    path = write(tmp_path / "m.h5", config, tf_keras.__version__)
    refused(path, mark, "compute with tensors alone")


class Registered(keras.layers.Layer):
    """A layer that another package registered in this process."""

    mark = None

    def __init__(self, **settings):
        super().__init__(**settings)
        if self.mark:
            self.mark.touch()

    def call(self, x):
        return x

    def compute_output_shape(self, shape):
        return shape


class TfKerasRegistered(tf_keras.layers.Layer):
    mark = None

    def __init__(self, **settings):
        super().__init__(**settings)
        if self.mark:
            self.mark.touch()


keras.saving.register_keras_serializable("evil")(Registered)
tf_keras.utils.register_keras_serializable("evil")(TfKerasRegistered)


@ENDINGS
@pytest.mark.parametrize("kind", [Registered, TfKerasRegistered])
def test_registered_classes(tmp_path, mark, monkeypatch, ending, kind):
    monkeypatch.setattr(kind, "mark", mark)
    package = keras if kind is Registered else tf_keras
    for number, wrap in enumerate(
        (lambda x: x, package.layers.TimeDistributed)
    ):
        path = tmp_path / f"model{number}.{ending}"
        chain(package, wrap(kind(name="own"))).save(path)
        refused(path, mark, "evil")


@functools.cache
def places_text(package):
    kl = package.layers
    model = chain(
        package,
        kl.Dense(6, name="dense"),
        kl.TimeDistributed(kl.Dense(6), name="each"),
        kl.Bidirectional(kl.LSTM(6, return_sequences=True), name="both"),
        kl.RNN([kl.GRUCell(6), kl.SimpleRNNCell(6)], name="cells"),
        kl.Activation("relu", name="relu"),
    )
    return json.dumps(config_of(model))


def places(package, name):
    """Where a configuration may name what is to be found by Keras."""
    config = json.loads(places_text(package))
    layers = {
        layer["config"]["name"]: layer for layer in config["config"]["layers"]
    }
    dense = layers["dense"]["config"]
    entry = {
        "dense": (config["config"]["layers"], 1),
        "each": (layers["each"]["config"], "layer"),
        "both": (layers["both"]["config"], "layer"),
        "cells": (layers["cells"]["config"], "cell"),
        "relu": (layers["relu"]["config"], "activation"),
        "recurrent": (
            layers["both"]["config"]["layer"]["config"], "recurrent_activation",
        ),
        "cell": (layers["cells"]["config"]["cell"]["config"]["cells"], 1),
        "dtype": (dense, "dtype"),
        "quantizer": (dense, "unheard_of"),
        "initializer": (dense, "kernel_initializer"),
        "regularizer": (dense, "kernel_regularizer"),
        "constraint": (dense, "bias_constraint"),
        "argument": (layers["dense"]["inbound_nodes"], 0),
    }  # fmt: skip
    holder, key = entry[name]
    return config, holder, key


PLACES = (
    "dense", "each", "both", "cells", "relu", "recurrent", "cell", "dtype",
    "quantizer", "initializer", "regularizer", "constraint", "argument",
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("place", PLACES)
def test_modules_and_functions_wherever_they_are_named(
    tmp_path, mark, module, package, place
):
    entries = {
        "class": {"class_name": "Layer", "module": module, "config": {}},
        "function": {
            "class_name": "function", "module": module, "config": "run",
        },
        "type": {
            "class_name": "__typespec__", "spec_name": "Layer",
            "module": module, "config": [],
        },
        "lambda": {
            "class_name": "__lambda__",
            "config": {"value": ["eA==", None, None]},
        },
        "known class": {"class_name": "Dense", "module": module, "config": {}},
        "registered": {
            "class_name": "Dense", "module": "keras.layers", "config": {},
            "registered_name": "evil>Registered",
        },
        "api": {
            "class_name": "function", "module": "keras.utils",
            "config": "get_file",
        },
        "old": {"class_name": "evil>Registered", "config": {}},
        "deserialized early": {
            "class_name": "Lambda", "__passive_serialization__": True,
            "config": {"function": ["eA==", None, None]},
        },
    }  # fmt: skip
    for kind, entry in entries.items():
        for ending in ("keras", "h5"):
            config, holder, key = places(package, place)
            named = {"name": "own", "registered_name": None, **entry}
            if place == "dense":
                named["inbound_nodes"] = holder[key]["inbound_nodes"]
            holder[key] = named
            path = write(
                tmp_path / f"{kind}.{ending}", config, package.__version__
            )
            refused(path, mark, r"code of its own|must consist of layers")
    assert module not in sys.modules


def test_what_a_training_named_is_not_read(tmp_path, mark, module, model):
    """A loss of one's own is nothing that a network costs."""
    config = config_of(model)
    own = {"module": module, "config": "run", "registered_name": "run"}
    config["compile_config"] = {
        "loss": {"class_name": "function", **own},
        "optimizer": {"class_name": "Layer", **own, "config": {}},
    }
    config["build_config"] = {"class_name": "Layer", **own, "config": {}}
    path = write(tmp_path / "m.keras", config)
    rows = keras_import.from_keras(keras_files.load_keras(path))
    assert rows == keras_import.from_keras(model)
    assert not mark.exists()
    assert module not in sys.modules


@BOTH
@pytest.mark.parametrize(
    "name",
    ["TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Lambda",
     "StringLookup", "IntegerLookup", "TextVectorization", "Layer",
     "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "Wrapper"],
)  # fmt: skip
def test_layers_that_read_more_than_tensors(tmp_path, mark, package, name):
    """They load other files, or code, or do what a file tells them."""
    config, holder, key = places(package, "dense")
    holder[key] = {
        **holder[key],
        "class_name": name,
        "config": {"name": "own", "vocabulary": "/etc/passwd"},
    }
    path = write(tmp_path / "m.h5", config, package.__version__)
    refused(path, mark, name)


@pytest.mark.parametrize("name", ["Map", "WhileLoop", "Cond", "Operation"])
def test_operations_that_take_functions(tmp_path, mark, name):
    config, holder, key = places(keras, "dense")
    holder[key] |= {"class_name": name, "module": "keras.src.ops.core"}
    path = write(tmp_path / "m.keras", config)
    refused(path, mark, name)


def test_classes_of_newer_tensorflow_are_not_imported(tmp_path, mark, module):
    """tf_keras imports any module that a `.keras` file names."""
    config, holder, key = places(tf_keras, "dense")
    holder[key] |= {"class_name": "Layer", "module": module}
    with pytest.raises(AttributeError):
        tf_keras.saving.deserialize_keras_object(holder[key])
    assert mark.exists()
    sys.modules.pop(module)
    path = write(tmp_path / "m.keras", config, tf_keras.__version__)
    refused(path, mark, "of evil_module")
    assert module not in sys.modules


# --- Files that would take for ever, or any memory. None takes a second.


def constants_of(package):
    """A model that calls an operation with constants alone."""
    image = package.Input((4, 6), name="image")
    if package is keras:
        model = keras.Model(image, keras.ops.tile(image, [1, 1, 1]))
        config = config_of(model)
        layer = config["config"]["layers"][1]
        layer["config"]["repeats"] = [2**50]
        layer["inbound_nodes"] = [{"args": [[1.0]], "kwargs": {}}]
    else:
        model = tf_keras.Model(image, tf.tile(image, [1, 1, 1]))
        config = config_of(model)
        layer = config["config"]["layers"][1]
        # A constant that looks like a tensor is still one.
        call = ["_CONSTANT_VALUE", -1, ["image", 0, 0], {"multiples": [2**50]}]
        layer["inbound_nodes"] = [call]
    return config


def cycle_of(package):
    """Two layers of which each reads what the other writes."""
    kl = package.layers
    model = chain(package, kl.Dense(6, name="a"), kl.Dense(6, name="b"))
    config = config_of(model)
    _, first, last = config["config"]["layers"]
    text = json.dumps(last["inbound_nodes"]).replace('"a"', '"b"')
    first["inbound_nodes"] = json.loads(text)
    return config


def doubling_of(package):
    """2**24 calls: every model calls the one within it twice."""
    image = package.Input((4, 6))
    model = package.Model(image, package.layers.Dense(6)(image), name="inner")
    image = package.Input((4, 6))
    outer = config_of(package.Model(image, model(model(image)), name="outer"))
    config = json.dumps(outer)
    for _ in range(23):
        next_one = json.loads(json.dumps(outer))
        layer = next_one["config"]["layers"][1]
        layer["config"] = json.loads(config)["config"] | {"name": "inner"}
        config = json.dumps(next_one)
    return json.loads(config)


def long_text_of(package):
    """A constant of numbers, each a text of 2**31 letters."""
    image = keras.Input((4,))
    config = config_of(keras.Model(image, keras.ops.add(image, image)))
    call = config["config"]["layers"][1]["inbound_nodes"][0]
    value = {"value": ["x"] * 2**12, "dtype": "S2147483647"}
    constant = {"class_name": "__numpy__", "config": value}
    call["args"] = [call["args"][0], constant]
    return config


@pytest.mark.parametrize(
    ("package", "build", "match"),
    [
        (keras, constants_of, "constants alone"),
        (tf_keras, constants_of, "constants alone"),
        (keras, cycle_of, "loops"),
        (tf_keras, cycle_of, "wait for each other"),
        (keras, doubling_of, "at most 30000 layers"),
        (tf_keras, doubling_of, "at most 30000 layers"),
        (keras, long_text_of, "constants of numbers.*S2147483647"),
    ],
)
@ENDINGS
def test_calls_without_end(tmp_path, mark, ending, package, build, match):
    path = write(tmp_path / f"m.{ending}", build(package), package.__version__)
    refused(path, mark, match)


def test_layers_may_be_stated_in_any_order(tmp_path):
    layers = [tf_keras.layers.Dense(6, name=f"d{i}") for i in range(9)]
    model = chain(tf_keras, *layers)
    config = config_of(model)
    config["config"]["layers"].reverse()
    path = write(tmp_path / "m.h5", config, tf_keras.__version__)
    rows = keras_import.from_keras(keras_files.load_keras(path))
    assert rows == keras_import.from_keras(model)


@BOTH
def test_an_unrolled_layer_is_not_built_step_by_step(tmp_path, package):
    """A million steps took tf_keras hours."""
    small = chain(package, package.layers.LSTM(6, unroll=True))
    text = json.dumps(config_of(small)).replace("[null, 4, 6]", "[null, 99, 6]")
    long = write(tmp_path / "99.h5", text, package.__version__)
    text = text.replace("[null, 99, 6]", f"[null, {2**20}, 6]")
    longer = write(tmp_path / "2**20.h5", text, package.__version__)
    for path, steps in ((long, 99), (longer, 2**20)):
        rows = keras_import.from_keras(keras_files.load_keras(path))
        assert sum(row.macs for row in rows) == steps * 4 * (6 * 6 + 6 * 6)


def test_values_of_the_wrong_kind(tmp_path, mark):
    """Any of them raised a TypeError that did not name the file."""
    for key, value, match in (
        ("registered_name", {"a": 1}, "must consist of layers"),
        ("registered_name", [1], "must consist of layers"),
        ("class_name", "PruneLowMagnitude", "must state"),
    ):
        config, holder, name = places(tf_keras, "dense")
        holder[name][key] = value
        holder[name]["config"] |= {"layer": {"class_name": "X", "config": [1]}}
        path = write(tmp_path / "m.h5", config, tf_keras.__version__)
        refused(path, mark, match)
    config = {"class_name": "Sequential", "config": {"layers": {"a": 1}}}
    refused(write(tmp_path / "m.h5", config), mark, "must list its layers")
