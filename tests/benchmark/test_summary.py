from tf_cosearch.benchmark import summary
from tf_cosearch.benchmark.jobs import Job


def record(algorithm, seed, last, searched="joint", finished=0, **changes):
    return {
        "job": list(Job("energy", algorithm, searched, seed, 30, finished)),
        "counts": [] if finished else [10, 30],
        "best_reward": [last / 2, last],
        "hypervolume": [last / 4, last / 2],
        "violations": 0,
        "seconds_per_proposal": 0.5,
        **changes,
    }


def targets(*records):
    found = summary.summarize(records)
    return {
        target.what: target
        for target in summary.targets(found, "random", 10, 30)
    }


def test_medians_and_quartiles_are_over_seeds():
    runs = [
        record("random", seed, value) for seed, value in enumerate((2, 4, 8))
    ]
    entry = summary.summarize(runs)["energy"]["random"]
    assert entry["seeds"] == 3
    found = entry["best_reward"]["30"]
    assert found == {"median": 4, "quartiles": [3, 6]}
    assert entry["hypervolume"]["10"]["median"] == 1


def test_violations_add_up():
    runs = [record("random", seed, 1, violations=2) for seed in range(3)]
    assert summary.summarize(runs)["energy"]["random"]["violations"] == 6
    assert not targets(*runs)["violations of random"].passed


def test_the_default_early_is_held_against_the_best_rival_late():
    rivals = [record("optuna_tpe", 0, 0.3), record("optuna_nsga2", 0, 0.4)]
    found = targets(record("random", 0, 0.8), *rivals)
    target = found["best_reward of random, early"]
    assert (target.value, target.bound) == (0.4, 0.4)
    assert target.against == "optuna_nsga2"
    assert target.passed
    found = targets(record("random", 0, 0.7), *rivals)
    assert not found["best_reward of random, early"].passed


def test_what_is_searched_is_held_in_order():
    found = targets(
        record("random", 0, 0.5),
        record("random", 0, 0.9, "nested"),
        record("random", 0, 0.7, "phased"),
        record("random", 0, 0.7, "network"),
    )
    first = found["best_reward of random/nested"]
    assert (first.against, first.passed) == ("random/phased", True)
    second = found["best_reward of random/phased"]
    assert (second.against, second.passed) == ("random/network", False)


def test_long_runs_are_timed_only():
    slow = record("random", 0, 9, finished=1000, seconds_per_proposal=2.0)
    found = summary.summarize([record("random", 0, 1), slow])
    entry = found["energy"]["random"]
    assert entry["seeds"] == 1
    assert entry[summary.AFTER] == {"1000": 2.0}
    target = targets(slow)["seconds after 1000 trials of random"]
    assert not target.passed


def test_trials_that_a_rivals_end_takes_are_counted():
    def entry(**medians):
        curve = {count: {"median": value} for count, value in medians.items()}
        return dict.fromkeys(summary.MEASURES, curve)

    rival, other = "optuna_tpe", "keras_tuner_random"
    ends = {
        rival: entry(**{"10": 0.5, "300": 0.8}),
        other: entry(**{"10": 0.9, "300": 0.7}),
    }
    ours = entry(**{"10": 0.6, "20": 0.8, "30": 0.9})
    low = entry(**{"10": 0.6})
    told = summary.needed({"energy": {"ours": ours, **ends}}, "ours")
    assert told == [
        summary.Needed("energy", measure, 20, rival, 0.8, 300)
        for measure in summary.MEASURES
    ]
    (first, _) = summary.needed({"energy": {"ours": low, **ends}}, "ours")
    assert first.trials is None
    assert summary.needed({"energy": {"ours": ours}}, "ours") == []
    assert summary.needed({"energy": ends}, "ours") == []
