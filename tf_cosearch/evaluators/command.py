"""Any program as an evaluator: what a lab with a board needs."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from tf_cosearch import metrics, text
from tf_cosearch.accelerators import presets
from tf_cosearch.configuration import at_least
from tf_cosearch.evaluators import program as program_lib
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
    check_costs,
    positive,
)

REFUSED = "refused"
"""The key of an answer that says why a design cannot be measured."""

_SHOWN = 80  # characters of an answer that help
_WRAPPERS = {"env", "nice", "nohup", "stdbuf", "sudo", "taskset", "timeout"}
_OF_WRAPPER = re.compile(
    rf"(.*/)?({'|'.join(_WRAPPERS)})|-.*|\w+=.*|\d[\w.,-]*"
).fullmatch
_INTERPRETER = re.compile(
    r"(python|pypy|bash|sh|dash|zsh|perl|ruby|node|lua|php|Rscript|julia)[\d.]*"
)
_SCRIPT_INSIDE = re.compile(r"-[A-Za-z]*[cemE].*|--eval.*|-")


class Command(Evaluator):
    """Asks a program: a file in, JSON out.

    The program runs in a folder of its own with copies of `model.tflite` and
    `accelerator.yaml`. Their paths are its last two arguments; what is on its
    standard input is `{"tflite": ..., "accelerator": ..., "costs": [...]}`.
    It writes one JSON object to standard output, a number for each cost, or

        {"latency_ms": {"value": 1.25, "noise": 0.02, "unit": "ms"}}

    and what it likes to standard error. A design that it cannot measure, for
    example for want of memory, is `{"refused": "why"}`. Any other answer, and
    an exit code that is not 0, is a failure of the device.

    Args:
        program: The program and its arguments, a list or a line; there is no
            shell. Files that exist are passed by their absolute path.
        costs: Names of what it answers.
        timeout_s: Most seconds that it may take.
        retries: How often a call that fails is repeated.
        pause_s: Seconds before the first repetition; see `Evaluator`.

    Raises:
        ValueError: If an option is not possible.
        FileNotFoundError: If there is no such program, or no such script.
    """

    keeps_time = True

    def __init__(
        self,
        program: Sequence[str] | str = (),
        costs: Sequence[str] = ("latency_ms",),
        timeout_s: float = 60.0,
        retries: int = 3,
        pause_s: float = 2.0,
    ) -> None:
        self.program = _words(program)
        self.costs = check_costs(costs)
        self.timeout_s = positive("timeout_s", timeout_s)
        self.retries = at_least("retries", retries, 0)
        self.pause_s = positive("pause_s", pause_s)

    def describe(self) -> dict[str, Any]:
        """The program and its costs; patience makes it no other one."""
        return {
            "class": type(self).__name__,
            "program": self.program,
            "costs": list(self.costs),
        }

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Runs the program."""
        temporary = tempfile.TemporaryDirectory(prefix="evaluate_")
        with temporary as name:
            folder = pathlib.Path(name)
            model = folder / "model.tflite"
            description = folder / "accelerator.yaml"
            shutil.copyfile(design.tflite, model)
            presets.save_accelerator(design.accelerator, description)
            paths = [os.fspath(model), os.fspath(description)]
            told = {
                "tflite": paths[0],
                "accelerator": paths[1],
                "costs": list(self.costs),
            }
            said = program_lib.run(
                [*self.program, *paths],
                temporary,
                self.timeout_s,
                json.dumps(told),
            )
        return _answer(said)


def _words(program: Any) -> list[str]:
    """A program and its arguments, with the paths that they stand for."""
    rule = "`program` must be a program and its arguments"
    if isinstance(program, str):
        try:
            program = shlex.split(program)
        except ValueError as error:
            raise ValueError(
                f"{rule}. Received: {program!r} ({error})."
            ) from None
    if not isinstance(program, Sequence) or not program:
        raise ValueError(
            f"{rule}. Received: {program!r}. Use, for example, [python, "
            "measure.py]."
        )
    first, *others = map(str, program)
    found = shutil.which(first)
    if found is None:
        raise FileNotFoundError(
            f"{rule}. Received: {first}, which is none that can be run. Give "
            "its path, or install it."
        )
    _require_script([first, *others])
    return [
        os.path.abspath(found),
        *(os.path.abspath(o) if os.path.exists(o) else o for o in others),
    ]


def _require_script(words: Sequence[str]) -> None:
    """Refuses an interpreter that is given no file that is there.

    It would look for the file in the folder where it runs. What an interpreter
    on another machine gets, by ssh for one, is that machine's affair.
    """
    at = 0
    if pathlib.Path(words[0]).name in _WRAPPERS:
        at = next((i for i, w in enumerate(words) if not _OF_WRAPPER(w)), 0)
    after = words[at + 1 :]
    missing = [word for word in after if not word.startswith("-")]
    is_interpreter = _INTERPRETER.fullmatch(pathlib.Path(words[at]).name)
    if not (is_interpreter and missing) or any(
        os.path.isfile(word) or _SCRIPT_INSIDE.fullmatch(word) for word in after
    ):
        return
    raise FileNotFoundError(
        "`program` must name a script that is there. Received: "
        f"{missing[0]}, which is not in {os.getcwd()}. Give its path."
    )


def _answer(said: str) -> dict[str, Quantity]:
    rule = "The answer of Command must be a JSON object"
    try:
        answer = json.loads(said, object_pairs_hook=_named_once)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        told = repr(said.strip()[:_SHOWN]) if said.strip() else "nothing"
        raise RuntimeError(
            f"{rule}. Received: {told}. Write logs to standard error."
        )
    if REFUSED in answer:
        reason = answer[REFUSED]
        if not isinstance(reason, str) or not reason.strip():
            raise RuntimeError(
                f"`{REFUSED}` must say why, in words. Received: {reason!r}. "
                "Leave it out of the answer for a design that was measured."
            )
        raise RefusedError(text.line(reason, program_lib.LINE))
    return {name: _quantity(name, said) for name, said in answer.items()}


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose names all differ."""
    named = dict(pairs)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in named if names.count(name) > 1)
        raise RuntimeError(
            "The answer of Command must name everything once. Received: "
            f"{twice[:_SHOWN]!r} more than once. Leave one of them."
        )
    return named


def _quantity(name: str, said: Any) -> Quantity:
    """One cost of an answer, a number or an object."""
    known = metrics.get(name).unit if name in metrics.names() else ""
    told = said if isinstance(said, dict) else {"value": said}
    unknown = told.keys() - {"value", "unit", "noise"}
    if "value" not in told or unknown:
        raise RuntimeError(
            f"{name} must be a number, or an object of value, unit and noise. "
            f"Received: {', '.join(map(str, told)) or 'nothing'}."
        )
    return Quantity(
        told["value"], str(told.get("unit", known)), told.get("noise", 0.0)
    )
