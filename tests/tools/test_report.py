import errno
import json
import re

import pytest

from tf_cosearch.commands import command_line


def content(path):
    pattern = r'<script id="run"[^>]*>(.*?)</script>'
    return json.loads(re.search(pattern, path.read_text())[1])


def test_a_search_leaves_its_page(finished):
    told = content(finished / "report.html")
    assert {row[1] for row in told["rows"]} == {"COMPLETED"}
    assert set(told["details"]) == {"0", "1"}
    for details in told["details"].values():
        assert details["network"][0][0] == "tiny"
        assert details["curves"]
        assert "advice" not in details["layers"]
    settings = dict(told["settings"])
    assert ["algorithm", "RandomSearch"] in settings["Search"]
    assert settings["Command"]


def test_a_page_is_made_again(call, finished, tmp_path):
    path = tmp_path / "again.html"
    before = sorted(finished.iterdir())
    done = call("report", f"--run={finished}", f"--output={path}", "--advise=1")
    told = f"Trials: 2 finished. Wrote {path}.\n"
    assert (done.code, done.out, done.err) == (0, told, "")
    chosen = content(path)["chosen"]
    advised = [
        i
        for i, d in content(path)["details"].items()
        if "advice" in d["layers"]
    ]
    assert advised == [chosen]
    assert sorted(finished.iterdir()) == before


def test_a_search_that_has_ended_is_followed_to_its_end(
    call, finished, tmp_path
):
    path = tmp_path / "followed.html"
    done = call(
        "report",
        f"--run={finished}",
        f"--output={path}",
        "--advise=0",
        "--follow",
    )
    assert done.code == 0
    assert done.out.endswith(f"Nobody works in {finished} any more.\n")
    assert content(path)["reload_seconds"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--run must be given"),
        (["--run=."], "must have trials"),
        (["--run=nowhere", "--follow"], "must have trials"),
        (["--run=.", "--advise=-1"], "--advise"),
    ],
)
def test_wrong_flags_are_refused(call, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in call("report", *flags).message


@pytest.mark.parametrize("output", ["file/report.html", "report.txt", "."])
def test_a_place_that_cannot_be_written_is_named(
    call, finished, tmp_path, monkeypatch, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    done = call("report", f"--run={finished}", f"--output={output}")
    assert "--output must be" in done.message
    assert f"Received: {output.split('/')[0]}" in done.message


def test_a_run_that_cannot_be_written_to_needs_an_output(
    call, finished, monkeypatch
):
    def read_only(dir):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(command_line.tempfile, "TemporaryFile", read_only)
    message = call("report", f"--run={finished}").message
    assert "--output must be in a folder that can be written to" in message
    assert "Read-only" in message
