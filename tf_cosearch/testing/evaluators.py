"""What an evaluator must do."""

from __future__ import annotations

import functools
import json
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch import evaluators
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluation,
    Evaluator,
    check_costs,
)
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.testing.requirement import require


@functools.cache
def _content() -> tuple[Any, bytes]:
    """A small network, and its int8 file."""
    import tf_keras

    from tf_cosearch.training import qat

    stage = {"block": "conv_bn", "filters": 8, "stride": 2}
    template = Template(
        {
            "input_shape": [8, 8, 1],
            "classes": 4,
            "stem": {"filters": 4},
            "stages": [stage],
        },
        "small",
    )
    network = template.decode(())
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    return network, qat.to_tflite(network.build(tf_keras), images)


class EvaluatorSuite:
    """Tests of an evaluator, asked about a small network on `edge_tpu`.

    Attributes:
        evaluator: Its name or class.
        options: Of it.
        steady: How many times as long the same file may seem to take.
    """

    evaluator: str | type[Evaluator]
    options: Mapping[str, Any] = {}
    steady: float = 4.0

    def _make(self) -> Evaluator:
        return evaluators.make(self.evaluator, self.options)

    def _ask(self) -> Evaluation:
        """Asks about the design, and requires that its folder stays."""
        network, content = _content()
        accelerator = load_accelerator("edge_tpu")
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, "model.tflite")
            path.write_bytes(content)
            design = BuiltDesign(network.layers(), accelerator, path)
            evaluation = self._make()(design)
            left = [each.name for each in path.parent.iterdir()]
            require(
                left == [path.name] and path.read_bytes() == content,
                "An evaluator must leave the folder of a file as it is. "
                f"Received: {', '.join(left)}.",
            )
        return evaluation

    def test_it_measures_what_it_names(self) -> None:
        """Every cost is there, not negative, in its metric's unit."""
        names = check_costs(list(self._make().costs))
        costs = self._ask().costs
        require(
            set(costs) == set(names),
            "An evaluator must measure what `costs` names. Received: "
            f"{', '.join(costs)}.",
        )

    def test_it_says_what_it_is(self) -> None:
        """As plain JSON, and another one that is alike says the same."""
        described = self._make().describe()
        require(
            json.loads(json.dumps(described)) == described,
            f"`describe` must be plain JSON. Received: {described}.",
        )
        again = self._make().describe()
        require(
            again == described,
            "`describe` must be the same of two that are alike. Received: "
            f"{described} and {again}.",
        )

    def test_it_says_the_same_again(self) -> None:
        """What it says is of the file, whenever it is asked."""
        first, second = self._ask().costs, self._ask().costs
        for name, (value, *_) in first.items():
            other = second[name].value
            require(
                max(value, other) <= self.steady * min(value, other),
                f"{name} of a file must be about the same whenever it is "
                f"asked. Received: {value} and {other}.",
            )
