import numpy as np
import pytest

from tf_cosearch.search.algorithms.controller import Controller

COUNTS = [3, 1, 4, 2]


def make(units=5):
    controller = Controller(np.random.default_rng(0), COUNTS, units, 0.01)
    for weights in controller.weights.values():
        weights *= 5  # far from uniform, so that every term counts
    return controller


def test_probabilities_of_all_designs_sum_to_one():
    genomes = np.indices(COUNTS).reshape(4, -1).T
    log_p = make().log_probability(genomes, np.ones_like(genomes, bool))
    assert np.exp(log_p).sum() == pytest.approx(1)


def test_samples_are_as_likely_as_it_says():
    controller = make()
    samples = controller.sample(np.random.default_rng(1), 40_000)
    genomes = np.indices(COUNTS).reshape(4, -1).T
    p = np.exp(controller.log_probability(genomes, genomes >= 0))
    share = (samples[:, None] == genomes).all(axis=2).mean(axis=0)
    np.testing.assert_allclose(share, p, atol=0.01)


def test_gradient_equals_finite_differences():
    controller = make()
    rng = np.random.default_rng(2)
    genomes = controller.sample(rng, 6)
    decided = rng.random(genomes.shape) < 0.8
    advantages = rng.normal(size=6)

    def objective():
        log_p = controller.log_probability(genomes, decided)
        steps = controller._unroll(genomes)
        entropy = [-(np.exp(s.log_p) * s.log_p).sum(axis=1) for s in steps]
        bonus = (np.stack(entropy, axis=1) * decided).sum(axis=1)
        return (advantages * log_p + 0.3 * bonus).mean()

    gradient = controller.gradient(genomes, decided, advantages, 0.3)
    for name, weights in controller.weights.items():
        for index in np.ndindex(weights.shape):
            kept = weights[index]
            weights[index] = kept + 1e-5
            above = objective()
            weights[index] = kept - 1e-5
            below = objective()
            weights[index] = kept
            slope = (above - below) / 2e-5
            assert gradient[name][index] == pytest.approx(slope, abs=1e-8)


def test_steps_make_the_rewarded_likelier():
    controller = make()
    genomes = np.array([[0, 0, 1, 1], [2, 0, 3, 0]])
    every = np.ones_like(genomes, bool)
    before = controller.log_probability(genomes, every)
    for _ in range(20):
        controller.ascend(
            controller.gradient(genomes, every, np.array([1.0, -1.0]), 0.0)
        )
    after = controller.log_probability(genomes, every)
    assert after[0] > before[0] + 0.5
    assert after[1] < before[1] - 0.5
