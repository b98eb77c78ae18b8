"""How long something takes, by the clock and of a core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def seconds(run: Callable[[], Any], repeat: int = 1) -> tuple[float, float]:
    """Times runs of a function.

    Args:
        run: The function.
        repeat: How often it is run.

    Returns:
        Medians of the runs: seconds that passed, and seconds of processor time
        of all threads of this process, which other programs do not count in.
    """
    times = np.empty((repeat, 2))
    for row in times:
        before = time.perf_counter(), time.process_time()
        run()
        row[:] = (
            time.perf_counter() - before[0],
            time.process_time() - before[1],
        )
    wall, core = np.median(times, 0).tolist()
    return wall, core
