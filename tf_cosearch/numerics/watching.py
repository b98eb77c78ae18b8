"""Feeds a monitor with a log, or with images that were kept aside."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.designs.export import Design
from tf_cosearch.networks.saved_network import SavedNetwork
from tf_cosearch.numerics import images, log_files
from tf_cosearch.numerics.monitor import AccuracyMonitor, Limits
from tf_cosearch.training.datasets import Dataset

_BATCH = 256


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
        monitor: Of the design; calibrated by the validation images if that was
            never done.
        design: What is watched.
        data: What the design was made for.
        log: Folder of a log, see `log_files`; None watches the test images.
        divide: See `images.spread`; None is as in the design's training.

    Yields:
        A report for each full window, and in the end for what is left.

    Raises:
        ValueError: If a batch cannot be counted; what was before it is saved.
    """
    if divide is None and isinstance(design.network, SavedNetwork):
        divide = 1.0
    if not monitor.is_calibrated:
        x, y = images.spread(data.validation, None, divide)
        monitor.calibrate(x, y if monitor.classes > 1 else None)
        monitor.save()
    if log is None:
        x, y = images.spread(data.test, None, divide)
        batches: Iterator[tuple[str, Any, Any]] = (
            ("", x[start : start + _BATCH], y[start : start + _BATCH])
            for start in range(0, len(x), _BATCH)
        )
    else:
        batches = (
            (name, images.scaled(x, divide), y)
            for name, x, y in log_files.batches(log, monitor.read)
        )
    for name, batch, named in batches:
        labels = named if monitor.classes > 1 else None
        try:
            reports = monitor.update(batch, labels)
        except ValueError as error:
            raise ValueError(f"{name}: {error}" if name else error) from None
        yield from reports
        monitor.read = name or monitor.read
        monitor.save()
    rest = monitor.report()
    if rest["window"]:
        yield rest
