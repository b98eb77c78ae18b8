import itertools
import sys

import pytest
from devices import needs_vela

from tf_cosearch import evaluators
from tf_cosearch.evaluators.evaluator import Evaluator, Quantity
from tf_cosearch.testing import EvaluatorSuite

ANSWER = 'print(\'{"latency_ms": 2, "celsius": 40}\')'
NUMBERS = itertools.count()
OPTIONS = {
    "command": {
        "program": [sys.executable, "-c", ANSWER],
        "costs": ["latency_ms", "celsius"],
    },
    "vela": {"accelerator": "ethos-u55-128"},
}

for _name in evaluators.names():
    _class = f"Test{_name.title().replace('_', '')}"
    _suite = type(
        _class,
        (EvaluatorSuite,),
        {"evaluator": _name, "options": OPTIONS.get(_name, {})},
    )
    globals()[_class] = needs_vela(_suite) if _name == "vela" else _suite


def suite(**changes):
    """The suite of an evaluator with a fault."""

    class Faulty(Evaluator):
        def measure(self, design):
            return {"latency_ms": Quantity(1.0, "ms")}

    for name, change in changes.items():
        setattr(Faulty, name, change)
    return type("Suite", (EvaluatorSuite,), {"evaluator": Faulty})()


def litter(self, design):
    design.tflite.with_name("log").write_text("")
    return {"latency_ms": Quantity(1.0, "ms")}


def drift(self, design, values=iter((1.0, 9.0))):  # noqa: B008
    return {"latency_ms": Quantity(next(values), "ms")}


@pytest.mark.parametrize(
    ("test", "changes", "message"),
    [
        ("test_it_measures_what_it_names", {"costs": ["v"]}, "must have v"),
        ("test_it_measures_what_it_names", {"measure": litter}, "as it is"),
        (
            "test_it_says_what_it_is",
            {"describe": lambda self: {"number": next(NUMBERS)}},
            "two that are alike",
        ),
        (
            "test_it_says_what_it_is",
            {"describe": lambda self: {1: 2}},
            "plain JSON",
        ),
        ("test_it_says_the_same_again", {"measure": drift}, "whenever it"),
    ],
)
def test_it_finds_faults(test, changes, message):
    with pytest.raises((pytest.fail.Exception, RuntimeError), match=message):
        getattr(suite(**changes), test)()
