"""Proposals of a user's own model, timed."""

import keras
import keras_tuner
import pytest
import tf_keras

from tf_cosearch.benchmark import own_models
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.spaces.outline import outline


@pytest.mark.parametrize("kind", [keras, tf_keras])
def test_what_is_built_is_as_large_as_mobilenet(kind):
    hp = keras_tuner.HyperParameters()
    ours, _ = outline(lambda: own_models.build(hp, kind))
    theirs, _ = outline(
        lambda: keras.applications.MobileNetV2(
            (96, 96, 3), weights=None, classes=10
        )
    )
    macs = [row.macs for row in from_keras(ours) if row.macs]
    assert len(macs) == 53
    assert sum(macs) == sum(row.macs for row in from_keras(theirs))


@pytest.mark.slow
def test_proposals_are_timed_in_both_kerases():
    built = []

    def build(hp, kind):
        layers = [kind.layers.Input((4,)), kind.layers.Dense(hp.Int("n", 1, 9))]
        built.append(kind)
        sum(range(4_000_000))  # so that none takes no time
        return kind.Sequential([*layers, kind.layers.Dense(2)])

    times = own_models.proposals(2, build)
    assert times.keys() == {"keras", "tf_keras"}
    assert set(built) == {keras, tf_keras}
    for seconds in times.values():
        assert seconds["core_seconds"] > 0.02
        assert seconds["first_core_seconds"] > 0.02
        assert seconds["build_core_seconds"] > 0.02
