import dataclasses
import functools
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tf_keras

from tf_cosearch import tasks
from tf_cosearch.search.early_stopping import SuccessiveHalving
from tf_cosearch.training import fingerprint, settings
from tf_cosearch.training.settings import plain

Regression = tasks.get("regression")


def scheduler(rate):
    return keras.callbacks.LearningRateScheduler(lambda epoch: rate)


def halved(epoch, rate, factor=0.5):
    return rate * factor


class Focal(tf_keras.losses.Loss):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma


class Jitter(keras.callbacks.Callback):
    def __init__(self, scale):
        super().__init__()
        self.scale = np.full(3, scale)
        self.schedule = keras.optimizers.schedules.CosineDecay(scale, 5)
        self.itself = self


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (scheduler(0.1), scheduler(0.2)),
        (
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.2),
        ),
        (functools.partial(halved, 2), functools.partial(halved, 3)),
        (
            functools.partial(halved, factor=2),
            functools.partial(halved, factor=3),
        ),
        (halved, functools.partial(halved, factor=0.5)),
        (Focal(2.0), Focal(3.0)),
        (Jitter(0.1), Jitter(0.2)),
        (Jitter(0.1), scheduler(0.1)),
        (
            keras.callbacks.EarlyStopping(patience=3),
            keras.callbacks.EarlyStopping(patience=4),
        ),
        (
            keras.callbacks.EarlyStopping("loss"),
            keras.callbacks.EarlyStopping("val_loss"),
        ),
        (
            tf_keras.callbacks.ReduceLROnPlateau(factor=0.1),
            tf_keras.callbacks.ReduceLROnPlateau(factor=0.5),
        ),
        (SuccessiveHalving(), SuccessiveHalving(eta=4)),
        ({"a": {1, 2}}, {"a": {1, 3}}),
        (np.zeros(3), np.zeros((3, 1))),
        (np.zeros(3), np.ones(3)),
        (0.1, np.float32(0.2)),
        (True, "True"),
    ],
)
def test_what_differs_is_told_apart(one, other):
    assert plain(one) != plain(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: scheduler(0.1),
        lambda: Focal(2.0),
        lambda: Jitter(0.1),
        lambda: keras.callbacks.EarlyStopping(patience=3),
        lambda: {"a": {"x", "y", "z"}},
        lambda: np.arange(3),
    ],
)
def test_what_is_made_alike_is_alike(make):
    assert plain(make()) == plain(make())


def test_how_much_is_printed_makes_no_difference():
    quiet = keras.callbacks.EarlyStopping(verbose=0)
    loud = keras.callbacks.EarlyStopping(verbose=1)
    assert plain(quiet) == plain(loud)


def test_a_function_is_the_same_in_every_process():
    here = os.path.dirname(settings.__file__)
    # The module alone, as to import the package takes five seconds.
    code = textwrap.dedent(f"""
        import sys, types

        for name, path in (
            ("tf_cosearch", {os.path.dirname(here)!r}),
            ("tf_cosearch.training", {here!r}),
        ):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [path]
        from tf_cosearch.training import settings

        def f(x, y=1):
            return (lambda z: z in {{'a', 'b', 'c', 'd'}})(x)

        print(settings.plain(f))
    """)
    command = [sys.executable, "-c", code]
    found = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert "'code': " in found.pop()


@dataclasses.dataclass(frozen=True)
class First(Regression):
    """A task of somebody."""

    def __post_init__(self):
        self.check()

    def check(self):
        """Nothing."""

    def strata(self, y):
        """As many as there are numbers."""
        return y


@dataclasses.dataclass(frozen=True)
class Again(Regression):
    """The same, written once more."""

    def __post_init__(self):
        self.check()

    def check(self):
        """Nothing."""

    def strata(self, y):
        """As many as there are numbers."""
        return y


@dataclasses.dataclass(frozen=True)
class Other(First):
    """Another one by a method that it is built on."""

    def strata(self, y):
        """One more."""
        return y + 1


def test_what_a_class_of_ones_own_does_counts():
    first, again, other = map(settings.written, (First, Again, Other))
    assert list(first) == ["__post_init__", "check", "strata"]
    code = {name: each["code"] for name, each in first.items()}
    assert code == {name: each["code"] for name, each in again.items()}
    changed = {name: each["code"] for name, each in other.items()}
    assert changed.pop("strata") != code.pop("strata")
    assert changed == code
    assert settings.written(Regression) == {}


def test_constants_and_cached_properties_of_a_class_of_ones_own_count():
    def of(constant, computed):
        class Weighted(Regression):
            weight = constant
            bias = functools.cached_property(computed)

        return settings.written(Weighted)

    first, again = (of(0.3, lambda self: 1) for _ in range(2))
    assert first["weight"] == pytest.approx(0.3)
    assert first == again
    assert of(0.4, lambda self: 1) != first != of(0.3, lambda self: 2)


def test_trainings_of_a_task_of_ones_own_are_told_apart_by_its_code():
    x, y = np.zeros((4, 2, 2, 1)), np.zeros(4)
    told = [
        fingerprint.conditions(
            (x, y), None, 1, batch_size=2, epochs=1, task=kind()
        )["training"]
        for kind in (First, Other)
    ]
    assert told[0] != told[1]
    builtin = fingerprint.conditions(
        (x, y), None, 1, batch_size=2, epochs=1, task=Regression()
    )
    assert "task" not in builtin["training"]
