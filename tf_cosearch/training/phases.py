"""The phases of a training, each a `fit` that can be resumed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from tf_cosearch.training import callbacks as callbacks_lib
from tf_cosearch.training import checkpoint, dropout, session
from tf_cosearch.training.inputs import Inputs
from tf_cosearch.training.recipes import Recipe

Watch = Callable[[dict[str, list[float]], int], bool]
"""Told the history after an epoch, and how many of its epochs are of the float
phase; returns whether to give the trial up."""


class Run:
    """What both phases share.

    Args:
        recipe: Of the network.
        data: What `inputs.prepare` returned.
        callbacks: Keras 3 or tf_keras callbacks.
        seed: Decides the order of the data and what dropout drops.
        on_epoch: Called after each epoch.
        log_folder: As `fit.train` takes it.

    Attributes:
        history: Metric -> one value per epoch.
        seconds: Phase -> s.
        stopped_epoch: The epoch after which `on_epoch` gave the trial up.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Inputs,
        callbacks: Sequence[Any],
        seed: int,
        on_epoch: Watch | None,
        log_folder: str | None = None,
    ) -> None:
        self._recipe = recipe
        self._data = data
        self._callbacks = callbacks
        self._seed = seed
        self._on_epoch = on_epoch
        self._log_folder = log_folder
        self._began = 0.0
        self.checkpoints = checkpoint.Checkpoints(None, "")
        self.history: dict[str, list[float]] = {}
        self.seconds: dict[str, float] = {}
        self.stopped_epoch: int | None = None

    @contextlib.contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Notes the seconds that a phase takes."""
        self._began = time.perf_counter()
        yield
        self.seconds[phase] = self._elapsed(phase)

    def _elapsed(self, phase: str) -> float:
        before = self.seconds.get(phase, 0.0)  # the process was interrupted
        return before + time.perf_counter() - self._began

    @property
    def _epochs_done(self) -> int:
        return max(map(len, self.history.values()), default=0)

    def compile(self, model: Any, epochs: int, phase: str) -> None:
        """Compiles the model of a phase.

        Args:
            model: Of the recipe.
            epochs: Of this phase.
            phase: `float` or `qat`.
        """
        self._recipe.compile(
            model,
            is_qat=phase == "qat",
            steps=max(epochs, 1) * self._data.steps,
            steps_done=self._epochs_done * self._data.steps,
            decay=not callbacks_lib.control_learning_rate(self._callbacks),
        )

    def fit(self, model: Any, epochs: int, phase: str) -> None:
        """Trains the model on from the last epoch.

        Args:
            model: What `compile` compiled.
            epochs: Of this phase.
            phase: `float` or `qat`.

        Raises:
            FloatingPointError: If the loss becomes NaN or infinite.
        """
        if not epochs:
            return
        start = self._epochs_done
        # Variables that appear while a step is traced make TensorFlow trace
        # it once more.
        if hasattr(model.optimizer, "build"):  # legacy ones have none
            model.optimizer.build(model.trainable_variables)
        saved = self._resume(model, phase)
        if saved is None or not saved.finished:
            self._train(model, start, start + epochs, phase, saved)

    def _resume(self, model: Any, phase: str) -> checkpoint.State | None:
        """Continues the phase where an earlier process left it."""
        variables = checkpoint.variables(model)
        shapes = [tuple(variable.shape) for variable in variables]
        saved = self.checkpoints.load(phase, shapes)
        if saved is None:
            return None
        for variable, value in zip(variables, saved.variables, strict=True):
            variable.assign(value)
        self.history = saved.history
        self.seconds[phase] = saved.seconds
        self.stopped_epoch = saved.stopped_epoch
        if not saved.finished:
            logging.warning(
                "A training that was interrupted goes on after epoch %d.",
                self._epochs_done,
            )
        return saved

    def _train(
        self,
        model: Any,
        before: int,
        last: int,
        phase: str,
        saved: checkpoint.State | None,
    ) -> None:
        first = self._epochs_done
        session.seed(self._seed, phase)
        data = self._data.train(self._seed, first)
        is_endless = data.cardinality() == tf.data.INFINITE_CARDINALITY
        watch = _Divergence()
        is_keras3 = isinstance(model, keras.Model)
        folder, appended_from = None, 0
        if self._log_folder is not None:
            folder, appended_from = f"{self._log_folder}/{phase}", before
        users = callbacks_lib.adapt(
            self._callbacks, first > appended_from, is_keras3, folder
        )

        def state(finished: bool) -> checkpoint.State:
            return checkpoint.State(
                finished=finished,
                history=self.history,
                seconds=self._elapsed(phase),
                stopped_epoch=self.stopped_epoch,
                callbacks=[checkpoint.attributes(each) for each in users],
                variables=checkpoint.variables(model),
            )

        def begin(logs: Any) -> None:
            for callback, known in zip(
                users, saved.callbacks if saved else (), strict=False
            ):
                checkpoint.restore(callback, known)

        def begin_epoch(epoch: int, logs: Any) -> None:
            if not is_keras3:  # there it is a variable of the model
                dropout.reseed(model, self._seed, epoch)

        def end_epoch(epoch: int, logs: dict[str, Any]) -> None:
            for name, value in logs.items():
                self.history.setdefault(name, []).append(float(value))
            self._name_accuracy()
            done = self._epochs_done
            float_epochs = done if phase == "float" else before
            if self._on_epoch is not None and (
                self._on_epoch(self.history, float_epochs) and phase == "float"
            ):
                self.stopped_epoch = done
                model.stop_training = True
            is_last = model.stop_training or epoch + 1 == last
            # The last one is followed by what callbacks do at the end.
            if (
                not is_last
                and self._recipe.resumes
                and self.checkpoints.is_due()
            ):
                self.checkpoints.save(phase, state(finished=False))

        hooks = keras.callbacks.LambdaCallback(
            on_train_begin=begin,
            on_epoch_begin=begin_epoch,
            on_epoch_end=end_epoch,
        )
        arguments = {
            "x": data,
            "steps_per_epoch": self._data.steps if is_endless else None,
            "validation_data": self._data.validation,
            "initial_epoch": first,
            "epochs": last,
            "class_weight": self._data.class_weight,
            "callbacks": [
                callbacks_lib.wrap(watch, is_keras3),
                *users,
                callbacks_lib.wrap(hooks, is_keras3),
            ],
            "verbose": 0,
        }
        self._recipe.fit(model, phase == "qat", arguments)
        watch.check()
        self.checkpoints.save(phase, state(finished=True))

    def _name_accuracy(self) -> None:
        """Calls the accuracy by one name, whatever the user calls it."""
        name = f"val_{self._recipe.accuracy}"
        if name in self.history:
            self.history["val_accuracy"] = list(self.history[name])


class _Divergence(keras.callbacks.Callback):
    """Stops at the first loss that is no finite number."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._message = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss) and not self._message:
            self._message = (
                f"Training diverged: the loss must be finite. Received: {loss} "
                f"in step {batch + 1} of epoch {self._epoch + 1}. Lower the "
                "learning rate."
            )
            self.model.stop_training = True

    def check(self) -> None:
        """Raises what was seen."""
        if self._message:
            raise FloatingPointError(self._message)
