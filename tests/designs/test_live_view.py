import io
import logging
import os
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from tf_cosearch.designs import live_view
from tf_cosearch.designs.ongoing import Training

TRAININGS = [
    Training(f"0{n}", f"worker{n}", "float", 3, 12, 40.0, 150.0)
    for n in range(3)
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """What a terminal of a user says of itself."""
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def console(file=None, **kwargs):
    kwargs = {"width": 60, "height": 10, "markup": False, **kwargs}
    file = Terminal() if file is None else file
    return Console(file=file, soft_wrap=True, **kwargs)


def until(ask):
    began = time.monotonic()
    while not ask():
        assert time.monotonic() - began < 20
        time.sleep(0.01)


def test_a_terminal_is_renewed_and_left_clean(monkeypatch):
    monkeypatch.setattr(live_view, "_REFRESHES", 50.0)
    shown, heads = console(), iter(range(10**6))
    said = shown.file
    with live_view.shown(
        shown, lambda: (f"head {next(heads)}", TRAININGS), lambda: 0.0
    ):
        until(lambda: "head 5" in said.getvalue())
        shown.print("a line of a trial")
    told = said.getvalue()
    assert "worker1  trial 01  float  epoch 3 of 12  40 s an epoch" in told
    assert told.count("a line of a trial\n") == 1
    assert told.rstrip().endswith("\x1b[2K")  # the view is gone
    assert told.count("\x1b[?25h") == 1  # and the cursor back


def test_lines_are_as_wide_and_as_many_as_there_is_room():
    small = console(width=30, height=4)
    drawn = live_view._lines(small, "the head of it", TRAININGS).plain
    first, second, last = drawn.split("\n")
    assert first == "the head of it"
    assert second == "worker0  trial 00  float  ep…"
    assert last == "and 2 more"


@pytest.mark.parametrize(
    ("name", "value"), [("CI", "true"), ("NO_COLOR", "1"), ("TERM", "dumb")]
)
def test_no_view_where_none_is_wanted(monkeypatch, name, value):
    assert live_view.has_view(console())
    monkeypatch.setenv(name, value)
    assert not live_view.has_view(console())


def test_no_view_in_a_file_that_asks_for_colour(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not live_view.has_view(console(io.StringIO()))


def test_a_log_has_a_line_after_silence_and_less_and_less(monkeypatch):
    monkeypatch.setattr(live_view, "PAUSE_SECONDS", 0.2)
    shown, spoke = console(io.StringIO()), time.monotonic()
    with live_view.shown(
        shown,
        lambda: ("3 of 9", TRAININGS[:1]),
        lambda: time.monotonic() - spoke,
    ):
        until(lambda: shown.file.getvalue().count("\n") == 2)
    took = time.monotonic() - spoke
    assert took >= 0.6  # 0.2 s, then twice as many
    line = "3 of 9: trial 00: float, epoch 3 of 12, 40 s an epoch, 2 min left"
    assert shown.file.getvalue().splitlines() == [line] * 2


def test_a_log_says_that_nothing_trains(monkeypatch):
    """While a design is looked for, for example."""
    monkeypatch.setattr(live_view, "PAUSE_SECONDS", 0.05)
    shown = console(io.StringIO())
    with live_view.shown(shown, lambda: ("3 of 9", []), lambda: 9.0):
        until(shown.file.getvalue)
    first, *_ = shown.file.getvalue().splitlines()
    assert first == "3 of 9: nothing trains just now"


def test_a_log_whose_trials_end_has_no_other_line(monkeypatch):
    monkeypatch.setattr(live_view, "PAUSE_SECONDS", 0.1)
    shown = console(io.StringIO())
    with live_view.shown(shown, lambda: ("head", []), lambda: 0.0):
        time.sleep(0.5)
    assert not shown.file.getvalue()


class Tee:
    """What scripts put in the place of standard output."""

    def __init__(self):
        self.write = io.StringIO().write

    def flush(self):
        pass


@pytest.mark.parametrize("colour", ["", "1"])
def test_no_view_in_what_cannot_tell_whether_it_is_seen(monkeypatch, colour):
    monkeypatch.setenv("FORCE_COLOR", colour)
    with open(os.devnull, "w") as closed:
        pass
    assert not live_view.has_view(console(Tee()))
    assert not live_view.has_view(console(closed))


@pytest.mark.parametrize("file", [Terminal, io.StringIO])
def test_nothing_of_it_costs_a_search(monkeypatch, file):
    """Nor does it go on to show what was trained when it could be read."""
    monkeypatch.setattr(live_view, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(live_view, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(live_view, "_REFRESHES", 50.0)
    shown, asked = console(file()), []

    def told():
        asked.append(len(shown.file.getvalue()))
        if len(asked) == 2:
            return "head", TRAININGS
        raise OSError("the folder is gone")

    with live_view.shown(shown, told, lambda: 9.0):
        until(lambda: len(asked) == 6)
    after = shown.file.getvalue()[asked[3] :]
    assert "trial 00" in shown.file.getvalue()
    assert "trial 00" not in after


@pytest.mark.parametrize("file", [Terminal, io.StringIO])
def test_a_quiet_console_stays_so(file):
    silent = console(file(), quiet=True)
    with live_view.shown(silent, lambda: 1 / 0, lambda: 9.0):
        assert not silent.file.getvalue()


def test_ctrl_c_gives_everything_back():
    shown, before = console(), (sys.stdout, sys.stderr)
    with (
        pytest.raises(KeyboardInterrupt),
        live_view.shown(shown, lambda: ("head", TRAININGS), lambda: 0.0),
    ):
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before
    assert shown.file.getvalue().count("\x1b[?25h") == 1


def test_a_process_that_replaces_itself_leaves_a_clean_terminal(monkeypatch):
    """It leaves no block, but calls what is to be called at its exit."""
    at_exit, before = [], sys.stdout
    monkeypatch.setattr(live_view.atexit, "register", at_exit.append)
    monkeypatch.setattr(live_view.atexit, "unregister", at_exit.remove)
    shown = console()
    with live_view.shown(shown, lambda: ("head", TRAININGS), lambda: 0.0):
        (leave,) = at_exit
        leave()
        assert sys.stdout is before
        assert shown.file.getvalue().count("\x1b[?25h") == 1
    assert not at_exit


OF_A_COMMAND = """
import os, sys, time, types, warnings
from rich.console import Console

of_tensorflow = types.ModuleType("tf_cosearch.designs.ongoing")
of_tensorflow.Training = of_tensorflow.line = None  # takes seconds
sys.modules[of_tensorflow.__name__] = of_tensorflow
from tf_cosearch.commands import command_line
from tf_cosearch.designs import live_view

command_line._filter_stderr()
with live_view.shown(Console(), lambda: ("head", ()), lambda: 0.0):
    warnings.warn("of Python")
    os.write(2, b"of a library\\n")
    os.write(2, b"I0000 00:00:1.0 1 some.cc:1] noise\\n")
    time.sleep(0.3)  # until the filter has it
"""


@pytest.mark.parametrize("goes_to", ["terminal", "file", "pipe"])
def test_only_what_a_terminal_shows_is_caught(tmp_path, goes_to):
    """As `2>errors.log` asks for a file that has all, and nobody sees."""
    terminal, side = os.openpty()
    read, write = os.pipe()
    file = os.open(tmp_path / "errors.log", os.O_WRONLY | os.O_CREAT)
    errors = {"terminal": side, "file": file, "pipe": write}[goes_to]
    code = [sys.executable, "-c", OF_A_COMMAND]
    subprocess.run(code, stdout=side, stderr=errors, check=True, timeout=100)
    os.write(write, b".")  # else there may be nothing to read
    shown = os.read(terminal, 2**16).decode().replace("\r\n", "\n")
    piped = os.read(read, 2**16).decode()
    for each in (terminal, side, read, write, file):
        os.close(each)
    there = {
        "terminal": shown,
        "file": (tmp_path / "errors.log").read_text(),
        "pipe": piped,
    }
    for name, content in there.items():
        found = [line in content for line in ("of Python\n", "of a library\n")]
        assert found == [name == goes_to] * 2
        assert "noise" not in content
    # Both begin a line of their own, where the view was.
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "head" in shown
    assert "headof a library" not in shown


def test_what_is_logged_goes_above_the_view(monkeypatch):
    """Handlers hold the terminal itself, also one inside another as absl's."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    logger = logging.getLogger("tests.live_view")
    plain, inner, outer = (
        logging.StreamHandler(terminal),
        logging.StreamHandler(terminal),
        logging.Handler(),
    )
    outer.python_handler, outer.emit = inner, lambda record: inner.emit(record)
    elsewhere = logging.StreamHandler(io.StringIO())
    handlers = [plain, outer, elsewhere]
    monkeypatch.setattr(logger, "handlers", handlers)
    with live_view.shown(
        console(terminal), lambda: ("head", TRAININGS), lambda: 0.0
    ):
        streams = [plain.stream, inner.stream]
        assert terminal not in streams
        logger.warning("a warning")
    assert terminal.getvalue().count("a warning\n") == 2
    assert elsewhere.stream.getvalue() == "a warning\n"
    assert [plain.stream, inner.stream] == [terminal, terminal]
