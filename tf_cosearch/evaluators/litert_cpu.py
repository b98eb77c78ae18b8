"""How long the file takes on the processor of this machine."""

from __future__ import annotations

import json
import pathlib
import platform
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from tf_cosearch.configuration import at_least
from tf_cosearch.evaluators import litert_timing, program
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
    positive,
)

# A script's own folder would come first where modules are looked for.
_MAIN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), None, '__main__')"


class LitertCpu(Evaluator):
    """The median time of inferences, one after another, with LiteRT.

    The noise is half of what lies between the 16th and the 84th percentile:
    the standard deviation, if times were normal, whatever a few of them are.
    They run in a process of their own, see `litert_timing`.

    Args:
        threads: That an inference uses.
        repeats: Inferences that are timed.
        warm_up: Inferences before these.
        timeout_s: Most seconds that all of it may take.

    Raises:
        ValueError: If one is out of its range.
    """

    is_disturbed = True
    keeps_time = True

    def __init__(
        self,
        threads: int = 1,
        repeats: int = 200,
        warm_up: int = 20,
        timeout_s: float = 600.0,
    ) -> None:
        self.threads = at_least("threads", threads, 1)
        self.repeats = at_least("repeats", repeats, 3)
        self.warm_up = at_least("warm_up", warm_up, 0)
        self.timeout_s = positive("timeout_s", timeout_s)

    def describe(self) -> dict[str, Any]:
        """With the processor: times of two are not compared."""
        return {**super().describe(), "processor": _processor()}

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Times inferences of zeros."""
        command = [
            *(sys.executable, "-c", _MAIN),
            litert_timing.__file__,
            str(design.tflite.absolute()),
            str(self.threads),
            str(self.repeats),
            str(self.warm_up),
        ]
        temporary = tempfile.TemporaryDirectory(prefix="litert_")
        with temporary:
            said = program.run(command, temporary, self.timeout_s)
        answer = json.loads(said)
        if isinstance(answer, str):
            raise RefusedError(
                "The file must be a complete .tflite model. Received: "
                f"{design.tflite} ({answer})."
            )
        low, median, high = answer
        return {"latency_ms": Quantity(median, "ms", (high - low) / 2)}


def _processor() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    return models[0] if models else platform.processor() or platform.machine()
