import random

import numpy as np
import pytest
import tensorflow as tf

import tf_cosearch as cs
from tf_cosearch.designs import conversion
from tf_cosearch.training import qat


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.yaml"
    path.write_text(
        "{input_shape: [8, 8, 1], classes: 3, stem: {filters: 4}, "
        "stages: [{block: conv_bn, filters: 4}]}"
    )
    return cs.load_network(path)


def test_random_weights_follow_from_the_seed(network):
    first = conversion.of_network(network)
    qat.check_int8(first)
    assert conversion.of_network(network) == first
    assert conversion.of_network(network, seed=1) != first


def test_random_numbers_of_the_user_go_on_as_they_were(network):
    def draw():
        return (
            random.random(),
            np.random.random(),  # noqa: NPY002
            float(tf.random.uniform(())),
        )

    def seed():
        random.seed(5)
        np.random.seed(5)  # noqa: NPY002
        tf.random.set_seed(5)

    seed()
    expected = draw()
    seed()
    conversion.of_network(network)
    assert draw() == expected
