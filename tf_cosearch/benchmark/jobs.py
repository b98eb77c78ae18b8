"""Runs of a benchmark, on several processes, kept as they come."""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import numpy as np

from tf_cosearch import environment
from tf_cosearch.benchmark import landscapes, samplers, table_landscapes

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_HOLDING = ("network", "phased_reverse")  # accelerators, at first at least
_STEP = 10  # trials from one point of a curve to the next
_LONG = 5  # proposals timed after many finished trials


class Job(NamedTuple):
    """One run to do.

    Attributes:
        landscape: One of `landscapes.KNOWN`.
        algorithm: One of `samplers.names()`.
        searched: What is searched, for an oracle that can be told so.
        seed: Not negative.
        trials: How many.
        finished: Random trials to begin with; then only some proposals are
            timed, whatever `trials` says.
    """

    landscape: str
    algorithm: str
    searched: str
    seed: int
    trials: int
    finished: int = 0

    @property
    def label(self) -> str:
        """The algorithm, and what it searches if that is not everything."""
        if self.searched == "joint":
            return self.algorithm
        return f"{self.algorithm}/{self.searched}"


def execute(job: Job) -> dict[str, Any]:
    """Does a run.

    Args:
        job: Which.

    Returns:
        A record of plain values: the job, the fingerprint of its landscape,
        the best reward and the hypervolume after every number of `trials`,
        `violations` and `seconds_per_proposal`.
    """
    landscape = landscapes.get(job.landscape)
    options: dict[str, Any] = {}
    trials = job.trials
    if job.searched != "joint":
        options["searched"] = job.searched
        if job.searched in _HOLDING:
            options["fixed"] = landscape.accelerator
    if job.finished:
        options["initial_designs"] = samplers.feasible_genomes(
            landscape, job.finished
        )
        trials = job.finished + _LONG
    search = samplers.run(landscape, job.algorithm, job.seed, trials, **options)
    counts = [] if job.finished else checkpoints(trials)
    rewards = [e.reward * e.is_feasible for e in search.evaluations]
    curve: dict[str, list[float]] = {"best_reward": [], "hypervolume": []}
    for count in counts:
        feasible = [e for e in search.evaluations[:count] if e.is_feasible]
        points = np.asarray([landscape.point(e) for e in feasible])
        curve["best_reward"].append(max(rewards[:count], default=0.0))
        curve["hypervolume"].append(landscape.hypervolume(points))
    return {
        "job": list(job),
        "fingerprint": landscape.fingerprint,
        "counts": counts,
        **curve,
        "violations": sum(not e.is_feasible for e in search.evaluations),
        "seconds_per_proposal": float(
            np.mean(search.seconds[job.finished :] or [np.nan])
        ),
    }


def checkpoints(trials: int) -> list[int]:
    """Numbers of trials that curves have a point at.

    Args:
        trials: Of the whole run.

    Example:
    >>> checkpoints(40)
    [10, 20, 25, 30, 40]
    """
    counts = {*range(_STEP, trials, _STEP), 25, trials}
    return sorted(count for count in counts if count <= trials)


def run_all(
    jobs: Sequence[Job],
    path: pathlib.Path,
    workers: int,
    minutes: float | None = None,
    table: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Does those runs that a file does not hold yet, and appends them to it.

    Args:
        jobs: What to do, in this order.
        path: A file of one record a line.
        workers: Processes, each of one thread; 0 is this process.
        minutes: After which no further run is begun.
        table: Of the landscapes, if they are of one, see `table_landscapes`.

    Yields:
        A record for each job, those of the file first.
    """
    recorded = read(path)
    yield from (recorded[job] for job in jobs if job in recorded)
    missing = [job for job in jobs if job not in recorded]
    deadline = time.monotonic() + 60 * (minutes or float("inf"))
    records = (
        _spread(missing, workers, deadline, table)
        if workers
        else (execute(job) for job in missing if time.monotonic() < deadline)
    )
    with path.open("a") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")
            file.flush()
            yield record


def read(path: pathlib.Path) -> dict[Job, dict[str, Any]]:
    """Reads the records of a file, without those of other landscapes.

    Args:
        path: A file of one record a line, or none. A line that an
            interruption cut short is left out.

    Returns:
        The records by their job.
    """
    records = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        job = Job(*record["job"])
        landscape = landscapes.KNOWN.get(job.landscape)
        if landscape and record["fingerprint"] == landscape.fingerprint:
            records[job] = record
    return records


def _spread(
    jobs: Sequence[Job], workers: int, deadline: float, table: str | None
) -> Iterator[dict[str, Any]]:
    """Runs jobs on processes that last, as TensorFlow takes long to import."""
    context = multiprocessing.get_context("spawn")
    remaining = iter(jobs)
    begin = (None, ()) if table is None else (table_landscapes.take, (table,))
    with futures.ProcessPoolExecutor(workers, context, *begin) as pool:
        running: set[futures.Future[dict[str, Any]]] = set()
        while True:
            while len(running) < workers and time.monotonic() < deadline:
                job = next(remaining, None)
                if job is None:
                    break
                # It is now that the pool starts processes, which inherit this.
                with environment.kept(*_THREADS):
                    os.environ.update(dict.fromkeys(_THREADS, "1"))
                    running.add(pool.submit(execute, job))
            if not running:
                return
            done, running = futures.wait(
                running, return_when=futures.FIRST_COMPLETED
            )
            for future in done:
                yield future.result()
