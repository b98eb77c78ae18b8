"""What TensorBoard is told of a trial beside the curves of its epochs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from absl import logging

from tf_cosearch.training import callbacks as callbacks_lib


def tell(callbacks: Any, trial: str, *told: Any) -> None:
    """Does what `write` does; a log that cannot be written costs no trial."""
    try:
        write(callbacks, trial, *told)
    except Exception as error:
        logging.warning("TensorBoard was not told of %s: %s", trial, error)


def write(
    callbacks: Any,
    trial: str,
    hyperparameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    names: Sequence[str] = (),
    choices: Mapping[str, Sequence[Any]] = {},
) -> None:
    """Adds a finished trial to TensorBoard's page of hyperparameters.

    Args:
        callbacks: What `callbacks.adapt` takes; without a `TensorBoard` among
            them nothing is written.
        trial: The folder of the trial, below that of each `TensorBoard`.
        hyperparameters: Their values by name.
        metrics: What was measured, costs included.
        names: Of the metrics that trials of this search may have, those that
            are looked at most first: TensorBoard takes what one trial, any,
            says there is.
        choices: All that hyperparameters could have been, to filter by.
    """
    order = dict.fromkeys([*names, *metrics])
    for folder in _log_folders(callbacks):
        from tensorboard.plugins.hparams import api, api_pb2, summary

        writer = tf.summary.create_file_writer(os.path.join(folder, trial))
        with writer.as_default(step=0), tf.init_scope():
            # Else metrics are sorted by name, and it shows the first five.
            api.hparams_config(
                hparams=[
                    api.HParam(name, _domain(api, choices.get(name)))
                    # Not every trial has all of them.
                    for name in dict.fromkeys([*choices, *hyperparameters])
                ],
                metrics=[api.Metric(name) for name in order],
            )
            api.hparams(
                {name: _plain(v) for name, v in hyperparameters.items()},
                trial_id=trial,
            )
            for name, value in metrics.items():
                tf.summary.scalar(name, value)
            end = summary.session_end_pb(api_pb2.STATUS_SUCCESS, time.time())
            tf.summary.experimental.write_raw_pb(end.SerializeToString())
        writer.close()


def _log_folders(callbacks: Any) -> Iterator[str]:
    for callback in callbacks_lib.flatten(callbacks):
        if callbacks_lib.is_a(callback, "TensorBoard"):
            yield os.fspath(callback.log_dir)


def _domain(api: Any, choices: Sequence[Any] | None) -> Any:
    """Choices as TensorBoard takes them: all of one type."""
    plain = [_plain(choice) for choice in choices or ()]
    same = plain and len({type(choice) for choice in plain}) == 1
    return api.Discrete(plain) if same else None


def _plain(value: Any) -> Any:
    """A value as TensorBoard takes it."""
    plain = isinstance(value, (bool, int, float, str))
    return value if plain else str(value)
