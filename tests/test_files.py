import errno
import os
import subprocess
import sys
import textwrap

import pytest

from tf_cosearch import files


def test_files_are_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_json(path, {"a": 2})
    assert "Make room" in str(caught.value)
    assert files.is_storage_error(caught.value)
    assert files.read_json(path, dict[str, int]) == ({"a": 1}, "")
    assert {p.name for p in tmp_path.iterdir()} == {"a.json", "a.json.bak"}


@pytest.mark.parametrize("keep", range(9))
def test_a_truncated_file_is_read_from_its_copy(tmp_path, keep):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1]})
    path.write_text(path.read_text()[:keep])
    content, wrong = files.read_json(path, dict[str, list[int]])
    assert content == {"a": [1]}
    assert "a.json cannot be read" in wrong


def test_a_file_of_another_kind_is_read_from_its_copy(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    path.write_text('{"a": "1"}')
    content, wrong = files.read_json(path, dict[str, int])
    assert content == {"a": 1}
    assert "it['a'] must be int. Received: '1'" in wrong
    (tmp_path / "a.json.bak").write_text("[]")
    with pytest.raises(ValueError, match=r"it\['a'\] must be int"):
        files.read_json(path, dict[str, int])


def test_without_file_and_copy_there_is_nothing(tmp_path):
    content, wrong = files.read_json(tmp_path / "a.json", dict[str, int])
    assert content is None
    assert "a.json" in wrong


def test_a_killed_process_leaves_no_half_written_file(tmp_path):
    (tmp_path / "trial_0").mkdir()
    for left in (tmp_path / ".a.json.7.tmp", tmp_path / "trial_0/.b.7.tmp"):
        left.write_text("{")
    (tmp_path / "notes.tmp").write_text("the user's")
    assert len(files.sweep(tmp_path)) == 2
    assert [p.name for p in tmp_path.rglob("*.tmp")] == ["notes.tmp"]


def run(folder, then):
    script = textwrap.dedent(f"""
        import sys, types
        sys.modules["tf_cosearch"] = types.ModuleType("tf_cosearch")
        sys.modules["tf_cosearch"].__path__ = [{str(files.__file__[:-9])!r}]
        from tf_cosearch import files
        with files.owned(sys.argv[1]):
            {then}
    """)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_folder_has_one_owner_even_after_a_kill(tmp_path):
    first = run(tmp_path, "print('owned', flush=True); input()")
    assert first.stdout.readline() == "owned\n"
    with (
        pytest.raises(RuntimeError, match=f"process {first.pid} on"),
        files.owned(tmp_path),
    ):
        pass
    first.kill()
    first.communicate()
    with files.owned(tmp_path), files.owned(tmp_path):
        _, told = run(tmp_path, "pass").communicate("")
        assert f"process {os.getpid()} on" in told
        files.empty(tmp_path)
        _, told = run(tmp_path, "pass").communicate("")
        assert f"process {os.getpid()} on" in told
    assert list(tmp_path.iterdir()) == []
    assert run(tmp_path, "pass").communicate("") == ("", "")
