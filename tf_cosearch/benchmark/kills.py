"""Kills searches at random moments and counts what that costs them.

The oracles, their files, the chief's service, the workers and Ray's nodes are
the real ones; only trials are light: they sleep for some milliseconds, and some
fail, give NaN, or are slow. A search that is killed is started again until it
has all of its trials.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import pathlib
import random
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from keras_tuner.engine.trial import Trial

from tf_cosearch import text
from tf_cosearch.benchmark.light_trials import LightTuner, append, toy_oracle
from tf_cosearch.benchmark.processes import ALONE, PAUSE_SECONDS, Processes
from tf_cosearch.benchmark.ray_nodes import RayNodes, kill_task
from tf_cosearch.engines.ray_engine import RayEngine

TRIALS = 12
LEASE_SECONDS = 2.0
HANG_SECONDS = 60.0
LOG = "trials.log"

MODES = ("single", "worker", "chief", "all")
"""What is killed: a search of one process, workers, the chief, or all."""

RAY_MODES = ("node", "task", "driver")
"""What is killed on a Ray cluster; a node with all that runs there."""

RAY_PACE = 20.0
"""How much slower trials and kills are there, where processes take seconds."""

_KILL_SECONDS = 0.4  # the longest time from one kill to the next
_DAMAGE_SHARE = 0.3  # of kills that a damaged file follows
_FAULTS = ("", "", "", "", "", "slow", "nan", "error")


class Outcome(NamedTuple):
    """What became of searches that were killed.

    Attributes:
        kills: Processes killed.
        finished: Trials that completed.
        lost: Trials that never ended, or failed and had no fault.
        duplicated: Designs that were tried, or trials that ended, twice.
        unreadable: Searches that could not go on.
        hung: Searches that did not end.
        recovery_seconds: The longest time from a kill to the next sign of a
            trial.
    """

    kills: int = 0
    finished: int = 0
    lost: int = 0
    duplicated: int = 0
    unreadable: int = 0
    hung: int = 0
    recovery_seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost."""
        return not (
            self.lost or self.duplicated or self.unreadable or self.hung
        )


def total(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of several together.

    Example:
    >>> total([Outcome(kills=2, recovery_seconds=0.5), Outcome(kills=3)])[0::6]
    (5, 0.5)
    """
    *counts, seconds = zip(Outcome(), *outcomes, strict=True)
    sums = (int(sum(column)) for column in counts)
    return Outcome(*sums)._replace(recovery_seconds=max(seconds))


def stress(
    algorithms: Sequence[str],
    modes: Sequence[str],
    kills: int,
    seed: int,
    folder: pathlib.Path,
    nodes: RayNodes | None = None,
) -> dict[tuple[str, str], Outcome]:
    """Kills searches of each algorithm in each way.

    Args:
        algorithms: Their names.
        modes: Some of `MODES`, or of `RAY_MODES`.
        kills: How many in all, divided evenly.
        seed: Chooses moments and faults.
        folder: An empty one, for the searches.
        nodes: A cluster, for `RAY_MODES`.

    Returns:
        The outcome by algorithm and mode.
    """
    pairs = list(itertools.product(algorithms, modes))
    outcomes = {}
    for index, (algorithm, mode) in enumerate(pairs):
        share = kills // len(pairs) + (index < kills % len(pairs))
        # A string, so that each pair has moments of its own; `hash` varies.
        rng = random.Random(f"{seed} {algorithm} {mode}")
        outcome = Outcome()
        for run in itertools.count():
            if outcome.kills >= share:
                break
            place = folder / f"{algorithm}-{mode}" / str(run)
            search = KilledSearch(algorithm, place, rng, nodes)
            rest = share - outcome.kills
            outcome = total([outcome, search.run(mode, rest)])
        outcomes[algorithm, mode] = outcome
    return outcomes


def table(outcomes: Mapping[tuple[str, str], Outcome]) -> str:
    """A row for each algorithm and mode, and one of all of them.

    Args:
        outcomes: What `stress` gave.

    Returns:
        Lines, without the last newline.
    """
    rows = {**outcomes, ("all", ""): total(outcomes.values())}
    cells = [("oracle", "mode", *Outcome._fields)] + [
        (*pair, *(f"{number:.4g}" for number in outcome))
        for pair, outcome in rows.items()
    ]
    return text.table(cells, "<<" + ">" * len(Outcome._fields))


class KilledSearch:
    """One search that is killed again and again.

    Args:
        algorithm: Its name.
        folder: A new folder, for the project.
        rng: Chooses moments and victims.
        nodes: A Ray cluster to run it on.

    Attributes:
        make_tuner: Makes a tuner that begins the search, or goes on with it.
    """

    def __init__(
        self,
        algorithm: str,
        folder: pathlib.Path,
        rng: random.Random,
        nodes: RayNodes | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self._rng = rng
        self._folder = folder
        self._nodes = nodes
        self._pace = 1.0 if nodes is None else RAY_PACE
        self._seed = rng.randrange(2**20)
        self.make_tuner = functools.partial(
            _tuner, algorithm, folder, self._seed, self._pace
        )
        self._processes = Processes(self._search)

    def _search(self) -> None:
        engine: str | RayEngine = "local"
        if self._nodes is not None:
            engine = RayEngine(self._nodes.address, cpus_per_trial=1)
        # Where the outcome belongs Ray prints who has died.
        with contextlib.redirect_stdout(sys.stderr):
            self.make_tuner(engine).run()

    def run(self, mode: str, kills: int) -> Outcome:
        """Kills at most so many processes, then lets the search end.

        Args:
            mode: One of `MODES`, or of `RAY_MODES` with a cluster.
            kills: How many.

        Returns:
            The outcome of this search.
        """
        names = ["chief", "worker0", "worker1"]
        if mode == "single" or mode in RAY_MODES:
            names = [ALONE]
        processes, main = self._processes, names[0]
        killed, slowest, is_unreadable = 0, 0.0, False
        deadline = time.monotonic() + HANG_SECONDS * self._pace**0.5
        for name in names:
            processes.start(name)
        moment = self._next_moment()
        while time.monotonic() < deadline:
            processes.collect()
            if main in processes.codes:
                is_unreadable = processes.codes[main] != 0
                break
            for name in names[1:]:  # as `launch` would
                if processes.codes.get(name, 0):
                    processes.start(name)
            if killed < kills and time.monotonic() > moment:
                killed += self._kill(mode, names, kills - killed)
                if self._rng.random() < _DAMAGE_SHARE:
                    self._damage()
                began = time.monotonic()
                for name in names:
                    if name not in {**processes.running, **processes.codes}:
                        processes.start(name)
                slowest = max(slowest, self._recovery(began, deadline))
                moment = self._next_moment()
            time.sleep(PAUSE_SECONDS)
        is_hung = main not in processes.codes
        for name in list(processes.running):
            processes.kill(name)
        outcome = Outcome(
            kills=killed,
            unreadable=int(is_unreadable),
            hung=int(is_hung),
            recovery_seconds=slowest,
        )
        return outcome if is_hung or is_unreadable else self.count(outcome)

    def count(self, outcome: Outcome) -> Outcome:
        """Compares what the trials logged with what the project holds.

        Args:
            outcome: Of the search, which has ended.

        Returns:
            The same with the numbers of trials.
        """
        log = (self._folder / LOG).read_text().splitlines()
        saved = sum(line.startswith("saved") for line in log)
        oracle = self.make_tuner().co_oracle
        ended = [oracle.trials[trial_id] for trial_id in oracle.end_order]
        known = [trial for trial in ended if trial.hyperparameters.values]
        genomes = [tuple(oracle.trial_genome(trial)) for trial in known]
        return outcome._replace(
            finished=sum(trial.status == "COMPLETED" for trial in ended),
            lost=TRIALS - len(genomes) + sum(map(self._is_spoilt, known)),
            duplicated=(len(genomes) - len({*genomes}))
            + max(0, saved - len(ended)),
        )

    def _is_spoilt(self, trial: Trial) -> bool:
        """Whether a trial failed that has nothing wrong with it."""
        _, fault = _fault(self._seed, int(trial.trial_id))
        return trial.status != "COMPLETED" and fault in ("", "slow")

    def _kill(self, mode: str, names: list[str], most: int) -> int:
        """Kills what a mode says, and says how many that were."""
        if mode == "node" and self._nodes is not None:
            self._nodes.kill_node()
            return 1
        if mode == "task":
            begun = [
                line.split()
                for line in self._log().splitlines()
                if line.startswith("runs")
            ]
            return int(kill_task(int(number) for *_, number in begun[::-1]))
        victims = self._victims(mode, names)[:most]
        return sum(map(self._processes.kill, victims))

    def _next_moment(self) -> float:
        seconds = self._rng.uniform(0, _KILL_SECONDS * self._pace)
        return time.monotonic() + seconds

    def _victims(self, mode: str, names: list[str]) -> list[str]:
        if mode == "worker":
            return [self._rng.choice(names[1:])]
        return names if mode == "all" else names[:1]

    def _damage(self) -> None:
        """Truncates or deletes a file, when nobody is writing it."""
        if {"chief", ALONE} & self._processes.running.keys():
            return
        paths = sorted(self._folder.glob("project/**/*.json"))
        if paths:
            path = self._rng.choice(paths)
            if self._rng.random() < 0.5:
                path.unlink()
            else:
                os.truncate(path, self._rng.randrange(path.stat().st_size + 1))

    def _recovery(self, began: float, deadline: float) -> float:
        """Seconds until a trial begins or ends again."""
        size = len(self._log())
        while time.monotonic() < deadline:
            self._processes.collect()
            if len(self._log()) > size or self._processes.codes:
                break
            time.sleep(PAUSE_SECONDS)
        return time.monotonic() - began

    def _log(self) -> str:
        log = self._folder / LOG
        return log.read_text() if log.exists() else ""


def _fault(seed: int, number: int) -> tuple[random.Random, str]:
    """What is wrong with a trial, and chances of its own for the rest."""
    chance = random.Random(f"{seed} {number}")
    return chance, chance.choice(_FAULTS)


def _tuner(
    algorithm: str,
    folder: pathlib.Path,
    seed: int,
    pace: float,
    engine: str | RayEngine = "local",
) -> LightTuner:
    """A tuner whose trials log that they begin and end, and have faults."""
    log = folder / LOG

    def accuracy(number: int) -> float:
        append(log, f"runs {number} {os.getpid()}")
        chance, fault = _fault(seed, number)
        seconds = chance.uniform(0, 0.03) + 0.2 * (fault == "slow")
        time.sleep(pace * seconds)
        if fault == "error":
            raise ArithmeticError(f"trial {number} fails {'abc'[number % 3]}")
        return math.nan if fault == "nan" else 0.5

    return LightTuner(
        toy_oracle(
            algorithm,
            TRIALS,
            seed,
            max_retries_per_trial=1,
            max_consecutive_failed_trials=TRIALS,
        ),
        accuracy,
        lambda number: append(log, f"saved {number}"),
        directory=folder,
        project_name="project",
        engine=engine,
        **({"lease_seconds": LEASE_SECONDS} if engine == "local" else {}),
    )
