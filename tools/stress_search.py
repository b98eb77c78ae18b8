"""Kills searches at random moments and checks that nothing is lost.

    python tools/stress_search.py --kills=500

The oracles, their files, the chief's service and the workers are the real
ones; only trials are light: they sleep for some milliseconds, some fail, give
NaN, or are slow. A run is a search that is killed and started again until it
has all its trials. The table has a line for each oracle and mode; every
column from `lost` to `hung` has to be 0.
"""

from __future__ import annotations

import collections
import itertools
import json
import math
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
from typing import Any

import command_line
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("kills", 500, "Processes to kill in all.", lower_bound=1)
flags.DEFINE_integer("seed", 0, "Chooses moments and faults.", lower_bound=0)
flags.DEFINE_string("oracle", None, "An algorithm; all by default.")
flags.DEFINE_enum(
    "mode",
    None,
    ["single", "worker", "chief", "all"],
    "What is killed: a search of one process, workers, the chief, or all at "
    "once. Each in turn by default.",
)
flags.DEFINE_enum("format", "table", ["table", "json"], "How to print.")
flags.DEFINE_integer(
    "throughput",
    0,
    "Instead, measure so many proposals of a real space and the cost model.",
    lower_bound=0,
)
flags.DEFINE_integer("workers", 16, "Workers of --throughput.", lower_bound=1)
flags.DEFINE_string("space", "evolved", "Space of --throughput.")

COLUMNS = (
    "kills",
    "finished",
    "lost",
    "duplicated",
    "unreadable",
    "hung",
    "recovery_seconds",
)
TRIALS = 12
LEASE_SECONDS = 2.0
HANG_SECONDS = 60.0
LOG = "told.txt"
_MODES = ("single", "worker", "chief", "all")


def main() -> None:
    from tf_cosearch import text
    from tf_cosearch.search import algorithms

    names = [FLAGS.oracle] if FLAGS.oracle else algorithms.names()
    for name in names:
        algorithms.get(name)
    if FLAGS.throughput:
        _print_throughput(FLAGS.oracle or "grey_box")
        return
    modes = [FLAGS.mode] if FLAGS.mode else list(_MODES)
    lines = [(name, mode) for name in names for mode in modes]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, mode) in enumerate(lines):
            kills = FLAGS.kills // len(lines)
            kills += index < FLAGS.kills % len(lines)
            where = pathlib.Path(folder, f"{name}-{mode}")
            rows.append((name, mode, stress(name, mode, kills, where)))
    total = {
        key: (max if key == "recovery_seconds" else sum)(
            row[key] for *_, row in rows
        )
        for key in COLUMNS
    }
    if FLAGS.format == "json":
        print(json.dumps(total))
    else:
        cells = [("oracle", "mode", *COLUMNS)] + [
            (name, mode, *(f"{row[key]:.4g}" for key in COLUMNS))
            for name, mode, row in [*rows, ("all", "", total)]
        ]
        print(text.table(cells, "<<" + ">" * len(COLUMNS)))
    if any(total[key] for key in ("lost", "duplicated", "unreadable", "hung")):
        sys.exit(1)


def stress(
    name: str, mode: str, kills: int, folder: pathlib.Path
) -> dict[str, float]:
    """Runs searches until so many processes were killed.

    Args:
        name: Name of the oracle.
        mode: What to kill.
        kills: How many processes.
        folder: Where to search.

    Returns:
        A number for each of `COLUMNS`.
    """
    total: collections.Counter[str] = collections.Counter(
        dict.fromkeys(COLUMNS, 0)
    )
    slowest = 0.0
    # A string, so that each line is a run of its own; `hash` would vary.
    rng = random.Random(f"{FLAGS.seed} {name} {mode}")
    for run in itertools.count():
        if total["kills"] >= kills:
            break
        search = Search(name, folder / str(run), rng)
        found = search.run(mode, kills - total["kills"])
        slowest = max(slowest, found.pop("recovery_seconds"))
        total.update({key: int(value) for key, value in found.items()})
    return {**total, "recovery_seconds": slowest}


class Search:
    """One search, its processes, and what became of them.

    Args:
        name: Name of the oracle.
        folder: New folder of the project.
        rng: Chooses moments and victims.
    """

    def __init__(
        self, name: str, folder: pathlib.Path, rng: random.Random
    ) -> None:
        from tf_cosearch.distributed import launch

        self._name = name
        self._folder = folder
        self._rng = rng
        self._seed = rng.randrange(2**20)
        self._port = launch.free_port("127.0.0.1")
        self._running: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        folder.mkdir(parents=True)

    def run(self, mode: str, kills: int) -> dict[str, float]:
        """Kills at most so many processes, then lets the search end."""
        names = ["chief", "worker0", "worker1"] if mode != "single" else ["one"]
        main = names[0]
        killed, unreadable, slowest = 0, 0, 0.0
        deadline = time.monotonic() + HANG_SECONDS
        for name in names:
            self._start(name)
        pause = self._rng.uniform(0, 0.4)
        until = time.monotonic() + pause
        while time.monotonic() < deadline:
            self._collect()
            if self._codes.get(main) == 0:
                break
            if main in self._codes:  # it could not go on
                unreadable += 1
                break
            for name in names[1:]:  # as `launch` would
                if self._codes.get(name, 0):
                    self._start(name)
            if killed < kills and time.monotonic() > until:
                for name in self._victims(mode, names)[: kills - killed]:
                    killed += self._kill(name)
                if self._rng.random() < 0.3:
                    self._damage()
                began = time.monotonic()
                self._restart(names)
                slowest = max(slowest, self._wait_for_trial(began, deadline))
                until = time.monotonic() + self._rng.uniform(0, 0.4)
            time.sleep(0.005)
        hung = self._codes.get(main) is None
        for name in list(self._running):
            os.kill(self._running[name], signal.SIGKILL)
        while self._running:
            self._collect()
        return {
            "kills": killed,
            "unreadable": unreadable,
            "hung": hung,
            "recovery_seconds": slowest,
            **({} if hung or unreadable else self._check()),
        }

    def finish(self, names: list[str]) -> None:
        """Runs all to their end, without harm."""
        for name in names:
            self._start(name)
        while self._running:
            self._collect()
            time.sleep(0.005)

    def designs(self) -> int:
        """How many different designs have been tried."""
        oracle = make_tuner(self._name, self._folder, self._seed).co_oracle
        trials = oracle.trials.values()
        return len({tuple(oracle.trial_genome(trial)) for trial in trials})

    def _victims(self, mode: str, names: list[str]) -> list[str]:
        if mode == "worker":
            return [self._rng.choice(names[1:])]
        return names[:1] if mode in ("single", "chief") else names

    def _kill(self, name: str) -> bool:
        if name not in self._running:
            return False
        os.kill(self._running[name], signal.SIGKILL)
        os.waitpid(self._running.pop(name), 0)
        return True

    def _restart(self, names: list[str]) -> None:
        for name in names:
            if name not in self._running and name not in self._codes:
                self._start(name)

    def _wait_for_trial(self, began: float, deadline: float) -> float:
        """Seconds until something is told again."""
        size = self._told()
        while time.monotonic() < deadline:
            self._collect()
            if self._told() > size or self._codes:
                break
            time.sleep(0.005)
        return time.monotonic() - began

    def _told(self) -> int:
        log = self._folder / LOG
        return log.stat().st_size if log.exists() else 0

    def _damage(self) -> None:
        """Truncates or deletes a file, when nobody is writing it."""
        if set(self._running) & {"chief", "one"}:
            return
        files = sorted(self._folder.glob("project/**/*.json"))
        if files:
            file = self._rng.choice(files)
            if self._rng.random() < 0.5:
                file.unlink()
            else:
                os.truncate(file, self._rng.randrange(file.stat().st_size + 1))

    def _start(self, name: str) -> None:
        self._codes.pop(name, None)
        pid = os.fork()
        if pid:
            self._running[name] = pid
            return
        code = 1
        try:
            if name != "one":
                os.environ["KERASTUNER_TUNER_ID"] = name
                os.environ["KERASTUNER_ORACLE_IP"] = "127.0.0.1"
                os.environ["KERASTUNER_ORACLE_PORT"] = str(self._port)
            light_search(self._name, self._folder, self._seed)
            code = 0
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _collect(self) -> None:
        for name, pid in list(self._running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._running[name]
                self._codes[name] = os.waitstatus_to_exitcode(status)

    def _check(self) -> dict[str, int]:
        """Compares what trials told with what the project holds."""
        lines = (self._folder / LOG).read_text().split("\n")
        told = collections.Counter(line for line in lines if line)
        oracle = make_tuner(self._name, self._folder, self._seed).co_oracle
        ended = oracle.end_order
        finished = [i for i in ended if oracle.trials[i].status == "COMPLETED"]
        known = [oracle.trials[i] for i in ended]
        known = [trial for trial in known if trial.hyperparameters.values]
        genomes = {tuple(oracle.trial_genome(trial)) for trial in known}
        saved = sum(n for line, n in told.items() if line.startswith("saved"))
        return {
            "finished": len(finished),
            "lost": TRIALS - len(known),
            "duplicated": (len(known) - len(genomes))
            + max(0, saved - len(ended)),
        }


def make_tuner(name: str, folder: pathlib.Path, seed: int) -> Any:
    """The tuner of light trials: on a toy space, faults included."""
    from tf_cosearch.distributed import chief
    from tf_cosearch.distributed.tuner import DurableTuner
    from tf_cosearch.search.budgets import Budgets
    from tf_cosearch.search.oracle.oracle import CoSearchOracle
    from tf_cosearch.search.space import SearchSpace
    from tf_cosearch.testing import toys

    def tell(line: str) -> None:
        log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(log, f"{line}\n".encode())
        os.close(log)

    class LightTuner(DurableTuner):
        def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
            number = int(trial.trial_id)
            chance = random.Random(f"{seed} {number}")
            fault = chance.choice(("", "", "", "", "", "slow", "nan", "error"))
            if FLAGS.throughput:
                return {"accuracy_int8": chance.random()}
            tell(f"runs {number}")
            time.sleep(chance.uniform(0, 0.03) + 0.2 * (fault == "slow"))
            if fault == "error":
                raise ArithmeticError(
                    f"trial {number} fails {'abc'[number % 3]}"
                )
            return {"accuracy_int8": math.nan if fault == "nan" else 0.5}

        def on_trial_saved(self, trial: Any) -> None:
            clocks = f"{time.process_time()} {time.monotonic()}"
            tell(f"saved {trial.trial_id} {clocks}")

    if FLAGS.throughput:
        oracle = CoSearchOracle(
            SearchSpace.load(FLAGS.space),
            name,
            Budgets(latency_ms=0.1, area_mm2=40.0),
            max_trials=FLAGS.throughput,
            seed=seed,
        )
    else:
        oracle = CoSearchOracle(
            toys.ToySpace((9, 9, 9, 9)),  # type: ignore[arg-type]
            name,
            max_trials=TRIALS,
            seed=seed,
            proposals=32,
            max_retries_per_trial=1,
            max_consecutive_failed_trials=TRIALS,
            estimate=toys.toy_estimate,
        )
    return LightTuner(
        oracle,
        directory=folder,
        project_name="project",
        lease_seconds=(
            chief.LEASE_SECONDS if FLAGS.throughput else LEASE_SECONDS
        ),
    )


def light_search(name: str, folder: pathlib.Path, seed: int) -> None:
    """Begins a search, or goes on with it."""
    make_tuner(name, folder, seed).run()


def _print_throughput(name: str) -> None:
    """Measures a chief whose workers do nothing but ask and report.

    From the first trial that ends, when all is loaded and compiled.
    """
    with tempfile.TemporaryDirectory() as folder:
        search = Search(name, pathlib.Path(folder, "run"), random.Random(0))
        search.finish(["chief", *(f"worker{i}" for i in range(FLAGS.workers))])
        lines = (pathlib.Path(folder, "run") / LOG).read_text().splitlines()
        designs = search.designs()
    clocks = [line.split()[-2:] for line in lines if "saved" in line]
    computed, passed = (
        float(last) - float(first)
        for first, last in zip(clocks[0], clocks[-1], strict=True)
    )
    found = {
        "proposals_per_minute": 60 * (len(clocks) - 1) / passed,
        # A chief's that shares its cores with nobody.
        "proposals_per_cpu_minute": 60 * (len(clocks) - 1) / computed,
        "workers": FLAGS.workers,
        "trials": FLAGS.throughput,
        "duplicated": FLAGS.throughput - designs,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    command_line.run(main)
