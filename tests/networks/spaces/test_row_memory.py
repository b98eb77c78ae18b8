"""Rows that are put together are those of the whole network."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.networks import blocks
from tf_cosearch.networks.spaces.row_memory import rows_of_end
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.networks.workload import to_array

SPACES = {
    "digits": (17, 16, 1),
    "evolved": (32, 32, 3),
    "evolved_mixed": (32, 32, 3),
    "hsconas": (64, 64, 3),  # with blocks that are skipped
}


def require_equal(space, count, seed=0):
    networks = space.network_space
    genomes = space.sample(np.random.default_rng(seed), count)
    for genes in genomes[:, : space.num_network_parameters].tolist():
        rows = to_array(networks.decode(tuple(genes)).layers())
        for _ in range(2):  # as it is recorded, and as it is remembered
            np.testing.assert_array_equal(networks.rows(tuple(genes)), rows)


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("name", SPACES)
def test_what_an_end_reads_early_is_held_until_then(name, stride):
    task = {"name": "segmentation", "width": 16, "output_stride": stride}
    space = cs.SearchSpace.load(name, SPACES[name], 5, task=task)
    require_equal(space, 6, seed=stride)


@pytest.fixture
def two_early():
    """A task that reads two earlier stages, and one of them first of all."""

    @cs.task
    class TwoEarly(cs.tasks.Classification):
        reads_stages = True
        is_first: bool = False

        def head(self, ops, stages, **size):
            first, second, *_, last = (
                ops.conv(ops.global_pool(x, name=f"pool{i}"), 8, name=f"to{i}")
                for i, x in enumerate(stages)
                if i in (1, 2) or i == len(stages) - 1
            )
            pair = [first, last] if self.is_first else [last, first]
            x = ops.add([ops.add(pair, name="one"), second], name="two")
            return super().head(ops, [x], **size)

    yield TwoEarly
    cs.tasks.task.__globals__["_TASKS"].pop("two_early")


@pytest.mark.parametrize("is_first", [False, True])
def test_two_stages_are_held(two_early, is_first):
    task = two_early(is_first)
    require_equal(cs.SearchSpace.load("digits", task=task), 10)
    space = cs.SearchSpace.load("digits", (8, 8, 1), 4, task=task)
    networks = space.network_space
    shapes = [(8, 8, 8, 8)] * 3 + [(4, 4, 16, 8)]
    _, early, is_last = rows_of_end(networks.network(()), shapes)
    assert (early, is_last) == ((1, 2), not is_first)


def test_stages_of_one_tensor_hold_it_once(two_early):
    """A block of a user may leave what it reads as it is."""

    @cs.block
    def users_maybe(ops, x, *, filters, stride=1, is_there=1):
        return ops.conv(x, filters, 3, stride, name="c") if is_there else x

    try:
        stage = {"filters": 8, "block": "users_maybe", "is_there": [0, 1]}
        content = {
            "stem": {"filters": 8},
            "stages": [*[stage] * 3, {"filters": 16, "block": "conv_bn"}],
        }
        networks = Template(content, "maybe", (8, 8, 1), 4, two_early())
        require_equal(cs.SearchSpace(networks), 16)
    finally:
        blocks._BLOCKS.pop("users_maybe")
