import numpy as np
import pytest
from scipy import integrate, stats

from tf_cosearch.accelerators import families
from tf_cosearch.search import surrogates
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.search.surrogates import (
    Encoder,
    Surrogate,
    SurrogateOfTwo,
)
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
    mean, std = Surrogate(kernel).fit(features, values).predict(unseen)
    error = np.sqrt(np.mean((mean - expected) ** 2))
    assert mean.shape == std.shape == (200,)
    assert error < (0.9 if kernel == "linear" else 0.15) * expected.std()


def test_knows_where_it_knows_little():
    features, values = observations(60)
    noise = 0.01 * np.random.default_rng(2).normal(size=60)
    model = Surrogate().fit(features, values + noise)
    unseen, expected = observations(200, seed=1)
    mean, std = model.predict(unseen)
    assert 0.3 < ((mean - expected) / std).std() < 3
    _, known = model.predict(features)
    _, unknown = model.predict(features + 2)
    assert known.max() < unknown.min()


def test_noise_is_not_learned():
    features, values = observations(150)
    noise = np.random.default_rng(2).normal(0, 0.3, 150)
    mean, _ = Surrogate().fit(features, values + noise).predict(features)
    assert np.abs(mean - values).mean() < 0.5 * np.abs(noise).mean()


def test_the_deviation_is_that_of_the_mean_without_the_noise():
    """Of a point that was observed a hundred times, a tenth of the noise."""
    rng = np.random.default_rng(0)
    features = np.repeat([[0.0], [1.0], [2.0]], 100, axis=0)
    values = 3 * features[:, 0] + rng.normal(0, 0.5, 300)
    _, std = Surrogate().fit(features, values).predict([[0.0], [1.0], [2.0]])
    assert (std > 0.01).all()
    assert (std < 0.12).all()


def test_grown_and_fresh_models_agree():
    features, values = observations(50)
    grown = Surrogate()
    for count in range(1, 51):
        grown.fit(features[:count], values[:count])
    fresh = Surrogate().fit(features, values)
    unseen, _ = observations(20, seed=1)
    np.testing.assert_array_equal(grown.predict(unseen), fresh.predict(unseen))


def test_a_belief_leaves_less_to_learn_there():
    features, values = observations(20)
    model = Surrogate().fit(features, values)
    running = np.full((1, 5), 1.5)
    mean, std = model.predict(running)
    believed_mean, believed_std = model.believe(running).predict(running)
    assert believed_mean == pytest.approx(mean, abs=0.05)
    assert believed_std < 0.5 * std
    assert len(model.values) == 21
    worse, _ = model.believe(running, [mean[0] - 1]).predict(running)
    assert worse < mean


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [1e6, 1e6 + 1]])
def test_few_and_equal_values_are_survived(values):
    features = np.zeros((len(values), 3))
    mean, std = Surrogate().fit(features, values).predict(np.ones((2, 3)))
    assert np.isfinite(mean).all()
    assert (std >= 0).all()


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(ValueError, match="one or more finite"):
        Surrogate().fit([[1.0]], [np.nan])
    with pytest.raises(ValueError, match="one or more finite"):
        Surrogate().fit(np.zeros((0, 1)), [])
    with pytest.raises(ValueError, match="before it predicts"):
        Surrogate().predict([[1.0]])
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        Surrogate("liner")


def test_genes_have_equal_weight_and_one_choice_has_none():
    space = ToySpace((2, 7, 1, 3))
    everything = np.stack(np.meshgrid(*map(range, (2, 7, 1, 3))), -1)
    features = Encoder(space.parameters)(everything.reshape(-1, 4))
    variance = features.var(axis=0)
    np.testing.assert_allclose(variance[variance > 0], 1 / 3)


def test_words_are_one_hot_and_relations_are_logarithms():
    space = SearchSpace.load("evolved")
    genomes = space.sample(np.random.default_rng(0), 4000)
    features = Encoder(space.parameters)(genomes)
    words = [p for p in space.parameters if isinstance(p.choices[0], str)]
    extra = sum(len(p.choices) - 1 for p in words)
    single = sum(len(p.choices) == 1 for p in space.parameters)
    count = (
        len(space.parameters)
        + extra
        - single
        + len(families.get("edge_tpu").relations)
    )
    assert features.shape[1] == count + 1
    values = [space.values(genome) for genome in genomes[:50]]
    aspect = [v["pe_array/columns"] / v["pe_array/rows"] for v in values]
    relation = features[:50, -len(families.get("edge_tpu").relations) - 1]
    slope, offset = np.polyfit(np.log(aspect), relation, 1)
    np.testing.assert_allclose(
        np.log(aspect) * slope + offset, relation, atol=1e-9
    )
    related = features[
        :, -len(families.get("edge_tpu").relations) - 1 : -1
    ].var(axis=0)
    np.testing.assert_allclose(related, related[0], rtol=0.15)
    assert features.var(axis=0).sum() == pytest.approx(1, rel=0.1)


def test_costs_are_logarithms_of_what_there_is():
    costs = {"latency_ms": np.asarray([1.0, np.e]), "other": np.ones(2)}
    names = ("latency_ms", "area_mm2")
    np.testing.assert_allclose(surrogates.log_costs(costs, names), [[0], [1]])
    assert surrogates.log_costs(costs, ("macs",)).shape == (2, 0)


def test_expected_improvement_is_its_integral():
    def gain(accuracy):
        return (accuracy - 0.7) * stats.norm.pdf(accuracy, 0.65, 0.05)

    expected = integrate.quad(gain, 0.7, 2)[0]
    found = surrogates.expected_improvement(0.65, 0.05, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def _two(doubtful, count=16):
    """Models of a wave, told of it or not by a feature that comes last."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (count, 3))
    y = np.sin(2 * x).sum(axis=1) + 0.01 * rng.normal(size=count)
    features = np.column_stack([x, doubtful(rng, y)])
    return SurrogateOfTwo().fit(features, y), features, y


def test_a_feature_that_tells_is_trusted_and_chance_is_not():
    told, *_ = _two(lambda rng, y: y + 0.1 * rng.normal(size=len(y)))
    untold, *_ = _two(lambda rng, y: rng.normal(size=len(y)))
    assert told.trust > 0.9
    assert untold.trust < 0.5


def test_an_average_is_between_its_models_and_no_surer():
    model, features, _ = _two(lambda rng, y: y + rng.normal(size=len(y)))
    new = features + 0.3
    mean, std = model.predict(new)
    (first, a), (second, b) = (
        model._with.predict(new),
        model._without.predict(new[:, :-1]),
    )
    share = model.trust
    assert 0 < share < 1
    assert mean == pytest.approx(share * first + (1 - share) * second)
    # The law of total variance.
    within = share * a**2 + (1 - share) * b**2
    between = share * (1 - share) * (first - second) ** 2
    assert std**2 == pytest.approx(within + between)


def test_what_is_believed_is_believed_by_both():
    model, features, values = _two(lambda rng, y: y)
    model.believe(features[:2] + 1)
    assert len(model.values) == len(values) + 2
    expected = model.values[-2:]
    assert model.predict(features[:2] + 1)[0] == pytest.approx(
        expected, abs=0.1
    )
