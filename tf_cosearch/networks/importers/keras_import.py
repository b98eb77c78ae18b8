"""Turns any functional or sequential Keras model into layer-table rows.

Keras 3 and tf_keras models are read alike, by the names and attributes that
both give their layers. What a row counts, and what it leaves out:

- batch normalisation is the bias of the convolution or dense layer that alone
  feeds it, else an element-wise row; ReLU and ReLU6 cost nothing;
- zero padding that only convolutions read is theirs and costs nothing. The
  extents of an input never include padding, whoever asks for it;
- one-dimensional layers are two-dimensional ones of height 1, volumes are
  images of all their rows;
- reshapes, dropout and augmentation cost nothing at inference;
- layer normalisation and softmax are one operation an element;
- what must run step after step, like the state of a recurrent layer, is a row
  that `repeats`; everything else of a sequence is one row;
- weights are stored by the row that first works with them;
- a float counts as the 8-bit integer it would become, whatever the dtype
  policy of the model, and a warning says so. Integers keep their bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from absl import logging

from tf_cosearch import text
from tf_cosearch.networks import workload
from tf_cosearch.networks.importers import (
    graph_tape,
    keras_attention,
    keras_graph,
    keras_recurrent,
)
from tf_cosearch.networks.importers.keras_walker import (
    KerasTape,
    Recorder,
    Rows,
    Walker,
    stored_elements,
)
from tf_cosearch.networks.tape import TensorShape, view


def from_keras(
    model: Any, on_unknown: Callable[[str], None] | None = None
) -> list[workload.Layer]:
    """Reads the rows of a Keras 3 or tf_keras model.

    A layer that is called several times has a row a call. The layers of a
    model within the model are named `inner/layer`, what a layer does in steps
    `layer/step`.

    Args:
        model: A functional or sequential model, of fixed input shape but for
            the batch. Its weights need no values. Nothing is computed with
            it; where a model within leaves extents open, its layers are
            called with symbolic tensors, to tell the shapes they write.
        on_unknown: Called with the type of every operation that cannot be
            costed, once a type. Logs a warning when it is not given. Such an
            operation becomes a `data_movement` row.

    Returns:
        The rows in execution order.

    Raises:
        ValueError: If `model` has no graph of layers, or an unknown extent.

    Example:
    >>> import keras
    >>> image = keras.Input((8, 8, 4))
    >>> y = keras.layers.Conv2D(16, 3, padding="same", name="conv")(image)
    >>> [row] = from_keras(keras.Model(image, keras.layers.ReLU()(y)))
    >>> row.name, row.op, row.macs, row.params
    ('conv', 'conv2d', 36864, 592)
    """
    graph = keras_graph.graph_of(model)
    if graph is None:
        raise ValueError(
            "`model` must be a functional or a built sequential model. "
            f"Received: {type(model).__name__}. Give a sequential model an "
            "Input; convert a subclassed model to TFLite and use "
            "`from_tflite`."
        )
    for tensor in graph.inputs:
        _check_fixed(tensor)
    walker = Walker(KerasTape(on_unknown), _RECORDERS)
    inputs = [
        walker.tape.input(tensor.shape, keras_graph.bits(tensor))
        for tensor in graph.inputs
    ]
    shapes = [tuple(tensor.shape) for tensor in graph.inputs]
    rows = walker.tape.layers(walker.walk(graph, inputs, shapes, prefix=""))
    if others := sorted(walker.float_types - {"float32"}):
        logging.warning(
            "The model computes in %s; every float is costed as the 8-bit "
            "integer it would become.",
            " and ".join(others),
        )
    return rows


def _check_fixed(tensor: Any) -> None:
    """Refuses an input that leaves more than the batch open."""
    shape = tuple(tensor.shape)
    if None not in shape[1:]:
        return
    what, how = "shape", "Build the model with an Input of fixed shape."
    if len(shape) == 3:
        what = "length"
        how = f"Build the model with Input((LENGTH, {shape[-1]}))."
    elif len(shape) == 4:
        what = "image size"
        how = (
            f"Build the model with Input((ROWS, COLUMNS, {shape[-1]})), or "
            f"give `load_keras` or {text.command('estimate')} an `input_px`."
        )
    raise ValueError(
        f"Every input must have a fixed {what}; only the batch may be open. "
        f"Received: {tensor.name!r} of shape {shape}. {how}"
    )


def _convolution(walker: Walker, call: keras_graph.Call) -> Rows:
    layer, kind = call.layer, keras_graph.CONVOLUTIONS[call.op]
    tensor = walker.read(call, call.inputs[0], image=True)
    out_h, out_w, out_c = call.image(call.outputs[0])
    use_bias = walker.stores_bias(call)
    window = call.window(tensor.extents, (out_h, out_w, out_c))
    name, op, groups = call.name, "conv2d", getattr(layer, "groups", 1)
    first_c, first_bias = out_c, use_bias
    if kind != "conv":
        op, groups = "depthwise_conv2d", tensor.channels
        first_c = tensor.channels * layer.depth_multiplier
    if kind == "separableconv":
        name, first_bias = f"{call.name}/depthwise", False
    written = walker.tape.add(
        name,
        op,
        [tensor],
        (out_h, out_w, first_c),
        **window,
        groups=groups,
        use_bias=first_bias,
    )
    if kind == "separableconv":
        written = walker.tape.add(
            f"{call.name}/pointwise",
            "conv2d",
            [written],
            (out_h, out_w, out_c),
            use_bias=use_bias,
        )
    return walker.activate(call, written)


def _transposed(walker: Walker, call: keras_graph.Call) -> Rows:
    written = walker.tape.transposed_convolution(
        call.name,
        walker.read(call, call.inputs[0], image=True),
        call.image(call.outputs[0]),
        call.pair("kernel_size"),
        call.pair("strides"),
        call.pair("dilation_rate"),
        walker.stores_bias(call),
    )
    return walker.activate(call, written)


def _dense(walker: Walker, call: keras_graph.Call) -> Rows:
    written = walker.tape.add(
        call.name,
        "dense",
        [walker.read(call, call.inputs[0])],
        graph_tape.extents(call.outputs[0].shape),
        use_bias=walker.stores_bias(call),
    )
    return walker.activate(call, written)


def _pool(walker: Walker, call: keras_graph.Call) -> Rows:
    tensor = walker.read(call, call.inputs[0], image=True)
    output = call.image(call.outputs[0])
    if hasattr(call.layer, "output_size"):  # an adaptive pooling
        window = {
            "k_h": -(-tensor.height // output[0]),
            "k_w": -(-tensor.width // output[1]),
            "stride_h": max(1, tensor.height // output[0]),
            "stride_w": max(1, tensor.width // output[1]),
        }
    else:
        window = call.window(tensor.extents, output)
    return walker.tape.add(
        call.name, "pool", [tensor], output, **window, groups=tensor.channels
    )


def _reduce(walker: Walker, call: keras_graph.Call) -> Rows:
    tensor = walker.read(call, call.inputs[0], image=True)
    output = graph_tape.extents(call.outputs[0].shape)
    return walker.tape.reduce(call.name, tensor, output)


def _free(walker: Walker, call: keras_graph.Call) -> Rows:
    return [walker.read(call, tensor) for tensor in call.inputs][
        : len(call.outputs)
    ]


def _elementwise(walker: Walker, call: keras_graph.Call) -> Rows:
    tensors = [walker.read(call, tensor) for tensor in call.inputs]
    output = graph_tape.extents(call.outputs[0].shape)
    if call.op in ("batchnormalization", "normalization"):
        return _normalize(walker, call, tensors[0])
    return walker.tape.add(
        call.name,
        "elementwise",
        sorted(tensors, key=lambda tensor: -tensor.elements),
        output,
        stored_elements=stored_elements(call.layer),
    )


def _normalize(
    walker: Walker, call: keras_graph.Call, tensor: TensorShape
) -> TensorShape:
    """A gain and an offset a channel, whatever they are computed from.

    Where no convolution takes them as its bias they are two operations.
    """
    if walker.is_folded(call):
        return tensor
    channels = max((math.prod(w.shape) for w in call.layer.weights), default=0)
    for name in ("multiply", "add"):
        tensor = walker.tape.add(
            f"{call.name}/{name}",
            "elementwise",
            [tensor],
            tensor.extents,
            stored_elements=channels,
        )
    return tensor


def _embedding(walker: Walker, call: keras_graph.Call) -> Rows:
    layer, tensor = call.layer, walker.read(call, call.inputs[0])
    output = graph_tape.extents(call.outputs[0].shape)
    if call.arguments.get("reverse", call.arguments.get(1)):
        # Scores of all entries, by the same table or by one of their own.
        return walker.tape.add(
            call.name,
            "dense",
            [tensor],
            output,
            use_bias=False,
            reuses_weights=bool(layer.tie_weights),
        )
    return walker.tape.add(
        call.name,
        "embedding",
        [tensor],
        output,
        stored_elements=layer.input_dim * layer.output_dim,
    )


def _move(walker: Walker, call: keras_graph.Call) -> Rows:
    if call.op in ("zeropadding1d", "zeropadding2d", "pad") and all(
        reader is not None and reader.pads_by_itself(call)
        for reader in walker.readers(call)
    ):
        return walker.leave_unpadded(call)
    tensors = [walker.read(call, tensor) for tensor in call.inputs]
    outputs = [graph_tape.extents(tensor.shape) for tensor in call.outputs]
    return walker.tape.move(call.name, tensors, outputs)


def _select(walker: Walker, call: keras_graph.Call) -> Rows:
    """Reads as much as it writes."""
    output = graph_tape.extents(call.outputs[0].shape)
    part = view(walker.read(call, call.inputs[0]), output)
    others = [walker.read(call, tensor) for tensor in call.inputs[1:]]
    return walker.tape.move(call.name, [part, *others], [output])


def _matmul(walker: Walker, call: keras_graph.Call) -> Rows:
    left: Any = call.arguments.get(0)
    right: Any = call.arguments.get(1)
    if len(call.inputs) == 2:
        left, right = call.inputs
    elif left is not call.inputs[0] or not hasattr(right, "shape"):
        return None
    sizes = graph_tape.matmul_sizes(
        left.shape, right.shape, call.outputs[0].shape
    )
    return sizes and _product(walker, call, left, right, sizes)


def _product(
    walker: Walker,
    call: keras_graph.Call,
    left: Any,
    right: Any,
    sizes: tuple[int, int, int, int],
    use_bias: bool = False,
) -> TensorShape:
    """Records a product; an operand outside the graph is weights."""
    is_activation = any(right is tensor for tensor in call.inputs)
    return walker.tape.product(
        call.name,
        walker.read(call, left),
        walker.read(call, right) if is_activation else None,
        sizes,
        use_bias,
    )


def _dot(walker: Walker, call: keras_graph.Call) -> Rows:
    axes = getattr(call.layer, "axes", None)
    if axes is None:  # `keras.ops.dot`, which is a layer's namesake
        return _matmul(walker, call)
    left_axis, _ = (axes, axes) if isinstance(axes, int) else axes
    left, right = call.inputs
    k = int(left.shape[left_axis])
    m, n = (math.prod(tensor.shape[1:]) // k for tensor in (left, right))
    return _product(walker, call, left, right, (1, m, n, k))


def _einsum(walker: Walker, call: keras_graph.Call) -> Rows:
    if hasattr(call.layer, "kernel"):  # EinsumDense
        left, right = call.inputs[0], call.layer.kernel
        equation = call.layer.equation
        use_bias = call.layer.bias_axes is not None
    elif len(call.inputs) == 2:
        left, right = call.inputs
        equation = getattr(call.layer, "subscripts", call.arguments.get(0))
        use_bias = False
    else:
        return None
    sizes = graph_tape.einsum_sizes(equation, left.shape, right.shape)
    if sizes is None:
        return None
    written = _product(walker, call, left, right, sizes, use_bias)
    return (
        walker.activate(call, written)
        if hasattr(call.layer, "activation")
        else written
    )


_RECORDERS: dict[str, Recorder] = {
    **dict.fromkeys(keras_graph.CONVOLUTIONS, _convolution),
    **dict.fromkeys(keras_graph.TRANSPOSED, _transposed),
    **dict.fromkeys(keras_graph.POOLS, _pool),
    **dict.fromkeys(keras_graph.REDUCTIONS, _reduce),
    **dict.fromkeys(keras_graph.FREE, _free),
    **dict.fromkeys(keras_graph.ELEMENTWISE, _elementwise),
    **dict.fromkeys(keras_graph.MOVES, _move),
    **dict.fromkeys(keras_graph.PARTS, _select),
    "activation": _free,  # `_op` gives the name of its function instead
    "dense": _dense,
    "matmul": _matmul,
    "dot": _dot,
    "einsum": _einsum,
    "einsumdense": _einsum,
    "embedding": _embedding,
    "multiheadattention": keras_attention.multi_head,
    "groupedqueryattention": keras_attention.multi_head,
    "attention": keras_attention.dot_product,
    "additiveattention": keras_attention.dot_product,
    "dotproductattention": keras_attention.dot_product,
    "rnn": keras_recurrent.recurrent,
    "convlstm": keras_recurrent.convolutional,
    "bidirectional": keras_recurrent.both_ways,
    "timedistributed": keras_recurrent.time_distributed,
}
