"""A longer training of a design that a search has exported."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from tf_cosearch import files, metrics
from tf_cosearch.designs import export
from tf_cosearch.designs.export import Design
from tf_cosearch.metrics import values
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.workload import pad, to_array
from tf_cosearch.tasks import Task
from tf_cosearch.training import fit, inputs
from tf_cosearch.training.datasets import Dataset


def task_of(design: Design) -> Task:
    """What a design is for.

    Raises:
        ValueError: If it is a user's own model, whose code it does not hold.
    """
    if not isinstance(design.network, Network):
        design.network.build()  # which says that it cannot
    task: Task = design.network.task
    return task


def retrain(
    design: Design,
    data: Dataset,
    folder: pathlib.Path,
    *,
    from_scratch: bool = False,
    batch_size: int = 32,
    **training: Any,
) -> dict[str, Any]:
    """Trains the network of a design and exports it with its accelerator.

    Args:
        design: Of `load_design`.
        data: What it is trained, chosen and tested on.
        folder: Where to; files of a design there are replaced, none is if
            the training fails.
        from_scratch: Whether it starts from new weights, not from those of
            the design.
        batch_size: Images a step.
        **training: `epochs`, and if you like `qat_epochs`, `learning_rate`
            and `seed`, as `fit.train` takes them.

    Returns:
        What `design.json` then holds.

    Raises:
        ValueError: If the data do not fit the network, weights are damaged,
            or the training diverges.
        FileNotFoundError: If the design has no weights.
    """
    network, task = design.network, task_of(design)
    prepared = inputs.prepare(
        *data.train,
        input_shape=network.input_shape,
        classes=network.classes,
        validation_data=data.validation,
        batch_size=batch_size,
        task=task,
    )
    inputs.check(
        *data.test,
        network.input_shape,
        network.classes,
        "test data",
        task,
    )
    weights = None if from_scratch else design.folder / export.FLOAT_WEIGHTS
    trained = fit.train(
        network.build,
        prepared,
        precision=network.precision,
        task=task,
        quantization=task.quantizations[0],
        float_weights=weights,
        **training,
    )
    trained.save_weights(folder)
    files.write_bytes(folder / export.MODEL, trained.tflite)
    costs = {
        name: value
        for name, value in design.metrics.items()
        if name in metrics.names(measured=False)
    }
    report = {**trained.metrics(), "tflite": trained.tflite}
    layers = pad([to_array(network.layers())]).arrays()
    one = values.Designs(layers, design.accelerator)
    known = {**costs, **values.measured(costs, report, lambda rows: one)}
    return dataclasses.replace(design, folder=folder, metrics=known).export(
        folder, test_data=data.test
    )
