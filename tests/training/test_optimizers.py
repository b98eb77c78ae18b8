import keras
import pytest
import tf_keras

from tf_cosearch.training import optimizers


def _rate(optimizer, step=0):
    rate = optimizer._learning_rate
    return float(rate(step) if callable(rate) else rate)


def test_default_is_adam_along_a_cosine():
    optimizer = optimizers.make(None, steps=100)
    assert isinstance(optimizer, tf_keras.optimizers.Adam)
    assert _rate(optimizer, 0) == pytest.approx(0.01)
    assert _rate(optimizer, 50) == pytest.approx(0.005)
    assert _rate(optimizer, 100) == pytest.approx(0)
    optimizer = optimizers.make(None, steps=100, is_qat=True, learning_rate=1)
    assert _rate(optimizer, 0) == pytest.approx(0.1)


def test_learning_rate_of_0_is_not_the_default():
    optimizer = optimizers.make(None, steps=5, learning_rate=0)
    assert _rate(optimizer) == 0


def test_no_decay_where_a_callback_sets_the_rate():
    optimizer = optimizers.make(None, steps=100, decay=False)
    optimizer.learning_rate = 0.5
    assert _rate(optimizer) == 0.5


@pytest.mark.parametrize(
    "given",
    [
        keras.optimizers.SGD(0.5, momentum=0.25, clipnorm=2.0),
        tf_keras.optimizers.SGD(0.5, momentum=0.25, clipnorm=2.0),
        {
            "class_name": "SGD",
            "config": {"learning_rate": 0.5, "momentum": 0.25, "clipnorm": 2.0},
        },
    ],
)
def test_given_optimizers_are_copied(given):
    for is_qat, rate in ((False, 0.5), (True, 0.05)):
        optimizer = optimizers.make(given, steps=5, is_qat=is_qat)
        assert optimizer is not given
        assert isinstance(optimizer, tf_keras.optimizers.SGD)
        assert (optimizer.momentum, optimizer.clipnorm) == (0.25, 2.0)
        assert _rate(optimizer) == pytest.approx(rate)
    with pytest.raises(ValueError, match=r"learning_rate must be for.*its own"):
        optimizers.make(given, steps=5, learning_rate=9.0)


def test_names_take_the_learning_rate():
    assert _rate(optimizers.make("sgd", steps=5)) == pytest.approx(0.01)
    optimizer = optimizers.make("sgd", steps=5, learning_rate=0.3)
    assert _rate(optimizer) == pytest.approx(0.3)


@pytest.mark.parametrize("K", [keras, tf_keras])
@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "Nadam"])
def test_both_keras_agree(K, kind):  # noqa: N803
    optimizer = optimizers.make(getattr(K.optimizers, kind)(0.02), steps=5)
    assert type(optimizer) is getattr(tf_keras.optimizers, kind)
    assert _rate(optimizer) == pytest.approx(0.02)


@pytest.mark.parametrize("K", [keras, tf_keras])
def test_schedules_go_on_in_the_second_phase(K):  # noqa: N803
    schedule = K.optimizers.schedules.ExponentialDecay(0.8, 10, 0.5)
    given = K.optimizers.SGD(schedule)
    first = optimizers.make(given, steps=20)
    assert _rate(first, 10) == pytest.approx(0.4)
    second = optimizers.make(given, steps=20, is_qat=True, steps_done=20)
    assert _rate(second, 0) == pytest.approx(0.2)
    assert _rate(second, 10) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "given", ["adem", 3, {"config": {}}, {"class_name": "Adam", "config": 3}]
)
def test_what_tf_keras_does_not_know(given):
    with pytest.raises(ValueError, match="optimizer must be one"):
        optimizers.make(given, steps=1)


SAME = [
    [None, (None, 0.01)],
    [
        "adam",
        ("adam", 0.001),
        keras.optimizers.Adam(),
        tf_keras.optimizers.Adam(1e-3),
        {"class_name": "Adam", "config": {"learning_rate": 1e-3}},
    ],
    [keras.optimizers.Adam(0.1), tf_keras.optimizers.Adam(0.1), ("adam", 0.1)],
    [keras.optimizers.Adam(0.1, beta_1=0.8)],
    [keras.optimizers.Adam(0.1, clipnorm=1.0)],
    [tf_keras.optimizers.SGD(0.1), ("sgd", 0.1)],
    [tf_keras.optimizers.SGD(0.1, momentum=0.9)],
    [
        K.optimizers.SGD(K.optimizers.schedules.CosineDecay(0.1, 50))
        for K in (keras, tf_keras)
    ],
    [keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 60))],
    [keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.2, 50))],
    [
        keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(0.1, 50, 0.5)
        )
    ],
]


def test_what_trains_alike_is_told_alike_and_nothing_else():
    described = [
        [
            optimizers.describe(*(g if isinstance(g, tuple) else (g,)))
            for g in group
        ]
        for group in SAME
    ]
    for group in described:
        assert all(each == group[0] for each in group)
    for place, group in enumerate(described):
        assert all(group[0] != other[0] for other in described[:place])
