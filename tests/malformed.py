"""Makes valid files wrong in many ways, for the tests of all readers."""

import copy
import json
import math
import signal

import yaml
from hypothesis import strategies as st

TOKENS = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"9" * 5000,
    b"[" * 3000,
    b"{a: " * 2000,
    b"!!python/object/apply:os._exit [3]",
    b"&a [*a]",
    b"<<: *b",
    b": ",
    b",,,",
    b'"',
    b"\n- ",
    b"2026-02-30",
    b"0x1F",
    b"../../../../etc/passwd",
)
VALUES = (
    None,
    True,
    0,
    -1,
    2**31,
    10**30,
    10**400,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "1",
    "x" * 5000,
    "../../etc/passwd",
    "/dev/zero",
    "\x00",
    "é\ud800",
    [],
    [[]],
    {},
    {"a": 1},
    [1] * 1000,
    [None, "a", 1],
)


def byte_edits(most=4):
    """Some edits: where (as a share of the file), what, and with what."""
    edit = st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["cut", "flip", "insert", "delete", "repeat"]),
        st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
        st.integers(1, 255),
    )
    return st.lists(edit, min_size=1, max_size=most)


def edit_bytes(content, edits):
    content = bytearray(content)
    for share, kind, token, mask in edits:
        at = int(share * len(content))
        if kind == "cut":
            del content[at:]
        elif kind == "flip" and content:
            content[at] ^= mask
        elif kind == "insert":
            content[at:at] = token
        elif kind == "delete":
            del content[at : at + mask]
        elif kind == "repeat":
            content[at:at] = content[at : at + mask] * 3
    return bytes(content)


def value_edits(most=3):
    """Some edits of a tree: which node, what with it, and a strange value."""
    edit = st.tuples(
        st.integers(0, 10_000),
        st.sampled_from(["replace", "remove", "rename", "wrap", "repeat"]),
        st.sampled_from(VALUES),
    )
    return st.lists(edit, min_size=1, max_size=most)


def edit_values(tree, edits):
    tree = copy.deepcopy(tree)
    for which, kind, value in edits:
        places = list(_places(tree))
        if not places:
            break
        holder, key = places[which % len(places)]
        if kind == "replace":
            holder[key] = copy.deepcopy(value)
        elif kind == "remove":
            del holder[key]
        elif kind == "wrap":
            holder[key] = [holder[key]]
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == "rename":
            holder[str(value)] = holder.pop(key)
    return tree


def _places(tree):
    """Every (container, key) of a tree of lists and mappings."""
    items = (
        list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))
    )
    for key, value in items:
        yield tree, key
        if isinstance(value, (dict, list)) and value:
            yield from _places(value)


def as_json(tree):
    return json.dumps(tree).encode()


def as_yaml(tree):
    return yaml.safe_dump(tree).encode(errors="surrogatepass")


class Hang(BaseException):
    """What a reader is stopped with; not an `Exception` that it may catch."""


class stopped_after:  # noqa: N801
    """Stops what computes for longer than some seconds, however busy it is."""

    def __init__(self, seconds):
        self._seconds = seconds

    def __enter__(self):
        def stop(*_):
            raise Hang(f"It takes more than {self._seconds} s.")

        self._before = signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._before)
