import math

import keras
import keras_tuner
import numpy as np
import pytest

from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.algorithms.random import RandomSearch
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.objectives import WeightedProduct
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.oracle.scoring import EXPECTED
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((3, 4, 5, 6))


def make(space=SPACE, algorithm="random", **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 64, "seed": 0}
    options = {**defaults, "max_trials": 12, **kwargs}
    return CoSearchOracle(space, algorithm, **options)


def start(folder, space=SPACE, reload=False, **kwargs):
    oracle = place(make(space, **kwargs), folder)
    if reload:
        oracle.reload()
    return oracle


class Watching(RandomSearch):
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def observe(self, result):
        accuracy = result.metrics.get("accuracy_int8")
        self.told.append(
            (result.genome.tolist(), accuracy, result.reward, result.failure)
        )


def test_the_reward_is_made_of_accuracy_and_cost(tmp_path):
    reward = WeightedProduct(Budgets(latency_ms=1.0), p=-1, q=-1)
    oracle = start(tmp_path, reward=reward)
    run_trials(oracle, 5, lambda *_: 0.5)
    for trial in oracle.trials.values():
        latency = oracle.trial_costs(trial)["latency_ms"]
        assert trial.score == pytest.approx(0.5 / latency)
    best = oracle.get_best_trials(5)
    latencies = [oracle.trial_costs(trial)["latency_ms"] for trial in best]
    assert latencies == sorted(latencies)


def test_algorithms_are_told_once_and_again_when_continued(tmp_path):
    def accuracy(number, _):
        if number == 1:
            raise ArithmeticError("broken")
        return 0.1 * number

    made = Watching()
    oracle = start(tmp_path, algorithm=made)
    genomes = run_trials(oracle, 4, accuracy)
    assert oracle.algorithm.told == [
        (genomes[0], 0.0, 0.0, ""),
        (genomes[1], None, 0.0, "ArithmeticError: broken"),
        (genomes[2], pytest.approx(0.2), pytest.approx(0.2), ""),
        (genomes[3], pytest.approx(0.3), pytest.approx(0.3), ""),
    ]
    assert made.told == []  # the search has a copy of its own
    resumed = start(tmp_path, reload=True, algorithm=Watching)
    assert resumed.algorithm.told == oracle.algorithm.told
    assert [f.genome.tolist() for f in resumed.history.finished()] == [
        genome for i, genome in enumerate(genomes) if i != 1
    ]


def test_metrics_are_costs_of_the_model_and_what_was_reported(tmp_path):
    oracle = start(tmp_path, reward="soft", budgets=Budgets(latency_ms=3))
    trial = oracle.create_trial("tuner0")
    reported = {"accuracy_int8": 0.5, "latency_ms": 99.0, "loss": math.nan}
    oracle.update_trial(trial.trial_id, reported)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    costs = oracle.trial_costs(trial)
    metrics = oracle.history.finished()[0].metrics
    assert math.isnan(metrics.pop("loss"))
    assert metrics == {**costs, "accuracy_int8": 0.5, "latency_ms": 99.0}
    # A worker does not decide what its design is worth.
    assert trial.score == oracle.reward(0.5, costs)
    assert trial.score > 0.5


def test_what_was_stopped_teaches_what_is_expected_of_it(tmp_path):
    oracle = start(tmp_path, reward="soft", budgets=Budgets(latency_ms=3))
    trial = oracle.create_trial("tuner0")
    reported = {"accuracy_int8": 0.2, EXPECTED: 0.7, "latency_ms": 2.0}
    oracle.update_trial(trial.trial_id, reported)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    costs = oracle.trial_costs(trial)
    [result] = oracle.history.finished()
    assert result.metrics["accuracy_int8"] == 0.7
    assert result.reward == oracle.reward(0.7, costs)
    # What was measured is what it is chosen by.
    assert trial.score == oracle.reward(0.2, costs)
    assert oracle.archive.front[0][1]["accuracy_int8"] == 0.2


def end(oracle, accuracy_int8, accuracy_float):
    trial = oracle.create_trial("tuner0")
    reported = {
        "accuracy_int8": accuracy_int8,
        "accuracy_float": accuracy_float,
    }
    oracle.update_trial(trial.trial_id, reported)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return trial


def test_what_loses_too_much_is_not_chosen_and_teaches_to_keep_away(tmp_path):
    budgets = Budgets(accuracy_drop=1)
    oracle = start(tmp_path, algorithm=Watching(), budgets=budgets)
    # Five points less of the float network, two less, and half a point.
    lost = [end(oracle, *pair) for pair in ((0.85, 0.9), (0.6, 0.62))]
    assert oracle.get_best_trials(3) == []
    within = end(oracle, 0.5, 0.505)
    assert oracle.get_best_trials(3) == [within]
    told = [
        (accuracy, reward) for _, accuracy, reward, _ in oracle.algorithm.told
    ]
    worth = [0.85 / 5, 0.6 / 2, 0.5]
    np.testing.assert_allclose(told, np.repeat(worth, 2).reshape(3, 2))
    np.testing.assert_allclose([t.score for t in (*lost, within)], worth)
    # What was measured stays what it was.
    assert oracle.trial_metrics(lost[0])["accuracy_int8"] == 0.85
    # What is over the budget pushes nothing out of the front.
    assert [i for i, _ in oracle.archive.front] == [within.trial_id]
    # Another budget, another choice.
    resumed = start(tmp_path, reload=True, budgets=Budgets(accuracy_drop=3))
    best = resumed.get_best_trials(3)
    assert [trial.trial_id for trial in best] == [
        lost[1].trial_id,
        within.trial_id,
    ]
    free = start(tmp_path, reload=True)
    assert free.get_best_trials(1)[0].trial_id == lost[0].trial_id


def test_the_archive_is_the_front_of_all_trials(tmp_path):
    oracle = start(tmp_path)
    run_trials(oracle, 12)
    assert 0 < len(oracle.archive.front) <= 12
    best = max(
        done.metrics["accuracy_int8"] for done in oracle.history.finished()
    )
    assert oracle.archive.front[0][1]["accuracy_int8"] == best
    resumed = start(tmp_path, reload=True)
    assert resumed.archive.front == oracle.archive.front


def test_a_run_continues_with_other_budgets_reward_and_length(tmp_path):
    oracle = start(tmp_path, max_trials=4)
    run_trials(oracle, 9, lambda *_: 0.5)
    budgets = Budgets(latency_ms=1.2)
    resumed = start(
        tmp_path, reload=True, max_trials=8, budgets=budgets, reward="hard"
    )
    for trial in resumed.trials.values():
        latency = resumed.trial_costs(trial)["latency_ms"]
        assert trial.score == pytest.approx(0.5 * min(1, 1.2 / latency))
    more = run_trials(resumed, 9)
    assert len(more) == 4
    assert budgets.is_feasible(resumed.costs(more)).all()
    assert sorted(map(int, resumed.trials)) == list(range(8))
    # Ids have grown a digit; what is on disk must still be in order.
    again = start(tmp_path, reload=True, max_trials=16)
    assert list(again.trials) == list(resumed.trials)


def test_another_space_is_refused(tmp_path):
    run_trials(start(tmp_path), 2)
    with pytest.raises(
        ValueError,
        match=r"with the space, .* Received: .*parameters.gene3/units",
    ):
        start(tmp_path, ToySpace((3, 4, 5)), reload=True)


def test_another_objective_is_refused(tmp_path):
    run_trials(start(tmp_path), 2)
    with pytest.raises(
        ValueError, match="accuracy_qat; trial 00 has accuracy_"
    ):
        start(tmp_path, reload=True, objective="accuracy_qat")


def test_a_drawn_seed_is_kept_and_a_new_one_honoured(tmp_path):
    oracle = start(tmp_path, seed=None)
    run_trials(oracle, 1)
    assert start(tmp_path, reload=True, seed=None).seed == oracle.seed
    assert start(tmp_path, reload=True, seed=5).seed == 5
    assert make(seed=None).seed != make(seed=None).seed


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("max_trials", 0),
        ("proposals", 0),
        ("max_retries_per_trial", -1),
        ("max_consecutive_failed_trials", True),
    ],
)
def test_arguments_are_checked(argument, value):
    message = f"`{argument}` must be an integer of at least .*: {value}"
    with pytest.raises(ValueError, match=message):
        make(**{argument: value})


def test_infeasible_budgets_are_an_error_before_any_trial(tmp_path):
    oracle = start(tmp_path, budgets=Budgets(latency_ms=0.5))
    message = "smallest latency_ms seen is 1, 2 times the budget"
    with pytest.raises(ValueError, match=message):
        oracle.check_feasible()
    with pytest.raises(ValueError, match=message):
        oracle.create_trial("tuner0")
    assert oracle.trials == {}
    huge = make(ToySpace((10,) * 20), budgets=Budgets(latency_ms=0.9))
    with pytest.raises(ValueError, match="smallest latency_ms seen is 1"):
        huge.check_feasible()


def test_feasible_budgets_are_none_however_narrow():
    make(budgets=Budgets(latency_ms=1.0)).check_feasible()
    space = ToySpace((10,) * 12)
    narrow = make(space, budgets=Budgets(latency_ms=1.1), proposals=512)
    narrow.check_feasible()
    assert narrow.populate_space("0")["status"] == "RUNNING"


def test_says_why_it_stopped(tmp_path):
    oracle = start(tmp_path, ToySpace((2, 3)), budgets=Budgets(latency_ms=1.5))
    genomes = run_trials(oracle, 12)
    assert 0 < len(genomes) < 6
    assert oracle.stop_reason == (
        f"all {len(genomes)} designs within the budgets have been tried"
    )


def test_initial_designs_come_first(tmp_path):
    designs = [[2, 3, 4, 5], {"gene0/units": 11, "gene2/units": 12}]
    genomes = run_trials(start(tmp_path, initial_designs=designs), 4)
    assert genomes[0] == [2, 3, 4, 5]
    assert genomes[1][::2] == [1, 2]
    resumed = start(tmp_path, reload=True, initial_designs=designs)
    assert len(run_trials(resumed, 12)) == 8


def test_initial_designs_are_completed_within_the_budgets(tmp_path):
    budgets = Budgets(latency_ms=1.35)
    designs = [{"gene3/units": 10}, {"gene3/units": 13}]  # the first cannot
    oracle = start(
        tmp_path,
        initial_designs=designs,
        budgets=budgets,
        proposals=512,
    )
    genomes = run_trials(oracle, 2)
    assert budgets.is_feasible(oracle.costs(genomes)).all()
    assert genomes[0][3] != 0
    assert genomes[1][3] == 3


@pytest.mark.parametrize(
    "genomes",
    [np.zeros((4, 3), int), np.full((4, 4), 7), np.zeros((4, 4)), [[-1] * 4]],
)
def test_a_broken_algorithm_is_named_as_such(tmp_path, genomes):
    class Broken(Algorithm):
        def suggest(self, rng, n):
            return genomes

    with pytest.raises(ValueError, match=r"Genomes must be|Gene 0 \(gene0"):
        start(tmp_path, algorithm=Broken).create_trial("tuner0")


def test_algorithms_can_choose_by_cost(tmp_path):
    class Fastest(Algorithm):
        def suggest(self, rng, n):
            genomes, costs = self.problem.screened(
                rng, lambda: self.problem.space.sample(rng, n)
            )
            return genomes[np.argsort(costs["latency_ms"])]

    oracle = start(tmp_path, algorithm=Fastest, proposals=512)
    assert run_trials(oracle, 1) == [[2, 3, 4, 5]]


@pytest.mark.parametrize("searched", ["joint", "network", "nested"])
def test_what_was_screened_is_trained_in_the_suggested_order(
    tmp_path, searched
):
    class Slowest(Algorithm):
        def __init__(self):
            self.first = []

        def suggest(self, rng, n):
            genomes, costs = self.problem.screened(
                rng, lambda: self.problem.space.sample(rng, n)
            )
            order = np.argsort(-costs["latency_ms"])
            self.first += genomes[order[:1]].tolist()
            return genomes[order]

    oracle = start(
        tmp_path,
        algorithm=Slowest(),
        searched=searched,
        budgets=Budgets(latency_ms=1.6),
    )
    genomes = run_trials(oracle, 6)
    assert genomes == oracle.algorithm.first
    assert len({tuple(genome) for genome in genomes}) == 6


def test_when_nothing_is_left_a_screening_algorithm_is_not_asked_on(tmp_path):
    class Screening(Algorithm):
        def __init__(self):
            self.draws = 0

        def suggest(self, rng, n):
            def draw():
                self.draws += 1
                return self.problem.space.sample(rng, n)

            return self.problem.screened(rng, draw)[0]

    oracle = start(tmp_path, ToySpace((2, 2)), algorithm=Screening)
    assert len(run_trials(oracle, 9)) == 4
    before = oracle.algorithm.draws
    assert (
        oracle._proposals.propose(
            np.random.default_rng(0),
            [oracle.trial_genome(trial) for trial in oracle.trials.values()],
            oracle.algorithm.suggest,
        )
        is None
    )
    assert oracle.algorithm.draws == before + 3


def test_a_drawn_seed_holds_the_same_side_when_continued(tmp_path):
    options = {"searched": "network", "seed": None}
    begun = np.asarray(run_trials(start(tmp_path, **options), 4))
    for _ in range(3):
        resumed = start(tmp_path, reload=True, **options)
        more = np.asarray(run_trials(resumed, 2))
        assert (more[:, 2:] == begun[0, 2:]).all()


def test_what_is_no_algorithm_is_refused():
    with pytest.raises(ValueError, match="a subclass of Algorithm"):
        make(algorithm=SPACE)
    with pytest.raises(ValueError, match="Unknown option of RandomSearch"):
        make(algorithm=RandomSearch(), algorithm_options={"population": 3})
    with pytest.raises(ValueError, match="Did you mean 'population_size'"):
        make(
            algorithm="regularized_evolution",
            algorithm_options={"population": 3},
        )


class Model(keras_tuner.HyperModel):
    def build(self, hp):
        units = hp["gene0/units"]
        hp.Choice("learning_rate", [0.1, 0.01, 0.001])
        with hp.conditional_scope("gene1/units", [10]):
            hp.Int("extra", 1, 9)
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])


class Tuner(keras_tuner.Tuner):
    """A user's own, which trains nothing."""

    def run_trial(self, trial, x, **_):
        self.hypermodel.build(trial.hyperparameters)
        return {"val_accuracy": [0.1, 0.5][trial.trial_id != "00"]}


def tune(folder, **kwargs):
    oracle = make(objective="val_accuracy", **kwargs)
    return Tuner(oracle, Model(), directory=str(folder), project_name="own")


@pytest.mark.parametrize("tune_new_entries", [True, False])
def test_hyperparameters_of_a_users_own_model(tmp_path, tune_new_entries):
    tuner = tune(tmp_path, tune_new_entries=tune_new_entries)
    tuner.search(np.zeros((1, 2)), verbose=0)
    rates = set()
    for trial in tuner.oracle.trials.values():
        values = trial.hyperparameters.values
        rates.add(values["learning_rate"])
        assert set(values) >= {p.name for p in SPACE.parameters}
        assert ("extra" in values) == (values["gene1/units"] == 10)
    assert rates == ({0.1, 0.01, 0.001} if tune_new_entries else {0.1})
    assert len(tuner.oracle.trials) == 12
    resumed = tune(tmp_path, max_trials=14)
    resumed.search(np.zeros((1, 2)), verbose=0)
    assert len(resumed.oracle.end_order) == 14
    assert resumed.oracle.get_best_trials()[0].score == 0.5


def test_proposes_real_designs_within_the_budgets(tmp_path):
    space = SearchSpace.load("digits")
    budgets = Budgets(latency_ms=0.01, area_mm2=30)
    oracle = place(
        CoSearchOracle(space, "random", budgets, proposals=256), tmp_path
    )
    oracle.check_feasible()
    trial = oracle.create_trial("tuner0")
    values = trial.hyperparameters.values
    assert list(values) == [p.name for p in space.parameters]
    candidate = space.decode(oracle.trial_genome(trial))
    assert space.values(candidate.genome) == values
    costs = oracle.trial_costs(trial)
    assert costs["area_mm2"] <= 30
    assert {"utilization", "macs", "params"} <= set(costs)


def test_an_algorithm_of_another_search_is_refused(tmp_path):
    """What it has observed is none of this one."""
    first = start(tmp_path)
    run_trials(first, 2)
    with pytest.raises(ValueError, match="RandomSearch that has observed 2"):
        make(algorithm=first.algorithm)
    unused = RandomSearch()
    for name in ("a", "b"):  # one that is made serves any number
        run_trials(start(tmp_path / name, algorithm=unused), 1)


def test_nothing_is_tried_that_an_evaluator_finds_over_a_budget(tmp_path):
    """Of 360 designs that may meet it by prediction three do, really."""
    oracle = start(tmp_path, budgets=Budgets(latency_ms=9.0), max_trials=9)
    asked = []

    def ask(genome):
        asked.append(genome.tolist())
        fast = genome[:3].tolist() == [1, 2, 3] and genome[3] < 3
        return {**oracle.prices.of(genome), "latency_ms": 1.0 if fast else 10.0}

    oracle.prices.ask = ask
    oracle.algorithm.suggest = lambda rng, n: np.array(
        [[1, 2, 3, gene] for gene in (5, 0, 4, 1)]
    )
    tried = run_trials(oracle, 9, lambda *_: 0.5)
    assert tried[:2] == [[1, 2, 3, 0], [1, 2, 3, 1]]
    assert all(genes[:3] == [1, 2, 3] and genes[3] < 3 for genes in tried)
    assert "are not, says the evaluator" in oracle.stop_reason
    nothing = start(tmp_path / "b", budgets=Budgets(latency_ms=9.0))
    nothing.prices.ask = lambda genome: {
        **nothing.prices.of(genome),
        "latency_ms": 10.0,
    }
    with pytest.raises(ValueError, match="128 that may by what is predicted"):
        run_trials(nothing, 1, lambda *_: 0.5)
