import importlib.util

import pytest

from tf_cosearch.benchmark import comparison, comparison_table
from tf_cosearch.benchmark.jobs import Job

RIVAL = "keras_tuner_random"


def plan(algorithms, **kwargs):
    return comparison.plan(
        algorithms,
        ["energy", "area_bound"],
        **{
            "seeds": 2,
            "trials": 30,
            "seeds_of": {},
            "trials_of": {},
            **kwargs,
        },
    )


def test_rivals_search_everything_and_the_first_seed_comes_first():
    jobs = plan(
        ["random", RIVAL],
        searched=["joint", "network"],
        seeds_of={RIVAL: 1},
        trials_of={RIVAL: 10, "random": 60},
    )
    assert {job for job in jobs if job.algorithm == RIVAL} == {
        Job("energy", RIVAL, "joint", 0, 10),
        Job("area_bound", RIVAL, "joint", 0, 10),
    }
    ours = [job for job in jobs if job.algorithm == "random"]
    assert len(ours) == 2 * 2 * 2
    assert {job.trials for job in ours} == {30}
    seeds = [job.seed for job in jobs]
    assert seeds == sorted(seeds)


def test_proposals_after_many_trials_are_timed_once_and_of_ours():
    jobs = plan(["random", RIVAL], finished=1000)
    long = [job for job in jobs if job.finished]
    assert long == [Job("energy", "random", "joint", 0, 30, 1000)]


def test_what_an_algorithm_needs_is_missed_before_any_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert plan(["random", RIVAL])
    with pytest.raises(ImportError, match="optuna and torch must be installed"):
        plan(["random", "optuna_gp"])


def entry(last, **curve):
    curve["30"] = {"median": last, "quartiles": [last - 0.1, last + 0.1]}
    return {
        "seeds": 2,
        "violations": 3,
        "seconds_per_proposal": 0.25,
        "best_reward": curve,
        "hypervolume": curve,
    }


def test_the_best_after_all_trials_comes_first():
    early = {"25": {"median": 0.5, "quartiles": [0.4, 0.6]}}
    text = comparison_table.tables(
        {
            "trials": 30,
            "runs": 3,
            "runs_asked_for": 4,
            "early": 10,
            "landscapes": {
                "energy": {
                    "slow": entry(0.7, **early),
                    "good": entry(0.8),
                    "only_timed": {"seeds": 0},
                }
            },
            "targets": [],
            "needed": [
                {
                    "landscape": "energy",
                    "measure": "hypervolume",
                    "trials": trials,
                    "rival": RIVAL,
                    "bound": 0.75,
                    "of": 300,
                }
                for trials in (20, None)
            ],
        }
    )
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][:5] == ["energy:", "best_reward", "seeds", "25", "30"]
    good = ["good", "2", "-", "0.8000", "0.7000-0.9000", "3", "0.250"]
    assert lines[1] == good
    told = [RIVAL + ":", "0.7500", "300"]
    assert ["energy", "hypervolume", "20", *told] in lines
    assert ["energy", "hypervolume", "never", *told] in lines
    assert lines[2][:4] == ["slow", "2", "0.5000", "0.7000"]
    assert lines[3] == []
    assert text.endswith("3 of 4 runs done. The same command goes on.")
