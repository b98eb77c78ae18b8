"""A controller that is trained together with the weights it draws paths of."""

import dataclasses

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.search.oracle.options import make
from tf_cosearch.supernet import one_shot
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.one_shot import OneShot
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.training import checkpoint, fingerprint, inputs

OPTIONS = cs.SupernetOptions(epochs=4, paths="reinforce")


class Told:
    """An evaluator that finds what a function of a network says."""

    def __init__(self, accuracy):
        self.rough_accuracy = accuracy


def goal_of(space, budgets=None, **others):
    options = {"budgets": budgets, "max_trials": 9, "proposals": 64}
    options |= {"seed": 1, **others}
    return make("random", {}, space=space, **options).algorithm.problem


def controlled(space, goal, accuracy, algorithm="reinforce", steps=0):
    return OneShot(
        space.network_space, None, algorithm, goal, Told(accuracy), steps
    )


def run(paths, steps, first=0):
    drawn = []
    for step in range(first, first + steps):
        drawn += paths.draw(np.random.default_rng([0, step]))
        paths.learn()
    return drawn


def filters(network):
    return network.blocks[-1].filters


@pytest.mark.parametrize(("algorithm", "best"), [("reinforce", 8), ("ppo", 16)])
def test_what_is_more_accurate_is_drawn_more_often(space, algorithm, best):
    def accuracy(network):
        return 0.9 if filters(network) == best else 0.5

    paths = controlled(space, goal_of(space), accuracy, algorithm)
    drawn = run(paths, 150)
    share = np.mean([filters(network) == best for network in drawn[-50:]])
    assert share > 0.8
    assert np.mean([filters(n) == best for n in drawn[:20]]) < 0.8


def test_designs_keep_to_the_budgets(space):
    free = goal_of(space)
    genomes = space.sample(np.random.default_rng(0), 200)
    areas = free.prices(genomes)["area_mm2"]
    budgets = cs.Budgets(area_mm2=float(np.quantile(areas, 0.2)))
    goal = goal_of(space, budgets)
    paths = controlled(space, goal, lambda network: 0.5)
    run(paths, 20)
    observed = paths.state()["genomes"]
    assert len(observed) == 20
    assert goal.budgets.is_feasible(goal.prices(observed)).all()
    designs = paths.result()["designs"]
    assert 0 < len(designs) <= one_shot.DESIGNS
    chosen = np.stack([space.genome(design) for design in designs])
    assert goal.budgets.is_feasible(goal.prices(chosen)).all()
    assert len(np.unique(chosen, axis=0)) == len(chosen)


def test_if_none_is_within_the_nearest_takes_part(space):
    goal = goal_of(space, cs.Budgets(area_mm2=1e-3))
    paths = controlled(space, goal, lambda network: 0.5)
    rng = np.random.default_rng([0, 0])
    drawn = space.canonical(paths._controller.suggest(rng, one_shot.SAMPLES))
    nearest = drawn[np.argmin(goal.prices(drawn)["area_mm2"])]
    run(paths, 1)
    np.testing.assert_array_equal(paths.state()["genomes"], [nearest])
    assert paths.result() == {"designs": []}


def test_a_reward_is_of_accuracy_and_costs(space):
    reward = cs.WeightedProduct(form="soft")
    goal = goal_of(space, cs.Budgets(area_mm2=10.0), reward=reward)
    paths = controlled(space, goal, lambda network: 0.5)
    run(paths, 3)
    state = paths.state()
    costs = goal.prices(state["genomes"])
    assert state["rewards"] == pytest.approx(goal.reward(0.5, costs))
    assert len(set(state["rewards"].tolist())) > 1


def test_the_first_quarter_is_of_the_weights_alone(space):
    paths = controlled(space, goal_of(space), lambda network: 0.5, steps=20)
    run(paths, 5)
    assert not len(paths.state()["genomes"])
    run(paths, 2, first=5)
    assert len(paths.state()["genomes"]) == 2


def test_a_controller_that_is_told_the_same_draws_the_same(space):
    def make_paths():
        return controlled(
            space, goal_of(space), lambda n: float(filters(n) == 8), steps=8
        )

    paths = make_paths()
    run(paths, 30)
    other = make_paths()
    other.restore(paths.state())
    assert run(other, 5, 30) == run(paths, 5, 30)
    assert other.result() == paths.result()


def make_data():
    rng = np.random.default_rng(0)
    x = rng.random((64, 8, 8, 1)).astype(np.float32)
    y = np.arange(64) % 10
    held = (x[:16], y[:16])
    prepared = inputs.prepare(
        x, y, input_shape=(8, 8, 1), classes=10, validation_data=held
    )
    return prepared, fingerprint.describe_splits((x, y), held, 10)


DATA, TOLD = make_data()


def train(space, folder=None, goal=None, **others):
    net = Supernet(space.network_space, OPTIONS, 1)
    net.train(DATA, folder, TOLD, goal=goal or goal_of(space), **others)
    return net


def test_what_is_killed_goes_on_to_the_bit(space, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)

    class Killed(BaseException):
        pass

    def kill(epoch, loss):
        if epoch == 4:
            raise Killed

    whole = train(space)
    with pytest.raises(Killed):
        train(space, tmp_path, on_epoch=kill)
    train(space, tmp_path)
    loaded = Supernet.load(tmp_path, space.network_space, TOLD)
    assert loaded.losses == whole.losses
    assert loaded.designs == whole.designs
    assert whole.designs
    for key, array in whole.weights.arrays.items():
        np.testing.assert_array_equal(array, loaded.weights.arrays[key])


def test_it_goes_on_with_the_same_goal_alone(space, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)
    train(space, tmp_path)
    other = goal_of(space, cs.Budgets(area_mm2=10.0))
    with pytest.raises(ValueError, match=r"goal\.budgets"):
        train(space, tmp_path, goal=other)


def test_there_is_a_goal_or_no_controller(space, monkeypatch):
    monkeypatch.setattr("tf_cosearch.supernet.weights.survey", None)
    for options, goal in (
        (OPTIONS, None),
        (dataclasses.replace(OPTIONS, paths="uniform"), goal_of(space)),
    ):
        net = Supernet(space.network_space, options, 1)
        with pytest.raises(ValueError, match=r"must have a goal.*Train it in"):
            net.train(DATA, goal=goal)
    with pytest.raises(ValueError, match="narrows the space itself"):
        cs.SupernetOptions(paths="ppo", shrink_stages=1)


def test_each_step_is_observed_by_the_weights_it_left(space, monkeypatch):
    seen = []
    real = Evaluator.rough_accuracy

    def rough(self, network):
        bias = self._weights.arrays["logits/bias"]
        seen.append(bias.sum())
        return real(self, network)

    monkeypatch.setattr(Evaluator, "rough_accuracy", rough)
    net = train(space)
    steps = OPTIONS.epochs * DATA.steps
    assert len(seen) == steps - int(one_shot.WARM_UP * steps)
    assert seen[-1] == net.weights.arrays["logits/bias"].sum()
