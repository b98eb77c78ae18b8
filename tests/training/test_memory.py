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


def test_a_step_is_that_of_the_largest_network():
    small = memory.step_bytes(layers(4, 8), 2)
    # Three layers, two images, 4 x 4 x 8 numbers of 4 bytes, 3.5 times.
    np.testing.assert_allclose(small, 3 * 2 * 4 * 4 * 8 * 4 * 3.5, rtol=0.05)
    assert memory.step_bytes(layers(8, 8), 2) == 4 * small
    assert memory.step_bytes(layers(4, 8), 6) == 3 * small


def test_data_count_as_read_and_as_tensorflow_holds_them():
    data = [np.zeros((10, 8), np.float32), tf.data.Dataset.range(5), None]
    step = memory.step_bytes(layers(4, 8), 2)
    assert memory.training_bytes(data, layers(4, 8), 2) == step + 2 * 320
