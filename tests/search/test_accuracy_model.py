import numpy as np
import pytest

from tf_cosearch.search.accuracy_model import AccuracyModel, Encoder
from tf_cosearch.testing import ToySpace


def test_genes_have_equal_weight_and_one_choice_has_none():
    space = ToySpace((2, 7, 1, 3))
    encode = Encoder(space.parameters)
    everything = np.stack(np.meshgrid(*map(range, (2, 7, 1, 3))), -1)
    features = encode(everything.reshape(-1, 4))
    variance = features.var(axis=0)
    np.testing.assert_allclose(variance[variance > 0], 1 / 3)


def _data(count, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 4)) / 2
    values = features @ [3, -2, 1, 0] + np.sin(2 * features[:, 0])
    return features, values + 0.01 * rng.normal(size=count)


def test_predicts_what_it_has_not_seen():
    model = AccuracyModel()
    features, values = _data(60)
    model.tune(features, values)
    model.learn(features, values)
    others, truth = _data(200, seed=1)
    mean, std = model.predict(others)
    error = truth - mean
    assert error.std() < 0.15 * truth.std()
    assert 0.3 < (error / std).std() < 3
    assert std.mean() > 2 * model.predict(features)[1].mean()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_or_equal_points_are_no_obstacle(count):
    model = AccuracyModel()
    features = np.zeros((count, 1))
    model.tune(features, [0.5] * count)
    model.learn(features, [0.5] * count)
    mean, std = model.predict(np.ones((3, 1)))
    assert np.isfinite(mean).all()
    assert (std >= 0).all()


def test_depends_on_the_points_alone_not_on_when_it_was_told():
    features, values = _data(40)
    often, once = AccuracyModel(), AccuracyModel()
    for count in range(5, 41):
        often.tune(features[:count], values[:count])
    once.tune(features, values)
    for model in (often, once):
        model.learn(features, values)
    others = _data(20, seed=1)[0]
    np.testing.assert_array_equal(often.predict(others), once.predict(others))
