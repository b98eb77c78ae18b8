# ruff: noqa: N803, N806 as Keras itself is an argument here
import keras
import keras_tuner
import numpy as np
import pytest
import tf_keras
from own_models import builder, recipe_of, train

from tf_cosearch.training import compiled, evaluate, fit, qat, tensors

BOTH = pytest.mark.parametrize("K", [keras, tf_keras])


@pytest.fixture(scope="module", params=[keras, tf_keras])
def trained(request, waves):
    """A compiled sequential model of either Keras, with a second metric."""
    top = request.param.metrics.SparseTopKCategoricalAccuracy(2, name="acc2")
    build = builder(request.param, metrics=[top, "accuracy"])
    return request.param, train(build, waves)


def test_an_own_model_learns_and_survives_int8(trained, waves):
    K, result = trained
    assert isinstance(result.model, K.Sequential)
    assert result.accuracy_float > 0.7
    assert result.accuracy_qat > 0.8
    assert result.accuracy_int8 == pytest.approx(result.accuracy_qat, abs=0.05)
    qat.check_int8(result.tflite)
    _, (x, y) = waves
    right = evaluate.predict(result.tflite, x) == y
    assert result.accuracy_int8 == pytest.approx(right.mean())


def test_every_compiled_metric_is_that_of_the_file(trained, waves):
    _, result = trained
    _, (x, y) = waves
    outputs = evaluate.Runner(result.tflite).dequantized(x)
    best = np.argsort(-outputs, axis=-1, kind="stable")[:, :2]
    share = np.mean((best == y[:, None]).any(-1))
    assert result.metrics()["acc2_int8"] == pytest.approx(share, abs=0.02)


def test_the_float_model_evaluates_as_was_measured(trained, waves):
    _, result = trained
    _, (x, y) = waves
    measured = result.model.evaluate(x, y, verbose=0, return_dict=True)
    assert measured["accuracy"] == pytest.approx(result.accuracy_float)


def test_the_quantized_phase_trains_as_compiled(trained):
    _, result = trained
    optimizer = result.qat_model.optimizer
    assert isinstance(optimizer, tf_keras.optimizers.Adam)
    # No cosine and no tenth: what the user compiled with.
    assert float(optimizer.learning_rate) == pytest.approx(0.03)
    assert int(optimizer.iterations) == 12  # one epoch of 192 images by 16
    assert len(result.history["val_accuracy"]) == 4
    assert len(result.history["val_acc2"]) == 4
    assert result.history["val_acc2"] != result.history["val_accuracy"]


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("quantization", ["aware", "after_training"])
def test_every_kind_of_model_is_trained(
    K, functional, is_compiled, quantization, waves
):
    build = builder(K, functional, is_compiled)
    result = train(build, waves, quantization=quantization, epochs=3)
    assert isinstance(result.model, K.Model if functional else K.Sequential)
    assert (result.qat_model is None) == (quantization == "after_training")
    assert result.accuracy_int8 == pytest.approx(
        result.accuracy_float
        if result.qat_model is None
        else result.accuracy_qat,
        abs=0.05,
    )
    qat.check_int8(result.tflite)


@BOTH
def test_quantized_after_training(K, waves):
    # LayerNormalization is none of the layers that TFMOT knows.
    build = builder(K, layers=[lambda L: L.LayerNormalization()])
    with pytest.raises(
        ValueError, match=r"layer_normalization.*after_training"
    ):
        train(build, waves)
    result = train(build, waves, quantization="after_training")
    assert result.qat_model is None
    assert "accuracy_qat" not in result.metrics()
    assert len(result.history["loss"]) == 4
    qat.check_int8(result.tflite)
    assert result.accuracy_int8 == pytest.approx(
        result.accuracy_float, abs=0.05
    )


@pytest.mark.slow
def test_a_template_can_be_quantized_after_training(build, data):
    result = fit.train(build, data, epochs=4, quantization="after_training")
    assert result.qat_model is None
    assert result.accuracy_int8 == pytest.approx(result.accuracy_float, abs=0.1)
    qat.check_int8(result.tflite)


class Trains(keras_tuner.HyperModel):
    """Chooses its batch size, and notes what it was called with."""

    def __init__(self, K):
        super().__init__()
        self.calls = []
        self._make = builder(K)

    def build(self, hp):
        hp.Choice("batch_size", [24, 16])
        return self._make(hp)

    def fit(self, hp, model, *args, **kwargs):
        self.calls.append((hp, model, args, kwargs))
        size = hp.get("batch_size")
        return model.fit(*args, batch_size=size, **kwargs)


@BOTH
def test_an_overridden_fit_is_called_as_keras_tuner_does(K, waves):
    (x, y), validation = waves
    hypermodel = Trains(K)
    given = {"x": x, "y": y, "validation_data": validation, "epochs": 4}
    result = train(hypermodel, waves, training={"given": given})
    first, second = hypermodel.calls
    assert first[0].get("batch_size") == 24
    assert isinstance(first[1], K.Sequential)
    assert first[3]["x"] is x
    assert first[3]["validation_data"] is validation
    assert (first[3]["epochs"], second[3]["epochs"]) == (3, 1)
    assert second[1] is result.qat_model
    assert int(result.model.optimizer.iterations) == 3 * 192 / 24
    assert len(result.history["val_accuracy"]) == 4


def test_a_fit_draws_no_hyperparameters_that_are_not_searched(waves):
    class Draws(Trains):
        def fit(self, hp, model, *args, **kwargs):
            hp.Float("momentum", 0, 1)

    given = {"x": waves[0][0], "y": waves[0][1]}
    with pytest.raises(
        keras_tuner.errors.FatalValueError, match="momentum, which `fit` draws"
    ):
        train(Draws(keras), waves, training={"given": given}, epochs=1)


@pytest.mark.slow
def test_an_overridden_fit_may_choose_its_epochs(waves):
    class Chooses(Trains):
        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, epochs=2, **kwargs)

    (x, y), validation = waves
    given = {"x": x, "y": y, "validation_data": validation}
    result = train(Chooses(keras), waves, training={"given": given}, epochs=1)
    assert len(result.history["loss"]) == 2
    assert int(result.qat_model.optimizer.iterations) == 0


@pytest.mark.slow
def test_sample_weights_decide_what_is_learned(waves):
    (x, y), validation = waves
    # Every second label is wrong, but weighs nothing.
    right = np.arange(len(x)) % 2 == 0
    wrong = np.where(right, y, (y + 1) % 3)
    build = builder(keras, functional=True)
    settings = {"quantization": "after_training", "epochs": 4}
    given = {"sample_weight": right.astype(float)}
    weighted = train(build, ((x, wrong), validation), given, **settings)
    plain = train(build, ((x, wrong), validation), **settings)
    assert weighted.accuracy_float > plain.accuracy_float + 0.1


def test_class_weights_and_steps_reach_the_training(waves):
    given = {"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}, "steps_per_epoch": 5}
    result = train(
        builder(keras), waves, given, epochs=2, quantization="after_training"
    )
    assert result.history["loss"] == [0.0, 0.0]
    assert int(result.model.optimizer.iterations) == 10


def test_one_steps_data_are_the_next_ones_rest(waves):
    _, validation = waves
    data = tensors.prepare(
        np.arange(10.0)[:, None],
        np.arange(10),
        batch_size=2,
        shuffle=False,
        steps_per_epoch=3,
        validation_data=validation,
    )
    second = data.train(0, 1).take(3).as_numpy_iterator()
    assert [labels.tolist() for _, labels in second] == [[6, 7], [8, 9], [0, 1]]


class InterruptionError(Exception):
    pass


@pytest.mark.parametrize(
    "K", [keras, pytest.param(tf_keras, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_goes_on_after_its_epoch(K, waves, tmp_path):
    build = builder(K, layers=[lambda L: L.Dropout(0.2)])
    settings = {"epochs": 4, "quantization": "after_training", "seed": 3}

    def stop(history, float_epochs):
        if float_epochs == 2:
            raise InterruptionError

    whole = train(build, waves, **settings)
    with pytest.raises(InterruptionError):
        train(
            build,
            waves,
            checkpoint_folder=tmp_path,
            on_epoch=stop,
            **settings,
        )
    seen = []
    rest = train(
        build,
        waves,
        checkpoint_folder=tmp_path,
        on_epoch=lambda history, epochs: seen.append(epochs),
        **settings,
    )
    assert seen == [2, 3, 4]
    assert rest.history == whole.history
    assert rest.tflite == whole.tflite


def test_a_stopped_training_is_measured_as_it_is(waves):
    result = train(
        builder(keras, metrics=["sparse_categorical_accuracy"]),
        waves,
        on_epoch=lambda history, epochs: len(history["val_accuracy"]) == 1,
    )
    assert result.stopped_epoch == 1
    assert len(result.history["loss"]) == 1
    assert 0 < result.accuracy_int8 <= 1


def test_defaults_of_the_package_train_what_is_not_compiled(waves):
    build = builder(keras, compiled=False)
    result = train(
        build,
        waves,
        training={"optimizer": "sgd", "learning_rate": 0.5},
        quantization="after_training",
        epochs=1,
    )
    optimizer = result.model.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert float(optimizer.learning_rate) == 0.5
    # Its outputs are probabilities, of which logits would be something else.
    assert not result.model.loss.get_config()["from_logits"]


def rehearse(build, waves, **training):
    (x, y), validation = waves
    data = tensors.prepare(x, y, validation_data=validation)
    settings = {"quantization": training.pop("quantization", "aware")}
    return fit.rehearse(recipe_of(build, **training), data, **settings)


def test_a_rehearsal_names_what_will_be_measured(waves):
    metrics = ["sparse_categorical_crossentropy", "accuracy"]
    build = builder(tf_keras, metrics=metrics)
    assert rehearse(build, waves) == [
        "accuracy_int8",
        "accuracy_qat",
        "accuracy_float",
        "sparse_categorical_crossentropy_int8",
    ]


class OwnStep(keras.Sequential):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)


class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Without a `get_config`, as in TensorFlow's tutorial on transformers."""

    def __call__(self, step):
        return 0.1


class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def regression(hp):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def recurrent(unroll):
    """Layers that go over pixels one by one."""
    return [
        lambda L: L.Reshape((9, -1)),
        lambda L: L.LSTM(4, unroll=unroll, name="steps"),
        lambda L: L.Reshape((1, 1, 4)),
    ]


@pytest.mark.parametrize(
    ("build", "training", "message"),
    [
        (
            lambda hp: keras.Sequential([keras.layers.Dense(3)]),
            {},
            "sequential with an Input",
        ),
        (builder(keras), {"optimizer": "sgd"}, "optimizer must not be given"),
        (builder(tf_keras), {"learning_rate": 1.0}, "learning_rate must not"),
        (
            regression,
            {},
            "more is better.*Received: mae",
        ),
        (
            builder(keras, loss="categorical_crossentropy"),
            {},
            r"Data must fit .* targets of shape \(32,\)",
        ),
        (
            builder(keras, layers=[lambda L: Twice(name="twice")]),
            {},
            "'twice', a Twice.*after_training",
        ),
        (
            builder(keras, optimizer=keras.optimizers.Lamb()),
            {},
            "optimizer must be one that tf_keras has",
        ),
        (
            builder(keras, optimizer=keras.optimizers.Adam(Warmup())),
            {},
            "optimizer must be one .*Warmup.*get_config",
        ),
        (
            builder(keras, layers=[lambda L: L.UnitNormalization()]),
            {},
            "unit_normalization.*after_training",
        ),
        (
            builder(keras, layers=[lambda L: L.GroupNormalization(2)]),
            {"quantization": "after_training"},
            "must be an integer.*group_normalization.*other layers",
        ),
        (
            builder(keras, layers=recurrent(False)),
            {"quantization": "after_training"},
            "no loops.*steps.*unroll=True",
        ),
        (
            builder(tf_keras, layers=recurrent(False)),
            {"quantization": "after_training"},
            "no loops.*steps.*unroll=True",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(build, training, message, waves):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        rehearse(build, waves, **training)


@BOTH
def test_recurrent_layers_without_a_loop_become_int8(K, waves):
    build = builder(K, layers=recurrent(True))
    measured = rehearse(build, waves, quantization="after_training")
    assert measured == ["accuracy_int8", "accuracy_float"]


def test_a_step_of_ones_own_is_trained_but_not_copied(waves):
    make = builder(keras)

    def build(hp):
        plain = make(hp)
        model = OwnStep([keras.Input((8, 8, 1)), *plain.layers])
        model.compile("adam", plain.loss, metrics=["accuracy"])
        return model

    with pytest.raises(ValueError, match="train_step of OwnStep"):
        rehearse(build, waves)
    assert rehearse(build, waves, quantization="after_training")


def test_is_compiled_is_told_of_both():
    for K in (keras, tf_keras):
        model = K.Sequential([K.Input((4,)), K.layers.Dense(1)])
        assert not compiled.is_compiled(model)
        model.compile("sgd", "mse")
        assert compiled.is_compiled(model)


@pytest.mark.slow
def test_mixed_precision_stays_the_users(waves):
    before = (
        keras.config.dtype_policy(),
        tf_keras.mixed_precision.global_policy(),
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        for K in (keras, tf_keras):
            result = train(builder(K), waves, epochs=2)
            kind = result.model.layers[-1].compute_dtype
            assert kind == "bfloat16"
            qat.check_int8(result.tflite)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        policy = tf_keras.mixed_precision.global_policy()
        assert policy.name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before[0])
        tf_keras.mixed_precision.set_global_policy(before[1])
