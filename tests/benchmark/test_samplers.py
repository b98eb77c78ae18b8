import pytest

from tf_cosearch.benchmark import landscapes, samplers
from tf_cosearch.search import algorithms

LANDSCAPE = landscapes.get("energy")


def run(algorithm, seed=0, trials=4, **options):
    return samplers.run(LANDSCAPE, algorithm, seed, trials, **options)


def test_all_oracles_and_the_rivals_are_there():
    assert set(algorithms.names()) < set(samplers.names())
    assert {"keras_tuner_bayesian", "optuna_tpe"} < set(samplers.RIVALS)
    assert not set(algorithms.names()) & set(samplers.RIVALS)


@pytest.mark.parametrize("algorithm", ["random", *samplers.RIVALS])
def test_an_algorithm_runs_the_same_again(algorithm):
    for module in samplers.NEEDS.get(algorithm, ()):
        pytest.importorskip(module)
    first, again, other = run(algorithm), run(algorithm), run(algorithm, 1)
    assert len(first.evaluations) == len(first.seconds) == 4
    assert first.evaluations == again.evaluations != other.evaluations
    assert min(first.seconds) > 0


def test_ours_train_nothing_infeasible():
    found = run("random", trials=12).evaluations
    assert all(evaluation.is_feasible for evaluation in found)
    rival = run("keras_tuner_random", trials=12).evaluations
    assert not all(evaluation.is_feasible for evaluation in rival)


def test_optuna_learns_the_constraints():
    pytest.importorskip("optuna")
    found = [e.is_feasible for e in run("optuna_nsga2", trials=120).evaluations]
    assert sum(found[-40:]) > 1.3 * sum(found[:40])


@pytest.mark.parametrize("algorithm", ["screened_tpe", "screened_nsga2"])
def test_those_that_ask_the_cost_model_first_train_nothing_infeasible(
    algorithm,
):
    pytest.importorskip("optuna")
    plain = run(algorithm.replace("screened", "optuna"), trials=20).evaluations
    assert not all(evaluation.is_feasible for evaluation in plain)
    found = run(algorithm, trials=20).evaluations
    assert len(found) == 20
    assert all(evaluation.is_feasible for evaluation in found)


def test_a_rejection_costs_nothing_but_patience_ends(monkeypatch):
    pytest.importorskip("optuna")
    asked = []
    excess = LANDSCAPE.excess

    def none_fits(values):
        asked.append(values)
        return dict.fromkeys(excess(values), 1.0)

    monkeypatch.setattr(samplers, "PATIENCE", 5)
    monkeypatch.setitem(vars(LANDSCAPE), "excess", none_fits)
    found = run("screened_nsga2", trials=2)
    assert len(found.evaluations) == 2
    # Six proposals a trial, and each evaluation asks once more.
    assert len(asked) == 2 * (6 + 1)


def test_an_option_reaches_the_oracle():
    designs = samplers.feasible_genomes(LANDSCAPE, 2)
    found = run("random", initial_designs=designs).evaluations
    expected = [
        LANDSCAPE.evaluate(LANDSCAPE.space.values(genome)) for genome in designs
    ]
    assert found[:2] == expected
    assert all(evaluation.is_feasible for evaluation in expected)


def test_an_unknown_algorithm_is_refused():
    with pytest.raises(ValueError, match="optuna_tpe"):
        run("optuna_tpa")
