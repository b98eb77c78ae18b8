"""Watches the accuracy of a design that is in use, batch after batch."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import math
import os
import pathlib
from typing import Any, TypedDict

import numpy as np
from absl import logging

from tf_cosearch import configuration, files
from tf_cosearch.designs.export import MODEL, Design
from tf_cosearch.networks.importers import tflite_file
from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics import drift, layer_names, matching
from tf_cosearch.numerics.debugger import check_images
from tf_cosearch.numerics.playback import Playback, Quantization
from tf_cosearch.numerics.tallies import State, Tally
from tf_cosearch.tasks import Classification
from tf_cosearch.training import evaluate

_PROBED = 32  # images of a window whose saturation is counted
_FEWEST = 50  # images that a window must have to raise an alarm
_FEWEST_PROBED = 16  # and of these to raise one of saturation
_PIECE = 256  # images that are counted at a time
_OUTPUT_BINS = 16  # of a network of one output
_VERSION = 3


@dataclasses.dataclass(frozen=True)
class Limits:
    """What raises an alarm.

    Attributes:
        input_psi: Stability index of the pixels of a channel, at most.
        prediction_psi: The same of the predictions.
        beyond: Share of the pixels that the input cannot hold, more than in
            calibration.
        saturation: Share of the numbers of a tensor at an end of its range,
            more than in calibration.
        agreement: Share of images whose prediction is that of the float
            network, less than in calibration.
        accuracy: Accuracy, less than in calibration.
    """

    input_psi: float = 0.25
    prediction_psi: float = 0.25
    beyond: float = 0.01
    saturation: float = 0.05
    agreement: float = 0.02
    accuracy: float = 0.02

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if configuration.number(value, name) < 0:
                raise ValueError(
                    f"The limit {name} must be 0 or more. Received: {value}."
                )


class _Stored(TypedDict):
    """What the file of a state holds."""

    version: int
    model: str
    window: int
    agreement: bool
    origin: dict[str, str]
    images: int
    told: int
    read: str
    is_untold: bool
    baseline: State
    current: State


class AccuracyMonitor:
    """Compares what a design sees and answers with what it was made for.

    Images come in batches, with labels or without. Each `window` of them is
    summed up in a report: whether inputs, saturation and predictions are those
    of the calibration, how often the int8 file and the float network agree,
    and the accuracy, with a 95 % interval. Saturation is that of 32 images, at
    equal distances over the window. Memory is that of a report and of a batch,
    however many images there are.

    Args:
        design: Of `load_design`.
        limits: What raises an alarm.
        window: Images a report.
        agreement: Whether the float network answers, too. It takes its
            weights, and some times as long.
        state: File to go on from, if it is there, and that `save` writes;
            None keeps all in memory.

    Attributes:
        images: How many were seen, in all runs, without those of the
            calibration.
        classes: Different predictions that there are; 1 of a network of a
            single output.
        read: What the caller has noted as read last, kept with the state.
        origin: What the caller has noted of the calibration, by name, kept
            with the state. `calibrate` empties it.
        is_untold: Whether the caller has noted an alarm that nobody was told
            of yet, kept with the state.
        told: `images` that the caller has told of, kept with the state.

    Raises:
        FileNotFoundError: If a file of the design is gone.
        ValueError: If one is damaged, or the state is, or is of another
            design, window or `agreement`. No file is changed then.

    Reference: Deng et al., Low-Precision Hardware Architectures Meet
    Recommendation Model Inference at Scale, arXiv 2105.12676.

    Example:
        monitor = cs.AccuracyMonitor(cs.load_design("runs/digits/design"))
        monitor.calibrate(x_val, y_val)
        for report in monitor.update(images):
            print(report["alarms"])
        monitor.save()
    """

    def __init__(
        self,
        design: Design,
        *,
        limits: Limits | None = None,
        window: int = 1000,
        agreement: bool = True,
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(design, Design):
            raise TypeError(
                f"`design` must be a Design. Received: {design!r}. Use "
                "load_design(folder)."
            )
        task = getattr(design.network, "task", None)
        if task is not None and not isinstance(task, Classification):
            raise ValueError(
                "A design that is watched must classify. Received: one of "
                f"{task.name} in {design.folder}. Watch its inputs by a "
                "classifier of the same images."
            )
        self._limits = limits or Limits()
        self._window = configuration.at_least("window", window, _FEWEST)
        content = tflite_file.read_bytes(design.folder / MODEL)
        graph = matching.read(content, str(design.folder / MODEL))
        _require_one_answer(graph)
        self._shape = graph.tensors[graph.inputs[0]].shape[1:]
        self._model = hashlib.sha256(content).hexdigest()
        self._runner = evaluate.Runner(content)
        self._player = Playback(content, str(design.folder / MODEL))
        self._expected = design.metrics["accuracy_int8"]
        walk = matching.Walk(graph)
        self._watched = [
            (
                index,
                Quantization(self._player.tensors[index]),
                layer_names.IMAGE if index in graph.inputs else tensor.name,
            )
            for index, tensor in enumerate(graph.tensors)
            if walk.is_data(index)
            and not Quantization(self._player.tensors[index]).is_float
        ]
        entry = Quantization(self._player.tensors[self._player.inputs[0]])
        self._low, self._high = entry.range
        self.classes = graph.tensors[graph.outputs[0]].shape[-1]
        self._kind_count = self.classes if self.classes > 1 else _OUTPUT_BINS
        self._floats = None
        if agreement:
            # Which brings all that trains.
            from tf_cosearch.numerics import reference

            self._floats = evaluate.Runner(reference.of_design(design))
        self._baseline = self._new_tally()
        self._current = self._new_tally()
        self.images = self.told = 0
        self.read = ""
        self.origin: dict[str, str] = {}
        self.is_untold = False
        self._path = None if state is None else pathlib.Path(state)
        if self._path is not None:
            self._restore(self._path)

    @property
    def is_calibrated(self) -> bool:
        """Whether there is something to compare with."""
        return bool(self._baseline.images)

    def calibrate(self, images: Any, labels: Any = None) -> None:
        """Says what is normal. What was seen before is forgotten.

        Args:
            images: float32 `[N, ...]` of what the design was made for, such as
                validation data; some hundred at least.
            labels: Integers `[N]`, from -1 for one that is not known.

        Raises:
            ValueError: If there are too few images, their shape is another,
                or one is not finite; or a label is no class.
        """
        images, labels = self._checked(images, labels)
        if len(images) < _FEWEST:
            raise ValueError(
                f"A calibration must have {_FEWEST} images or more. Received: "
                f"{len(images)}."
            )
        baseline = self._new_tally()
        for start in range(0, len(images), _PIECE):
            some = slice(start, start + _PIECE)
            self._count(baseline, images[some], labels[some], images[some])
        self._baseline, self.origin = baseline, {}
        self._current, self.images, self.told = self._new_tally(), 0, 0

    def update(self, images: Any, labels: Any = None) -> list[dict[str, Any]]:
        """Counts a batch.

        Args:
            images: float32 `[N, ...]`, as in training.
            labels: Integers `[N]`, from -1 for one that is not known; None if
                none is.

        Returns:
            A report for each window that is full by now, see `report`.

        Raises:
            ValueError: If there are none, their shape is another, or one is
                not finite; or a label is no class. Nothing is counted then.
            RuntimeError: If `calibrate` was never called.
        """
        if not self.is_calibrated:
            raise RuntimeError(
                "A monitor must know what is normal. Received: images before "
                "`calibrate`. Call it with validation data first."
            )
        images, labels = self._checked(images, labels)
        reports = []
        while len(images):
            start = self._current.images
            room = min(_PIECE, self._window - start)
            now, images = images[:room], images[room:]
            named, labels = labels[:room], labels[room:]
            places = np.arange(start, start + len(now) + 1)
            is_probed = np.diff(places * _PROBED // self._window) > 0
            self._count(self._current, now, named, now[is_probed])
            self.images += len(now)
            if self._current.images == self._window:
                reports.append(self.report())
                self._current = self._new_tally()
        return reports

    def report(self) -> dict[str, Any]:
        """Sums up the window that is not full yet.

        Returns:
            `images` seen in all, `window` of them in this report, the numbers
            that have a limit, `null` where there is nothing to tell, and
            `alarms`, a text each.
        """
        now, before = self._current, self._baseline
        values: dict[str, Any] = {
            "at": datetime.datetime.now()
            .astimezone()
            .isoformat(timespec="seconds"),
            "images": self.images,
            "window": now.images,
        }
        if not now.images:
            return {**values, "alarms": []}
        both = self._new_tally()
        both.add(before)
        both.add(now)
        values |= {
            "input_psi": max(
                drift.stability_index(
                    # Pixels of an image are alike: fewer than they are many.
                    _scaled(was, before.images * sample),
                    _scaled(pixels, now.images * sample),
                )
                for was, pixels, sample in zip(
                    before.pixels, now.pixels, both.sample(), strict=True
                )
            ),
            "input_lowest": now.lowest,
            "input_highest": now.highest,
            "beyond": now.beyond_share,
            "prediction_psi": drift.stability_index(
                before.predictions, now.predictions
            ),
            **self._saturation(now),
            **_share("agreement", now.agreeing, now.compared),
            **_share("accuracy", now.correct, now.labelled),
        }
        return {**values, "alarms": self._alarms(values)}

    def save(self) -> None:
        """Writes the state, whole or not at all.

        Call it once reports were dealt with, so that none is lost with a
        process that is killed.
        """
        if self._path is None:
            return
        stored: _Stored = {
            "version": _VERSION,
            "model": self._model,
            "window": self._window,
            "agreement": self._floats is not None,
            "origin": self.origin,
            "images": self.images,
            "told": self.told,
            "read": self.read,
            "is_untold": self.is_untold,
            "baseline": self._baseline.state(),
            "current": self._current.state(),
        }
        files.write_json(self._path, stored)

    def _restore(self, path: pathlib.Path) -> None:
        """Goes on from a file, if there is one."""
        advice = "Move it away to begin anew, or restore it from a backup."
        try:
            stored, wrong = files.read_json(path, _Stored)
            if stored is None:
                if not path.exists():
                    return
                raise ValueError(wrong)
            if stored["version"] != _VERSION:
                raise ValueError(f"version {stored['version']}")
            is_other = stored["model"] != self._model
            if not is_other:
                self._baseline.restore(stored["baseline"])
                self._current.restore(stored["current"])
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"{path} must be the state of a monitor, whole. Received: "
                f"{error}. {advice}"
            ) from None
        if is_other:
            raise ValueError(
                f"{path} must be the state of a monitor of this design. "
                "Received: that of another model.tflite. Give each design a "
                "state of its own."
            )
        for name, was, given in (
            ("window", stored["window"], self._window),
            ("agreement", stored["agreement"], self._floats is not None),
        ):
            if was != given:
                raise ValueError(
                    f"A monitor must go on with its {name}. Received: {given}, "
                    f"after {was} in {path}. Give the same, or another state."
                )
        if wrong:
            logging.warning("%s; its copy is used.", wrong)
        self.images, self.read = stored["images"], stored["read"]
        self.told = stored["told"]
        self.origin, self.is_untold = stored["origin"], stored["is_untold"]

    def _new_tally(self) -> Tally:
        return Tally(self._shape[-1], self._kind_count, len(self._watched))

    def _checked(
        self, images: Any, labels: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same as arrays, with -1 for labels that are not known."""
        images = np.asarray(images)
        check_images(images, self._shape)
        images = images.astype(np.float32, copy=False)
        if labels is None:
            return images, np.full(len(images), -1)
        labels = np.asarray(labels)
        if self.classes == 1:
            raise ValueError(
                "Labels must be of a network that tells classes apart. "
                "Received: labels for one of a single output. Leave them out."
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                "Labels must be integers, one an image. Received: "
                f"{labels.dtype} of shape {labels.shape} for {len(images)} "
                "images."
            )
        if labels.min() < -1 or labels.max() >= self.classes:
            raise ValueError(
                f"Labels must be from 0 to {self.classes - 1}, or -1 where "
                f"one is not known. Received: {labels.min()} to "
                f"{labels.max()}."
            )
        return images, labels

    def _count(
        self,
        tally: Tally,
        images: np.ndarray,
        labels: np.ndarray,
        probed: np.ndarray,
    ) -> None:
        tally.add_pixels(images, self._low, self._high)
        answers = self._runner.outputs(images)
        kinds = self._kinds(answers)
        tally.predictions += np.bincount(kinds, minlength=self._kind_count)
        known = labels >= 0
        tally.labelled += int(known.sum())
        tally.correct += int((kinds == labels)[known].sum())
        if self._floats is not None and self.classes > 1:
            wanted = self._floats.outputs(images).argmax(-1)
            tally.compared += len(images)
            tally.agreeing += int((kinds == wanted).sum())
        for image in probed:
            self._probe(tally, image)

    def _kinds(self, answers: np.ndarray) -> np.ndarray:
        """The class of each answer, or in which part of the range it is."""
        if self.classes > 1:
            return np.asarray(answers.argmax(-1))
        limits = np.iinfo(answers.dtype)
        width = (int(limits.max) - int(limits.min) + 1) // _OUTPUT_BINS
        steps = answers.reshape(-1).astype(np.int64) - int(limits.min)
        return steps // width

    def _probe(self, tally: Tally, image: np.ndarray) -> None:
        """Counts numbers at the ends of the ranges of all tensors."""
        [entry] = self._player.inputs
        details = self._player.tensors[entry]
        self._player.play(
            [Quantization(details).integers(image[None], details["dtype"])]
        )
        tally.probed += 1
        for place, (index, q, _) in enumerate(self._watched):
            stored = self._player.tensor(index)
            at_end = stored == q.highest
            if q.zero_point[0] != q.lowest:  # where a ReLU ends, it is none
                at_end |= stored == q.lowest
            tally.at_ends[place] += int(at_end.sum())

    def _saturation(self, now: Tally) -> dict[str, Any]:
        """The tensor whose saturation has grown most."""
        if not now.probed or not self._watched:
            return {
                "saturation": None,
                "saturation_images": now.probed,
                "saturated_layer": None,
            }
        sizes = np.array(
            [
                math.prod(self._player.tensors[index]["shape"])
                for index, _, _ in self._watched
            ]
        )
        shares, before = (
            tally.at_ends / (sizes * tally.probed)
            for tally in (now, self._baseline)
        )
        worst = int((shares - before).argmax())
        return {
            "saturation": float(max(0.0, shares[worst] - before[worst])),
            "saturation_images": now.probed,
            "saturated_layer": layer_names.short(self._watched[worst][2]),
        }

    def _alarms(self, values: dict[str, Any]) -> list[str]:
        """What is beyond its limit, as far as chance can be ruled out."""
        if values["window"] < _FEWEST:
            return []
        before, limits = self._baseline, self._limits
        alarms = [
            f"{name} is {values[name]:.3g}, over {limit:.3g}"
            for name, limit, allowed in (
                ("input_psi", limits.input_psi, 0.0),
                ("prediction_psi", limits.prediction_psi, 0.0),
                ("beyond", limits.beyond, before.beyond_share),
                ("saturation", limits.saturation, 0.0),
            )
            if values[name] is not None
            and values[name] > limit + allowed
            and values.get(f"{name}_images", math.inf) >= _FEWEST_PROBED
        ]
        usual = {
            "agreement": _ratio(before.agreeing, before.compared),
            "accuracy": _ratio(before.correct, before.labelled),
        }
        if usual["accuracy"] is None and self.classes > 1:
            usual["accuracy"] = self._expected
        for name, was in usual.items():
            interval = values[f"{name}_interval"]
            limit = getattr(limits, name)
            if interval and was is not None and interval[1] < was - limit:
                alarms.append(
                    f"{name} is {values[name]:.1%} ({interval[0]:.1%} to "
                    f"{interval[1]:.1%}), over {100 * limit:.3g} points below "
                    f"{was:.1%}"
                )
        return alarms


def _require_one_answer(graph: Graph) -> None:
    """Refuses networks whose answers are no class of an image."""
    shapes = [graph.tensors[i].shape for i in (*graph.inputs, *graph.outputs)]
    if len(shapes) != 2 or len(shapes[1]) != 2:
        raise ValueError(
            "A monitor must have a network of one input and of one row of "
            f"numbers as its output. Received: shapes {shapes}."
        )


def _share(name: str, successes: int, trials: int) -> dict[str, Any]:
    interval = list(drift.wilson(successes, trials)) if trials else None
    return {
        name: _ratio(successes, trials),
        f"{name}_interval": interval,
        f"{name}_images": trials,
    }


def _ratio(successes: int, trials: int) -> float | None:
    return successes / trials if trials else None


def _scaled(counts: np.ndarray, total: float) -> np.ndarray:
    """Shares of counts, as if there were so many in all."""
    return counts * (total / max(1, counts.sum()))
