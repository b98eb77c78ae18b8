"""A supernet: the weights that all networks of a space share."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_cosearch import configuration, files, seeds
from tf_cosearch.identity import Identity, versions
from tf_cosearch.networks.spaces.network_space import NetworkSpace
from tf_cosearch.search.problem import Problem
from tf_cosearch.supernet import (
    evaluation,
    one_shot,
    optimizer,
    saved,
    training,
)
from tf_cosearch.supernet import paths as paths_lib
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.one_shot import OneShot
from tf_cosearch.supernet.optimizer import Momentum
from tf_cosearch.supernet.options import SupernetOptions
from tf_cosearch.supernet.progress import Progress
from tf_cosearch.supernet.progressive_shrinking import (
    ProgressiveShrinking,
    phases,
)
from tf_cosearch.supernet.weights import (
    BYTES,
    SharedWeights,
    require_blocks,
    survey,
)
from tf_cosearch.training.checkpoint import State
from tf_cosearch.training.inputs import Inputs

COPIES = 4
"""Of the weights, in a training: they, their moments, and both as the last
epoch left them."""

FIRST_EPOCHS = 3
FAR = 3.0
"""From there on, a loss of so many times that of guessing is divergence."""

READ_COPIES = 2
"""To use one: they, and what is read from the disk."""

OnEpoch = Callable[[int, float], None]
"""Told how many epochs there have been, and the loss of the last."""


class Supernet:
    """Weights that all networks of a space share, and their training.

    The weights are made when they are first used, which takes a while: what
    is wrong with anything else is said before.

    Args:
        networks: The space, a `Template`.
        options: How they are shared and trained.
        seed: Of initial values and of everything drawn.
        copies: Of the weights, that there has to be memory for.

    Attributes:
        weights: The shared weights; `ValueError` if networks of the space
            cannot share, or there is too little memory.
        epochs: How many there have been.
        all_epochs: How many there will be.
        losses: The mean loss of each.
        seconds: What they took.

    Raises:
        ValueError: If the networks are not made of blocks, or the space cannot
            shrink so often.
    """

    def __init__(
        self,
        networks: NetworkSpace,
        options: SupernetOptions | None = None,
        seed: int = 0,
        copies: int = COPIES,
    ) -> None:
        self.networks = require_blocks(networks)
        self.options = options or SupernetOptions()
        self.seed = configuration.at_least("seed", seed, 0)
        self._copies = copies
        self._shrinking = ProgressiveShrinking(networks, self.options, seed)
        self._phases = phases(self.options)
        self.all_epochs = self._phases[-1].end
        self._of_paths: Mapping[str, Any] = {}  # what they have learnt
        self.losses: list[float] = []
        self.seconds = 0.0

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        networks: NetworkSpace,
        described: Mapping[str, Any] | None = None,
    ) -> Supernet:
        """Loads one that has been trained.

        Args:
            folder: What `train` left.
            networks: The space, which must be that of the training.
            described: What tells the data from others, which must be those of
                the training: what `fingerprint.describe_splits` returns.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is of another space, data or version, damaged,
                or not finished.
        """
        record = saved.read(folder)
        before = Identity.from_state(record["identity"])
        Identity(saved.describe(networks), described).require_same(
            before,
            "A supernet must be of the same networks and data",
            folder,
            f"train another one ({saved.TOOL})",
        )
        trained = before.training or {}
        saved.remark_optimizer(folder, trained)
        supernet = cls(
            networks,
            SupernetOptions(**trained["options"]),
            trained["seed"],
            copies=READ_COPIES,
        )
        kept = saved.SavedSupernet(folder, record)
        state = kept.load()
        if state is None or not state.finished:
            done = len(state.history["loss"]) if state else 0
            raise ValueError(
                f"A supernet must be finished. Received: {folder}, after "
                f"{done} of {supernet.all_epochs} epochs. Run the same "
                "command that began it, and it goes on."
            )
        kept.require_parts(supernet.weights.parts)
        supernet._restore(state)
        return supernet

    @functools.cached_property
    def weights(self) -> SharedWeights:
        """The shared weights."""
        sharing = self.options.sharing
        return SharedWeights(self.networks, sharing, self.seed, self._copies)

    @functools.cached_property
    def _optimizer(self) -> Momentum:
        return Momentum(self.weights)

    @property
    def epochs(self) -> int:
        """How many epochs there have been."""
        return len(self.losses)

    @property
    def is_finished(self) -> bool:
        """Whether there have been all epochs."""
        return self.epochs >= self.all_epochs

    @property
    def choices(self) -> list[list[int]]:
        """The genes that are left of each parameter of the networks."""
        return self._shrinking.choices

    @property
    def remarks(self) -> list[str]:
        """How the space shrank, a line a stage."""
        return self._shrinking.remarks

    @property
    def designs(self) -> list[dict[str, Any]]:
        """Designs of a controller that was trained as well, by their values."""
        return [*self._of_paths.get("designs", [])]

    def train(
        self,
        data: Inputs,
        folder: str | os.PathLike[str] | None = None,
        described: Mapping[str, Any] | None = None,
        verbose: int = 0,
        on_epoch: OnEpoch = lambda epochs, loss: None,
        goal: Problem | None = None,
        overwrite: bool = False,
    ) -> None:
        """Trains, from where the training was.

        Whatever stops it, weights are those of the last epoch that was
        finished, and the same call goes on from there. The result is the same
        to the bit.

        Args:
            data: What `inputs.prepare` returned.
            folder: Where it is saved, and goes on from what is there.
            described: What tells the data from others: what
                `fingerprint.describe_splits` returns. With a folder alone.
            verbose: 1 prints lines of progress.
            on_epoch: Called after each epoch.
            goal: What a controller that draws paths is to solve; there is one
                with paths of a controller, and none with others.
            overwrite: Whether a supernet in the folder is deleted first.

        Raises:
            AnotherRunError: If the folder has a supernet of another space,
                other data or options.
            FloatingPointError: If the training diverges.
            OSError: If the folder is none, or there is no room for a
                checkpoint; the one before is kept.
            ValueError: If the data do not do, or the folder is damaged.
        """
        self.check(data, None if overwrite else folder, described, goal)
        progress = Progress(verbose, self.all_epochs)
        if folder is None:
            self._train(data, goal, None, progress, on_epoch)
            return
        identity = self._identity(data, described, goal)
        with files.owned(folder):
            parts = self.weights.parts
            if overwrite:
                saved.remove(folder)
            kept = saved.SavedSupernet.begin(folder, identity, parts)
            self._resume(kept)
            self._train(data, goal, kept, progress, on_epoch)

    def check(
        self,
        data: Inputs,
        folder: str | os.PathLike[str] | None = None,
        described: Mapping[str, Any] | None = None,
        goal: Problem | None = None,
    ) -> None:
        """Refuses what `train` could not do, before the weights are made.

        Arguments, and what it raises, are those of `train`.
        """
        self._require_goal(goal)
        self._require_trainable(data)
        if folder is None:
            return
        if os.path.isfile(folder):
            raise NotADirectoryError(
                f"A supernet must go into a folder. Received: {folder}, a "
                "file. Choose another."
            )
        saved.require_same(folder, self._identity(data, described, goal))

    def _resume(self, kept: saved.SavedSupernet) -> None:
        """Takes what is saved, if it is further."""
        state = kept.load()
        if state is not None and len(state.history["loss"]) > self.epochs:
            self._restore(state)

    def _train(
        self,
        data: Inputs,
        goal: Problem | None,
        kept: saved.SavedSupernet | None,
        progress: Progress,
        on_epoch: OnEpoch,
    ) -> None:
        progress.begin(
            self.networks.name,
            self.weights.count,
            COPIES * self.weights.bytes,
            self.epochs,
        )
        if self.is_finished:
            return
        paths = self._paths(data, goal)
        batches = _batches(data, self.seed, self.epochs)
        # What the last epoch left; None while the weights are just that.
        last: State | None = self._state()
        is_saved = True
        try:
            for epoch in range(self.epochs, self.all_epochs):
                start = time.monotonic()
                if self._shrinking.is_due(epoch):
                    self._shrinking.shrink(Evaluator(self.weights, data))
                    progress.remark(self.remarks[-1])
                    paths = self._paths(data, goal)
                loss = self._epoch(paths, batches, epoch, data.steps)
                is_last = epoch + 1 == self.all_epochs
                self._of_paths = paths.result() if is_last else paths.state()
                self.losses.append(loss)
                self.seconds += time.monotonic() - start
                last, is_saved = None, False
                last = self._state()
                progress.epoch(self.epochs, loss)
                on_epoch(self.epochs, loss)
                if kept and (self.is_finished or kept.is_due()):
                    kept.save(last)
                    is_saved = True
            del self._optimizer  # its moments are of no use any more
        except BaseException as stop:
            if last is None:
                last = self._state()
            self._restore(last)
            if isinstance(stop, KeyboardInterrupt) and kept and not is_saved:
                kept.save(last)
            raise

    def _paths(self, data: Inputs, goal: Problem | None) -> paths_lib.Paths:
        name = self.options.paths
        if goal is None:
            return paths_lib.PATHS[name](self.networks, self.choices)
        paths = OneShot(
            self.networks,
            self.choices,
            name,
            goal,
            Evaluator(self.weights, data),
            self.all_epochs * data.steps,
        )
        paths.restore(self._of_paths)
        return paths

    def _epoch(
        self,
        paths: paths_lib.Paths,
        batches: Iterator[Any],
        epoch: int,
        steps: int,
    ) -> float:
        """Trains an epoch and returns its mean loss."""
        phase = next(each for each in self._phases if epoch < each.end)
        losses = []
        for step in range(epoch * steps, (epoch + 1) * steps):
            losses.append(
                training.train_step(
                    self.weights,
                    self._optimizer,
                    paths,
                    paths.draw(np.random.default_rng([self.seed, step])),
                    next(batches)[:2],
                    training.cosine(
                        phase.learning_rate,
                        step - phase.start * steps,
                        (phase.end - phase.start) * steps,
                    ),
                    seeds.derive(self.seed, step) % 2**31,
                )
            )
            paths.learn()
            if not math.isfinite(losses[-1]):
                raise _diverged("finite", losses[-1], epoch)
        if not all(np.isfinite(array).all() for array in self._arrays()):
            raise _diverged("one of finite weights", losses[-1], epoch)
        mean = float(np.mean(losses))
        guessing = require_blocks(self.networks).task.guess(
            self.networks.classes
        )
        if guessing is None or epoch < FIRST_EPOCHS:
            return mean
        if mean > FAR * guessing:
            rule = f"near that of guessing, {guessing:.2f}, or below"
            raise _diverged(rule, mean, epoch)
        return mean

    def _arrays(self) -> list[np.ndarray]:
        """The weights, and their moments."""
        moments = self._optimizer.moments.values()
        return [*self.weights.arrays.values(), *moments]

    def _state(self) -> State:
        """What the last epoch has left, as a copy."""
        if self.is_finished:
            variables = [*self.weights.arrays.values()]
        else:
            variables = self._arrays()
        return State(
            finished=self.is_finished,
            history={"loss": [*self.losses]},
            seconds=self.seconds,
            stopped_epoch=None,
            callbacks=[self._shrinking.state(), {**self._of_paths}],
            variables=[array.copy() for array in variables],
        )

    def _restore(self, state: State) -> None:
        """The inverse of `_state`."""
        # Of a finished one there are weights alone.
        for array, value in zip(self._arrays(), state.variables, strict=False):
            array[...] = value
        if state.callbacks:
            left, self._of_paths = state.callbacks
            self._shrinking.restore(**left)
        self.losses = [*state.history["loss"]]
        self.seconds = state.seconds

    def _identity(
        self,
        data: Inputs,
        described: Mapping[str, Any] | None,
        goal: Problem | None,
    ) -> Identity:
        """What makes another training the same."""
        if described is None:
            raise ValueError(
                "`described` must be given with a folder. Received: None. Pass "
                "what `fingerprint.describe_splits` tells of the data."
            )
        plain = {
            "options": dataclasses.asdict(self.options),
            "seed": self.seed,
            "batch_size": data.batch_size,
            "optimizer": optimizer.constants(),
        }
        if goal is not None:
            plain["goal"] = one_shot.describe(goal)
        return Identity(
            saved.describe(self.networks),
            described,
            json.loads(json.dumps(plain)),
            versions(),
        )

    def _require_goal(self, goal: Problem | None) -> None:
        """Refuses a controller without anything to search, and the reverse."""
        if (goal is None) == (self.options.paths in paths_lib.CONTROLLERS):
            raise ValueError(
                "A controller that draws paths must have a goal, and other "
                f"paths none. Received: {self.options.paths!r} "
                f"{'without' if goal is None else 'with'} one. Train it in a "
                "search, whose budgets and reward it needs: accuracy="
                "'supernet', supernet=cs.SupernetOptions(paths=...)."
            )

    def _require_trainable(self, data: Inputs) -> None:
        """Refuses data that it could not be trained or evaluated on."""
        images = evaluation.calibration_images(data, evaluation.FEWEST_IMAGES)
        if images.shape[1:] != self.networks.input_shape:
            raise ValueError(
                f"Images must be {self.networks.input_shape}, the input_shape "
                f"of the space. Received: {images.shape[1:]}. Resize them, or "
                "change input_shape."
            )
        has_weights = len(data.train(0, 0).element_spec) > 2
        if has_weights or data.class_weight is not None:
            raise ValueError(
                "A supernet must be trained on images that all count the same. "
                f"Received: {'sample weights' if has_weights else ''}"
                f"{'' if has_weights else 'class_weight'}. Leave them out."
            )


def memory_bytes(
    networks: NetworkSpace, source: SupernetOptions | str | os.PathLike[str]
) -> tuple[int, int]:
    """Memory of shared weights, to plan what else there is room for.

    Args:
        networks: The space.
        source: How they are to be trained, or the folder of a supernet.

    Returns:
        Bytes of one copy, and of as many as there are while they are trained,
        or read.

    Raises:
        FileNotFoundError: If the folder has no supernet.
        ValueError: If networks of the space cannot share weights.
    """
    if isinstance(source, SupernetOptions):
        parts = survey(networks, source.sharing)
        shapes: list[Sequence[int]] = [part.shape for part in parts.values()]
        copies = COPIES
    else:
        shapes, copies = [*saved.read(source)["weights"].values()], READ_COPIES
    size = BYTES * sum(map(math.prod, shapes))
    return size, copies * size


def _batches(data: Inputs, seed: int, epoch: int) -> Iterator[Any]:
    """Training batches without end, from the first one of an epoch."""
    while True:  # Arrays have no end themselves, pipelines have.
        yield from data.train(seed, epoch)


def _diverged(rule: str, loss: float, epoch: int) -> FloatingPointError:
    return FloatingPointError(
        f"The supernet's training diverged: its loss must be {rule}. Received: "
        f"{loss:.4g} in epoch {epoch + 1}. Lower `learning_rate` of "
        f"SupernetOptions (--learning_rate of {saved.TOOL}), and "
        "begin in another folder or with --overwrite."
    )
