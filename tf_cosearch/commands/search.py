r"""Searches a network and its accelerator together and exports the best.

    cosearch search --flagfile=digits --output_dir=runs/digits

--flagfile is a file of flags, or a name of configs/searches.

Leaves trials.csv, pareto.png, run.json and design/. Run again with the same
flags, a search goes on where it was stopped; with a larger --max_trials, other
budgets, reward or oracle it goes on as well.
"""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from tf_cosearch.commands import command_line

if TYPE_CHECKING:
    import tf_cosearch as cs
    from tf_cosearch.training import datasets

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", None, "Where everything goes.", required=True)
flags.DEFINE_string("space", "digits", "Name or YAML file of a search space.")
command_line.define_task()
command_line.define_data()
command_line.define_image_size()
flags.DEFINE_string(
    "accelerator",
    None,
    "Preset or YAML file to fix the hardware to; searched if left out.",
)
flags.DEFINE_string(
    "oracle",
    "grey_box",
    "Who proposes; tf_cosearch/search/README.md says which one to choose.",
)
flags.DEFINE_multi_string(
    "oracle_option",
    [],
    "NAME=VALUE for the oracle, for example front_share=0; may be repeated.",
)
flags.DEFINE_string(
    "searched",
    "joint",
    "joint, network, accelerator, phased, phased_reverse, nested: one side "
    "alone, one after the other, or networks with their best accelerators.",
)
flags.DEFINE_string(
    "held_accelerator",
    None,
    "Preset or file that the accelerator is held to, or starts from, if "
    "--searched does not search it; drawn if left out.",
)
flags.DEFINE_string(
    "held_network",
    None,
    "The same for the network: a name or file of configs/networks.",
)
flags.DEFINE_list(
    "start_from",
    [],
    "Networks of the space to train first, each with its best accelerator: "
    "names or files of configs/networks.",
)
flags.DEFINE_string(
    "warm_start",
    None,
    "Folder, or trials.csv, of an earlier search of the same space, data and "
    "training: what it has trained is known and not trained again.",
)
flags.DEFINE_string(
    "accuracy_table",
    None,
    "JSON file of what trainings of all networks of the space have reached, "
    "instead of trainings; tf_cosearch/search/README.md says what it holds.",
)
flags.DEFINE_integer("max_trials", 12, "Designs to train.", lower_bound=1)
command_line.define_positive(
    "max_hours",
    "Hours of searching after which no trial begins any more; without "
    "--max_trials as many as fit are trained.",
)
command_line.define_training(epochs=12)
flags.DEFINE_integer(
    "executions_per_trial", 1, "Trainings of each design.", lower_bound=1
)
flags.DEFINE_enum(
    "reward",
    "hard",
    ["hard", "soft", "absolute"],
    "Whether only exceeding a budget counts, being below it as well, or any "
    "distance from the latency budget.",
)
command_line.define_positive("latency_ms", "Budget of an inference's time.")
command_line.define_positive("energy_mj", "Budget of an inference's energy.")
command_line.define_positive("area_mm2", "Budget of the accelerator's area.")
flags.DEFINE_multi_string(
    "budget",
    [],
    "NAME=VALUE, the budget on a metric: the most of it, or the least of what "
    "should be more, for example throughput_fps=500; may be repeated.",
)
flags.DEFINE_float(
    "max_accuracy_drop",
    None,
    "Points of accuracy that the file may lose against the float network.",
    lower_bound=0,
)
flags.DEFINE_enum(
    "early_stopping",
    None,
    ["median", "halving"],
    "Rule to stop trials by that are clearly losing; none are if left out.",
)
flags.DEFINE_enum(
    "accuracy",
    "trained",
    ["trained", "supernet", "both"],
    "What designs are chosen by: trainings; a supernet, which is trained once "
    "and judges thousands, of which the best are trained; or trainings that "
    "grey_box proposes with its advice.",
)
flags.DEFINE_string(
    "supernet",
    None,
    "Folder of a supernet of the same space and data, by train_supernet or "
    "an earlier search; trained in --output_dir if left out.",
)
flags.DEFINE_integer(
    "supernet_trials",
    None,
    "Designs to evaluate on the supernet; 2000 if left out.",
    lower_bound=1,
)
OF_SUPERNET = command_line.define_supernet("supernet_")
flags.register_multi_flags_validator(
    ["accuracy", "supernet", *OF_SUPERNET],
    lambda given: (
        all(given[name] is None for name in OF_SUPERNET)
        or (given["accuracy"] != "trained" and given["supernet"] is None)
    ),
    message=f"--{', --'.join(OF_SUPERNET)} are for --accuracy=supernet or "
    "both, which train a supernet unless --supernet is given",
)
OF_TRAINING = (
    *("data", "train_size", "validation_size", "image_size", "epochs"),
    *("qat_epochs", "batch_size", "learning_rate", "trials_per_process"),
    *("supernet", "supernet_trials", *OF_SUPERNET),
)
"""Flags that say nothing where accuracies are of a table."""

command_line.define_evaluator()
flags.DEFINE_multi_string(
    "track",
    [],
    "Tracker that is told of every trial: mlflow[:ADDRESS], wandb[:PROJECT] or "
    "optuna:STORAGE; may be repeated.",
)
flags.DEFINE_bool("overwrite", False, "Delete a search in --output_dir first.")
flags.DEFINE_integer(
    "workers",
    0,
    "Processes that train; 0 is as many as the machine has cores and memory "
    "for. With 1 the same seed gives the same search, with more the order of "
    "trials depends on their speed.",
    lower_bound=0,
)
flags.DEFINE_enum(
    "engine",
    "local",
    ["local", "ray"],
    "Who trains: processes of this machine, or of others that configs/cluster "
    "starts; or tasks of a Ray cluster, at most --workers at once if given.",
)
flags.DEFINE_string(
    "ray_address",
    None,
    "Cluster of --engine=ray: auto, the default, which this machine is part of "
    "or RAY_ADDRESS names; HOST:PORT; or local, which starts one.",
)
command_line.define_positive(
    "cpus_per_trial",
    "Of a node, with --engine=ray; shared by its memory if left out.",
)
flags.DEFINE_float(
    "gpus_per_trial",
    None,
    "Of a node, with --engine=ray; 1 if left out and there is one.",
    lower_bound=0,
)
OF_RAY = ("ray_address", "cpus_per_trial", "gpus_per_trial")
flags.register_multi_flags_validator(
    ["engine", *OF_RAY],
    lambda given: (
        given["engine"] == "ray" or all(given[name] is None for name in OF_RAY)
    ),
    message=f"--{', --'.join(OF_RAY)} are for --engine=ray",
)
flags.DEFINE_float(
    "lease_seconds",
    120.0,
    "With workers, how long one may be silent before its trial goes to "
    "another.",
    lower_bound=1.0,
)
flags.DEFINE_integer(
    "trials_per_process",
    50,
    "After how many trials a process starts anew and goes on, since TensorFlow "
    "never gives back all memory; 0 is never.",
    lower_bound=0,
)


def main() -> None:
    from tf_cosearch.engines import launch

    if FLAGS.engine == "ray":
        engine = _ray()
        with engine.connected():  # before reading data, which may take long
            _run(engine)
    elif FLAGS.workers > 1 and not launch.is_child():
        sys.exit(_launch(FLAGS.workers))
    else:
        _run(None)


def _run(engine: cs.RayEngine | None) -> None:
    import tf_cosearch as cs
    from tf_cosearch import files
    from tf_cosearch.engines import launch, worker
    from tf_cosearch.search.accuracy_table import AccuracyTable

    cs.algorithms.get(FLAGS.oracle)  # before reading data, which may take long
    options, budgets = _oracle_options(), _budgets()
    command_line.supernet_options("supernet_")
    evaluator = command_line.make_evaluator()
    task = command_line.task_of_space()
    data = None
    shapes: tuple[Any, Any] = None, None
    if FLAGS.accuracy_table is None:
        data = command_line.load_data_of_networks(task)
        shapes = data.input_shape, data.classes
    else:
        _require_untrained()
    space = cs.SearchSpace.load(FLAGS.space, *shapes, FLAGS.accelerator, task)
    judges: dict[str, Any] = {"evaluator": evaluator}
    if engine is not None:
        judges["engine"] = engine
    if FLAGS.accuracy_table is not None:
        table = AccuracyTable(FLAGS.accuracy_table, space)
        judges["accuracy_table"] = table
    is_here = engine is None and not launch.is_child()
    has_default = is_here and not FLAGS.workers
    if data is not None and has_default and not evaluator.is_disturbed:
        workers = _default_workers(space, data)
        workers = min(workers, _max_trials() or workers)
        if workers > 1:
            del data  # which is read by those that train
            sys.exit(_launch(workers))
    oracle = _oracle(space, budgets, options | _scope(space))
    folder = command_line.output_folder(FLAGS.output_dir)
    if launch.is_worker():
        try:
            _search(folder, oracle, data, judges)
        except worker.EndedByChiefError:
            if launch.is_spoken_for():
                sys.exit(1)
            raise
        return
    with files.owned(folder):
        _claim(folder)
        tuner = _search(folder, oracle, data, judges)
        _export(tuner, data and data.test, folder)


def _ray() -> cs.RayEngine:
    """The engine of --engine=ray."""
    import tf_cosearch as cs

    if FLAGS["lease_seconds"].present:
        raise ValueError(
            "--lease_seconds must be left out with --engine=ray, as Ray knows "
            "who has died. Received: both."
        )
    return cs.RayEngine(
        FLAGS.ray_address,
        trials_at_once=FLAGS.workers or None,
        cpus_per_trial=FLAGS.cpus_per_trial,
        gpus_per_trial=FLAGS.gpus_per_trial,
    )


def _launch(workers: int) -> int:
    from tf_cosearch.engines import launch

    return launch.launch(
        [sys.executable, *sys.orig_argv[1:]],
        workers,
        chief_trains=FLAGS.accuracy != "trained" and FLAGS.supernet is None,
    )


def _default_workers(space: cs.SearchSpace, data: datasets.Dataset) -> int:
    """As many as the machine has room for, with these data and networks."""
    import numpy as np

    import tf_cosearch as cs
    from tf_cosearch.engines import launch
    from tf_cosearch.training import memory

    layers, _ = space.batch(space.sample(np.random.default_rng(0), 64))
    arrays = [*data.train, *data.validation, *data.test]
    needs = memory.training_bytes(arrays, layers, FLAGS.batch_size)
    # The few largest are not proposed if a worker's share is too small.
    need = int(np.quantile(needs, 0.9))
    if FLAGS.accuracy == "trained":
        return launch.default_workers(need)
    from tf_cosearch.supernet import supernet

    source = _supernet() or cs.SupernetOptions()
    of_supernet = supernet.memory_bytes(space.network_space, source)
    return launch.default_workers(need, *of_supernet)


def _oracle(
    space: cs.SearchSpace, budgets: cs.Budgets, options: dict[str, Any]
) -> Any:
    """The oracle, which refuses what is wrong with any of its arguments."""
    from tf_cosearch.search.oracle import options as options_lib

    return options_lib.make(
        FLAGS.oracle,
        options,
        space=space,
        budgets=budgets,
        max_trials=_max_trials(),
        reward=FLAGS.reward,
        seed=FLAGS.seed,
        start_from=FLAGS.start_from,
        warm_start=FLAGS.warm_start,
        **({"objective": "accuracy_table"} if FLAGS.accuracy_table else {}),
    )


def _max_trials() -> int | None:
    is_counted = FLAGS.max_hours is None or FLAGS["max_trials"].present
    return FLAGS.max_trials if is_counted else None


def _search(
    folder: pathlib.Path,
    oracle: Any,
    data: datasets.Dataset | None,
    judges: dict[str, Any],
) -> cs.CoSearchTuner:
    import tf_cosearch as cs
    from tf_cosearch import trackers
    from tf_cosearch.designs import run_file
    from tf_cosearch.engines import launch

    is_worker = launch.is_worker()

    tuner = cs.CoSearchTuner(
        oracle.space,
        oracle,
        executions_per_trial=FLAGS.executions_per_trial,
        learning_rate=FLAGS.learning_rate,
        qat_epochs=FLAGS.qat_epochs,
        directory=folder.parent,
        project_name=folder.name,
        overwrite=FLAGS.overwrite,
        early_stopping=FLAGS.early_stopping,
        lease_seconds=FLAGS.lease_seconds,
        trials_per_process=FLAGS.trials_per_process or None,
        accuracy=FLAGS.accuracy,
        supernet=_supernet(),
        supernet_trials=FLAGS.supernet_trials,
        **judges,
        max_hours=FLAGS.max_hours,
        on_trial_end=[] if is_worker else trackers.installed(FLAGS.track),
    )
    if not is_worker:
        tuner.on_claim = lambda: run_file.write(
            folder, _flags(), tuner.space, FLAGS.seed
        )
    training: dict[str, Any] = {}
    if data is not None:
        training = {
            "x": data.train[0],
            "y": data.train[1],
            "validation_data": data.validation,
            "epochs": FLAGS.epochs,
            "batch_size": FLAGS.batch_size,
        }
    try:
        tuner.search(**training)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"What is finished is in {folder}; the same command goes on from "
            "there."
        ) from None
    return tuner


def _supernet() -> Any:
    """The folder of a supernet, or how to train one, if flags say so."""
    if all(FLAGS[name].value is None for name in OF_SUPERNET):
        return FLAGS.supernet
    return command_line.supernet_options("supernet_")


def _export(tuner: cs.CoSearchTuner, test: Any, folder: pathlib.Path) -> None:
    from tf_cosearch.designs import outcome

    best = tuner.best_designs(1)
    clock = tuner.co_oracle.clock
    if not best and not tuner.co_oracle.end_order and clock.is_over():
        raise RuntimeError(
            "A search must finish a trial in its --max_hours. Received: "
            f"{clock.max_hours:g}, which were up before. Give more of them: "
            "the same command goes on."
        )
    if not best:
        raise RuntimeError(
            "A search must finish a trial within the budgets. Received: none; "
            f"{folder / 'trials.csv'} has what it tried."
        )
    budgets, name = tuner.co_oracle.budgets, tuner.space.name
    print(outcome.leave(best[0], folder, test, budgets, name))


def _require_untrained() -> None:
    """Refuses flags of trainings and data where there are none."""
    named = [f"--{name}" for name in OF_TRAINING if FLAGS[name].present]
    if named:
        raise ValueError(
            f"{', '.join(named)} must be left out with --accuracy_table, as "
            "nothing is trained. Received: both."
        )


def _oracle_options() -> dict[str, Any]:
    """Reads --oracle_option."""
    return command_line.named_values("oracle_option")


def _budgets() -> cs.Budgets:
    """Reads --budget, and the flags of those that have one."""
    import tf_cosearch as cs

    budgets = command_line.named_values("budget")
    flags_of = {name: name for name in ("latency_ms", "energy_mj", "area_mm2")}
    for name, flag in {
        **flags_of,
        "accuracy_drop": "max_accuracy_drop",
    }.items():
        if name in budgets and FLAGS[flag].value is not None:
            raise ValueError(
                f"The budget {name} must be given once. Received: --{flag} "
                "and --budget. Leave one of them out."
            )
        budgets.setdefault(name, FLAGS[flag].value)
    return cs.Budgets(**budgets)


def _scope(space: cs.SearchSpace) -> dict[str, Any]:
    """What is searched, and what the other side is held to."""
    import tf_cosearch as cs

    values: dict[str, Any] = {}
    if FLAGS.held_network:
        values |= space.encode(cs.load_network(FLAGS.held_network))
    if FLAGS.held_accelerator:
        values |= space.encode_accelerator(
            cs.load_accelerator(FLAGS.held_accelerator)
        )
    _require_held_is_not_searched()
    return {"searched": FLAGS.searched, "fixed": values or None}


def _require_held_is_not_searched() -> None:
    not_searched = {
        "phased": "network",
        "phased_reverse": "accelerator",
        "network": "accelerator",
        "accelerator": "network",
    }
    for side in ("network", "accelerator"):
        value = FLAGS[f"held_{side}"].value
        if value and side != not_searched.get(FLAGS.searched):
            raise ValueError(
                f"--held_{side} must be of a side that is not searched. "
                f"Received: {value} with --searched={FLAGS.searched}. Leave "
                "it out, or change --searched."
            )


def _claim(folder: pathlib.Path) -> None:
    """Refuses a folder that belongs to something else, or to another seed."""
    from tf_cosearch.designs import run_file

    before = run_file.read(folder)
    is_begun = any(any(folder.glob(name)) for name in ("trial_*", "supernet"))
    if before is None or FLAGS.overwrite or not is_begun:
        return
    if before["seed"] != FLAGS.seed:
        raise ValueError(
            "A search must be continued with the seed it was begun with. "
            f"Received: {folder}, begun with --seed={before['seed']}, not "
            f"{FLAGS.seed}. Use the same, choose another --output_dir, or pass "
            "--overwrite to delete that search."
        )


def _flags() -> dict[str, Any]:
    """The values of the flags that are this script's own."""
    script = FLAGS.find_module_defining_flag("output_dir")
    return {f.name: f.value for f in FLAGS.get_flags_for_module(script)}
