"""Feeds a monitor with a log, or with images that were kept aside."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.designs.export import Design
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.numerics import images, log_files
from tf_cosearch.numerics.monitor import AccuracyMonitor, Limits
from tf_cosearch.training.datasets import Dataset

_CALIBRATION = 10_000  # images, at most


def limits(given: Mapping[str, Any]) -> Limits:
    """Limits by name; the others stay.

    Raises:
        ValueError: If one is not known, or no number from 0 on.
    """
    known = [field.name for field in dataclasses.fields(Limits)]
    for name in given:
        if name not in known:
            raise configuration.unknown("limit", name, known)
    return Limits(**given)


def watch(
    monitor: AccuracyMonitor,
    design: Design,
    data: Dataset,
    log: str | pathlib.Path | None,
    divide: float | None,
) -> Iterator[dict[str, Any]]:
    """Counts what is new, and saves the state after each batch.

    Args:
        monitor: Of the design; calibrated by 10,000 validation images at most
            if that was never done. Notes an alarm as untold.
        design: What is watched.
        data: What the design was made for.
        log: Folder of a log, see `log_files`; None watches the test images,
            each time all of them.
        divide: See `images.spread`; None is as in the design's training.

    Yields:
        A report for each full window, and in the end for what is left, if
        there are images in it that no report was of.

    Raises:
        ValueError: If a batch cannot be counted; what was before it is saved.
            If the monitor was calibrated with other data, or another divisor.
    """
    if divide is None and isinstance(design.network, SavedNetwork):
        divide = 1.0
    _calibrate(monitor, data, divide)
    if log is None:
        batches: Iterator[tuple[str, Any, Any]] = (
            ("", *batch) for batch in images.batches(data.test, divide)
        )
    else:
        batches = log_files.batches(log, monitor.read)
    for name, batch, named in batches:
        labels = named if monitor.classes > 1 else None
        try:
            if name:
                batch = images.scaled(batch, divide)
            reports = monitor.update(batch, labels)
        except ValueError as error:
            raise ValueError(f"{name}: {error}" if name else error) from None
        for report in reports:
            monitor.is_untold |= bool(report["alarms"])
            yield report
        monitor.read = name or monitor.read
        monitor.save()
    rest = monitor.report()
    if rest["window"] and monitor.told < monitor.images:
        if rest["alarms"]:
            monitor.is_untold = True
            monitor.save()
        yield rest
        monitor.told = monitor.images
        monitor.save()


def _calibrate(
    monitor: AccuracyMonitor, data: Dataset, divide: float | None
) -> None:
    """Calibrates a monitor, or makes sure that it was done with the same."""
    x, y = images.stored(data.validation, _CALIBRATION)
    digest = hashlib.sha256(f"{x.dtype}{x.shape}".encode())
    for each in (x, y):
        digest.update(np.ascontiguousarray(each).tobytes())
    origin = {
        "data": f"validation images of digest {digest.hexdigest()[:16]}",
        "divide": str(divide),
    }
    if not monitor.is_calibrated:
        monitor.calibrate(
            images.scaled(x, divide), y if monitor.classes > 1 else None
        )
        monitor.origin = origin
        monitor.save()
    for name, given in origin.items():
        if monitor.origin.get(name, given) != given:
            raise ValueError(
                f"A monitor must go on with the {name} of its calibration. "
                f"Received: {given}, after {monitor.origin[name]}. Give the "
                "same, or begin with another state."
            )
