"""A path through shared weights is the network that is built alone."""

import numpy as np
import pytest
import tf_keras

import tf_cosearch as cs
from tf_cosearch.networks import blocks, layer_ops
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.layer_rules import rule
from tf_cosearch.supernet.options import Sharing
from tf_cosearch.supernet.paths import Uniform
from tf_cosearch.supernet.reading import Signal, Survey
from tf_cosearch.supernet.training import TrainedPath
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import inputs, qat

SPACES = {
    "digits": (8, 8, 1),
    "hsconas": (32, 32, 3),
    "mobilenet_v2": (32, 32, 3),
    "efficientnet_b0": (32, 32, 3),
    "evolved": (32, 32, 3),
    "keywords": (49, 10, 1),
    "nas_bench_macro": (32, 32, 3),
}

ALL_KINDS = {
    "stem": {"filters": [8, 12], "kernel_size": [1, 3], "stride": 2},
    "defaults": {
        "block": ["inverted_residual", "fused_inverted_residual"],
        "kernel_size": [1, 3, 5],
        "expansion": [1, 2, 3],
        "groups": [1, 2],
        "se_ratio": [0, 0.25],
        "activation": ["relu", "swish", "relu6"],
    },
    "stages": [
        {"filters": [8, 16], "stride": [1, 2], "repeats": [1, 2]},
        {
            "block": ["shuffle_v2", "xception", "skip"],
            "per": "block",
            "filters": 16,
            "repeats": 3,
            "kernel_size": [3, 5],
            "expansion": [0.5, 1],
        },
    ],
    "head": {"filters": [8, 24], "dropout": 0.2},
}
"""Strides, groups, squeeze-excite, activations and skips in one space."""


def _data(shape, classes, count=48):
    rng = np.random.default_rng(0)
    x = rng.random((count, *shape)).astype(np.float32)
    y = rng.integers(classes, size=count)
    return inputs.prepare(
        x, y, input_shape=shape, classes=classes, validation_data=(x, y)
    )


def _evaluator(networks, sharing=None):
    weights = SharedWeights(networks, sharing or Sharing())
    rng = np.random.default_rng(1)
    for key, array in weights.arrays.items():
        if key.rpartition("/")[2] in ("gamma", "beta", "bias"):
            array += rng.normal(0, 0.2, array.shape)
    shape, classes = networks.input_shape, networks.classes
    return Evaluator(weights, _data(shape, classes))


def _require_equal_logits(evaluator, networks, count):
    paths = Uniform(networks)
    rng = np.random.default_rng(2)
    images = rng.random((4, *networks.input_shape)).astype(np.float32)
    for _ in range(count):
        network = paths.random(rng)
        alone = evaluator.model(network)
        qat.run_groups_natively(alone)
        expected = alone(images, training=False).numpy()
        logits = evaluator.logits(network, images)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
        assert np.ptp(expected) > 1e-3


def test_a_path_answers_as_the_network_that_is_built_alone():
    networks = cs.SearchSpace.load("digits").network_space
    _require_equal_logits(_evaluator(networks), networks, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_200_paths_answer_as_the_networks_that_are_built_alone(name):
    networks = cs.SearchSpace.load(name, SPACES[name], 10).network_space
    _require_equal_logits(_evaluator(networks), networks, 200)


@pytest.mark.parametrize(
    "sharing",
    [
        Sharing(apart=("block", "kernel_size"), norms_apart=True),
        pytest.param(Sharing(), marks=pytest.mark.slow),
        pytest.param(Sharing(apart=()), marks=pytest.mark.slow),
    ],
)
def test_all_kinds_of_blocks_answer_alike(sharing):
    networks = Template(ALL_KINDS, "all", (9, 8, 3), 5)
    _require_equal_logits(_evaluator(networks, sharing), networks, 3)


def test_what_is_apart_has_weights_of_its_own():
    networks = Template(ALL_KINDS, "all", (9, 8, 3), 5)
    together = SharedWeights(networks, Sharing(apart=()))
    apart = SharedWeights(networks, Sharing(apart=("block",)))
    key = "stage1_block1_project"
    assert f"{key}/kernel" in together.arrays
    assert {k for k in apart.arrays if k.startswith(f"{key}/")} == {
        f"{key}/fused_inverted_residual/kernel",
        f"{key}/inverted_residual/kernel",
    }


def test_a_block_of_a_user_works_as_it_is():
    @cs.block
    def users_own(ops, x, *, filters, stride=1, branches=2):
        parts = [
            ops.conv(x, filters, 3, stride, name=f"branch{i}")
            for i in range(branches)
        ]
        y = ops.concat(parts) if branches > 1 else parts[0]
        return ops.conv(ops.max_pool(y, 3), filters, name="join")

    try:
        content = {
            "stem": {"filters": 8},
            "stages": [
                {
                    "block": ["users_own", "conv_bn"],
                    "filters": [8, 16],
                    "branches": [1, 2, 3],
                    "stride": 2,
                }
            ],
        }
        networks = Template(content, "own", (9, 8, 3), 5)
        evaluator = _evaluator(networks)
        _require_equal_logits(evaluator, networks, 2)
    finally:
        del blocks._BLOCKS["users_own"]


def test_a_layer_that_cannot_be_shared_is_named():
    @cs.operation
    class UpConvolve(cs.Operation):
        filters: int

        def keras(self, build, x, name):
            return build.keras.layers.Conv2DTranspose(
                self.filters, 3, padding="same", name=build.path(name)
            )(x)

        def rows(self, record, x, name):
            return record.conv(x, self.filters, 3, name=name)

    @cs.block
    def upwards(ops, x, *, filters, stride=1):
        return ops.up_convolve(x, filters, name="up")

    try:
        content = {
            "stem": {"filters": 8},
            "stages": [{"block": "upwards", "filters": [8, 16]}],
        }
        networks = Template(content, "own", (9, 8, 3), 5)
        with pytest.raises(ValueError, match=r"stage1_block1_up.*Transpose"):
            SharedWeights(networks, Sharing())
    finally:
        del blocks._BLOCKS["upwards"]
        del layer_ops._OPERATIONS["up_convolve"]


@pytest.mark.parametrize(
    ("layer", "complaint"),
    [
        ({"kind": "BatchNormalization", "axis": 1, "name": "n"}, "last axis"),
        ({"kind": "ReLU"}, "must have a name"),
    ],
)
def test_a_layer_that_would_be_read_wrongly_is_refused(layer, complaint):
    reading = Survey(Sharing())
    settings = {**layer}
    x = Signal(None, (None, 4, 4, 8), "image")
    with pytest.raises(ValueError, match=complaint):
        getattr(reading.keras.layers, settings.pop("kind"))(**settings)(x)


def test_values_of_two_settings_are_told_apart():
    networks = Template(ALL_KINDS, "all", (9, 8, 3), 5)
    weights = SharedWeights(networks, Sharing(apart=("expansion", "groups")))
    keys = [k for k in weights.arrays if k.startswith("stage1_block1_project/")]
    assert "stage1_block1_project/expansion=2/groups=1/kernel" in keys
    assert "stage1_block1_project/expansion=1/groups=2/kernel" in keys


@pytest.mark.parametrize(
    "layer",
    [
        tf_keras.layers.ReLU(),
        tf_keras.layers.ReLU(6.0),
        tf_keras.layers.ReLU(negative_slope=0.1),
        tf_keras.layers.ReLU(threshold=1.0),
        tf_keras.layers.Activation("relu"),
        tf_keras.layers.Activation("linear"),
        tf_keras.layers.Activation("tanh"),
    ],
)
def test_an_activation_is_that_of_its_layer(layer):
    x = np.array([[-3.0, 0.5, 2.0, 7.0]], np.float32)
    found = rule(layer).run(None, layer, [x], {})
    np.testing.assert_array_equal(found, layer(x))


def test_dropout_follows_the_seed_and_the_layer():
    def dropped(seed, name):
        path = TrainedPath(weights, None, seed)
        layer = tf_keras.layers.Dropout(0.5, name=name)
        return path.dropped(layer, np.ones((4, 8), np.float32)).numpy()

    networks = cs.SearchSpace.load("digits").network_space
    weights = SharedWeights(networks, Sharing())
    first = dropped((1, 0), "a")
    np.testing.assert_array_equal(first, dropped((1, 0), "a"))
    for other in (((2, 0), "a"), ((1, 1), "a"), ((1, 0), "b")):
        assert (first != dropped(*other)).any()


def test_a_models_own_layers_have_no_places_to_share():
    def build(hp):
        units = hp.Int("units", 4, 8)
        return tf_keras.Sequential(
            [tf_keras.Input((4,)), tf_keras.layers.Dense(units)]
        )

    space = cs.SearchSpace.from_hypermodel(build, None)
    with pytest.raises(ValueError, match="space of blocks"):
        SharedWeights(space.network_space, Sharing())
