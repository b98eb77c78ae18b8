"""Whether somebody clicks on what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tf_cosearch import configuration, files
from tf_cosearch.tasks import click_log
from tf_cosearch.tasks.task import (
    Source,
    Splits,
    Task,
    mean_of_parts,
    require_examples,
    require_numbers,
    task,
)

STEP = 1 / 16
"""What dense features are rounded to, so that they are whole numbers of it."""

MOST_ROWS = 2**24
"""Rows of a table: of larger numbers float32 cannot tell all apart."""

MOST_CLICKS = 10_000_000
"""Examples that are drawn in memory at most."""

_SPLITS = ("train", "val", "test")
_PARTS = ("dense", "categorical", "clicks")
_SHARES = (0.6, 0.8)  # where made-up examples for training and validation end


def table_rows(tables: object) -> tuple[int, ...]:
    """Rows of each table, as a task and a block say them.

    Args:
        tables: Whole numbers in a text, with blanks between them.

    Raises:
        ValueError: If it is something else, or a table has no rows.

    Example:
    >>> table_rows("1000 20")
    (1000, 20)
    """
    words = tables.split() if isinstance(tables, str) else []
    rows = tuple(int(word) for word in words if word.isdecimal())
    if not rows or len(rows) < len(words) or min(rows) < 1:
        raise ValueError(
            "tables must be the rows of each table, 1 or more, as in '1000 "
            f"20'. Received: {tables!r}."
        )
    if max(rows) > MOST_ROWS:
        raise ValueError(
            f"A table must have at most {MOST_ROWS} rows, as their numbers "
            f"come as floats. Received: {tables!r}. Hash the categories."
        )
    return rows


def normalised_entropy(clicks: np.ndarray, logits: np.ndarray) -> float:
    """The mean cross-entropy over that of who knows the share of clicks alone.

    Args:
        clicks: 0 or 1, `[N]`, of both.
        logits: What a network answers, `[N]`.

    Returns:
        1 for an answer that is the share of clicks always; the less, the
        better.

    Example:
    >>> clicks = np.asarray([1, 0, 0, 0])
    >>> round(normalised_entropy(clicks, np.full(4, np.log(1 / 3))), 12)
    1.0

    Reference: He et al., "Practical Lessons from Predicting Clicks on Ads at
    Facebook", ADKDD 2014, section 2.1.
    """
    share = clicks.mean()
    base = -share * np.log(share) - (1 - share) * np.log1p(-share)
    losses = np.logaddexp(0, logits) - clicks * logits
    return float(losses.mean() / base)


@task
class Recommendation(Task):
    """A click or none, of dense features and a row of each table.

    An example is a row of columns: dense features, which are rounded to
    sixteenths, then for each table the number of a row, from 0.

    Attributes:
        tables: Rows of each table, as in `"1000 20"`; a network looks up as
            many.

    Example:
    >>> made = Recommendation("50 20")
    >>> logits = np.asarray([[2.0], [-2.0], [-3.0], [-2.0]])
    >>> scores = made.score([(logits, np.asarray([1, 0, 0, 0]))], 1)
    >>> round(scores["normalised_entropy"], 3)
    0.191
    """

    metric: ClassVar[str] = "1 - normalised entropy"
    fewest: ClassVar[int] = 1
    fewest_strata: ClassVar[int] = 2
    has_pixels: ClassVar[bool] = False
    # What trains networks for rounding knows no tables.
    quantizations: ClassVar[tuple[str, ...]] = ("after_training",)

    tables: str = "60 40 20 10"

    def __post_init__(self) -> None:
        table_rows(self.tables)

    def head(
        self,
        ops: Any,
        stages: Sequence[Any],
        *,
        image: tuple[int, int, int],
        classes: int,
        dropout: float,
    ) -> Any:
        """A dense layer of one unit."""
        del image
        _require_one(classes)
        if dropout:
            raise ValueError(
                "A network for recommendation must have no dropout before its "
                f"answer. Received: dropout={dropout}."
            )
        return ops.dense(stages[-1], 1, None, name="logits")

    def loss(self) -> Any:
        """The cross-entropy of a click."""
        import tf_keras

        return mean_of_parts(
            tf_keras.losses.BinaryCrossentropy(from_logits=True)
        )

    def metrics(self, classes: int) -> list[Any]:
        """1 less the normalised entropy of all examples so far."""
        del classes
        import tensorflow as tf
        import tf_keras

        class Metric(tf_keras.metrics.Metric):
            def __init__(self) -> None:
                super().__init__("accuracy")
                self.sums = self.add_weight("sums", (3,), initializer="zeros")

            def update_state(
                self, targets: Any, outputs: Any, sample_weight: Any = None
            ) -> None:
                del sample_weight
                clicks = tf.reshape(tf.cast(targets, tf.float32), [-1])
                logits = tf.reshape(tf.cast(outputs, tf.float32), [-1])
                losses = tf.nn.sigmoid_cross_entropy_with_logits(clicks, logits)
                parts = losses, clicks, tf.ones_like(clicks)
                sums = [tf.reduce_sum(part) for part in parts]
                self.sums.assign_add(tf.stack(sums))

            def reset_state(self) -> None:
                self.sums.assign(tf.zeros(3))

            def result(self) -> Any:
                loss, clicks, count = tf.unstack(self.sums)
                share = clicks / tf.maximum(count, 1.0)
                logit = tf.math.log(share) - tf.math.log1p(-share)
                base = tf.nn.sigmoid_cross_entropy_with_logits(share, logit)
                ratio = loss / tf.maximum(count, 1.0) / base
                known = (share > 0) & (share < 1)
                return tf.where(known, tf.maximum(1 - ratio, 0.0), 0.0)

        return [Metric()]

    def score(self, batches: Iterable[Any], classes: int) -> dict[str, float]:
        """1 less the normalised entropy, and that itself."""
        del classes
        pairs = [
            (np.ravel(targets), np.ravel(outputs))
            for outputs, targets, *_ in batches
        ]
        require_examples(len(pairs))
        clicks, logits = (
            np.concatenate(part).astype(np.float64)
            for part in zip(*pairs, strict=True)
        )
        entropy = normalised_entropy(clicks, logits)
        return {
            "accuracy": max(0.0, 1 - entropy),
            "normalised_entropy": entropy,
        }

    def answers(self, outputs: Any) -> Any:
        """Probabilities."""
        import tensorflow as tf

        return tf.nn.sigmoid(outputs)

    def check_stages(
        self, stages: Mapping[str, Mapping[str, Sequence[Any]]], where: str
    ) -> None:
        """One of them must have `tables`, those of the task."""
        told = {
            str(tables)
            for keys in stages.values()
            for tables in keys.get("tables", ())
        }
        if {*map(table_rows, told)} != {table_rows(self.tables)}:
            raise ValueError(
                f"A stage of {where} must look up the tables of the task, "
                f"tables: {self.tables!r}, as the block dlrm does. Received: "
                f"{', '.join(map(repr, sorted(told))) or 'no such stage'}."
            )

    def check_inputs(
        self, x: np.ndarray, input_shape: tuple[int, ...], what: str
    ) -> None:
        """Accepts `[N, features + tables]` with numbers of rows that exist."""
        rows, columns = table_rows(self.tables), input_shape[-1]
        shape = (1, 1, columns)
        if tuple(input_shape) != shape or columns <= len(rows):
            raise ValueError(
                "The input_shape must be [1, 1, columns], with a column for "
                f"each of {len(rows)} tables after the dense ones. Received: "
                f"{[*input_shape]}."
            )
        if x.ndim != 2 or x.shape[1] != columns:
            raise ValueError(
                f"Columns of the {what} must be [N, {columns}], as the "
                f"input_shape of the search space says: {columns - len(rows)} "
                f"dense, then {len(rows)} numbers of rows. Received: shape "
                f"{x.shape}."
            )
        require_numbers(x, f"Columns of the {what}")
        for index, count in enumerate(rows, columns - len(rows)):
            numbers = x[:, index]
            wrong = (numbers < 0) | (numbers >= count)
            wrong |= numbers != np.trunc(numbers)
            if wrong.any():
                raise ValueError(
                    f"Categories in column {index} of the {what} must be whole "
                    f"numbers of 0 to {count - 1}, as their table has {count} "
                    f"rows. Received: {numbers[wrong][0]:g}, and in all "
                    f"{wrong.sum()} such. Set tables, or map them."
                )

    def check_targets(
        self,
        y: np.ndarray,
        input_shape: tuple[int, ...],
        classes: int,
        what: str,
    ) -> None:
        """Accepts 0 and 1, `[N]` or `[N, 1]`."""
        del input_shape
        _require_one(classes)
        if y.ndim != 1 and y.shape[1:] != (1,):
            raise ValueError(
                f"Clicks of the {what} must be [N]. Received: shape {y.shape}."
            )
        if y.dtype.kind not in "fiub" or not np.isin(y, (0, 1)).all():
            raise ValueError(
                f"Clicks of the {what} must be 0 or 1. Received: {y.dtype} "
                f"such as {y.ravel()[np.argmax(~np.isin(y, (0, 1)))]!r}."
            )

    def inputs(self, x: Any) -> Any:
        """Whole numbers `[N, 1, 1, columns]`, float32."""
        import tensorflow as tf

        count = len(table_rows(self.tables))
        x = tf.cast(x, tf.float32)
        dense = tf.round(x[:, :-count] / STEP)
        x = tf.concat([dense, x[:, -count:]], 1)
        return x[:, tf.newaxis, tf.newaxis]

    def targets(self, y: Any, classes: int | None) -> Any:
        """Clicks `[N, 1, 1, 1]`, float32."""
        del classes
        import tensorflow as tf

        return tf.reshape(tf.cast(y, tf.float32), [-1, 1, 1, 1])

    def input_shape(self, x: np.ndarray, what: str) -> tuple[int, int, int]:
        """A pixel with a channel for each column."""
        if x.ndim != 2:
            raise ValueError(
                f"{what} must hold columns [N, features + tables]. Received: "
                f"an array of shape {x.shape}."
            )
        return 1, 1, x.shape[1]

    def count(self, parts: Sequence[np.ndarray], what: str) -> int:
        """One; training, validation and test data must have both kinds."""
        for y in parts:
            _require_both(y, what)
        return 1

    def strata(self, y: np.ndarray) -> np.ndarray:
        """Clicks and others."""
        return np.ravel(y).astype(int)

    def sources(self) -> Mapping[str, Source]:
        """`clicks:NUMBER` of made-up examples, and `npz:FILE`."""
        return {"clicks": self._clicks, "npz": self._npz}

    def _clicks(
        self, argument: str, image_size: tuple[int, int] | None
    ) -> Splits:
        _refuse_size(image_size)
        count = int(argument) if argument.isdecimal() else argument
        count = configuration.at_least("clicks:NUMBER", count, 100, MOST_CLICKS)
        log = click_log.draw(count, table_rows(self.tables))
        ends = [0, *(int(count * share) for share in _SHARES), count]
        return {
            split: (log.columns[start:end], log.clicks[start:end])
            for split, start, end in zip(
                _SPLITS, ends[:-1], ends[1:], strict=True
            )
        }

    def _npz(self, argument: str, image_size: tuple[int, int] | None) -> Splits:
        """Arrays `dense_train`, `categorical_train`, `clicks_train`, ..."""
        _refuse_size(image_size)
        arrays = files.read_npz(argument, "npz:FILE")
        splits: Splits = {}
        for split in _SPLITS:
            names = [f"{part}_{split}" for part in _PARTS]
            present = [name for name in names if name in arrays]
            if (present and len(present) < len(names)) or (
                split == "train" and not present
            ):
                raise ValueError(
                    f"{argument} must have the arrays {', '.join(names)}. "
                    f"Received: {', '.join(sorted(arrays)) or 'none'}."
                )
            if present:
                dense, categorical, clicks = (arrays[name] for name in names)
                splits[split] = _side_by_side(dense, categorical, names), clicks
        return splits


def _side_by_side(
    dense: np.ndarray, categorical: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Dense and categorical columns in one array."""
    if (
        dense.ndim != 2
        or categorical.ndim != 2
        or len(dense) != len(categorical)
        or any(part.dtype.kind not in "fiub" for part in (dense, categorical))
    ):
        raise ValueError(
            f"{names[0]} and {names[1]} must be numbers [N, features] and "
            f"[N, tables]. Received: {dense.dtype} {dense.shape} and "
            f"{categorical.dtype} {categorical.shape}."
        )
    # Of float64 all numbers of rows are exact, until they are checked.
    return np.concatenate([dense, categorical], 1, dtype=np.float64)


def _require_both(y: np.ndarray, what: str) -> None:
    """Refuses clicks of one kind, whose entropy is none to compare to."""
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"{what} must hold clicks and others in each of its splits, as "
            "normalised entropy compares to their share. Received: "
            f"{np.unique(y).tolist()} alone."
        )


def _require_one(classes: int) -> None:
    if classes != 1:
        raise ValueError(
            "A network for recommendation must put out one number. Received: "
            f"classes={classes}. Set classes to 1."
        )


def _refuse_size(image_size: tuple[int, int] | None) -> None:
    if image_size not in (None, (1, 1)):  # as the networks have it
        raise ValueError(
            "--image_size must be for images. Received: it beside the task "
            "recommendation."
        )
