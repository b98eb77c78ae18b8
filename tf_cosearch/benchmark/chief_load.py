"""How many proposals a search makes for workers that only report."""

from __future__ import annotations

import os
import pathlib
import random
import time

from tf_cosearch.benchmark import ray_nodes
from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle
from tf_cosearch.benchmark.processes import ALONE, Processes
from tf_cosearch.engines.ray_engine import RayEngine
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
    engine: str = "local",
) -> dict[str, float]:
    """Runs a search of a real space and the cost model on forked processes.

    Args:
        algorithm: Its name.
        space: Name or file of the space.
        trials: How many, 2 or more.
        workers: Processes that ask and report, or run Ray's tasks.
        folder: An empty one, for the search.
        engine: `local`, a chief and workers, or `ray`.

    Returns:
        `proposals_per_minute`, from the first trial that ends, when all is
        loaded and compiled; `proposals_per_cpu_minute` of the chief's, or the
        driver's, processor time, as if it shared its cores with nobody;
        `workers`, `trials`, and how many designs were `duplicated`.
    """
    log = folder / LOG

    def tuner(by: str | RayEngine = "local") -> LightTuner:
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
            engine=by,
        )

    def by_ray() -> None:
        with ray_nodes.one(workers):
            _start_all(workers, folder)
            tuner(RayEngine(cpus_per_trial=1)).run()

    if engine == "ray":
        Processes(by_ray).finish([ALONE])
    else:
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


def _start_all(workers: int, folder: pathlib.Path) -> None:
    """Has Ray start so many processes, each of which waits for all others."""
    log = folder / "started.log"

    def meet(number: int) -> float:
        append(log, f"{os.getpid()}")
        while len({*log.read_text().split()}) < workers:
            time.sleep(0.2)
        return 0.5

    LightTuner(
        toy_oracle("random", workers, seed=0),
        meet,
        lambda number: None,
        directory=folder,
        project_name="started",
        engine=RayEngine(cpus_per_trial=1),
    ).run()
