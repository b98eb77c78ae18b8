"""The default on a real space with real prices; the accuracy is made up."""

import dataclasses

import hardware
import numpy as np
import pytest

from tf_cosearch.benchmark import synthetic
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.options import make
from tf_cosearch.search.problem import Estimates
from tf_cosearch.search.shortlist import Shortlist
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import place, run_trials

SPACE = SearchSpace.load(
    "digits",
    accelerator=hardware.only(
        {
            "pe_array/columns": [1, 2, 4],
            "pe_array/rows": [1, 2, 4],
            "pe_array/lanes": [1, 2, 4],
            "pe_array/simd_units": [16, 64],
            "register_file/capacity_kib": [16],
            "pe_memory/capacity_mib": [0.5, 1],
            "dram/bandwidth_gbs": [5, 25],
        }
    ),
)
SPLIT = SPACE.num_network_parameters
BUDGETS = Budgets(latency_ms=0.004, area_mm2=25)


def _accuracy(number, genome):
    """Grows with size, and some choices are better than others."""
    genes = tuple(genome[:SPLIT].tolist())
    macs, params = synthetic.capacity(SPACE.network_space.rows(genes))
    size = np.log10(macs) + np.log10(params) - 8
    return 0.98 - 0.2 * np.exp(-size) + 0.01 * genes[4] - 0.01 * genes[12]


def _search(folder, name="grey_box", trials=16, accuracy=_accuracy, **options):
    if name == "grey_box":
        few = {"networks": 48, "accelerators": 12, "limits": 64}
        options = {**few, **options}
    options = {"seed": 0, "proposals": 256, **options}
    oracle = make(
        name, options, space=SPACE, budgets=BUDGETS, max_trials=trials
    )
    run_trials(place(oracle, folder), trials, accuracy)
    return oracle


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search for the reward alone."""
    folder = tmp_path_factory.mktemp("searched")
    return _search(folder, trials=20, reward="soft", front_share=0)


def _best(oracle):
    return max(trial.reward for trial in oracle.history.finished())


def test_the_model_finds_what_random_designs_do_not(searched, tmp_path):
    random = _search(tmp_path, "random", trials=60, reward="soft")
    assert _best(searched) > _best(random)
    rewards = [trial.reward for trial in searched.history.finished()]
    warm_up = searched.algorithm.warm_up
    assert np.median(rewards[warm_up:]) > max(rewards[:warm_up])


@pytest.mark.parametrize("area_mm2", [5.3, 9.1, 14.7])
def test_the_best_network_gets_its_exact_best_accelerator(
    searched, monkeypatch, area_mm2
):
    """Of all there are, although few are considered for most networks."""

    def gain(networks, costs):
        off = np.abs(costs["area_mm2"] - area_mm2)
        return 1 / (1 + off + costs["latency_ms"])

    chips = SPACE.all_accelerators()
    algorithm = searched.algorithm
    assert len(algorithm._candidate_accelerators()) < len(chips) / 10
    monkeypatch.setattr(algorithm, "_gain", lambda rng: gain)
    best = algorithm.suggest(np.random.default_rng(0), 64)[0]
    costs = searched.prices.grid(best[None, :SPLIT], chips)
    gains = gain(None, costs)
    gains[~searched.budgets.is_feasible(costs)] = -1
    chosen = (chips == best[SPLIT:]).all(axis=1)
    assert gains[0, chosen] == pytest.approx(gains.max(), rel=1e-6)


def test_what_is_over_budget_is_worth_least(searched, monkeypatch):
    monkeypatch.setattr(
        searched.algorithm,
        "_gain",
        lambda rng: lambda networks, costs: costs["area_mm2"],
    )
    best = searched.algorithm.suggest(np.random.default_rng(0), 64)[:4]
    areas = searched.costs(best)["area_mm2"]
    limit = BUDGETS.limits()["area_mm2"]
    assert (areas > 0.8 * limit).all()
    assert (areas <= limit).all()


@pytest.mark.parametrize(("share", "turns"), [(0, 0), (0.25, 3), (1, 12)])
def test_the_front_gets_its_share_of_the_trials(
    searched, monkeypatch, share, turns
):
    algorithm = searched.algorithm
    monkeypatch.setattr(algorithm, "front_share", share)
    monkeypatch.setattr(algorithm, "_learn", lambda: None)
    rng = np.random.default_rng(0)
    gains = []
    for number in range(8, 20):
        monkeypatch.setattr(searched, "trials", dict.fromkeys(range(number)))
        gains.append(algorithm._gain(rng))
    assert sum(gain != algorithm._reward_gain for gain in gains) == turns


def test_limits_of_the_front_are_within_the_budgets(searched):
    limits = searched.algorithm._random_limits(np.random.default_rng(0))
    shares = limits / list(BUDGETS.limits().values())
    assert shares.shape == (searched.algorithm.limits, 2)
    assert (shares.max(axis=0) > 0.9).all()
    assert (shares.min(axis=0) < 0.1).all()
    assert (shares <= 1).all()
    assert (shares >= 0).all()


def test_the_warm_up_spreads(tmp_path):
    def gap(name, seed):
        """Between the two networks that are closest."""
        folder = tmp_path / f"{name}{seed}"
        oracle = _search(folder, name, trials=8, seed=seed, **options[name])
        genomes = np.asarray(
            [trial.genome for trial in oracle.history.finished()]
        )
        seen = (measure._features(genomes) - mean) / std
        gaps = np.linalg.norm(seen[:, None] - seen, axis=2)
        return gaps[~np.eye(8, dtype=bool)].min()

    options = {"grey_box": {"warm_up": 8}, "random": {}}
    measure = make("grey_box", {"proposals": 256}, space=SPACE).algorithm
    every = measure._features(SPACE.sample(np.random.default_rng(0), 256))
    mean, std = every.mean(axis=0), every.std(axis=0) + 1e-9
    ours, theirs = (
        np.mean([gap(name, seed) for seed in range(3)]) for name in options
    )
    assert ours > 1.15 * theirs


def test_what_fails_is_avoided(tmp_path):
    """Every network with a fused first stage fails, half of the space."""

    def accuracy(number, genome):
        if genome[3] == 1:
            raise ArithmeticError("out of memory")
        return _accuracy(number, genome)

    oracle = _search(
        tmp_path, trials=24, accuracy=accuracy, max_consecutive_failed_trials=24
    )
    failed = [
        oracle.trial_genome(oracle.trials[trial_id])[3] == 1
        for trial_id in oracle.end_order
    ]
    assert sum(failed[:8]) >= 2
    assert sum(failed[-12:]) <= 3


def test_three_rounds_climb(searched, monkeypatch):
    """Each looks around the best networks of the ones before."""
    target = SPACE.sample(np.random.default_rng(5), 1)[0, :SPLIT]
    rounds = []
    algorithm = searched.algorithm
    rate = algorithm._rate

    def gain(networks, costs):
        alike = (networks == target).sum(axis=1, keepdims=True)
        return 1.0 * np.broadcast_to(alike, costs["latency_ms"].shape)

    def spy(found, gain, networks, accelerators):
        result = rate(found, gain, networks, accelerators)
        rounds.append(max(value for value, _ in found.values()))
        return result

    unlimited = dataclasses.replace(algorithm.problem, budgets=Budgets())
    monkeypatch.setattr(algorithm, "problem", unlimited)
    monkeypatch.setattr(algorithm, "_gain", lambda rng: gain)
    monkeypatch.setattr(algorithm, "_rate", spy)
    for seed in range(8):
        algorithm.suggest(np.random.default_rng(seed), 64)
    best = np.asarray(rounds).reshape(8, 4)  # the last is of the finalists
    rises = np.diff(best, axis=1)
    assert (rises[:, :2] > 0).mean(axis=0).min() > 0.5


def test_relatives_of_the_front_are_considered(tmp_path):
    """Small networks on small chips, which are nobody's best reward."""
    small = {"stem/filters": 8, "pe_array/rows": 1, "pe_array/columns": 1}
    large = {"stem/filters": 32, "pe_array/rows": 4, "pe_array/columns": 4}
    small |= {"pe_array/lanes": 1, "pe_array/simd_units": 16}
    oracle = _search(
        tmp_path,
        trials=24,
        accuracy=lambda number, genome: 0.4 + 0.25 * genome[0],
        initial_designs=[small] * 6 + [large] * 18,
        networks=600,
    )
    stems = [trial.genome[0] for trial in oracle.history.finished()]
    assert stems == [0] * 6 + [2] * 18
    networks = oracle.algorithm._candidate_networks(np.random.default_rng(0))
    relatives, fresh = networks[:250], networks[-150:]
    assert 0.2 < (fresh[:, 0] == 0).mean() < 0.5
    # Mutations alone make it a fiftieth.
    assert (relatives[:, 0] == 0).mean() > 0.08


def test_a_second_phase_keeps_the_best_side_of_the_first(tmp_path):
    for searched, held in (
        ("phased", slice(SPLIT, None)),
        ("phased_reverse", slice(SPLIT)),
    ):
        options = {"searched": searched, "reward": "soft", "trials": 10}
        oracle = _search(tmp_path / searched, "random", seed=1, **options)
        finished = oracle.history.finished()
        best = max(finished[:5], key=lambda trial: trial.reward)
        assert best is not finished[0]
        for trial in finished[5:]:
            assert (trial.genome[held] == best.genome[held]).all()


def _advised(folder, estimate, trials=10):
    """A search that was told of some designs what `estimate` says."""
    oracle = make(
        "grey_box",
        {
            "networks": 48,
            "accelerators": 12,
            "front_share": 0,
            "seed": 0,
        },
        space=SPACE,
        budgets=BUDGETS,
        max_trials=trials,
        reward="soft",
    )
    place(oracle, folder)
    genomes = SPACE.sample(np.random.default_rng(5), 300)
    genomes = genomes[BUDGETS.is_feasible(oracle.prices(genomes))][:120]
    estimates = np.array([estimate(each) for each in genomes])
    oracle.expect(Estimates(genomes, estimates))
    return oracle


def test_estimates_come_first_and_then_what_was_learnt(tmp_path):
    def right(genome):
        return 0.3 + 0.1 * _accuracy(0, genome)

    oracle = _advised(tmp_path, right)
    run_trials(oracle, 10, _accuracy)
    tried = [trial.genome for trial in oracle.history.finished()]
    start = Shortlist().on(oracle.algorithm.problem)
    first = start._order[: oracle.algorithm.warm_up]
    assert (np.stack(tried[: len(first)]) == first).all()
    rewards = [trial.reward for trial in oracle.history.finished()]
    assert max(rewards[len(first) :]) > max(rewards[: len(first)])
    assert oracle.algorithm._model.trust > 0.9
