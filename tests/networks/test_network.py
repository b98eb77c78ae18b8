import keras
import numpy as np
import pytest

from tf_cosearch import configuration
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import keras_walk

# One of each family; `make slow` walks over the others.
WALKED = (
    "efficientnet_b0",
    "efficientnet_edgetpu_s",
    "mobilenet_edgetpu",
    "mobilenet_edgetpu_v2_tiny",
    "mobilenet_v1",
    "mobilenet_v2",
)


def random_networks(name, count, seed=0):
    space = SearchSpace.load(name)
    rng = np.random.default_rng(seed)
    return [space.decode(g).network for g in space.sample(rng, count)]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("digits", 2),
        ("mobilenet_v2", 1),
        ("efficientnet_b0", 1),
        ("evolved", 1),
    ],
)
def test_rows_equal_a_walk_over_the_built_model(name, count):
    for network in random_networks(name, count):
        assert keras_walk.differences(network, network.build(keras)) == []
        keras.backend.clear_session()


# A Keras model has no bits; layers of mixed ones are those of the others, and
# rows of tables have scales in 4 bits alone.
PLAIN = [
    name
    for name in configuration.names("spaces")
    if not name.endswith("_mixed") and name != "dlrm"
]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_rows_equal_a_walk_over_200_built_models(name):
    for network in random_networks(name, 200, seed=1):
        assert keras_walk.differences(network, network.build(keras)) == []
        keras.backend.clear_session()


@pytest.mark.parametrize(
    "name",
    [
        name if name in WALKED else pytest.param(name, marks=pytest.mark.slow)
        for name in configuration.names("networks")
    ],
)
def test_published_networks_equal_a_walk(name):
    network = load_network(name, (64, 64, 3))
    assert keras_walk.differences(network, network.build(keras)) == []


def test_squeeze_excite_and_swish_equal_a_walk():
    options = (("activation", "swish"), ("se_ratio", 0.25))
    blocks = (
        BlockSpec("stem", "conv_bn", 8, 2),
        BlockSpec("a", "inverted_residual", 8, 1, options),
        BlockSpec("b", "fused_inverted_residual", 16, 2, options),
    )
    network = Network("se", (16, 16, 3), 5, blocks)
    assert keras_walk.differences(network, network.build(keras)) == []
    assert network.build(keras)(np.zeros((2, 16, 16, 3))).shape == (2, 5)


def test_both_keras_build_the_same_function():
    import tf_keras

    network = random_networks("digits", 1)[0]
    model, legacy = network.build(keras), network.build(tf_keras)
    legacy.set_weights(model.get_weights())
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    np.testing.assert_allclose(
        model(images).numpy(), legacy(images).numpy(), atol=1e-5
    )


def test_config_round_trips_through_json():
    import json

    network = random_networks("evolved", 1)[0]
    config = json.loads(json.dumps(network.get_config()))
    assert Network.from_config(config) == network


def test_a_network_file_must_not_leave_a_choice(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(
        "input_shape: [8, 8, 1]\nclasses: 2\nstem: {filters: [8, 16]}\n"
        "stages: [{block: conv_bn, filters: 8}]\n"
    )
    with pytest.raises(ValueError, match="must describe one network"):
        load_network(path)


def test_unknown_network_names_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'mobilenet_v2'"):
        load_network("mobilnet_v2")
