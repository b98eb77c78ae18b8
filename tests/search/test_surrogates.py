import numpy as np
import pytest

from tf_cosearch.search import surrogates
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.search.surrogates import AccuracyModel, Encoder
from tf_cosearch.testing import ToySpace


def smooth(features):
    return np.sin(3 * features[:, 0]) + features[:, 1] * features[:, 2]


def observations(count, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((count, 5))
    return features, smooth(features)


@pytest.mark.parametrize("kernel", list(surrogates.KERNELS))
def test_predicts_better_than_the_mean(kernel):
    features, values = observations(60)
    unseen, expected = observations(200, seed=1)
    mean, std = AccuracyModel(kernel).fit(features, values).predict(unseen)
    error = np.sqrt(np.mean((mean - expected) ** 2))
    assert mean.shape == std.shape == (200,)
    assert error < (0.9 if kernel == "linear" else 0.15) * expected.std()


def test_knows_where_it_knows_little():
    features, values = observations(60)
    model = AccuracyModel().fit(features, values)
    _, known = model.predict(features)
    _, unknown = model.predict(features + 2)
    assert known.max() < unknown.min()


def test_noise_is_not_learned():
    features, values = observations(150)
    noise = np.random.default_rng(2).normal(0, 0.3, 150)
    mean, _ = AccuracyModel().fit(features, values + noise).predict(features)
    assert np.abs(mean - values).mean() < 0.5 * np.abs(noise).mean()


def test_grown_and_fresh_models_agree():
    features, values = observations(50)
    grown = AccuracyModel()
    for count in range(1, 51):
        grown.fit(features[:count], values[:count])
    fresh = AccuracyModel().fit(features, values)
    unseen, _ = observations(20, seed=1)
    np.testing.assert_array_equal(grown.predict(unseen), fresh.predict(unseen))


def test_a_belief_leaves_less_to_learn_there():
    features, values = observations(20)
    model = AccuracyModel().fit(features, values)
    running = np.full((1, 5), 1.5)
    mean, std = model.predict(running)
    believed_mean, believed_std = model.believe(running).predict(running)
    assert believed_mean == pytest.approx(mean, abs=0.05)
    assert believed_std < 0.5 * std


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [1e6, 1e6 + 1]])
def test_few_and_equal_values_are_survived(values):
    features = np.zeros((len(values), 3))
    mean, std = AccuracyModel().fit(features, values).predict(np.ones((2, 3)))
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(ValueError, match="one or more finite"):
        AccuracyModel().fit([[1.0]], [np.nan])
    with pytest.raises(ValueError, match="one or more finite"):
        AccuracyModel().fit(np.zeros((0, 1)), [])
    with pytest.raises(ValueError, match="before it predicts"):
        AccuracyModel().predict([[1.0]])
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        AccuracyModel("liner")


def test_ordered_genes_are_shares():
    space = ToySpace((3, 1, 5))
    features = Encoder(space)(np.asarray([[2, 0, 0], [1, 0, 4]]))
    np.testing.assert_array_equal(features, [[1, 0], [0.5, 1]])
    network = Encoder(space, network_only=True)
    np.testing.assert_array_equal(network(np.asarray([[2, 0, 0]])), [[1]])


def test_words_are_one_hot_and_relations_are_logarithms():
    space = SearchSpace.load("evolved")
    genome = space.sample(np.random.default_rng(0), 1)
    values = space.values(genome[0])
    features = Encoder(space)(genome)[0]
    words = [p for p in space.parameters if isinstance(p.choices[0], str)]
    extra = sum(len(p.choices) - 1 for p in words)
    count = len(space.parameters) + extra + len(surrogates.RELATIONS)
    assert features.shape == (count,)
    aspect = values["pe_array/columns"] / values["pe_array/rows"]
    relations = features[-len(surrogates.RELATIONS) :]
    assert relations[0] == pytest.approx(np.log2(aspect))
    fewer = Encoder(space, network_only=True)(genome)
    assert len(fewer[0]) == space.num_network_parameters + extra


def test_costs_are_logarithms_of_what_there_is():
    costs = {"latency_ms": np.asarray([1.0, np.e]), "other": np.ones(2)}
    np.testing.assert_allclose(surrogates.log_costs(costs), [[0], [1]])
