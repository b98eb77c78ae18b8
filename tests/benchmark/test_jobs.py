import dataclasses
import os

import numpy as np
import pytest

from tf_cosearch.benchmark import jobs, landscapes
from tf_cosearch.benchmark.jobs import Job
from tf_cosearch.search import scope

JOBS = [Job("energy", "random", "joint", seed, 12) for seed in range(3)]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("jobs") / "runs.jsonl"
    return path, list(jobs.run_all(JOBS, path, workers=0))


def test_curves_rise_to_what_the_trials_found(records):
    for record in records[1]:
        assert record["counts"] == [10, 12]
        for measure in ("best_reward", "hypervolume"):
            assert 0 < record[measure][0] <= record[measure][1] < 1
        assert record["violations"] == 0
        assert record["seconds_per_proposal"] > 0


def test_a_run_that_is_done_is_not_done_again(records, tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    lines = records[0].read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:40]]) + "\n")
    done = []

    def execute(job):
        done.append(job)
        return records[1][2]

    monkeypatch.setattr(jobs, "execute", execute)
    assert list(jobs.run_all(JOBS, path, workers=0)) == records[1]
    assert done == JOBS[2:]
    assert len(jobs.read(path)) == 3


def test_runs_of_another_landscape_are_left_out(records, monkeypatch):
    other = dataclasses.replace(landscapes.get("energy"), seed=1)
    assert len(jobs.read(records[0])) == 3
    monkeypatch.setitem(landscapes.LANDSCAPES, "energy", other)
    assert not jobs.read(records[0])


def test_no_run_begins_after_its_time(tmp_path):
    path = tmp_path / "runs.jsonl"
    assert not list(jobs.run_all(JOBS, path, workers=0, minutes=1e-9))
    assert not list(jobs.run_all(JOBS, path, workers=2, minutes=1e-9))


def test_a_network_search_holds_the_accelerator(monkeypatch):
    seen = {}

    def run(landscape, algorithm, seed, trials, **options):
        seen.update(options)
        return jobs.samplers.Run([], [])

    monkeypatch.setattr(jobs.samplers, "run", run)
    record = jobs.execute(JOBS[0]._replace(searched="network"))
    assert seen["fixed"] == landscapes.get("energy").accelerator
    assert seen["searched"] == "network"
    assert record["best_reward"] == [0, 0]
    seen.clear()
    jobs.execute(JOBS[0]._replace(searched="nested"))
    assert seen == {"searched": "nested"}


@pytest.mark.parametrize("searched", sorted({*scope.SEARCHED} - {"nested"}))
def test_every_scope_runs(searched):
    job = JOBS[0]._replace(algorithm="random", searched=searched, trials=4)
    assert jobs.execute(job)["violations"] == 0


def test_proposals_after_many_trials_are_timed():
    record = jobs.execute(JOBS[0]._replace(finished=20))
    assert record["counts"] == []
    assert np.isfinite(record["seconds_per_proposal"])


@pytest.mark.slow
def test_processes_find_what_this_one_does(records, tmp_path):
    path = tmp_path / "runs.jsonl"
    before = dict(os.environ)
    found = jobs.run_all(JOBS, path, workers=2)
    by_job = {tuple(record["job"]): record for record in found}
    assert dict(os.environ) == before
    for record in records[1]:
        other = by_job[tuple(record["job"])]
        assert other["best_reward"] == record["best_reward"]
