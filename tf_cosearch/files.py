"""Files that no crash can halve, and folders that one process owns."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from absl import logging

from tf_cosearch import schema

State = TypeVar("State")

LOCK = ".lock"
_BACKUP = ".bak"
_NO_ROOM = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EIO,
)
_owned: set[str] = set()


def write_bytes(path: str | os.PathLike[str], *content: Any) -> None:
    """Writes a file that is never seen half-written and outlasts a crash.

    Args:
        path: Where to; what is there is replaced.
        *content: What the file is to hold: bytes, or arrays of uint8.

    Raises:
        OSError: If there is no room, or no permission. What was there is
            still there.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "wb") as file:
            file.writelines(content)
        replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not is_storage_error(error):
            raise
        raise OSError(
            error.errno,
            f"{path} must be written. Received: {error.strerror}. Make room "
            "and give permission, then run the same command again: what is "
            "finished is kept",
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Writes JSON as `write_bytes` does, and a copy for `read_json`."""
    text = json.dumps(content).encode()
    write_bytes(path, text)
    # The file itself is safe by now; its copy may be so a little later.
    spare = _temporary(path)
    with contextlib.suppress(OSError):
        spare.write_bytes(text)
        os.replace(spare, f"{os.fspath(path)}{_BACKUP}")


def read_json(
    path: str | os.PathLike[str], kind: type[State]
) -> tuple[State | None, str]:
    """Reads what `write_json` wrote, from the copy if the file is damaged.

    Args:
        path: The file.
        kind: What it holds, a type of `schema.check`.

    Returns:
        What it holds, `None` if neither can be read; and what was wrong, ""
        if nothing was.

    Raises:
        ValueError: If it is JSON, but not of that kind, and so is the copy
            if there is one.
    """
    wrong = ""
    other: ValueError | None = None
    for source in (os.fspath(path), f"{os.fspath(path)}{_BACKUP}"):
        try:
            with open(source, encoding="utf-8") as file:
                content = json.load(file)
            is_object = isinstance(content, dict)
            if not is_object:  # which all of ours are
                raise ValueError("it holds no object")
        except (OSError, ValueError, RecursionError) as error:
            wrong = wrong or f"{path} cannot be read ({error})"
            continue
        try:
            schema.check(content, kind)
            return content, wrong
        except ValueError as error:
            wrong = wrong or f"{path} makes no sense ({error})"
            other = other or error
    if other is not None:
        raise other
    return None, wrong


def read_npz(path: str | os.PathLike[str], what: str) -> dict[str, np.ndarray]:
    """The arrays of a NumPy file, by name.

    Args:
        path: Of the file.
        what: What it is, for the message.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, something else, or holds objects.
    """
    if not os.fspath(path) or not os.path.exists(path):
        raise FileNotFoundError(
            f"{what} must exist. Received: {os.fspath(path)!r}."
        )
    try:
        # np.load leaves a damaged file open that it has opened itself.
        with open(path, "rb") as opened, np.load(opened) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:
        # A truncated zip file raises half a dozen different types.
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{what} must be a file of numpy.savez. Received: {path} "
            f"({reason})."
        ) from None


def replace(
    temporary: str | os.PathLike[str], path: str | os.PathLike[str]
) -> None:
    """Puts a finished file in the place of another, on the disk too."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(os.path.dirname(os.path.abspath(path)))


def is_storage_error(error: BaseException) -> bool:
    """Whether a disk that is full or read-only is to blame."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def sweep(folder: str | os.PathLike[str]) -> list[str]:
    """Removes what killed processes left half-written.

    Args:
        folder: Looked into, and into its folders; of this process, see
            `owned`.

    Returns:
        The files removed.
    """
    root = pathlib.Path(folder)
    left = sorted({*root.glob(".*.tmp"), *root.glob("*/.*.tmp")})
    for path in left:
        path.unlink(missing_ok=True)
    return [os.fspath(path) for path in left]


def empty(folder: str | os.PathLike[str]) -> None:
    """Removes all that a folder holds but the lock of its owner."""
    for path in pathlib.Path(folder).iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextlib.contextmanager
def owned(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Makes sure that no other process works in a folder meanwhile.

    A process that dies, however it does, owns nothing any more. One that
    owns a folder may ask for it again.

    Args:
        folder: Made if it is not there.

    Raises:
        RuntimeError: If another process owns it; the message says which.
    """
    name = os.path.realpath(folder)
    if name in _owned:
        yield
        return
    os.makedirs(name, exist_ok=True)
    path = os.path.join(name, LOCK)
    descriptor = _lock(path, name)
    _owned.add(name)
    try:
        yield
    finally:
        _owned.discard(name)
        with contextlib.suppress(OSError):
            os.unlink(path)
        os.close(descriptor)


def is_owned(folder: str | os.PathLike[str]) -> bool:
    """Whether a process works in a folder, as `owned` has it.

    Looks without touching the lock, which its owner would take for another
    one's. Of a process on another machine it is enough that it did not leave.
    """
    try:
        told = pathlib.Path(folder, LOCK).read_text(errors="replace")
    except OSError:
        return False
    found = re.match(r"process (\d+) on (.+) \(since", told)
    if found is None or found[2] != socket.gethostname():
        return True
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # that of another user
    return True


def _lock(path: str, folder: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace")
            os.close(descriptor)
            raise RuntimeError(
                "A folder must be that of one process at a time. Received: "
                f"{folder}, which {holder or 'another process'} works in. "
                "Wait for it, stop it, or choose another folder."
            ) from None
        except OSError as error:  # some network file systems
            logging.warning("%s cannot be locked: %s", folder, error)
        with contextlib.suppress(FileNotFoundError):
            # The last owner may have removed the file that is locked here.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    owner = f"process {os.getpid()} on {socket.gethostname()} (since {now})"
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, owner.encode(), 0)
    return descriptor


def _temporary(path: str | os.PathLike[str]) -> pathlib.Path:
    """A name that no other writer takes, on whichever machine it runs."""
    path = pathlib.Path(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")


def _sync(path: str | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
