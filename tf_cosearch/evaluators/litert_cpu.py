"""How long the file takes on the processor of this machine."""

from __future__ import annotations

import pathlib
import platform
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_cosearch.configuration import at_least
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
)


class LitertCpu(Evaluator):
    """The median time of inferences, one after another, with LiteRT.

    The noise is half of what lies between the 16th and the 84th percentile:
    the standard deviation, if times were normal, whatever a few of them are.

    Args:
        threads: That an inference uses.
        repeats: Inferences that are timed.
        warm_up: Inferences before these.

    Raises:
        ValueError: If one is out of its range.
    """

    is_disturbed = True

    def __init__(
        self, threads: int = 1, repeats: int = 200, warm_up: int = 20
    ) -> None:
        self.threads = at_least("threads", threads, 1)
        self.repeats = at_least("repeats", repeats, 3)
        self.warm_up = at_least("warm_up", warm_up, 0)

    def describe(self) -> dict[str, Any]:
        """With the processor: times of two are not compared."""
        return {**super().describe(), "processor": _processor()}

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Times inferences of zeros."""
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(
                model_path=str(design.tflite), num_threads=self.threads
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise RefusedError(
                "The file must be a complete .tflite model. Received: "
                f"{design.tflite} ({error})."
            ) from None
        for tensor in interpreter.get_input_details():
            zeros = np.zeros(tensor["shape"], tensor["dtype"])
            interpreter.set_tensor(tensor["index"], zeros)
        times_ms = []
        for _ in range(self.warm_up + self.repeats):
            began = time.perf_counter()
            interpreter.invoke()
            times_ms.append(1e3 * (time.perf_counter() - began))
        low, median, high = np.percentile(
            times_ms[self.warm_up :], [15.87, 50, 84.13]
        )
        noise = float(high - low) / 2
        return {"latency_ms": Quantity(float(median), "ms", noise)}


def _processor() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
    return models[0] if models else platform.processor() or platform.machine()
