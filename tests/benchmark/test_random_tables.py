import numpy as np

from tf_cosearch.benchmark.random_tables import (
    random_accelerators,
    random_layers,
)
from tf_cosearch.cost.model import estimate


def test_the_tables_measured_are_layers_of_many_kinds():
    layers = random_layers(40, 24)
    chips = random_accelerators(40)
    cost = estimate(layers, chips)
    assert np.isfinite(cost.latency_ms).all()
    assert 0.2 < np.mean(layers.groups > 1) < 0.5
    rows = np.stack(layers.columns(), -1).reshape(40 * 24, -1)
    assert len(np.unique(rows, axis=0)) > 700
    again = random_layers(40, 24)
    np.testing.assert_array_equal(layers.columns(), again.columns())
