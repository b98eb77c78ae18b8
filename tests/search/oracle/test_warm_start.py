import csv

import numpy as np
import pytest
from absl import logging

from tf_cosearch.designs import report
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import known_trials, warm_start
from tf_cosearch.search.oracle.options import make
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

SPACE = ToySpace((3, 4, 5, 6))
DATA = {"training_sample": "1f"}
TRAINING = {"epochs": 3, "optimizer": {"class": "Adam", "rate": 0.001}}


def start(folder, space=SPACE, name="random", **kwargs):
    defaults = {"estimate": toy_estimate, "proposals": 64, "max_trials": 6}
    options = {**defaults, "seed": 0, **kwargs}
    return place(make(name, options, space=space), folder)


@pytest.fixture
def earlier(tmp_path):
    """The folder of a search of six trials, one of which failed."""

    def accuracy(number, genome):
        if number == 3:
            raise ArithmeticError("broken")
        return 0.1 + 0.1 * number

    oracle = start(tmp_path / "earlier")
    oracle.identify(DATA, TRAINING)
    run_trials(oracle, 6, accuracy)
    folder = tmp_path / "earlier" / "project"
    for trial in oracle.trials.values():
        number = int(trial.trial_id)
        (folder / f"trial_{number}" / "weights.h5").write_text(f"of {number}")
    report.write_trials(folder / "trials.csv", report.trial_rows(oracle))
    return folder


def cells(folder):
    with (folder / "trials.csv").open() as file:
        return list(csv.reader(file))


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@pytest.mark.parametrize("name", ["", "trials.csv"])
def test_what_is_known_is_not_tried_again_and_not_counted(
    earlier, tmp_path, name
):
    oracle = start(tmp_path / "new", warm_start=earlier / name)
    genomes = run_trials(oracle, 20)
    assert len(genomes) == 6
    assert oracle.num_known == 5  # the failed one is none
    assert oracle.num_own == 6
    designs = [t.genome.tolist() for t in oracle.history.finished()]
    assert len({tuple(design) for design in designs}) == 11
    accuracies = [
        t.metrics["accuracy_int8"] for t in oracle.history.finished()[:5]
    ]
    assert accuracies == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.6])
    statuses = [row["status"] for row in report.trial_rows(oracle)]
    assert statuses == ["KNOWN"] * 5 + ["COMPLETED"] * 6


def test_costs_are_those_of_today_and_no_time_is_spent(earlier, tmp_path):
    oracle = start(tmp_path / "new", warm_start=earlier)
    before = {"latency_ms": 99.0, "seconds": 5.0, "seconds_float": 4.0}
    oracle.earlier = oracle.earlier._replace(
        designs=[
            design._replace(metrics={**design.metrics, **before})
            for design in oracle.earlier.designs
        ]
    )
    oracle.take_known()
    assert oracle.num_known == 5
    for trial in oracle.trials.values():
        assert not before.keys() & trial.metrics.metrics.keys()
        costs = oracle.trial_costs(trial)
        assert costs["latency_ms"] < 10
        assert oracle.trial_metrics(trial)["latency_ms"] == costs["latency_ms"]


@pytest.mark.parametrize("name", ["", "trials.csv"])
def test_files_are_copied_so_that_the_folder_may_go(earlier, tmp_path, name):
    oracle = start(tmp_path / "new", warm_start=earlier / name)
    run_trials(oracle, 1)
    weights = sorted((tmp_path / "new").glob("project/trial_*/weights.h5"))
    texts = [path.read_text() for path in weights]
    assert texts == ["of 0", "of 1", "of 2", "of 4", "of 5"]
    own = [oracle.trials[i].message for i in oracle.trials]
    assert own == [f"Known from {earlier / name}"] * 5 + [None]


def test_costs_are_priced_anew_and_over_budget_is_no_result(earlier, tmp_path):
    def dearer(shares, weights):
        cost = toy_estimate(shares, weights)
        return cost._replace(area_mm2=10 * cost.area_mm2)

    before = start(tmp_path / "earlier")
    before.reload()
    known = before.history.finished()
    limit = np.median([t.metrics["latency_ms"] for t in known])
    oracle = start(
        tmp_path / "new",
        warm_start=earlier,
        budgets=Budgets(latency_ms=limit),
        estimate=dearer,
        max_trials=2,
    )
    run_trials(oracle, 2, lambda *_: 0.05)
    old = {t.genome.tobytes(): t.metrics for t in known}
    for trial in oracle.history.finished()[:5]:
        area = old[trial.genome.tobytes()]["area_mm2"]
        assert trial.metrics["area_mm2"] == pytest.approx(10 * area)
    rows = report.trial_rows(oracle)
    assert [row["feasible"] for row in rows].count(False) == 2
    best = oracle.get_best_trials(7)
    assert len(best) == 5
    assert oracle.trial_costs(best[0])["latency_ms"] <= limit
    # The most accurate within the budgets, not of all.
    assert best[0].score == max(r["reward"] for r in rows if r["feasible"])


def test_a_run_continues_with_a_warm_start_of_its_own_or_none(
    earlier, tmp_path
):
    begun = start(tmp_path / "new")
    first = run_trials(begun, 2)
    with_known = start(tmp_path / "new", warm_start=earlier)
    with_known.reload()
    more = run_trials(with_known, 1)
    without = start(tmp_path / "new")
    without.reload()
    rest = run_trials(without, 20)
    assert without.num_known == 5 - 2  # two of them were tried here
    assert len(first + more + rest) == without.num_own == 6
    assert without.max_trials == 9


def test_a_kill_while_designs_are_entered_loses_none(
    earlier, tmp_path, monkeypatch
):
    uninterrupted = start(tmp_path / "1", warm_start=earlier)
    expected = run_trials(uninterrupted, 2)
    real, written = known_trials.files_of, []

    def killed(design):
        written.append(design)
        if len(written) == 3:
            raise KeyboardInterrupt
        return real(design)

    oracle = start(tmp_path / "2", warm_start=earlier)
    monkeypatch.setattr(known_trials, "files_of", killed)
    with pytest.raises(KeyboardInterrupt):
        oracle.create_trial("tuner0")
    monkeypatch.setattr(known_trials, "files_of", real)
    again = start(tmp_path / "2", warm_start=earlier)
    again.reload()
    assert run_trials(again, 2) == expected
    assert again.num_known == 5
    told = [t.metrics["accuracy_int8"] for t in again.history.finished()]
    assert told == [
        t.metrics["accuracy_int8"] for t in uninterrupted.history.finished()
    ]


def test_an_algorithm_uses_what_is_known(earlier, tmp_path):
    oracle = start(
        tmp_path / "new",
        name="regularized_evolution",
        population_size=4,
        sample_size=64,
        mutations=1,
        warm_start=earlier,
    )
    (child,) = run_trials(oracle, 1)
    best = max(oracle.history.finished()[:5], key=lambda done: done.reward)
    assert (np.asarray(child) != best.genome).sum() == 1


def test_inner_algorithms_learn_it_too(earlier, tmp_path):
    oracle = start(
        tmp_path / "new", name="two_level", inner="nsga2", warm_start=earlier
    )
    run_trials(oracle, 1)
    assert len(oracle.algorithm.inner.problem.history.finished()) == 6


@pytest.mark.parametrize("searched", ["phased", "phased_reverse", "nested"])
def test_phases_are_of_own_trials(earlier, tmp_path, searched):
    oracle = start(tmp_path / "new", searched=searched, warm_start=earlier)
    genomes = np.asarray(run_trials(oracle, 9))
    assert len(genomes) == 6
    networks = [
        len(np.unique(part[:, :2], axis=0)) for part in np.split(genomes, 2)
    ]
    assert (
        networks
        == {"phased": [1, 3], "phased_reverse": [3, 1], "nested": [3, 3]}[
            searched
        ]
    )


def test_another_space_is_refused(earlier, tmp_path):
    other = ToySpace((3, 4, 5, 7))
    told = r"the same space, .* with space.parameters.gene3/units=\[10, .* not"
    with pytest.raises(ValueError, match=told):
        start(tmp_path, other, warm_start=earlier)
    with pytest.raises(ValueError, match=told):
        start(tmp_path, other, warm_start=earlier / "trials.csv")
    alone = tmp_path / "alone.csv"
    alone.write_bytes((earlier / "trials.csv").read_bytes())
    with pytest.raises(ValueError, match="lacks the column gene4/units"):
        start(tmp_path, ToySpace((3, 4, 5, 6, 2)), warm_start=alone)
    with pytest.raises(ValueError, match="column gene3/units the space does"):
        start(tmp_path, ToySpace((3, 4, 5)), warm_start=alone)
    with pytest.raises(ValueError, match=r"gene3/units in .*alone.csv, line"):
        start(tmp_path, ToySpace((3, 4, 5, 2)), warm_start=alone)


@pytest.mark.parametrize("name", ["", "trials.csv"])
def test_other_data_or_training_is_refused(earlier, tmp_path, name):
    oracle = start(tmp_path / "new", warm_start=earlier / name)
    faster = {"class": "Adam", "rate": 0.1}
    for data, change, told in (
        (DATA, {"epochs": 4}, "training.epochs=3, not 4"),
        (DATA, {"optimizer": faster}, "optimizer.rate=0.001, not 0.1"),
        ({"training_sample": "2e"}, {}, "data.training_sample=1f, not 2e"),
    ):
        with pytest.raises(ValueError, match=f"cannot be compared.*{told}"):
            oracle.identify(data, {**TRAINING, **change})
    assert not oracle.trials
    oracle.identify(DATA, TRAINING)
    run_trials(oracle, 1)
    resumed = start(tmp_path / "new")
    resumed.reload()
    with pytest.raises(ValueError, match=r"continued with the space.*not 4"):
        resumed.identify(DATA, {**TRAINING, "epochs": 4})
    resumed.identify(DATA, TRAINING)


def test_a_file_alone_gives_results_and_says_what_it_cannot(
    earlier, tmp_path, caplog
):
    alone = tmp_path / "alone.csv"
    alone.write_bytes((earlier / "trials.csv").read_bytes())
    oracle = start(tmp_path / "new", warm_start=alone)
    logging.get_absl_logger().addHandler(caplog.handler)
    oracle.identify(DATA, TRAINING)
    logging.get_absl_logger().removeHandler(caplog.handler)
    assert "does not say which data" in caplog.text
    run_trials(oracle, 1)
    assert oracle.num_known == 5
    assert not list((tmp_path / "new").glob("**/weights.h5"))


def test_what_was_known_there_is_known_here(earlier, tmp_path):
    second = start(tmp_path / "2", warm_start=earlier)
    run_trials(second, 2)
    folder = tmp_path / "2" / "project"
    report.write_trials(folder / "trials.csv", report.trial_rows(second))
    for path in (folder, folder / "trials.csv"):
        third = start(tmp_path / f"3{path.suffix}", warm_start=path)
        run_trials(third, 1)
        assert third.num_known == 7


def test_a_row_that_was_changed_is_not_given_others_files(earlier, tmp_path):
    rows = cells(earlier)
    first = rows[0].index("gene3/units")
    rows[1][first] = "10" if rows[1][first] != "10" else "11"
    write(earlier / "trials.csv", rows)
    oracle = start(tmp_path / "new", warm_start=earlier / "trials.csv")
    run_trials(oracle, 1)
    assert oracle.num_known == 5
    assert not (tmp_path / "new/project/trial_00/weights.h5").exists()
    assert (tmp_path / "new/project/trial_01/weights.h5").exists()


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("accuracy_int8", "", "accuracy_int8 in .*, line 3 must be a number"),
        ("accuracy_int8", "nan", "line 3 must be a number. Received: 'nan'"),
        ("accuracy_int8", "0.5x", "line 3 must be a number"),
        ("gene1/units", "99", "gene1/units in .*, line 3 must be one of 10"),
        ("gene1/units", "", "line 3 must be one of 10, 11, 12, 13"),
        ("status", "COMPLETD", "status in .*, line 3 must be one of"),
    ],
)
def test_damaged_cells_are_named(earlier, tmp_path, column, text, message):
    rows = cells(earlier)
    rows[2][rows[0].index(column)] = text
    write(earlier / "trials.csv", rows)
    with pytest.raises(ValueError, match=message):
        start(tmp_path, warm_start=earlier / "trials.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have a column trial_id. Received: nothing"),
        (b"a,b\n1,2\n", "must have a column trial_id. Received: a, b"),
        (b"\xff\xfe", "must be CSV"),
        (b'trial_id,"status\n', "must have a column|must be CSV"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, content, message):
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        start(tmp_path, warm_start=path)


def test_a_truncated_file_is_refused(earlier, tmp_path):
    path = tmp_path / "cut.csv"
    path.write_bytes((earlier / "trials.csv").read_bytes()[:-12])
    with pytest.raises(ValueError, match="line 7 must have a cell for each"):
        start(tmp_path, warm_start=path)


def test_nothing_to_start_from_is_refused(earlier, tmp_path):
    for path in (tmp_path / "nowhere", tmp_path / "no.csv", tmp_path):
        with pytest.raises(
            FileNotFoundError, match="earlier search must be given"
        ):
            start(tmp_path, warm_start=path)
    rows = cells(earlier)
    write(earlier / "trials.csv", [rows[0], rows[4]])  # the failed one
    with pytest.raises(ValueError, match="must have finished trials"):
        start(tmp_path, warm_start=earlier / "trials.csv")
    (earlier / "oracle.json").unlink()  # there is a copy
    assert len(warm_start.read(earlier, SPACE, []).designs) == 5
    (earlier / "oracle.json").write_text("[]")
    (earlier / "oracle.json.bak").unlink()
    with pytest.raises(ValueError, match=r"oracle.json is none of it"):
        start(tmp_path, warm_start=earlier)


def test_another_objective_is_refused(earlier, tmp_path):
    message = "must have measured accuracy_qat"
    with pytest.raises(ValueError, match=message):
        start(tmp_path, warm_start=earlier, objective="accuracy_qat")


def test_a_link_is_no_file_of_a_design(tmp_path):
    (tmp_path / "secret").write_text("not to be copied")
    folder = tmp_path / "trial_0"
    folder.mkdir()
    (folder / "weights.h5").symlink_to(tmp_path / "secret")
    (folder / "model.tflite").write_text("model")
    design = known_trials.KnownDesign(np.zeros(1), {}, {}, folder)
    names = [path.name for path in known_trials.files_of(design)]
    assert names == ["model.tflite"]


def test_a_search_that_is_overwritten_is_no_start(tmp_path):
    project = tmp_path / "project"
    for path in (project, project / "trials.csv"):
        with pytest.raises(ValueError, match="must not be from a search that"):
            warm_start.require_outside(path, project)
    warm_start.require_outside(tmp_path / "other", project)
