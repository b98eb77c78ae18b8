import json
import math
import os
import pathlib
import threading

import pytest

from tf_cosearch.search.oracle import durable
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((5, 6, 7))


def start(folder, reload=False, **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 16, "seed": 0}
    oracle = place(
        CoSearchOracle(
            SPACE, "random", **{**defaults, "max_trials": 6, **kwargs}
        ),
        folder,
    )
    if reload:
        oracle.reload()
    return oracle


class Kill(BaseException):
    """What nothing catches."""


@pytest.mark.parametrize("write", range(24))
def test_no_finished_trial_is_lost_whenever_it_is_killed(
    tmp_path, monkeypatch, write
):
    expected = run_trials(start(tmp_path / "whole"), 6)
    writes = iter(range(1000))
    replace = os.replace

    def killed(*args):
        if next(writes) == write:
            raise Kill
        replace(*args)

    ended = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(Kill):
            run_trials(
                start(tmp_path),
                6,
                lambda number, _: ended.append(number) or 0.5,
            )
    ran_before = list(ended)
    oracle = start(tmp_path, reload=True)
    kept = [int(trial_id) for trial_id in oracle.end_order]
    # The last one that ran may have been killed before it was saved.
    assert kept in (ran_before, ran_before[:-1])
    run_trials(oracle, 6, lambda number, _: ended.append(number) or 0.5)
    assert ended[len(ran_before) :] == list(range(len(kept), 6))
    assert oracle.start_order == oracle.end_order == list("012345")
    genomes = [oracle.trial_genome(t).tolist() for t in oracle.trials.values()]
    assert genomes == expected


def test_an_ended_trial_is_not_listed_as_ongoing(tmp_path):
    oracle = start(tmp_path)
    run_trials(oracle, 1)
    state = json.loads((tmp_path / "project/oracle.json").read_text())
    assert state["ongoing_trials"] == {}
    oracle.create_trial("tuner0")
    state = json.loads((tmp_path / "project/oracle.json").read_text())
    assert state["ongoing_trials"] == {"tuner0": "1"}


@pytest.mark.parametrize("damage", ["{", "", "{}", "[1]", None])
@pytest.mark.parametrize("name", ["oracle.json", "trial_1/trial.json"])
def test_a_damaged_file_costs_at_most_its_trial(tmp_path, name, damage):
    expected = run_trials(start(tmp_path), 3)
    path = tmp_path / "project" / name
    for file in (path, path.with_name(f"{path.name}.bak")):
        file.unlink() if damage is None else file.write_text(damage)
    if (name, damage) == ("oracle.json", "{}"):
        with pytest.raises(RuntimeError, match="kind of oracle it was begun"):
            start(tmp_path, reload=True)
        return
    oracle = start(tmp_path, reload=True)
    run_trials(oracle, 6)
    assert len(oracle.trials) == len(oracle.end_order) == 6
    lost = name.startswith("trial")
    kept = [oracle.trial_genome(oracle.trials[i]).tolist() for i in "02"]
    assert kept == [expected[0], expected[2]]
    assert len(oracle.history.finished()) == 6 - lost
    if lost:
        gone = oracle.trials["1"]
        assert (gone.status, gone.message) == (
            "FAILED",
            "The files of this trial are gone.",
        )


def test_a_trial_without_its_file_says_what_is_left_of_it(tmp_path):
    run_trials(start(tmp_path), 3)
    folder = tmp_path / "project/trial_1"
    for path in folder.iterdir():
        path.unlink()
    (folder / "model.tflite").write_bytes(b"int8")
    gone = start(tmp_path, reload=True).trials["1"]
    assert gone.status == "FAILED"
    assert f"model.tflite are still in {folder}" in gone.message
    assert (folder / "model.tflite").read_bytes() == b"int8"


@pytest.mark.parametrize("name", ["oracle.json", "trial_1/trial.json"])
def test_a_damaged_file_is_mended_from_its_copy(tmp_path, name, caplog):
    expected = run_trials(start(tmp_path), 3)
    path = tmp_path / "project" / name
    whole = path.read_text()
    path.write_text(whole[:40])
    oracle = start(tmp_path, reload=True)
    assert f"{path} cannot be read" in caplog.text
    assert "its copy" in caplog.text
    oracle.save()
    assert json.loads(path.read_text())
    genomes = [oracle.trial_genome(t).tolist() for t in oracle.trials.values()]
    assert genomes == expected
    assert len(oracle.history.finished()) == 3


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [100.0]
    monkeypatch.setattr(durable.time, "monotonic", lambda: now[0])
    return now


def leased(folder, reload=False, **kwargs):
    oracle = start(folder, **kwargs)
    oracle.lease_seconds = 10.0
    if reload:
        oracle.reload()
    return oracle


def finish(trial):
    trial.metrics.register("accuracy_int8", "max")
    trial.metrics.update("accuracy_int8", 0.5, step=0)
    trial.status = "COMPLETED"
    return trial


def copy_of(trial):
    """What a worker elsewhere makes of it."""
    return durable.Trial.from_proto(trial.to_proto())


def test_the_trial_of_a_silent_worker_goes_to_another(tmp_path, clock):
    oracle = leased(tmp_path)
    trial = copy_of(oracle.create_trial("dead"))
    clock[0] += 6
    assert oracle.renew(trial.trial_id, "dead")
    clock[0] += 9
    assert oracle.create_trial("alive").trial_id != trial.trial_id
    clock[0] += 2
    taken = copy_of(oracle.create_trial("other"))
    assert taken.trial_id == trial.trial_id
    assert not oracle.renew(trial.trial_id, "dead")
    assert not oracle.report(finish(trial), "dead")
    assert oracle.end_order == []
    finish(taken)
    for _ in range(2):  # the answer to the first report was lost
        assert oracle.report(taken, "other")
    assert oracle.end_order == [trial.trial_id]


def test_a_late_result_counts_if_nobody_has_begun_again(tmp_path, clock):
    oracle = leased(tmp_path, max_trials=1)
    trial = copy_of(oracle.create_trial("slow"))
    clock[0] += 11
    oracle.reap()
    failed = copy_of(trial)
    failed.status = "INVALID"
    assert not oracle.report(failed, "slow")
    assert oracle.report(finish(trial), "slow")
    assert (oracle.end_order, oracle.is_done()) == (["0"], True)


def test_workers_stay_until_the_last_trial_has_ended(tmp_path, clock):
    oracle = leased(tmp_path, max_trials=1)
    trial = copy_of(oracle.create_trial("first"))
    assert oracle.create_trial("second").status == "IDLE"
    assert not oracle.is_done()
    clock[0] += 11
    again = copy_of(oracle.create_trial("second"))
    assert again.trial_id == trial.trial_id
    assert oracle.report(finish(again), "second")
    assert oracle.is_done()
    assert oracle.create_trial("second").status == "STOPPED"


def test_a_search_alone_that_was_killed_leaves_its_trial_to_workers(tmp_path):
    trial = start(tmp_path).create_trial("tuner0")
    oracle = leased(tmp_path, reload=True)
    assert oracle.create_trial("worker1").trial_id == trial.trial_id


def test_a_chief_started_again_leaves_trials_to_their_workers(tmp_path, clock):
    oracle = leased(tmp_path)
    trials = [copy_of(oracle.create_trial(f"w{i}")) for i in range(2)]
    oracle = leased(tmp_path, reload=True)
    assert oracle.create_trial("w2").trial_id == "2"
    assert oracle.report(finish(trials[0]), "w0")
    assert oracle.create_trial("w1").trial_id == "1"  # it asks again
    clock[0] += 11
    assert oracle.create_trial("w3").trial_id in "12"


def test_an_exhausted_space_is_not_searched_again(tmp_path, monkeypatch):
    oracle = start(tmp_path, max_trials=None, proposals=300)
    assert len(run_trials(oracle, 999)) == 210
    monkeypatch.setattr(oracle, "populate_space", None)
    assert oracle.create_trial("tuner0").status == "STOPPED"


def test_a_retry_has_a_seed_of_its_own_an_interruption_has_not(tmp_path):
    seeds = []

    def fail(number, _):
        seeds.append(oracle.training_seed(str(number)))
        raise ArithmeticError("once")

    oracle = start(tmp_path, max_trials=1, max_retries_per_trial=1, seed=5)
    run_trials(oracle, 1, fail)
    retried = start(tmp_path, reload=True, seed=5).training_seed("0")
    assert len(seeds) == 1
    assert retried != seeds[0]
    again = start(tmp_path, reload=True, seed=5)
    assert again.training_seed("0") == retried


def test_no_seed_of_a_training_is_that_of_another_search(tmp_path):
    drawn = []
    for seed in (0, 100, 1000, 2**31 - 1):
        oracle = start(tmp_path / str(seed), seed=seed, max_trials=12)
        run_trials(oracle, 12)
        for failures in range(3):
            oracle._run_times.update(dict.fromkeys(oracle.trials, failures))
            drawn += [oracle.training_seed(each) for each in oracle.trials]
    assert len(set(drawn)) == 4 * 12 * 3
    assert all(0 <= seed < 2**63 for seed in drawn)


def test_the_same_reason_in_a_row_ends_the_search_after_saving(tmp_path):
    def fail(number, _):
        if number == 1:
            return 0.5
        raise ArithmeticError("no memory left")

    oracle = start(tmp_path, max_consecutive_failed_trials=2)
    expected = (
        r"2 failures in a row .* \(ArithmeticError: no memory left\)\. .*"
        "finished trials are kept"
    )
    with pytest.raises(RuntimeError, match=expected) as caught:
        run_trials(oracle, 6, fail)
    assert str(caught.value).count("no memory left") == 1
    resumed = start(tmp_path, reload=True)
    statuses = [trial.status for trial in resumed.trials.values()]
    assert statuses == ["FAILED", "COMPLETED", "FAILED", "FAILED"]
    assert resumed.trials["3"].message == "ArithmeticError: no memory left"
    assert len(run_trials(resumed, 6)) == 2


def test_different_reasons_do_not_end_the_search(tmp_path):
    def fail(number, _):
        raise ArithmeticError("abcdef"[number])

    assert len(run_trials(start(tmp_path), 6, fail)) == 6


def test_reasons_that_differ_in_numbers_are_one(tmp_path):
    def fail(number, _):
        raise ArithmeticError(f"cannot allocate {number}00 MiB")

    with pytest.raises(RuntimeError, match="cannot allocate 200 MiB"):
        run_trials(start(tmp_path), 6, fail)


def test_nan_is_a_reason_like_others(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"accuracy_int8 must be finite. Received: nan"
    ):
        run_trials(start(tmp_path), 6, lambda *_: math.nan)
    trial = start(tmp_path, reload=True).trials["0"]
    assert (trial.status, trial.score) == ("FAILED", None)


def test_a_retry_starts_with_clean_metrics(tmp_path):
    values = iter([math.nan, 0.75])
    oracle = start(tmp_path, max_trials=1, max_retries_per_trial=1)
    genomes = run_trials(oracle, 6, lambda *_: next(values))
    assert genomes[0] == genomes[1]
    trial = oracle.trials["0"]
    assert (trial.status, trial.score, trial.message) == (
        "COMPLETED",
        0.75,
        None,
    )
    assert len(oracle.history.finished()) == 1


def test_an_interrupted_trial_forgets_what_it_had_reported(tmp_path):
    oracle = start(tmp_path)
    trial = oracle.create_trial("tuner0")
    oracle.update_trial(trial.trial_id, {"accuracy_int8": 0.1})
    resumed = start(tmp_path, reload=True)
    again = resumed.create_trial("tuner0")
    assert again.trial_id == trial.trial_id
    assert not again.metrics.exists("accuracy_int8")


def test_a_trial_ends_once(tmp_path):
    oracle = start(tmp_path)
    run_trials(oracle, 2)
    oracle.end_trial(oracle.trials["1"])
    assert oracle.end_order == ["0", "1"]
    assert len(oracle.history.finished()) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda oracle: oracle.update_trial("nobody", {"accuracy_int8": 1.0}),
        lambda oracle: oracle.update_trial("0", {"accuracy": 1.0}),
        lambda oracle: oracle.update_trial("0", {"accuracy_int8": "high"}),
        lambda oracle: oracle.end_trial(durable.Trial(None, "nobody")),
    ],
)
def test_an_error_does_not_keep_the_lock(tmp_path, call):
    oracle = start(tmp_path)
    oracle.create_trial("tuner0")
    with pytest.raises((KeyError, ValueError)):
        call(oracle)
    started = []
    other = threading.Thread(
        target=lambda: started.append(oracle.create_trial("tuner1")),
        daemon=True,
    )
    other.start()
    other.join(timeout=10)
    assert [trial.trial_id for trial in started] == ["1"]


def test_parallel_workers_get_different_trials(tmp_path):
    oracle = start(tmp_path, max_trials=16)
    workers = [
        threading.Thread(target=run_worker, args=(oracle, f"tuner{i}", 4))
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
    assert len(set(oracle.end_order)) == len(oracle.history.finished()) == 16
    assert len({tuple(done.genome) for done in oracle.history.finished()}) == 16


def run_worker(oracle, name, count):
    for _ in range(count):
        trial = oracle.create_trial(name)
        oracle.update_trial(trial.trial_id, {"accuracy_int8": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)


def test_it_does_not_print(tmp_path, capsys):
    def fail(number, _):
        raise ArithmeticError("abcdef"[number])

    run_trials(start(tmp_path, max_retries_per_trial=1), 6, fail)
    assert capsys.readouterr().out == ""


def test_no_temporary_file_stays(tmp_path):
    run_trials(start(tmp_path), 6)
    files = {path.name for path in pathlib.Path(tmp_path).rglob("*.*")}
    names = {"oracle.json", "trial.json"}
    assert files == names | {f"{name}.bak" for name in names}
