"""Small programs that stand in for a lab's devices, and designs for them."""

import importlib.util
import pathlib
import sys
import textwrap

import pytest

import tf_cosearch as cs
from tf_cosearch.evaluators.evaluator import BuiltDesign

needs_vela = pytest.mark.skipif(
    importlib.util.find_spec("ethosu") is None,
    reason="ethos-u-vela is not installed, see extra `vela`",
)


def device(folder, body, name="device.py"):
    """A command that runs a Python program."""
    path = pathlib.Path(folder, name)
    path.write_text("import json, os, sys, time\n" + textwrap.dedent(body))
    return [sys.executable, str(path)]


def design(folder, content=b"model"):
    """A design whose file has some content."""
    path = pathlib.Path(folder, "model.tflite")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return BuiltDesign([], cs.load_accelerator("edge_tpu"), path)
