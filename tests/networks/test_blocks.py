import pytest

from tf_cosearch.networks import blocks
from tf_cosearch.testing import BlockSuite

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


for _name in OURS:
    if _name != "skip":
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
