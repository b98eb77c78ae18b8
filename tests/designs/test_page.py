import dataclasses
import errno
import html.parser
import json
import os
import re
import shutil
import sys
import time

import keras_tuner
import pytest
import run_folders
from absl import logging

import tf_cosearch as cs
from tf_cosearch import files
from tf_cosearch.designs import export
from tf_cosearch.designs.page import details, following, run, writing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six trials: one failed, one runs, the last one is over budget."""
    made = tmp_path_factory.mktemp("runs") / "my <run>"
    return run_folders.make(made, 6, failed=[1], running=[2])


@pytest.fixture(scope="module")
def page(folder):
    """The text of its page."""
    path = folder / "report.html"
    writing.write(run.read(folder), path, advised=1)
    return path.read_text()


class Parser(html.parser.HTMLParser):
    """Collects scripts, tags and addresses that are asked for."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [v for n, v in attrs if n in ("src", "href")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += data


def content(page):
    (told,) = re.findall(r'<script id="run"[^>]*>(.*?)</script>', page)
    return json.loads(told)


def test_a_page_is_one_file_that_asks_for_nothing(page):
    parsed = Parser(page)
    assert len(parsed.scripts) == 3
    assert not parsed.sources
    assert "default-src 'none'" in page
    assert len(page.encode()) < writing.MOST_BYTES


def test_what_others_wrote_ends_no_script(page):
    """Neither the message of an error nor the name of a folder is markup."""
    told = content(page)
    assert told["failures"] == {"1": run_folders.EVIL}
    assert not set("<>&") & set(Parser(page).scripts[1])
    assert "img" not in Parser(page).tags
    assert "<title>my &lt;run&gt;</title>" in page


def test_rows_are_those_of_trials_csv(folder, page):
    told = content(page)
    names = [column["name"] for column in told["columns"]]
    assert names[:4] == ["trial_id", "status", "feasible", "reward"]
    assert "accuracy_qat" not in names  # which no trial has
    rows = [dict(zip(names, row, strict=True)) for row in told["rows"]]
    status = ["COMPLETED", "FAILED", "RUNNING"] + 3 * ["COMPLETED"]
    assert [row["status"] for row in rows] == status
    assert rows[3]["latency_ms"] == pytest.approx(0.001 * 4 / 6, rel=1e-5)
    assert rows[1]["latency_ms"] is None
    assert rows[3]["stem/filters"] == 16
    latency = told["columns"][names.index("latency_ms")]
    assert (latency["label"], latency["scale"]) == ("latency (µs)", 1000.0)


def test_columns_are_called_as_the_task_calls_its_accuracy(folder):
    found = run.read(folder)
    state = {"identity": {"space": {"task": {"class": "segmentation"}}}}
    found = found._replace(state=state)
    column = writing._column(found, "accuracy_int8")
    assert column["label"] == "mean intersection over union int8 (%)"
    assert column["kind"] == "metric"
    found.rows[0]["mean_absolute_error_int8"] = 0.5
    column = writing._column(found, "mean_absolute_error_int8")
    assert (column["kind"], column["number"]) == ("metric", True)


@pytest.mark.parametrize(
    ("name", "less"),
    [
        ("mean_absolute_error_int8", True),
        ("loss_int8", True),
        ("mse_int8", True),
        ("r2_score_int8", False),
        ("false_alarms_int8", False),  # the accuracy of the search
    ],
)
def test_a_front_is_drawn_on_the_better_side(folder, name, less):
    found = run.read(folder)._replace(accuracy="false_alarms_int8")
    found.rows[0][name] = 0.5
    assert writing._column(found, name)["less"] is less


def test_front_and_chosen_are_within_the_budgets(folder):
    found = run.read(folder)
    assert found.best == ["4", "3", "0", "5"]  # of which 5 is over budget
    assert found.front == ["4", "3", "0"]
    assert found.chosen == "4"
    assert found.compared == ["latency_ms", "energy_mj", "area_mm2"]


def test_details_say_what_a_design_is_and_how_it_trains_on(folder, page):
    told = content(page)["details"]["4"]
    assert ["stage1", "conv_bn, 16 filters, stride 2, kernel_size 3"] in told[
        "network"
    ]
    assert dict(told["accelerator"])["pe memory"] == "capacity 2 MiB a PE"
    assert told["layers"]["name"][0] == "stem/conv"
    assert len(told["layers"]["advice"]) == len(told["layers"]["name"]) == 5
    assert set(told["roofs"]) == {"own"}
    own = told["roofs"]["own"]
    assert set(own) == {"peak_tops", "dram_tbits", "pe_memory_tbits"}
    (curve,) = told["curves"]
    assert curve["float_epochs"] == 2
    assert curve["history"]["loss"] == [2.0, 1.0, None]
    assert told["longer"]["command"] == (
        f"python tools/retrain.py '--design={folder}/trial_4' "
        "'--data=npz:my data.npz' --batch_size=32 --epochs=12 "
        f"'--output_dir={folder}/longer_trial_4'"
    )


def test_advice_and_layers_are_of_the_best_only(page):
    told = content(page)["details"]
    assert "advice" not in told["3"]["layers"]
    assert "layers" not in told["2"]  # which has no design yet
    assert told["2"]["curves"]


def test_settings_are_there(page):
    groups = dict(content(page)["settings"])
    assert ["budgets.latency_ms", "0.0009"] in groups["Search"]
    assert ["seed", "3"] in groups["Search"]
    assert ["optimizer.class", "Adam"] in groups["Training"]
    assert groups["Versions"] == [["keras", "3.0"]]


@pytest.mark.parametrize("chips", [1, 3])
def test_layers_are_those_of_their_chip(tmp_path, chips):
    """Of a pipeline each stage is priced alone, and its costs add up."""
    design = dataclasses.replace(
        run_folders.small_design(tmp_path), chips=chips
    )
    link = cs.Link(bandwidth_gbs=0.5, byte_pj=40.0)
    told = details.of_design(design, False, link)
    layers = design.network.layers()
    if chips == 1:
        assert not {"stages"} & told.keys()
        assert "chip" not in told["layers"]
        return
    cut = cs.partition(layers, [design.accelerator] * chips, link)
    assert told["layers"]["name"] == [row.name for row in layers]
    counts = [len(stage.layers) for stage in cut.stages]
    of_chip = told["layers"]["chip"]
    assert [of_chip.count(n + 1) for n in range(chips)] == counts
    for number, stage in enumerate(cut.stages, 1):
        rows = [
            latency
            for chip, latency in zip(
                of_chip, told["layers"]["latency_ms"], strict=True
            )
            if chip == number
        ]
        assert sum(rows) == pytest.approx(stage.work_ms, rel=1e-3)
    assert len(told["stages"]) == chips
    assert told["stages"][0][1].startswith(layers[0].name)
    assert dict(told["costs"])["throughput"] == cs.metrics.get(
        "throughput_fps"
    ).text(cut.throughput_fps)


def test_chips_that_differ_have_their_own_words_and_roofs(tmp_path):
    design = dataclasses.replace(
        run_folders.small_design(tmp_path), chips="own+coral_usb+own"
    )
    told = details.of_design(design, False, cs.Link(0.5, 40.0))
    words = dict(told["accelerator"])
    assert words["chips"].startswith("own+coral_usb+own in a pipeline")
    alone = details.accelerator_words(design.accelerator)
    assert told["accelerator"][1:-1] == alone
    assert "4.1 TOPS peak" in words["coral_usb"]
    assert list(told["roofs"]) == ["own", "coral_usb"]
    coral = told["roofs"]["coral_usb"]
    assert coral["peak_tops"] == pytest.approx(4.096, rel=1e-3)
    usb = cs.load_accelerator("coral_usb").dram.bandwidth_gbs
    assert coral["dram_tbits"] == pytest.approx(usb * 8e-3, rel=1e-3)
    layers = told["layers"]
    for chip, tops in zip(layers["chip"], layers["achieved_tops"], strict=True):
        name = ["own", "coral_usb", "own"][chip - 1]
        assert tops <= told["roofs"][name]["peak_tops"] * 1.001


def test_commands_are_those_that_are_there(monkeypatch, tmp_path):
    assert cs.text.command("retrain") == "python tools/retrain.py"
    installed = tmp_path / "site-packages" / "tf_cosearch" / "text.py"
    monkeypatch.setattr(cs.text, "__file__", str(installed))
    assert cs.text.command("retrain") == "cosearch retrain"


def test_the_link_of_several_chips_is_that_of_the_evaluator(folder):
    found = run.read(folder)
    design = run_folders.small_design(folder)
    found.state["identity"]["evaluator"] = {"link_gbs": 0.25, "link_pj": None}
    link = details._link(found, design)
    assert link.bandwidth_gbs == 0.25
    assert link == cs.Link.of(design.accelerator, 0.25)


def test_a_page_says_who_proposed_a_trial(folder, page):
    origins = content(page)["origins"]
    assert origins["3"] == ["Nsga2: mutated", ["1"]]
    assert set(origins) == {"2", "3", "4", "5"}
    known = keras_tuner.engine.trial.Trial(None, "0", "COMPLETED")
    known.message = "Known from runs/before"
    assert run._origin(known) == ("Known from runs/before", [])


def test_a_table_names_its_accuracy_and_trains_from_scratch(tmp_path):
    folder = run_folders.make(tmp_path / "table", 2)
    design = run_folders.small_design(folder / "trial_0")
    known = {**design.metrics, "accuracy_table": 0.7}
    del known["accuracy_int8"]
    design = dataclasses.replace(design, metrics=known)
    export.write_description(folder / "trial_0", design.describe())
    told = details.of_trial(run.read(folder), "0")
    assert "--from_scratch" in told["longer"]["command"]


def test_many_trials_leave_room(tmp_path, monkeypatch):
    """Of what there is no room for, the front and the best stay."""
    folder = run_folders.make(tmp_path / "many", 40)
    monkeypatch.setattr(writing, "_MOST_TABLE", 2000)
    monkeypatch.setattr(writing, "MOST_DETAILED", 3)
    writing.write(run.read(folder), tmp_path / "report.html")
    told = content((tmp_path / "report.html").read_text())
    assert 5 < len(told["rows"]) < 30
    kept = {row[0] for row in told["rows"]}
    assert told["chosen"] in kept
    assert list(told["details"]) == ["38", "37", "36"]
    assert f"{len(kept)} of 40 trials" in told["notes"][0]
    assert "Details are of 3 trials" in told["notes"][1]


def test_details_stop_at_the_size(tmp_path, monkeypatch):
    folder = run_folders.make(tmp_path / "large", 6)
    found = run.read(folder)
    writing.write(found, tmp_path / "all.html")
    size = (tmp_path / "all.html").stat().st_size
    monkeypatch.setattr(writing, "MOST_BYTES", size)
    writing.write(found, tmp_path / "less.html")
    told = content((tmp_path / "less.html").read_text())["details"]
    assert 0 < len(told) < 6
    assert (tmp_path / "less.html").stat().st_size < writing.MOST_BYTES


def test_a_thousand_trials_are_small(folder, tmp_path):
    found = run.read(folder)
    more = {f"stage{n}/kernel_size": 0.123456 + n for n in range(40)}
    rows = [
        {**found.rows[0], **more, "trial_id": f"{n:04d}"} for n in range(1000)
    ]
    columns = [*found.columns, *more]
    best = [row["trial_id"] for row in rows]
    found = found._replace(rows=rows, columns=columns, best=best, front=best)
    writing.write(found, tmp_path / "report.html")
    told = content((tmp_path / "report.html").read_text())
    assert len(told["rows"]) == 1000
    assert (tmp_path / "report.html").stat().st_size < 6_000_000


@pytest.mark.parametrize("text", ["", "nothing,here\n1,2\n", "\0", "a\nb\n"])
def test_a_damaged_table_is_told_and_costs_no_trial(tmp_path, text):
    folder = run_folders.make(tmp_path / "run", 3)
    (folder / "trials.csv").write_text(text)
    found = run.read(folder)
    assert len(found.rows) == 3
    assert found.rows[0]["accuracy_int8"] == pytest.approx(0.633333)
    assert found.wrong[0].startswith("trials.csv")


def test_a_trial_that_runs_again_has_nothing_of_before(tmp_path):
    folder = run_folders.make(tmp_path / "run", 3)
    path = folder / "trial_0" / "trial.json"
    path.write_text(path.read_text().replace("COMPLETED", "RUNNING"))
    first = run.read(folder).rows[0]
    assert first["status"] == "RUNNING"
    assert "latency_ms" not in first


def test_a_trial_without_its_folder_is_still_a_row(tmp_path):
    folder = run_folders.make(tmp_path / "run", 3)
    shutil.rmtree(folder / "trial_2")
    found = run.read(folder)
    assert [row["trial_id"] for row in found.rows] == ["0", "1", "2"]
    assert found.rows[2]["accuracy_int8"] == pytest.approx(0.9)


def test_a_damaged_trial_is_told_and_costs_no_other(tmp_path):
    folder = run_folders.make(tmp_path / "run", 3)
    (folder / "trial_1" / "trial.json").write_text('{"trial_id": ')
    (folder / "trial_1" / "design.json").write_text("{")
    (folder / "oracle.json").write_text("[]")
    found = run.read(folder)
    assert [row["status"] for row in found.rows] == [
        "COMPLETED",
        "FAILED",
        "COMPLETED",
    ]
    assert "gone or damaged" in found.failures["1"]
    assert "oracle.json" in found.wrong[0]
    writing.write(found, tmp_path / "report.html")


def test_a_damaged_design_is_told(tmp_path):
    folder = run_folders.make(tmp_path / "run", 2)
    (folder / "trial_0" / "design.json").write_text("{")
    told = details.of_trial(run.read(folder), "0")
    assert "design.json" in told["unknown"]
    assert "network" not in told


def test_values_that_are_no_numbers_do_no_harm(tmp_path):
    folder = run_folders.make(tmp_path / "run", 3)
    path = folder / "trials.csv"
    path.write_text(path.read_text().replace("10.0", "wide"))
    found = run.read(folder)
    assert "area_mm2" not in found.compared
    writing.write(found, tmp_path / "report.html")


def test_a_folder_without_trials_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must have trials"):
        run.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="must have trials"):
        run.read(tmp_path / "nowhere")


@pytest.fixture
def warnings(monkeypatch):
    told = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: told.append(text % args)
    )
    return told


def full(*args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_search_outlives_its_page(folder, monkeypatch, warnings):
    monkeypatch.setattr(writing.files, "write_text", full)
    writing.leave(folder)
    (line,) = warnings
    assert "report.html was not written" in line
    assert "Read-only" in line
    assert "\n" not in line


def test_without_plotly_a_search_says_so(folder, monkeypatch, warnings):
    monkeypatch.setitem(sys.modules, "plotly", None)
    writing.leave(folder)
    (line,) = warnings
    assert "pip install plotly" in line


def test_following_ends_with_the_search(tmp_path, monkeypatch):
    folder = run_folders.make(tmp_path / "run", 3, running=[2])
    path = tmp_path / "report.html"
    waits = []

    def wait(seconds):
        """The trial ends, then the search."""
        waits.append(seconds)
        if len(waits) == 2:
            trial = folder / "trial_2" / "trial.json"
            trial.write_text(trial.read_text().replace("RUNNING", "COMPLETED"))
            later = time.time_ns() + 10**9
            os.utime(trial, ns=(later, later))
        if len(waits) == 3:
            owner.close()

    monkeypatch.setattr(following.time, "sleep", wait)
    with files.owned(folder):
        pages = following.follow(folder, path, 0)
        first = next(pages)
        assert content(path.read_text())["reload_seconds"] == 20
        owner = _Owner(folder)
        rest = list(pages)
    assert first == f"Trials: 2 finished, 1 running. Wrote {path}."
    assert [line.split(".")[0] for line in rest[:-1]] == [
        "Trials: 3 finished",
        "Trials: 3 finished",
    ]
    assert rest[-1] == f"Nobody works in {folder} any more."
    assert content(path.read_text())["reload_seconds"] is None
    assert waits[0] >= following.SECONDS


def test_what_is_trained_is_told_while_somebody_trains(tmp_path):
    folder = run_folders.make(tmp_path / "run", 3, running=[2])
    state = json.loads((folder / "oracle.json").read_text())
    state["ongoing_trials"] = {"tuner0": "2"}
    (folder / "oracle.json").write_text(json.dumps(state))
    path = tmp_path / "report.html"
    trained = "trial 2: quantization-aware, epoch 4"
    with files.owned(folder):
        (line,) = following.once(folder, path, 0)
    assert line == (
        f"Trials: 2 finished, 1 running. Now {trained}. Wrote {path}."
    )
    assert content(path.read_text())["training"] == [trained]
    (line,) = following.once(folder, path, 0)  # it was killed
    assert line == f"Trials: 2 finished, 1 running. Wrote {path}."
    assert content(path.read_text())["training"] == []


class _Owner:
    """Takes the lock's file away, as the end of a search does."""

    def __init__(self, folder):
        self._path = folder / files.LOCK

    def close(self):
        self._path.unlink()


def test_who_works_in_a_folder_is_seen_without_a_lock(tmp_path):
    assert not files.is_owned(tmp_path)
    with files.owned(tmp_path):
        assert files.is_owned(tmp_path)
    assert not files.is_owned(tmp_path)
    host = files.socket.gethostname()
    lock = tmp_path / files.LOCK
    lock.write_text(f"process 999999999 on {host} (since 2026)")
    assert not files.is_owned(tmp_path)  # it was killed
    lock.write_text("process 999999999 on another machine (since 2026)")
    assert files.is_owned(tmp_path)
    lock.write_text("")
    assert files.is_owned(tmp_path)
