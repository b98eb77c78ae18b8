"""CoSearchTuner: the life of one candidate, from proposal to int8 accuracy."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner

from tf_cosearch import (
    arguments,
    configuration,
    files,
    identity,
    measuring,
    metrics,
    seeds,
)
from tf_cosearch.designs import export, report, results
from tf_cosearch.designs.export import Design
from tf_cosearch.designs.page import writing as page
from tf_cosearch.engines import chief, launch
from tf_cosearch.engines.ray_engine import RayEngine
from tf_cosearch.engines.tuner import DurableTuner, project_folder
from tf_cosearch.evaluators.evaluator import Evaluator
from tf_cosearch.metrics import values
from tf_cosearch.search import accuracy_table as table_lib
from tf_cosearch.search import early_stopping as early_stopping_lib
from tf_cosearch.search import executions, measured, objectives
from tf_cosearch.search.accuracy_table import AccuracyTable
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.hypermodel import CoSearchHyperModel
from tf_cosearch.search.objectives import Reward
from tf_cosearch.search.oracle.durable import reason
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.oracle.scoring import EXPECTED
from tf_cosearch.search.oracle.warm_start import require_outside
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.supernet import accuracies
from tf_cosearch.supernet.options import SupernetOptions
from tf_cosearch.trackers import records
from tf_cosearch.trackers.listeners import Listeners
from tf_cosearch.trackers.tracker import Listener, TrialRecord
from tf_cosearch.trainer import Trainer
from tf_cosearch.training import checkpoint, hparams

if TYPE_CHECKING:
    from tf_cosearch.supernet.search import SupernetSearch


class CoSearchTuner(DurableTuner, keras_tuner.Tuner):
    """Searches a network and its accelerator together, as KerasTuner does.

    A trial trains the proposed network, first in float, then
    quantization-aware, converts it to int8 TFLite, and measures the accuracy
    of that file on the validation data. What the design costs is known before
    any training; designs over budget are never trained.

    Args:
        space: The joint space; or else `hypermodel`.
        oracle: Who proposes: a name of `algorithms.names()`, an `Algorithm`,
            or a `CoSearchOracle` over `space`, which has the arguments from
            `budgets` to `warm_start` itself: here they are refused then.
        budgets: Limits that no trained design exceeds.
        max_trials: How many designs to train; 20 by default, or without limit
            if `max_hours` is given.
        hypermodel: Your own model: a function that takes KerasTuner's
            hyperparameters and returns a Keras model, or a
            `keras_tuner.HyperModel`, see `HyperModelSpace`. Beside a space, a
            `CoSearchHyperModel` over it, whose `build` or `fit` may have
            hyperparameters of its own.
        accelerator: Of `hypermodel`: choices and fixed values by path, or a
            preset to fix the hardware to; by default what each component
            offers.
        objective: What a trial measures that is the accuracy: a name, or a
            list of them; `accuracy_int8` by default. Of an own model also
            another compiled metric of which more is better, as `NAME_int8`.
        reward: What counts as better: `hard`, which is the default, `soft`,
            `absolute`, a `WeightedProduct` or an `AbsoluteDeviation`.
        seed: Makes proposals and training repeatable.
        oracle_options: Further arguments of the oracle, for example
            `{"population_size": 20}`.
        start_from: Published networks of the space to train first, each with
            its best accelerator.
        warm_start: Folder, or trials.csv, of an earlier search of the same
            space, data and training. What it has trained is known here: it
            is not trained again, not counted in `max_trials`, and chosen if
            it is the best. Its files are copied.
        executions_per_trial: Trainings of each design; metrics are averaged
            and the best file is kept.
        learning_rate: Where the float phase starts, with the default optimizer
            or one given by name.
        optimizer: A name, configuration or instance; Adam by default.
        loss: A tf_keras loss of integer labels and logits; cross-entropy by
            default, and that of the task for other tasks, which take no other.
        qat_epochs: How many of the epochs are quantization-aware; about a
            quarter by default.
        quantization: `aware`, or `after_training`: all epochs are float, and
            the trained network is quantized by training data that it sees.
            Takes layers that quantization-aware training does not know. By
            default what the task takes, `aware` mostly.
        task: What the networks of a space are for, instead of what it says: a
            name of `tasks.names()`, a mapping of `name` and options, or a
            `Task`.
        directory: Folder of projects.
        project_name: Folder of this search in it; a search found there is
            continued.
        overwrite: Whether to delete such a search instead.
        early_stopping: `median`, `halving`, or a rule of
            `search.early_stopping`, to stop trials that are clearly losing;
            None trains all of them to the end.
        lease_seconds: With workers, how long one may be silent before its
            trial goes to another.
        trials_per_process: After how many trials the program starts anew, by
            the same command, and goes on. TensorFlow never gives back all
            memory of a training. `None` is never.
        accuracy: What designs are chosen by: `trained`, or a supernet's, that
            is trained once and judges thousands of them. Of `supernet` the
            best are trained; with `both` the oracle proposes trainings that
            it knows the judgement for.
        supernet: How to train the supernet, or the folder of one that is
            trained, for the same networks and data.
        supernet_trials: Designs that it judges; 2,000 by default.
        evaluator: Who says what a trained design costs: a name of
            `evaluators.names()`, or an `Evaluator`. What it measures counts,
            also for budgets; the analytic model, corrected by it, screens.
        evaluator_options: Options of an evaluator that is given by name.
        accuracy_table: A JSON file of what trainings of all networks of the
            space have reached, see `search.accuracy_table`: nothing is
            trained then, a trial takes as many of a network's trainings as it
            has executions, and `search` takes no data. Designs have no file.
        max_hours: After how many hours of searching no trial begins any more;
            those that run end. Interruptions do not count.
        on_trial_end: Called with a `TrialRecord` of each trial that ends, where
            the oracle is: a function, a tracker of `trackers`, or several. If
            one fails that is logged, and costs the search nothing.
        distribution_strategy: None: a trial trains on one device. Several
            GPUs train as many trials, each with a worker of its own.
        engine: Who runs the trials: `local`, which is this process, or a chief
            and its workers where KerasTuner's variables say so; or `ray`, or a
            `RayEngine`, which trains each as a task of a Ray cluster.

    Attributes:
        on_claim: Called when it is known that the folder is that of this
            search, or of none: who keeps files there writes them now.

    Raises:
        ImportError: If Ray is not installed, and is the engine.
        TypeError: If an argument is not of its type.
        ValueError: If an argument is not known or possible, the folder
            belongs to the search of another space, or the oracle chooses
            hyperparameters beside the space, which no training here uses.
    """

    def __init__(
        self,
        space: SearchSpace | None = None,
        oracle: str | Algorithm | type[Algorithm] | CoSearchOracle = "grey_box",
        budgets: Budgets | None = None,
        max_trials: int | None = None,
        *,
        hypermodel: Any = None,
        accelerator: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        objective: Any = None,
        reward: str | Reward | None = None,
        seed: int | None = None,
        oracle_options: Mapping[str, Any] | None = None,
        start_from: Sequence[str] = (),
        warm_start: str | os.PathLike[str] | None = None,
        executions_per_trial: int = 1,
        learning_rate: float | None = None,
        optimizer: Any = None,
        loss: Any = None,
        qat_epochs: int | None = None,
        quantization: str | None = None,
        task: Any = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        early_stopping: str | early_stopping_lib.Rule | None = None,
        lease_seconds: float = chief.LEASE_SECONDS,
        trials_per_process: int | None = None,
        accuracy: str = "trained",
        supernet: SupernetOptions | str | os.PathLike[str] | None = None,
        supernet_trials: int | None = None,
        evaluator: str | Evaluator | type[Evaluator] = "analytic",
        evaluator_options: Mapping[str, Any] | None = None,
        accuracy_table: str | os.PathLike[str] | AccuracyTable | None = None,
        max_hours: float | None = None,
        on_trial_end: Listener | Sequence[Listener] = (),
        distribution_strategy: Any = None,
        engine: str | RayEngine = "local",
    ) -> None:
        arguments.require_one_device(distribution_strategy)
        listeners = [on_trial_end] if callable(on_trial_end) else on_trial_end
        self._listeners = Listeners(listeners)
        made = measuring.make(evaluator, evaluator_options)
        space = arguments.joint_space(space, hypermodel, accelerator, task)
        prepared = arguments.quantization(space, quantization)
        configuration.at_least("executions_per_trial", executions_per_trial, 1)
        rule = early_stopping_lib.get(early_stopping)
        training: dict[str, Any] = {
            "learning_rate": learning_rate,
            "optimizer": optimizer,
            "loss": loss,
        }
        phases: dict[str, Any] = {
            "qat_epochs": qat_epochs,
            "quantization": prepared,
        }
        self._table: AccuracyTable | None = None
        if accuracy_table is not None:
            self._table = AccuracyTable.of(accuracy_table, space)
            arguments.require_table_alone(
                self._table,
                executions_per_trial,
                **training,
                qat_epochs=qat_epochs,
                quantization=quantization,
                accuracy=accuracy,
                early_stopping=early_stopping,
                evaluator=made,
            )
            if objective is None and not isinstance(oracle, CoSearchOracle):
                objective = table_lib.ACCURACY
        co_oracle = arguments.oracle(
            space,
            oracle,
            oracle_options=oracle_options,
            budgets=budgets,
            max_trials=max_trials,
            is_timed=max_hours is not None,
            objective=objective,
            reward=reward,
            seed=seed,
            start_from=start_from or None,
            warm_start=warm_start,
        )
        co_oracle.clock.limit(max_hours)
        arguments.require_space_alone(co_oracle)
        if self._table is not None:
            arguments.require_no_file(co_oracle.budgets)
        own = getattr(space.network_space, "hypermodel", None)
        if type(self).run_trial is CoSearchTuner.run_trial and own is None:
            arguments.require_measured(co_oracle, self._measured())
        # Nor may a subclass of this tuner ask for more while it trains.
        co_oracle.allow_new_entries = False
        project = project_folder(directory, project_name)
        if overwrite and co_oracle.earlier is not None:
            require_outside(co_oracle.earlier.source, project)
        self._measuring = measuring.Measuring(made, co_oracle, project)
        arguments.require_other_names(space, co_oracle.measures)
        self._supernet = accuracies.search(
            accuracy,
            supernet,
            supernet_trials,
            oracle=co_oracle,
            project=project,
            overwrite=overwrite,
            lease_seconds=lease_seconds,
        )
        self.space = space
        self._trainer = Trainer(space, training, phases)
        self._rule = rule
        self._progress = report.Progress(verbose=0)
        self._judged: dict[str, float] = {}
        self.on_claim: Callable[[], None] = lambda: None
        super().__init__(
            co_oracle,
            directory=directory,
            project_name=project_name,
            overwrite=overwrite,
            lease_seconds=lease_seconds,
            trials_per_process=trials_per_process,
            stage=0 if self._supernet is None else 1,
            engine=engine,
            executions_per_trial=executions_per_trial,
        )
        self.hypermodel = CoSearchHyperModel(space) if own is None else own
        self.trains_alone = made.is_disturbed
        self._curves = self._curves_of(self.project_dir)

    def _curves_of(self, project: str) -> executions.Curves:
        return executions.Curves(
            project,
            self.co_oracle.objective.name,
            self.co_oracle.reward,
            self._rule,
            self.co_oracle.budgets.compared(),
        )

    def search(
        self,
        x: Any = None,
        y: Any = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        validation_data: Any = None,
        validation_split: float = 0.0,
        callbacks: Any = None,
        class_weight: Mapping[int, float] | None = None,
        verbose: int = 1,
        **others: Any,
    ) -> None:
        """Searches until `max_trials` designs are trained.

        On a worker the process ends when there is no more to train: the rest
        of a script, which does something with the result, is for the chief.

        Args:
            x: Images `[N, H, W, C]`, or a batched `tf.data.Dataset`. For an
                own model whatever it takes, and a `PyDataset`, too.
            y: Integer labels `[N]` or one-hot `[N, classes]`, or what another
                task takes, masks for example. For an own model whatever its
                loss takes.
            epochs: Epochs of a trial, float and quantization-aware together;
                1 by default. An overridden `fit` of a hypermodel may choose
                them itself: then leave them out.
            batch_size: Images a step, 32 by default; arrays only.
            validation_data: What accuracy is measured on.
            validation_split: Or the share of the arrays' end to take for it.
            callbacks: Keras 3 or tf_keras callbacks. Each phase of each
                training gets copies of its own, and those that write do so
                in a folder of its own below theirs,
                `trial_07/execution_0/float` for one. A `TensorBoard` shows
                all trials on its page of hyperparameters, costs as metrics.
            class_weight: Weight of each class in the loss.
            verbose: 0 is silent. All else, 1, 2 or `auto`, prints a line a
                trial and a summary, and shows meanwhile what is trained: on
                a terminal each second, else in a line now and then.
            **others: For an own model also `sample_weight`,
                `steps_per_epoch`, `validation_steps` and `shuffle`; whatever
                an overridden `fit` takes. Other arguments of Keras' `fit` are
                refused with what to use instead.

        Raises:
            TypeError: If an argument is not supported.
            ValueError: If the data do not fit the space, or no design meets
                the budgets. Nothing is trained then.
            RuntimeError: If trials keep failing for the same reason, or no
                cluster answers.
        """
        if not isinstance(verbose, (int, str)) or (
            verbose not in (0, 1, 2, "auto")
        ):
            raise ValueError(
                "`verbose` must be 0 or 1, or 2 or 'auto' as Keras' `fit` "
                f"takes it. Received: {verbose!r}. 0 is silent."
            )
        arguments.require_one_device()
        with contextlib.ExitStack() as stack:
            if self._engine is not None:
                stack.enter_context(self._engine.connected())
            of_data = {
                "validation_data": validation_data,
                "validation_split": validation_split,
                "batch_size": batch_size,
                "class_weight": class_weight,
            }
            if self._table is not None:
                given = {
                    "x": x,
                    "y": y,
                    "epochs": epochs,
                    "callbacks": callbacks,
                }
                given |= of_data | {
                    "validation_split": validation_split or None
                }
                arguments.require_untrained(given | others)
                conditions = self._table.conditions(self.executions_per_trial)
            else:
                self._trainer.prepare(
                    x,
                    y,
                    epochs=epochs,
                    callbacks=callbacks,
                    verbose=verbose,
                    others=others,
                    **of_data,
                )
                self._check_training(callbacks)
                conditions = self._trainer.conditions(
                    executions_per_trial=self.executions_per_trial,
                    early_stopping=self._rule,
                )
            self._progress = report.Progress(verbose)
            self.co_oracle.identify(**conditions, versions=identity.versions())
            self.co_oracle.clock.start()
            if not self._is_worker():
                stack.enter_context(files.owned(self.project_dir))
                self._prepare()
            if self._supernet is not None:
                self._ask_supernet(self._supernet, conditions["data"], verbose)
            if not self._is_worker():
                project = pathlib.Path(self.project_dir)
                told = self._progress.follow(self.co_oracle, project)
                stack.enter_context(told)
            epochs = 1 if epochs is None else epochs
            try:
                self.run(epochs=epochs, callbacks=callbacks)
            except BaseException:  # whatever ends it, there is a page
                self._leave_page()
                raise
        if self._is_worker():
            sys.exit()  # What a script does with the result, the chief does.
        self.write_trials()  # Even if there was nothing left to do.
        self._leave_page()

    def _leave_page(self) -> None:
        """Leaves `report.html`, if there is something to look at."""
        if not self._is_worker() and self.co_oracle.end_order:
            page.leave(self.project_dir)

    def _prepare(self) -> None:
        """Measures what is to be measured first, and that limits can be met."""
        oracle = self.co_oracle
        if self._measuring.is_analytic:
            oracle.check_feasible()
            return
        self.reload()
        self.claim()
        with chief.busy(oracle, "measures untrained networks"):
            self._measuring.probe(self._trainer.untrained)
            oracle.check_feasible()

    def _ask_supernet(
        self, supernet: SupernetSearch, described: Any, verbose: int
    ) -> None:
        """Tells the oracle what a supernet says of designs."""
        supernet.prepare(self._trainer.data, described)
        self._limit_training(supernet.weight_bytes)
        if not self._is_worker():
            self.reload()
            self.claim()
            self._progress.search(self.space.summary(), self.co_oracle)
        estimates = supernet.run(verbose)
        # A worker has the weights from now on.
        self._limit_training(supernet.weight_bytes)
        if estimates is not None:
            self.co_oracle.expect(estimates, supernet.algorithm)

    def claim(self) -> None:
        """Leaves in the folder which search it is of, before it begins."""
        self.on_claim()
        self.save()

    def _limit_training(self, held_bytes: int = 0) -> None:
        """Lets nothing be proposed whose training this machine cannot hold."""
        if self._engine is None:
            room = launch.training_room(held_bytes)
        else:
            room = self._engine.training_room(
                launch.WORKER_BYTES, is_alone=self.trains_alone
            )
        if room is not None:
            self.co_oracle.prices.limit_training(
                self._trainer.training_bytes, room
            )

    def _check_training(self, callbacks: Any) -> None:
        """Refuses, before anything is trained, what no trial could do."""
        if self._engine is not None:
            self._engine.require_sendable(
                callbacks=callbacks,
                evaluator=self._measuring.evaluator,
                early_stopping=self._rule,
                **self._trainer.sent(),
            )
        if self._trainer.hypermodel is not None:
            self._rehearse(callbacks)
        self._limit_training()

    def _rehearse(self, callbacks: Any) -> None:
        """Refuses what a trial could not do, before there is one."""
        measured, has_accuracy = self._trainer.rehearse(callbacks)
        arguments.require_measured(self.co_oracle, measured)
        if self._rule is not None and not has_accuracy:
            raise ValueError(
                "early_stopping needs an accuracy after each epoch. Received: "
                "a model that is compiled without one. Compile it with "
                "metrics=['accuracy']."
            )

    def on_search_begin(self) -> None:
        """Says what is searched; from now on the search can be continued."""
        arguments.require_space_alone(self.co_oracle)
        self.claim()
        if not self._is_worker():
            if self.co_oracle.earlier is not None:
                doing = "takes in what an earlier search has trained"
                with chief.busy(self.co_oracle, doing):
                    self.co_oracle.take_known()
            results.leave_all(self.co_oracle, self.project_dir)
            self._progress.begin(self.space.summary(), self.co_oracle)
            self._listeners.begin(
                self._record(self.co_oracle.trials[trial_id])
                for trial_id in self.co_oracle.end_order
            )

    def on_trial_begin(self, trial: Any) -> None:
        """Asks the supernet, if there is one, what it thinks of a trial."""
        super().on_trial_begin(trial)
        if self._supernet is not None:
            genome = self.co_oracle.trial_genome(trial)
            self._judged = self._supernet.judge(genome)

    def memory_bytes(self, trial: Any = None) -> int:
        """See `DurableTuner.memory_bytes`; a table takes none."""
        if self._table is not None:
            return 0
        need = self._trainer.data_bytes
        if trial is not None:
            genome = self.co_oracle.trial_genome(trial)
            layers, _ = self.space.batch(genome[None])
            need = int(self._trainer.training_bytes(layers)[0])
        return launch.WORKER_BYTES + need

    def trial_context(self, trial: Any) -> dict[str, Any]:
        """See `DurableTuner.trial_context`."""
        return {**super().trial_context(trial), "_judged": self._judged}

    def __getstate__(self) -> dict[str, Any]:
        """See `DurableTuner`; telling others is this process's affair."""
        state = super().__getstate__()
        if self.co_oracle.is_sending:
            here = ("_listeners", "_progress", "_supernet", "on_claim")
            state = {**state, **dict.fromkeys(here)}
        return state

    def move(self, project: pathlib.Path, is_shared: bool) -> None:
        """See `DurableTuner.move`.

        Raises:
            FatalRuntimeError: If trials are compared whose curves are not
                there.
        """
        super().move(project, is_shared)
        if self._rule is not None and not is_shared:
            raise keras_tuner.errors.FatalRuntimeError(
                "early_stopping must see the curves of all trials. Received: "
                "a node that does not see the folder of the search. Put it on "
                "storage that all nodes share, or leave early_stopping out."
            )
        self._curves = self._curves_of(self.project_dir)
        self._measuring = measuring.Measuring(
            self._measuring.evaluator, self.co_oracle, project
        )

    def run_trial(
        self, trial: Any, *, epochs: int, callbacks: Any = None
    ) -> dict[str, float]:
        """Trains, converts and measures the design of a trial.

        A trial that was interrupted goes on after its last epoch, whichever
        process trained that. One that is stopped early is calibrated,
        converted and measured as it is, without quantization-aware training
        and further executions: these would cost more than what was saved.

        Args:
            trial: A `keras_tuner` trial.
            epochs: Epochs of each training.
            callbacks: Callbacks of each training.

        Returns:
            The metrics of the trial, averaged over its executions. With
            `stopped_epoch`, if it was stopped, is `accuracy_expected`, see
            `early_stopping.forecast`, which is what algorithms learn from.
        """
        genome = self.co_oracle.trial_genome(trial)
        costs = {
            name: cost
            for name, cost in self.co_oracle.trial_costs(trial).items()
            if math.isfinite(cost)
        }
        if self._table is not None:
            return self._look_up(self._table, trial, costs)
        if why := self.co_oracle.prices.why_not_trained(genome):
            # A worker's machine may be smaller than that of its chief.
            raise keras_tuner.errors.FailedTrialError(why)
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        runs: list[dict[str, float]] = []
        for number in range(self.executions_per_trial):
            seed = seeds.derive(
                self.oracle.training_seed(trial.trial_id), number
            )
            execution = executions.Execution(
                folder,
                number,
                self.co_oracle.identity.digest(seed=seed),
                costs,
                self._trainer.planned(epochs),
                self.executions_per_trial,
            )
            if execution.metrics and (folder / export.MODEL).is_file():
                runs.append(execution.metrics)
            else:
                settings = {
                    "epochs": epochs,
                    "callbacks": callbacks,
                    "seed": seed,
                    "number": number,
                }
                self._execute(trial, execution, folder, runs, settings)
            if report.STOPPED in runs[-1]:
                break
        evaluated = self._measuring.trial(
            genome, folder, measured.expected(trial)
        )
        trained = results.averaged(runs)
        seconds = trained["seconds"] + self._proposal_seconds
        seconds += evaluated.get(measured.SECONDS, 0.0)
        measures = {
            **trained,
            "seconds_proposal": self._proposal_seconds,
            "seconds": seconds,
            **{name: costs[name] for name in metrics.names() if name in costs},
            **evaluated,
        }
        oracle, chosen = self.co_oracle, trial.hyperparameters
        hparams.tell(
            callbacks,
            folder.name,
            chosen.values,
            measures,
            [
                *objectives.names(oracle.objective),
                *oracle.budgets.compared(),
                *report.measured_columns(oracle.measures),
            ],
            {p.name: p.choices for p in oracle.space.parameters},
        )
        return measures

    def _look_up(
        self, table: AccuracyTable, trial: Any, costs: Mapping[str, float]
    ) -> dict[str, float]:
        """What a trial reports whose network somebody else has trained."""
        seed = self.oracle.training_seed(trial.trial_id)
        known = table.drawn(
            self.co_oracle.trial_genome(trial), seed, self.executions_per_trial
        )
        return {
            table_lib.ACCURACY: statistics.fmean(known),
            "seconds_proposal": self._proposal_seconds,
            "seconds": self._proposal_seconds,
            **{name: costs[name] for name in metrics.names() if name in costs},
        }

    def _measured(self) -> list[str]:
        """Accuracies that a trial measures and may be chosen by."""
        if self._table is not None:
            return [table_lib.ACCURACY]
        others = accuracies.ACCURACY, table_lib.ACCURACY
        return [name for name in metrics.accuracies() if name not in others]

    def _execute(
        self,
        trial: Any,
        execution: executions.Execution,
        folder: pathlib.Path,
        runs: list[dict[str, float]],
        settings: dict[str, Any],
    ) -> None:
        """Adds a training to the runs, and keeps its file if it is best."""

        def on_epoch(history: dict[str, list[float]], epochs: int) -> bool:
            if self._is_worker():
                self.oracle.check()  # the trial may have gone to another
            else:
                self.co_oracle.note_time()
            execution.epoch(history, epochs)
            curve = execution.curve
            return not runs and self._curves.is_losing(curve, folder)

        with execution.attempt():
            trained = self._trainer.train(
                trial.hyperparameters.values,
                folder=folder,
                on_epoch=on_epoch,
                **settings,
            )
        reported = trained.metrics()
        genome = self.co_oracle.trial_genome(trial)
        reported |= self._judged
        reported |= values.measured(
            self.co_oracle.trial_costs(trial),
            {**reported, "tflite": trained.tflite},
            self.co_oracle.prices.designs(genome[None]),
        )
        if trained.stopped_epoch is not None:
            expected = self._curves.forecast(execution.curve, folder)
            if expected is not None:
                reported[EXPECTED] = expected
        runs.append(reported)
        if max(runs, key=lambda run: run["accuracy_int8"]) is reported:
            trained.save_weights(folder)
            files.write_bytes(folder / export.MODEL, trained.tflite)
        # What is on the disk now is not trained again, whatever happens.
        execution.end(reported)
        checkpoint.remove(folder)

    def on_trial_saved(self, trial: Any) -> None:
        """Tells of a trial."""
        checkpoint.remove(self.get_trial_dir(trial.trial_id))
        results.leave(self.co_oracle, self.project_dir, trial)
        self.write_trials()
        failure = None if trial.score is not None else reason(trial)
        self._progress.trial(self.co_oracle, trial, failure)
        self._listeners.tell(self._record(trial))

    def _record(self, trial: Any) -> TrialRecord:
        """What listeners are told of a trial."""
        search_id = self.co_oracle.search_id
        return records.of_trial(trial, self.project_dir, search_id)

    def on_search_end(self) -> None:
        """Prints the Pareto front and where everything lies."""
        if not self._is_worker():
            self.save()  # for how long it has run
            folder = pathlib.Path(self.project_dir)
            self._progress.end(self.co_oracle, folder)
            self._listeners.end()

    def write_trials(self) -> pathlib.Path:
        """Writes `trials.csv`: a row a trial, see `report.trial_columns`."""
        path = pathlib.Path(self.project_dir) / "trials.csv"
        rows = report.trial_rows(self.co_oracle)
        report.write_trials(path, rows, self.co_oracle.measures)
        return path

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the Pareto front, the time of a trial, and the folder.

        Args:
            num_trials: How many designs of the front to print.
        """
        progress = report.Progress(verbose=1)
        progress.end(self.co_oracle, pathlib.Path(self.project_dir), num_trials)

    def best_designs(self, num_designs: int = 1) -> list[Design]:
        """The finished designs of highest reward within the budgets.

        See `designs.results.best`.

        Args:
            num_designs: How many, at least 1.

        Returns:
            Designs, the best first; fewer, or none, if fewer were finished.
        """
        return results.best(self.co_oracle, self.project_dir, num_designs)

    def design(self, trial: Any) -> Design:
        """The design of a finished trial."""
        return results.design(self.co_oracle, self.project_dir, trial)

    def load_model(self, trial: Any) -> Any:
        """The trained model of a trial, compiled.

        Of a user's own model it is the float model, in their Keras; of a
        template the quantization-aware tf_keras model, or the float one if it
        was quantized after training.
        """
        folder = self.design(trial).folder
        if self._table is not None:
            raise ValueError(
                "A model must be trained to be loaded. Received: a trial of "
                "accuracy_table, which trains none. design(trial).network "
                "builds the network."
            )
        return self._trainer.load(trial.hyperparameters.values, folder)
