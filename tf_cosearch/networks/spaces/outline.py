"""Builds Keras models to read them: without weights, and without a trace."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.eager import context
from tensorflow.python.framework import ops
from tensorflow.python.ops import resource_variable_ops


class Outline(NamedTuple):
    """A model to be read, not to be run.

    Attributes:
        model: Its weights have shapes, but mostly no values.
        sets_weights: Whether building it gave weights values of its own, such
            as trained ones.
    """

    model: Any
    sets_weights: bool


def outline(build: Callable[[], Any]) -> Outline:
    """Builds a model without its weights.

    These are neither allocated nor drawn, unless the function computes with
    them. Layers are numbered from the start. Afterwards the process is as it
    was: numbers that Keras gives to layers, and random numbers of Python,
    NumPy and TensorFlow.

    Args:
        build: Makes the model, of Keras 3 or tf_keras.

    Returns:
        The `Outline`.

    Example:
    >>> import keras
    >>> before = keras.layers.Dense(1).name
    >>> model, _ = outline(
    ...     lambda: keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(10**6)]
    ...     )
    ... )
    >>> model.count_params(), model.layers[0].name
    (5000000, 'dense')
    """
    variables: list[Any] = []

    def create(next_creator: Callable[..., Any], **options: Any) -> Any:
        """Makes a variable, without a value if that would be drawn."""
        initial, shape = options.get("initial_value"), options.get("shape")
        if callable(initial) and shape is None:
            shape = _shape_of(initial)
        is_drawn = callable(initial) and shape is not None
        if not is_drawn or options.get("dtype") is None:
            return next_creator(**options)
        variable = resource_variable_ops.UninitializedVariable(
            trainable=options.get("trainable"),
            name=options.get("name"),
            shape=shape,
            dtype=options["dtype"],
        )
        variables.append(variable)
        return variable

    with _keep_random_numbers():
        try:
            with (
                fresh_names(),
                _fewer_operations_of_tf_keras(),
                _without_garbage_collection(),
                tf.variable_creator_scope(create),
            ):
                model = build()
        except Exception:
            # Perhaps it needed a weight that has no value.
            with fresh_names():
                return Outline(build(), sets_weights=True)
        return Outline(model, any(map(_has_value, variables)))


def _has_value(variable: Any) -> bool:
    return bool(variable.is_initialized())


def _shape_of(initial: Any) -> Any:
    """The shape that Keras 3 draws an initial value in, if it can be told."""
    names = getattr(getattr(initial, "__code__", None), "co_freevars", ())
    cells = getattr(initial, "__closure__", None) or ()
    owner = dict(zip(names, cells, strict=True)).get("self")
    return (
        None if owner is None else getattr(owner.cell_contents, "shape", None)
    )


@contextlib.contextmanager
def fresh_names() -> Iterator[None]:
    """Lends both Kerases a state as of a new process, of this thread alone.

    They number layers from the start, and Keras 3 draws seeds by a generator
    that is new. Settings such as its dtype policy stay. Afterwards all is as
    it was.
    """
    before = dict(vars(global_state.GLOBAL_STATE_TRACKER))
    for name in ("object_name_uids", "global_seed_generator"):
        vars(global_state.GLOBAL_STATE_TRACKER).pop(name, None)
    try:
        with _fresh_names_of_tf_keras():
            yield
    finally:
        after = vars(global_state.GLOBAL_STATE_TRACKER)
        after.clear()
        after.update(before)


@contextlib.contextmanager
def _fresh_names_of_tf_keras() -> Iterator[None]:
    if "tf_keras" not in sys.modules:  # which takes long to import
        yield
        return
    from tf_keras.src import backend

    graph = getattr(backend._GRAPH, "graph", None)
    numbers = dict(backend.PER_GRAPH_OBJECT_NAME_UIDS)
    observed = set(backend.OBSERVED_NAMES)
    backend.reset_uids()
    backend._GRAPH.graph = None
    try:
        yield
    finally:
        backend.reset_uids()
        backend.PER_GRAPH_OBJECT_NAME_UIDS.update(numbers)
        backend.OBSERVED_NAMES.update(observed)
        backend._GRAPH.graph = graph


@contextlib.contextmanager
def _fewer_operations_of_tf_keras() -> Iterator[None]:
    """Lets batch normalization do nothing where only shapes are asked for.

    tf_keras finds the shape that a layer puts out by calling it in a graph,
    which takes longest for these layers, and they keep the shape.
    """
    if "tf_keras" not in sys.modules:
        yield
        return
    from tf_keras.src.layers.normalization import batch_normalization

    base = batch_normalization.BatchNormalizationBase
    call = base.call

    def keep_shape(
        self: Any, inputs: Any, training: Any = None, mask: Any = None
    ) -> Any:
        if ops.get_default_graph().name.endswith("_scratch_graph"):
            return inputs
        return call(self, inputs, training=training, mask=mask)

    base.call = keep_shape
    try:
        yield
    finally:
        base.call = call


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keeps Python from looking for garbage among the layers as they come."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


@contextlib.contextmanager
def _keep_random_numbers() -> Iterator[None]:
    eager = context.context()
    # With a seed, operations keep a state of their own where nothing reaches
    # it, so there is none meanwhile.
    of_tensorflow = eager._seed, vars(eager).get("_rng")
    eager._seed, eager._rng = None, None
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(0)  # so that what is read is the same in every process
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        eager._seed, eager._rng = of_tensorflow
