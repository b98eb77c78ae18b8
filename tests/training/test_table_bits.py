"""Tables of an int8 file that get other bits, against sums by hand."""

import numpy as np
import pytest
import tf_keras

from tf_cosearch.networks.layer_ops import KerasBuilder
from tf_cosearch.training import evaluate, qat
from tf_cosearch.training.table_bits import Table, with_tables

ROWS = np.asarray(
    [[8.0, -8.0, 4.0, 1.0], [1.0, -0.5, 0.25, 0.125], [0.0, 0.0, 0.0, 0.0]]
)


@pytest.fixture(scope="module")
def model():
    """Looks up two rows, and passes a dense feature on."""
    ops, x = KerasBuilder(tf_keras), tf_keras.Input((1, 1, 3))
    dense, first, second = ops.columns(x, 2, 1 / 16)
    y = ops.concat(
        [
            ops.embedding(first, 3, 4, name="one"),
            ops.embedding(second, 3, 4, name="other"),
            ops.dense(dense, 1, None, name="dense"),
        ]
    )
    model = tf_keras.Model(x, y)
    model.get_layer("one").set_weights([ROWS])
    model.get_layer("other").set_weights([ROWS[::-1]])
    model.get_layer("dense").set_weights([np.ones((1, 1)), np.zeros(1)])
    return model


EXAMPLES = np.asarray(
    [[16.0 * d, i, j] for d, i, j in [(-8, 0, 0), (8, 1, 1), (2, 2, 2)]],
    np.float32,
).reshape(3, 1, 1, 3)


@pytest.fixture(scope="module")
def file(model):
    return qat.to_tflite(model, EXAMPLES)


def answers(file):
    return evaluate.Runner(file).dequantized(EXAMPLES).reshape(3, 9)


def exact(one, other):
    return np.hstack([one, other[::-1], [[-8], [8], [2]]])


STEP = 16 / 255  # of int8, from -8 to 8


def test_a_file_reads_floats_that_no_range_rounds(model, file):
    """In steps of a range to 128, the numbers of rows would all be 0."""
    np.testing.assert_allclose(model(EXAMPLES)[:, 0, 0], exact(ROWS, ROWS))
    np.testing.assert_allclose(answers(file), exact(ROWS, ROWS), atol=STEP)
    details = evaluate.open_interpreter(file).get_input_details()
    assert [each["dtype"] for each in details] == [np.float32]


@pytest.mark.parametrize(
    ("bits", "steps"), [(4, [8 / 7, 1 / 7, 0]), (16, [8 / 32767] * 3)]
)
def test_tables_get_bits_of_their_own(file, bits, steps):
    """Rows of 4 bits are in sevenths of their largest, of 16 all in one."""
    scales = np.asarray(steps)[:, None]
    inverse = np.divide(1, scales, where=scales > 0, out=np.zeros_like(scales))
    rounded = np.round(ROWS * inverse) * scales
    changed = with_tables(file, {"one": Table(ROWS, bits)})
    wanted = exact(rounded, ROWS)
    np.testing.assert_allclose(answers(changed), wanted, atol=0.6 * STEP)
    both = {"one": Table(ROWS, bits), "other": Table(ROWS[::-1], bits)}
    wanted = exact(rounded, rounded)
    np.testing.assert_allclose(
        answers(with_tables(file, both)), wanted, atol=0.6 * STEP
    )


def test_a_row_of_4_bits_takes_a_scale_and_a_zero_point():
    """Of TFLite both, 4 and 8 bytes, so that long rows alone are shorter."""
    x = tf_keras.Input((1, 1, 2))
    ops = KerasBuilder(tf_keras)
    _, number = ops.columns(x, 1, 1 / 16)
    model = tf_keras.Model(x, ops.embedding(number, 4000, 32, name="one"))
    file = qat.to_tflite(model, EXAMPLES[..., :2])
    table = Table(model.get_layer("one").embeddings.numpy(), 4)
    grown = len(with_tables(file, {"one": table})) - len(file)
    assert grown == pytest.approx(4000 * (32 // 2 + 4 + 8 - 32), abs=1500)


def test_8_bits_are_those_of_the_file(file):
    assert with_tables(file, {"one": Table(ROWS, 8)}) is file


def test_what_looks_nothing_up_is_refused(file):
    with pytest.raises(
        ValueError, match=r"looks rows up\. Received: 'columns_1'"
    ):
        with_tables(file, {"columns_1": Table(ROWS, 4)})


def test_a_table_of_another_shape_is_refused(file):
    with pytest.raises(ValueError, match=r"\[3, 4\].*Received: \(2, 4\)"):
        with_tables(file, {"one": Table(ROWS[:2], 4)})
