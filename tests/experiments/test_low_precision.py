"""The guard of low precision, on losses that are made up."""

import pytest

from tf_cosearch.experiments import low_precision


class Made(low_precision._Model):
    """Loses so much by each part of 4 bits."""

    tables, layers = ("table1", "table2"), ("dense",)

    def __init__(self, **losses):
        self._losses = losses

    def file(self, bits):
        return bits

    def lost_percent(self, file, part):
        assert part == "validation"
        lost = {n: x for n, x in self._losses.items() if file.get(n, 4) == 4}
        return sum(lost.values())


@pytest.mark.parametrize(
    ("losses", "restored"),
    [
        ({"table1": 0.02, "table2": 0.01, "dense": 0.02}, set()),
        ({"table1": 0.02, "table2": 0.01, "dense": 0.03}, {"dense"}),
        ({"table1": 0.9, "table2": 0.01, "dense": 0.2}, {"table1", "dense"}),
        ({"always": 0.1, "dense": -0.01}, {"table1", "table2", "dense"}),
    ],
)
def test_the_worst_get_bits_back_until_little_is_lost(losses, restored):
    bits = Made(**losses).guarded()
    assert {name for name, width in bits.items() if width == 8} == restored
    assert set(bits.values()) <= {4, 8}
    assert set(bits) == {"table1", "table2", "dense"}
