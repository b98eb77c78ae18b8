import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import pytest
from devices import design, device

from tf_cosearch import evaluators
from tf_cosearch.accelerators import presets
from tf_cosearch.evaluators import program
from tf_cosearch.evaluators.evaluator import Quantity, RefusedError


def command(words, **options):
    return evaluators.make("command", {"program": words, **options})


def answering(folder, text):
    return command(device(folder, f"print({text!r})"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"latency_ms": 1.5}', Quantity(1.5, "ms")),
        ('{"latency_ms": {"value": 2}}', Quantity(2, "ms")),
        (
            '{"latency_ms":\n {"value": 2, "unit": "ms", "noise": 0.1}}',
            Quantity(2, "ms", 0.1),
        ),
    ],
)
def test_a_program_answers_in_json(answer, expected, tmp_path):
    evaluation = answering(tmp_path, answer)(design(tmp_path))
    assert evaluation.costs == {"latency_ms": expected}
    assert evaluation.seconds > 0


def test_it_has_copies_of_both_files_in_a_folder_of_its_own(tmp_path):
    seen = tmp_path / "seen.json"
    words = device(
        tmp_path,
        f"""
        told = json.load(sys.stdin)
        model, accelerator = sys.argv[1:]
        text = open(accelerator).read()
        seen = dict(told, cwd=os.getcwd(), args=sys.argv[1:], text=text)
        seen["content"] = open(model).read()
        json.dump(seen, open({os.fspath(seen)!r}, "w"))
        open(model, "w").write("spoilt")
        open("left", "w").write("litter")
        print(json.dumps({{"power_mw": 1, "celsius": 40.5}}))
        """,
    )
    judge = command(words, costs=["power_mw", "celsius"])
    one = design(tmp_path / "trial", b"its weights")
    assert judge(one).costs == {
        "power_mw": Quantity(1, "mW"),
        "celsius": Quantity(40.5, ""),
    }
    told = json.loads(seen.read_text())
    assert told["content"] == "its weights"
    assert told["args"] == [told["tflite"], told["accelerator"]]
    assert told["costs"] == ["power_mw", "celsius"]
    assert os.path.dirname(told["tflite"]) == os.path.realpath(told["cwd"])
    path = tmp_path / "accelerator.yaml"
    path.write_text(told["text"])
    assert presets.load_accelerator(path) == one.accelerator
    assert one.tflite.read_bytes() == b"its weights"
    assert os.listdir(one.tflite.parent) == ["model.tflite"]
    assert not os.path.exists(told["cwd"])


def test_no_shell_reads_its_arguments(tmp_path):
    words = device(
        tmp_path, "print(json.dumps({'latency_ms': len(sys.argv[1])}))"
    )
    word = "$(touch here); `id` | cat *"
    judge = command([*words, word])
    assert judge(design(tmp_path)).costs["latency_ms"].value == len(word)


def test_a_program_may_be_a_line_and_is_found_from_where_one_is(
    tmp_path, monkeypatch
):
    device(tmp_path, "print('{\"latency_ms\": 3}')", "mine.py")
    monkeypatch.chdir(tmp_path)
    judge = command(f"{sys.executable} mine.py")
    monkeypatch.chdir("/")
    assert judge(design(tmp_path)).costs["latency_ms"].value == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "JSON object. Received: nothing"),
        ("Ready.\n", r"JSON object. Received: 'Ready\.'. Write logs"),
        ('{"latency_ms": 1, "latency_ms": 2}', "'latency_ms' more than once"),
        ('{"latency_ms": {"value": 1, "value": 2}}', "'value' more than once"),
        ("[1.5]", "JSON object. Received: '\\[1.5\\]'"),
        ('{"latency_ms": NaN}', "not negative. Received: nan"),
        ('{"latency_ms": 1e999}', "not negative. Received: inf"),
        ('{"latency_ms": -1}', "not negative. Received: -1"),
        ('{"latency_ms": 0}', "must be more than 0"),
        ('{"latency_ms": "fast"}', "latency_ms of Command.*Received: 'fast'"),
        ('{"latency_ms": "1.5"}', "not negative. Received: '1.5'"),
        ('{"latency_ms": true}', "not negative. Received: True"),
        ('{"latency_ms": null}', "not negative. Received: None"),
        ('{"latency_ms": [1]}', r"not negative. Received: \[1\]"),
        (f'{{"latency_ms": {"9" * 400}}}', "not negative. Received: 9999"),
        ('{"latency_ms": {"value": 1, "noise": "x"}}', "noise of latency_ms"),
        ('{"latency_ms": {"mean": 1}}', "value, unit and noise. .*: mean"),
        ('{"latency_ms": {"value": 1, "noise": -1}}', "not negative"),
        ('{"latency_ms": {"value": 1, "unit": "us"}}', "in ms. Received: 'us'"),
        ("{}", "must have latency_ms. Received: nothing"),
        ('{"latency": 1}', "must have latency_ms. Received: latency"),
        ('{"latency_ms": 1, "celsius": 40}', "Name celsius in `costs`, too"),
        ('{"latency_ms": 1, "refused": null}', "must say why.*Received: None"),
        ('{"latency_ms": 1, "refused": false}', "must say why.*: False"),
        ('{"refused": " "}', "must say why, in words. Received: ' '"),
    ],
)
def test_an_answer_must_make_sense(answer, message, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        answering(tmp_path, answer)(design(tmp_path))


def test_what_a_program_refuses_it_refuses_for_good(tmp_path):
    judge = answering(tmp_path, '{"refused": "It needs 300 KiB of SRAM."}')
    told = r"^Command refused the design: It needs 300 KiB of SRAM\.$"
    with pytest.raises(RefusedError, match=told):
        judge(design(tmp_path))


def test_a_refusal_is_one_line_that_no_terminal_obeys(tmp_path):
    reason = "no\n\x1b[31mmemory\t\ud800 " + 2**18 * "x"
    words = device(tmp_path, f"print(json.dumps({{'refused': {reason!r}}}))")
    with pytest.raises(RefusedError) as caught:
        command(words)(design(tmp_path))
    told = "Command refused the design: no [31mmemory xxx"
    assert str(caught.value).startswith(told)
    assert len(str(caught.value)) < 350


def test_what_a_program_fails_with_is_plain(tmp_path):
    words = device(tmp_path, "sys.exit('one\\n\x1b[31mno board\x07')")
    with pytest.raises(RuntimeError) as caught:
        command(words)(design(tmp_path))
    assert "Received: 1, [31mno board." in str(caught.value)


def test_an_exit_code_is_told_with_the_last_line(tmp_path):
    words = device(
        tmp_path,
        "print('one\\nNo board at /dev/ttyUSB0', file=sys.stderr)\nsys.exit(3)",
    )
    with pytest.raises(RuntimeError, match="Received: 3, No board at /dev/tty"):
        command(words)(design(tmp_path))


def test_a_program_that_hangs_is_ended_with_all_it_started(tmp_path):
    pids = tmp_path / "pids"
    words = device(
        tmp_path,
        f"""
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        open({os.fspath(pids)!r}, "w").write(str(child.pid))
        time.sleep(60)
        """,
    )
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"answer within 3 s\. Received: no"):
        command(words, timeout_s=3)(design(tmp_path))
    assert time.monotonic() - began < 20
    assert not is_running(pids.read_text())


def test_a_program_ends_with_a_search_that_is_killed(tmp_path):
    """And what it has started with it; its folder is removed."""
    pids = tmp_path / "pids"
    body = f"""
        import subprocess
        child = subprocess.Popen(["sleep", "60"])
        open({os.fspath(pids)!r}, "w").write(f"{{child.pid}} {{os.getpid()}} ")
        time.sleep(60)
        """
    words = device(tmp_path, body)
    with warnings.catch_warnings():  # this process has threads
        warnings.simplefilter("ignore", DeprecationWarning)
        search = os.fork()
    if not search:
        temporary = tempfile.TemporaryDirectory(dir=tmp_path)
        program.run(words, temporary, 100.0)
        os._exit(1)
    until = time.monotonic() + 60
    while not (pids.exists() and pids.read_text().endswith(" ")):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert any(path.is_dir() for path in tmp_path.iterdir())
    os.kill(search, signal.SIGKILL)
    os.waitpid(search, 0)
    while any(map(is_running, pids.read_text().split())):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def is_running(pid):
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True
    ).stdout.strip()
    return state[:1] not in ("", "Z")


def test_an_end_by_a_signal_is_told_as_one(tmp_path):
    words = device(tmp_path, "os.kill(os.getpid(), 15)")
    with pytest.raises(RuntimeError, match="Received: -15, nothing on stderr"):
        command(words)(design(tmp_path))


def test_what_cannot_be_started_is_told(tmp_path):
    """Though it is there and may be run."""
    path = tmp_path / "broken"
    path.write_bytes(b"\x7fELF, and no more")
    path.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"must be a program\. .*: Exec"):
        command([os.fspath(path)])(design(tmp_path))


def test_what_a_program_leaves_running_does_not_keep_it(tmp_path):
    words = device(
        tmp_path,
        """
        import subprocess
        subprocess.Popen(["sleep", "30"])
        print('{"latency_ms": 1}')
        """,
    )
    began = time.monotonic()
    command(words)(design(tmp_path))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"program": []}, "a program and its arguments. Received: \\[\\]"),
        ({"program": 'a "b'}, "a program and its arguments"),
        ({"program": 3}, "a program and its arguments. Received: 3"),
        ({"costs": []}, "list of names"),
        ({"costs": "latency_ms"}, "list of names"),
        ({"costs": ["latency_ms", "latency_ms"]}, "each once"),
        ({"costs": ["accuracy_int8"]}, "must measure costs"),
        ({"costs": ["file_kib"]}, "which a trial tells itself"),
        ({"costs": ["status"]}, "means something else"),
        ({"timeout_s": 0}, "`timeout_s` must be positive"),
        ({"retries": -1}, "`retries` must be an integer of at least 0"),
        ({"pause_s": "soon"}, "`pause_s` must be a number"),
        ({"port": 1}, "Unknown option of command: 'port'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        evaluators.make("command", {"program": sys.executable, **options})


def test_the_program_must_be_there():
    with pytest.raises(FileNotFoundError, match="Received: no_such_program"):
        command("no_such_program --fast")


@pytest.mark.parametrize(
    "line",
    [
        "python3 mesure.py",
        "python3 -u mesure.py --fast",
        f"{sys.executable} lab/mesure.py",
        "bash mesure.sh",
        "env PORT=1 python3 mesure.py",
        "timeout 9 python3 -W ignore mesure.py",
        "nice -n 5 taskset -c 0,1 python3 mesure.py",
    ],
)
def test_the_script_must_be_there(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="a script that is there") as no:
        command(line)
    assert str(tmp_path) in str(no.value)


@pytest.mark.parametrize(
    "line",
    [
        "python3 measure.py --out=new.csv",
        "python3 -W ignore measure.py",
        "python3 -m lab.measure",
        "python3 -c 'print(1)'",
        "python3 -Ic 'print(1)'",
        "env python3 measure.py",
        "env ssh board python3 there.py",
        "sleep 1",
        "./measure.py there.py",
    ],
)
def test_no_other_word_must_be_there(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "measure.py"
    path.write_text("")
    path.chmod(0o755)
    command(line)
