"""Times a file with LiteRT, as a program of its own, which can be ended.

    python litert_timing.py FILE THREADS REPEATS WARM_UP

prints the 16th, 50th and 84th percentile of the milliseconds of an inference
as JSON, or a text that says why the file cannot be run.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np


def timed(
    path: str, threads: int, repeats: int, warm_up: int
) -> list[float] | str:
    """The percentiles of inferences of zeros, or why there can be none."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter: Any = Interpreter(model_path=path, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        return str(error)
    for tensor in interpreter.get_input_details():
        zeros = np.zeros(tensor["shape"], tensor["dtype"])
        interpreter.set_tensor(tensor["index"], zeros)
    times_ms = []
    for _ in range(warm_up + repeats):
        began = time.perf_counter()
        interpreter.invoke()
        times_ms.append(1e3 * (time.perf_counter() - began))
    of_interest = np.percentile(times_ms[warm_up:], [15.87, 50, 84.13])
    return [float(each) for each in of_interest]


if __name__ == "__main__":
    file, *counts = sys.argv[1:]
    json.dump(timed(file, *map(int, counts)), sys.stdout)
