import numpy as np
import pytest

from tf_cosearch.search.algorithms.ppo import PPO, surrogate_slope
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace

SPACE = ToySpace((3,) * 6)


def test_the_slope_is_that_of_the_clipped_surrogate():
    log_ratio = np.linspace(-0.6, 0.6, 40)
    for advantage in (-2.0, 3.0):

        def surrogate(log_ratio, advantage=advantage):
            ratio = np.exp(log_ratio)
            clipped = np.clip(ratio, 0.8, 1.2)
            return np.minimum(ratio * advantage, clipped * advantage)

        rise = surrogate(log_ratio + 1e-6) - surrogate(log_ratio - 1e-6)
        advantages = np.full(40, advantage)
        slope = surrogate_slope(np.exp(log_ratio), advantages, 0.2)
        np.testing.assert_allclose(slope, rise / 2e-6, atol=1e-6)


def test_clipping_limits_how_far_a_batch_moves_the_policy():
    def ratios(clip):
        options = {"clip": clip, "epochs": 60, "learning_rate": 0.003}
        algorithm = make(PPO, options, space=SPACE, seed=0).algorithm
        controller = algorithm._controller
        genomes = controller.sample(np.random.default_rng(0), 2)
        every = np.ones_like(genomes, bool)
        before = controller.log_probability(genomes, every)
        algorithm.learn(controller, genomes, np.array([1.0, 0.0]))
        return np.exp(controller.log_probability(genomes, every) - before)

    tight, loose, looser = ratios(0.05), ratios(0.5), ratios(1.0)
    # Adam's momentum carries on beyond the clip, so they are no bounds.
    assert 1.05 < tight[0] < loose[0] < looser[0]
    assert tight[1] > loose[1] > looser[1]


def test_a_reward_of_another_scale_teaches_the_same():
    """Advantages have mean 0 and deviation 1 in a batch."""

    def learnt(scale, shift):
        options = {"entropy_weight": 0.1}
        algorithm = make(PPO, options, space=SPACE, seed=0).algorithm
        controller = algorithm._controller
        genomes = controller.sample(np.random.default_rng(0), 8)
        advantages = scale * np.linspace(0, 1, 8) ** 2 + shift
        algorithm.learn(controller, genomes, advantages)
        every = np.ones_like(genomes, bool)
        return controller.log_probability(genomes, every)

    known = learnt(1.0, 0.0)
    np.testing.assert_allclose(learnt(50.0, 0.0), known, atol=1e-5)
    np.testing.assert_allclose(learnt(0.02, 7.0), known, atol=1e-5)
    assert known[-1] > known[0]


@pytest.mark.parametrize(("name", "value"), [("clip", 2), ("epochs", 0)])
def test_arguments_are_checked(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        PPO(**{name: value})


def test_what_makes_no_difference_is_refused():
    with pytest.raises(ValueError, match="baseline_decay"):
        PPO(baseline_decay=0.5)
