"""Networks of a user's own build(hp)."""

import json
import random
import threading

import keras
import keras_tuner
import numpy as np
import pytest
import tf_keras

from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.networks.spaces.hypermodel_space import HyperModelSpace
from tf_cosearch.networks.spaces.outline import outline
from tf_cosearch.networks.workload import to_array


def build(hp, kind=keras):
    """As in KerasTuner's guide: layers and units without a scope."""
    model = kind.Sequential([kind.layers.Input((8, 8, 1))])
    model.add(kind.layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        units = hp.Int(f"units_{i}", 8, 24, step=8)
        model.add(kind.layers.Dense(units, activation="relu"))
    if hp.Boolean("dropout"):
        with hp.conditional_scope("dropout", [True]):
            rate = hp.Float("rate", 0.1, 0.5, step=0.2)
        model.add(kind.layers.Dropout(rate))
    model.add(kind.layers.Dense(10, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3)
    model.compile(
        kind.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@pytest.fixture
def space():
    return HyperModelSpace(build)


def genes(space, **values):
    """Genes of some values, the others being the first."""
    names = {parameter.name for parameter in space.parameters}
    assert values.keys() <= names
    return tuple(
        parameter.choices.index(values[parameter.name])
        if parameter.name in values
        else 0
        for parameter in space.parameters
    )


def test_finds_every_hyperparameter_before_a_search(space):
    names = [parameter.name for parameter in space.parameters]
    assert sorted(names) == [
        "dropout",
        "learning_rate",
        "num_layers",
        "rate",
        "units_0",
        "units_1",
        "units_2",
    ]
    assert (space.input_shape, space.classes) == ((8, 8, 1), 10)
    assert space.name == "build"


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_what_is_chosen_reaches_build(kind):
    space = HyperModelSpace(lambda hp: build(hp, kind), name="mine")
    chosen = genes(space, num_layers=2, units_1=24, dropout=True, rate=0.5)
    network = space.decode(chosen)
    model = network.build()
    assert isinstance(model, kind.Model)
    assert [layer.units for layer in dense(model)] == [8, 24, 10]
    assert [la.rate for la in model.layers if hasattr(la, "rate")] == [0.5]
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(1e-4)
    np.testing.assert_array_equal(
        space.rows(chosen), to_array(from_keras(model))
    )
    macs = [row.macs for row in network.layers() if row.macs]
    assert macs == [64 * 8, 8 * 24, 24 * 10]
    config = network.get_config()
    assert config["hyperparameters"]["units_1"] == 24
    assert config["model"]["class_name"] == "Sequential"


def dense(model):
    return [layer for layer in model.layers if hasattr(layer, "units")]


def test_what_a_build_does_not_use_makes_no_difference(space):
    one = genes(space, num_layers=1, units_0=16, units_2=24, rate=0.3)
    two = genes(space, num_layers=1, units_0=16)
    assert space.is_network(two)
    without = genes(space, num_layers=1, units_0=16, units_1=16, dropout=False)
    assert space.canonical(one) != space.canonical(without)
    assert space.is_network(without)
    # Nobody has built this one, but one that looks at the same values.
    other = genes(space, num_layers=1, units_0=16, units_1=24, dropout=False)
    assert space.canonical(other) == space.canonical(without)
    used = {
        parameter.name
        for parameter, is_decided in zip(
            space.parameters,
            space.decided(space.canonical(other)),
            strict=True,
        )
        if is_decided
    }
    assert used == {"num_layers", "units_0", "dropout", "learning_rate"}


@pytest.mark.parametrize(
    "look_up",
    [
        lambda values: values["width"],
        lambda values: values.get("width"),
        lambda values: dict(values)["width"],
        lambda values: values.copy()["width"],
        lambda values: max(values.values()),
        lambda values: dict(values.items())["width"],
        lambda values: {name: values[name] for name in values}["width"],
        lambda values: [dict.get(values, name) for name in values.keys()][0],  # noqa: RUF015, SIM118
    ],
)
def test_however_a_build_looks_at_values_it_uses_them(look_up):
    class Declared(keras_tuner.HyperModel):
        def declare_hyperparameters(self, hp):
            hp.Int("width", 4, 8, step=4)

        def build(self, hp):
            dense = keras.layers.Dense(look_up(hp.values))
            return keras.Sequential(
                [keras.Input((4,)), dense, keras.layers.Dense(2)]
            )

    space = HyperModelSpace(Declared())
    assert not np.array_equal(space.rows((0,)), space.rows((1,)))
    assert [space.canonical((0,)), space.canonical((1,))] == [(0,), (1,)]


def test_a_thread_builds_under_the_dtype_policy_of_the_space():
    """As those of a chief do, each of which has a policy of its own."""
    policies = []

    def build(hp):
        policies.append(keras.config.dtype_policy().name)
        dense = keras.layers.Dense(hp.Int("units", 2, 5))
        return keras.Sequential(
            [keras.Input((4,)), dense, keras.layers.Dense(2)]
        )

    def read():
        rows.append(space.rows((1,)))
        policies.append(keras.config.dtype_policy().name)

    rows = []
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        space = HyperModelSpace(build)
        assert set(policies) == {"mixed_bfloat16"}
        policies.clear()
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert [table.shape[0] for table in rows] == [2]
    assert policies == ["mixed_bfloat16", "float32"]


def test_learning_rates_are_different_designs_of_one_cost(space):
    slow, fast = (genes(space, learning_rate=rate) for rate in (0.0001, 0.01))
    np.testing.assert_array_equal(space.rows(slow), space.rows(fast))
    assert space.canonical(slow) != space.canonical(fast)


def test_equal_models_that_are_trained_alike_are_one():
    calls = []

    def same(hp):
        calls.append(1)
        width = hp.Choice("width", [8, 16])
        scale = hp.Choice("scale", [1, 2])
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(width * scale),
                keras.layers.Dense(2),
            ]
        )
        model.compile(hp.Choice("optimizer", ["sgd", "adam"]), "mse")
        return model

    space = HyperModelSpace(same)
    wide = genes(space, width=16, scale=1)
    scaled = genes(space, width=8, scale=2)
    assert space.is_network(wide)
    assert space.is_network(scaled)
    assert space.canonical(wide) == space.canonical(scaled)
    adam = genes(space, width=8, scale=2, optimizer="adam")
    assert space.is_network(adam)
    assert space.canonical(adam) != space.canonical(wide)
    before = len(calls)
    for chosen in (wide, scaled, adam):
        space.rows(chosen)
    assert len(calls) == before  # each was built once


def test_what_a_configuration_does_not_tell_is_not_taken_for_equal():
    def focal(gamma):
        def loss(y, p):
            return keras.losses.mean_squared_error(y, p) ** gamma

        return loss

    def ours(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("sgd", focal(hp.Choice("gamma", [1.0, 2.0])))
        return model

    def trained(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        if hp.Boolean("trained"):
            model.set_weights([np.ones((4, 2)), np.ones(2)])
        return model

    for function in (ours, trained):
        space = HyperModelSpace(function)
        for choice in (0, 1):
            space.is_network((choice,))
        assert space.canonical((0,)) != space.canonical((1,))


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Without a `get_config`, as in TensorFlow's tutorial on transformers."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate


class Focal(keras.losses.Loss):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def call(self, y, p):
        return keras.losses.mean_squared_error(y, p) ** self.gamma


class FocalOfTfKeras(tf_keras.losses.Loss):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def call(self, y, p):
        return tf_keras.losses.mean_squared_error(y, p) ** self.gamma


class Scale(keras.layers.Layer):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def call(self, x):
        return x * self.scale

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {"name": self.name}


class Distilled(keras.Model):
    share = 0.5


def with_schedule(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    rate = Warmup(hp.Choice("value", [0.1, 0.2]))
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def with_loss(hp):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", Focal(hp.Choice("value", [0.1, 0.2])))
    return model


def with_loss_of_tf_keras(hp):
    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((4,)), layers.Dense(2)])
    model.compile("sgd", FocalOfTfKeras(hp.Choice("value", [0.1, 0.2])))
    return model


def with_nested_layer(hp):
    inner = keras.Sequential(
        [keras.Input((4,)), Scale(hp.Choice("value", [0.1, 0.2]))]
    )
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def with_model(hp):
    image = keras.Input((4,))
    model = Distilled(image, keras.layers.Dense(2)(image))
    model.share = hp.Choice("value", [0.1, 0.2])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    "function",
    [
        with_schedule,
        with_loss,
        with_loss_of_tf_keras,
        with_nested_layer,
        with_model,
    ],
)
def test_objects_of_the_users_own_are_told_apart(function):
    """Their configurations do not say what `hp` has chosen."""
    space = HyperModelSpace(function)
    assert [space.is_network((i,)) for i in (0, 1)] == [True, True]
    assert space.canonical((0,)) != space.canonical((1,))


def test_a_space_is_the_same_in_every_process():
    """A random crop draws a seed that its configuration shows."""

    def crops(hp):
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.RandomCrop(hp.Choice("size", [4, 6]), 6),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
        model.compile("sgd", "mse")
        return model

    random.seed(1)
    before = HyperModelSpace(crops).describe()
    random.seed(2)
    assert HyperModelSpace(crops).describe() == before


def test_a_model_that_uses_hyperparameters_in_fit_is_told_by_them():
    class Batches(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Choice("batch_size", [16, 32])
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
            model.compile("sgd", "mse")
            return model

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.get("batch_size"), **kwargs)

    space = HyperModelSpace(Batches())
    assert space.name == "Batches"
    assert [space.is_network((i,)) for i in (0, 1)] == [True, True]
    assert space.canonical((1,)) == (1,)


@pytest.mark.parametrize(
    "fit",
    [
        # As KerasTuner's guide has it.
        lambda self, hp, model, *args, **kwargs: model.fit(
            *args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs
        ),
        lambda self, hp, model, x, y, **kwargs: model.fit(
            x[:, ::-1], y, hp.Choice("batch_size", [16, 32]), **kwargs
        ),
        lambda self, hp, model, x, y, **kwargs: [
            hp.Choice("batch_size", [16, 32]),
            *(model.train_on_batch(*batch) for batch in x.batch(2)),
        ],
    ],
)
def test_finds_what_fit_draws_before_it_trains(fit):
    class Fits(keras_tuner.HyperModel):
        def build(self, hp):
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    Fits.fit = fit
    [parameter] = HyperModelSpace(Fits()).parameters
    assert parameter == ("batch_size", (16, 32))


def test_values_that_build_no_model_are_no_network():
    def some(hp):
        units, groups = hp.Int("units", 1, 4), hp.Choice("groups", [1, 3])
        if units % groups:
            raise ValueError("units must be whole groups")
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    space = HyperModelSpace(some)
    assert not space.is_network((0, 1))
    assert space.is_network((2, 1))
    with pytest.raises(ValueError, match="whole groups"):
        space.rows((0, 1))


def test_all_networks_must_take_the_same_data():
    def sized(hp):
        size = hp.Choice("size", [8, 16])
        return keras.Sequential(
            [keras.Input((size, size, 3)), keras.layers.Conv2D(2, 3)]
        )

    space = HyperModelSpace(sized)
    assert space.is_network((0,))
    with pytest.raises(ValueError, match="of one shape"):
        space.rows((1,))


def test_a_hyperparameter_that_shows_late_is_reported(caplog):
    def late(hp):
        if hp.Int("units", 1, 9) == 5:
            hp.Boolean("surprise")
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])

    space = HyperModelSpace(late)
    assert [parameter.name for parameter in space.parameters] == ["units"]
    assert not space.is_network((4,))
    assert "surprise" in caplog.text
    assert space.is_network((3,))


def test_what_cannot_be_searched_is_refused_before():
    def two_inputs(hp):
        inputs = [keras.Input((4,)), keras.Input((4,))]
        return keras.Model(inputs, keras.layers.Add()(inputs))

    def without_shape(hp):
        return keras.Sequential([keras.layers.Dense(2)])

    def fails(hp):
        raise KeyError("units")

    class Own(keras.Model):
        def call(self, x):
            return x

    for function, message in (
        (two_inputs, "one input and one output.*2 and 1"),
        (without_shape, "built sequential model"),
        (fails, "default hyperparameters.*KeyError: 'units'"),
        (lambda hp: Own(), "subclassed"),
        (lambda hp: 3, "functional or a built sequential"),
    ):
        with pytest.raises(ValueError, match=message):
            HyperModelSpace(function)
    for given in (3, keras_tuner.HyperModel, None):
        with pytest.raises(TypeError, match="must be a function of"):
            HyperModelSpace(given)


def test_what_is_not_counted_is_said_once(caplog):
    class Mystery(keras.layers.Layer):
        def call(self, x):
            return x * 2

        def compute_output_shape(self, shape):
            return shape

    def own_layer(hp):
        hp.Int("units", 1, 9)
        return keras.Sequential([keras.Input((4,)), Mystery()])

    space = HyperModelSpace(own_layer)
    space.rows((3,))
    assert caplog.text.count("Mystery") == 1
    assert "own_layer has an operation" in caplog.text


def test_a_design_whose_layer_tells_nothing_is_written_all_the_same(caplog):
    class Gate(keras.layers.Layer):
        def __init__(self, gate):
            super().__init__()
            self.gate = gate

        def call(self, x):
            return self.gate(x)

        def compute_output_shape(self, shape):
            return shape

    def gated(hp):
        hp.Choice("units", [1, 2])
        return keras.Sequential(
            [keras.Input((4,)), Gate(lambda x: 2 * x), keras.layers.Dense(2)]
        )

    config = HyperModelSpace(gated).decode((1,)).get_config()
    assert config == {
        "name": "gated",
        "hyperparameters": {"units": 2},
        "model": None,
    }
    assert "gated is not written down" in caplog.text
    saved = SavedNetwork(json.loads(json.dumps(config)))
    with pytest.raises(ValueError, match=r"gated.*no `get_config`"):
        saved.layers()
    with pytest.raises(ValueError, match=r"gated.*no `get_config`"):
        _ = saved.input_shape


def test_padding_grows_in_few_steps(space):
    padded = [space.padded_layers(layers) for layers in range(1, 500)]
    assert all(p >= n for n, p in enumerate(padded, 1))
    assert len(set(padded)) <= 12
    assert padded[64] == 96


def test_what_was_read_can_be_kept(space):
    chosen = genes(space, num_layers=3, units_2=24, rate=0.3)
    rows = space.rows(chosen)
    kept = space.export_reading(chosen)
    fresh = HyperModelSpace(build)
    calls = []
    fresh.hypermodel.build = lambda hp: calls.append(1)
    fresh.import_reading(chosen, kept)
    np.testing.assert_array_equal(fresh.rows(chosen), rows)
    assert fresh.canonical(chosen) == space.canonical(chosen)
    assert not calls


def test_description_is_of_the_space_and_of_its_default_network(space):
    def wider(hp):
        model = build(hp)
        model.add(keras.layers.Dense(10))
        return model

    assert HyperModelSpace(build).describe() == space.describe()
    assert HyperModelSpace(wider).describe() != space.describe()


def test_encode_is_the_inverse_of_decode(space):
    chosen = space.canonical(genes(space, num_layers=2, units_1=16))
    assert space.encode(space.decode(chosen)) == chosen
    with pytest.raises(ValueError, match="initial_designs"):
        space.encode(HyperModelSpace(build).decode(chosen))


def test_a_mobilenet_is_built_without_its_weights():
    def mobilenet(hp):
        return keras.applications.MobileNetV2(
            alpha=hp.Choice("alpha", [0.35, 1.0, 1.4]),
            input_shape=(96, 96, 3),
            weights=None,
        )

    space = HyperModelSpace(mobilenet)
    model, _ = outline(space.decode((1,)).build)
    assert model.count_params() == 3_538_984
    assert not model.layers[1].kernel.value.is_initialized()
    macs = [sum(r.macs for r in space.decode((i,)).layers()) for i in range(3)]
    assert macs == sorted(macs)
