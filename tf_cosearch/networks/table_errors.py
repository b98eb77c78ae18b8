"""Says what is wrong with a layer table that describes no layers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_cosearch.networks.workload import NUMBERS, POSITIVE, LayerTable


def explain(table: LayerTable, candidate: int) -> str:
    """Says which row of a table describes no layer, and why.

    Args:
        table: A `LayerTable` of `[B, L]` tensors or arrays.
        candidate: The network it is in.

    Returns:
        The text of an error.
    """
    columns = [np.asarray(c[candidate], np.float32) for c in table.columns()]
    wrong = LayerTable(*map(tf.constant, columns)).is_wrong()
    row = int(np.argmax(wrong))
    values = {"dilation_h": 1.0, "dilation_w": 1.0}
    for name, column in zip(LayerTable._fields, columns, strict=False):
        values[name] = column[row].item()

    def told(name: str, must: str) -> str:
        return (
            f"Row {row} of network {candidate}, column {name}, must be {must}. "
            f"Received: {values[name]:g}."
        )

    for name in filter(values.__contains__, NUMBERS):
        least = int(name in POSITIVE)
        if not (values[name] >= least and values[name].is_integer()):
            kind = "positive" if least else "non-negative"
            return told(name, f"a {kind} whole number")
    for name in ("in_c", "out_c"):
        if values[name] % values["groups"]:
            return told("groups", f"a divisor of {name}={values[name]:g}")
    for axis in "hw":
        most = values[f"in_{axis}"] - 1
        most += (values[f"k_{axis}"] - 1) * values[f"dilation_{axis}"]
        if (values[f"out_{axis}"] - 1) * values[f"stride_{axis}"] > most:
            break
    return told(
        f"out_{axis}",
        f"at most {most // values[f'stride_{axis}'] + 1:g}, so that every "
        f"window of k_{axis}={values[f'k_{axis}']:g} at stride_{axis}="
        f"{values[f'stride_{axis}']:g} and dilation_{axis}="
        f"{values[f'dilation_{axis}']:g} touches in_{axis}="
        f"{values[f'in_{axis}']:g}",
    )
