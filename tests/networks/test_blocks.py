import numpy as np
import pytest
import tf_keras

from tf_cosearch.networks import blocks
from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.testing import BlockSuite
from tf_cosearch.training import evaluate, qat

OURS = [
    name
    for name in blocks.names()
    if blocks.get(name).__module__.startswith(blocks.__name__)
]


@pytest.mark.parametrize("name", OURS)
def test_every_block_of_ours_has_a_suite(name):
    suites = BlockSuite.__subclasses__()
    assert name in {suite.name for suite in suites if "name" in vars(suite)}


class TestSkip(BlockSuite):
    name = "skip"
    shapes = ((8, 1),)


class TestPerceptron(BlockSuite):
    name, image, shapes = "perceptron", (1, 1, 8), ((8, 1), (16, 1))


class TestDlrm(BlockSuite):
    name, image, shapes = "dlrm", (1, 1, 8), ((8, 1), (16, 1))

    def test_it_converts_to_int8(self):
        """After training, as what trains for rounding knows no tables."""
        [network, *_] = self.networks()
        model = network.build(tf_keras)
        images = np.random.default_rng(0).random((8, 1, 1, 8), np.float32)
        logits = evaluate.Runner(qat.to_tflite(model, images)).dequantized(
            images
        )
        np.testing.assert_allclose(logits, model(images), atol=0.05)


for _name in OURS:
    if _name not in ("skip", "perceptron", "dlrm"):
        _class = f"Test{_name.title().replace('_', '')}"
        globals()[_class] = type(_class, (BlockSuite,), {"name": _name})


def test_the_suite_finds_a_block_whose_stride_is_ignored():
    @blocks.block
    def forgets_stride(ops, x, *, filters, stride=1):
        return ops.conv(x, filters, name="conv")

    class Suite(BlockSuite):
        name = "forgets_stride"

    try:
        with pytest.raises(pytest.fail.Exception, match="ends in"):
            Suite().test_stride_and_filters_are_honoured()
    finally:
        del blocks._BLOCKS["forgets_stride"]


def test_the_suite_finds_a_block_read_differently():
    @blocks.block
    def two_faced(ops, x, *, filters, stride=1):
        kernel = 3 if hasattr(ops, "layers") else 5
        return ops.conv(x, filters, kernel, stride, name="conv")

    class Suite(BlockSuite):
        name = "two_faced"

    try:
        with pytest.raises(pytest.fail.Exception, match="table"):
            Suite().test_rows_equal_a_walk_over_the_built_model()
    finally:
        del blocks._BLOCKS["two_faced"]


def test_names_cannot_be_taken_twice():
    with pytest.raises(ValueError, match="already registered by tf_cosearch"):

        @blocks.block
        def conv_bn(ops, x, *, filters, stride=1):
            return x


def test_blocks_must_take_filters_and_stride():
    with pytest.raises(TypeError, match="`filters` and `stride`"):

        @blocks.block
        def stubborn(ops, x):
            return x


def test_skip_must_not_change_the_shape():
    network = TestSkip().network(16, 1, ())
    with pytest.raises(ValueError, match="8 to 16 channels"):
        network.layers()


@pytest.mark.parametrize("name", ["dlrm", "perceptron"])
def test_vectors_have_no_stride(name):
    ops = LayerRecorder()
    with pytest.raises(ValueError, match=r"stride must be 1\. Received: 2"):
        blocks.get(name)(ops, ops.input(1, 1, 8), filters=8, stride=2)


def test_layers_that_cannot_be_of_a_dlrm_are_refused():
    ops = LayerRecorder()
    for settings in ({"dimension": 0}, {"bottom_units": 0}, {"tables": "0"}):
        with pytest.raises(ValueError, match=r"Received: '?0"):
            blocks.get("dlrm")(ops, ops.input(1, 1, 8), filters=8, **settings)
    with pytest.raises(ValueError, match=r"dense column.*2 columns"):
        blocks.get("dlrm")(ops, ops.input(1, 1, 2), filters=8)
