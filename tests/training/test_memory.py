import numpy as np
import tensorflow as tf

import tf_cosearch as cs
from tf_cosearch.training import memory


def layers(px, channels):
    return cs.pad(
        [
            [cs.Layer("a", "conv2d", px, px, channels, px, px, 3)] * count
            for count in (1, 3)
        ]
    )


def test_a_step_takes_what_layers_put_out():
    one, small = memory.step_bytes(layers(4, 8), 2)
    np.testing.assert_allclose(one, small / 3, rtol=0.05)
    # Three layers, two images, 4 x 4 x 8 numbers of 4 bytes, 3.5 times.
    np.testing.assert_allclose(small, 3 * 2 * 4 * 4 * 8 * 4 * 3.5, rtol=0.05)
    assert memory.step_bytes(layers(8, 8), 2)[1] == 4 * small
    assert memory.step_bytes(layers(4, 8), 6)[1] == 3 * small


def test_weights_count_beyond_those_of_a_small_network():
    dense = cs.Layer("a", "dense", 1, 1, 3000, 1, 1, 1000)
    table = cs.pad([[dense], [dense] * 3])
    needed = memory.weight_bytes(table)
    weights = np.array([3_003_000, 9_009_000])
    np.testing.assert_allclose(
        needed, 33 * 4 * (weights - 2_000_000), rtol=1e-6
    )
    assert (memory.weight_bytes(layers(4, 8)) == 0).all()
    np.testing.assert_array_equal(
        memory.training_bytes([], table, 2),
        memory.step_bytes(table, 2) + needed,
    )


def test_data_count_as_read_and_as_tensorflow_holds_them():
    data = [np.zeros((10, 8), np.float32), tf.data.Dataset.range(5), None]
    step = memory.step_bytes(layers(4, 8), 2)
    both = memory.training_bytes(data, layers(4, 8), 2)
    np.testing.assert_array_equal(both, step + 2 * 320)
