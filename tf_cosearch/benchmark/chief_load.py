"""How many proposals a chief makes for workers that only report."""

from __future__ import annotations

import pathlib
import random
import time

from tf_cosearch.benchmark.light_trials import LightTuner, append
from tf_cosearch.benchmark.processes import Processes
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace

LOG = "clocks.log"


def measure(
    algorithm: str,
    space: str,
    trials: int,
    workers: int,
    folder: pathlib.Path,
) -> dict[str, float]:
    """Runs a search of a real space and the cost model on forked processes.

    Args:
        algorithm: Its name.
        space: Name or file of the space.
        trials: How many, 2 or more.
        workers: Processes that ask and report.
        folder: An empty one, for the search.

    Returns:
        `proposals_per_minute`, from the first trial that ends, when all is
        loaded and compiled; `proposals_per_cpu_minute` of the chief's
        processor time, as if it shared its cores with nobody; `workers`,
        `trials`, and how many designs were `duplicated`.
    """
    log = folder / LOG

    def tuner() -> LightTuner:
        oracle = CoSearchOracle(
            SearchSpace.load(space),
            algorithm,
            Budgets(latency_ms=0.1, area_mm2=40.0),
            max_trials=trials,
            seed=0,
        )
        return LightTuner(
            oracle,
            lambda number: random.Random(number).random(),
            lambda number: append(
                log, f"{time.process_time()} {time.monotonic()}"
            ),
            directory=folder,
            project_name="project",
        )

    processes = Processes(lambda: tuner().run())
    processes.finish(["chief", *(f"worker{i}" for i in range(workers))])
    oracle = tuner().co_oracle
    genomes = {
        tuple(oracle.trial_genome(trial)) for trial in oracle.trials.values()
    }
    clocks = [
        [float(number) for number in line.split()]
        for line in log.read_text().splitlines()
    ]
    computed, passed = (
        last - first for first, last in zip(clocks[0], clocks[-1], strict=True)
    )
    return {
        "proposals_per_minute": 60 * (len(clocks) - 1) / passed,
        "proposals_per_cpu_minute": 60 * (len(clocks) - 1) / computed,
        "workers": workers,
        "trials": trials,
        "duplicated": trials - len(genomes),
    }
