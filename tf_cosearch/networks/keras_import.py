"""Turns any functional or sequential Keras model into layer-table rows.

Keras 3 and tf_keras models are read alike, by the names and attributes that
both give their layers. What a row counts, and what it leaves out:

- batch normalisation is the bias of the convolution or dense layer that alone
  feeds it, else an element-wise row; ReLU and ReLU6 cost nothing;
- zero padding that only convolutions read is theirs and costs nothing. The
  extents of an input never include padding, whoever asks for it;
- one-dimensional layers are two-dimensional ones of height 1;
- reshapes, dropout and augmentation cost nothing at inference;
- layer normalisation and softmax are one operation an element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tf_cosearch.networks import graph_tape, keras_graph, workload
from tf_cosearch.networks.tape import TensorShape

Rows = list[TensorShape] | TensorShape | None


def from_keras(
    model: Any, on_unknown: Callable[[str], None] | None = None
) -> list[workload.Layer]:
    """Reads the rows of a Keras 3 or tf_keras model.

    A layer that is called several times has a row a call. The layers of a
    model within the model are named `inner/layer`, what a layer does in steps
    `layer/step`. Every row is costed as 8-bit.

    Args:
        model: A functional or sequential model, of fixed input shape but for
            the batch. It is only looked at, never called.
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
    walker = _Walker(graph_tape.GraphTape(on_unknown))
    inputs = [walker.tape.input(tensor.shape) for tensor in graph.inputs]
    return walker.tape.layers(walker.walk(graph, inputs, prefix=""))


class _Walker:
    """Records the calls of a graph and of the graphs within it."""

    def __init__(self, tape: graph_tape.GraphTape) -> None:
        self.tape = tape
        self._tensors: dict[int, TensorShape] = {}
        self._readers: dict[int, list[str]] = {}
        self._folded: set[int] = set()
        self._unpadded: dict[int, graph_tape.Extents] = {}

    def walk(
        self, graph: Any, inputs: Sequence[TensorShape], prefix: str
    ) -> list[TensorShape]:
        """Records a graph whose inputs are on the tape; gives its outputs."""
        for tensor, recorded in zip(graph.inputs, inputs, strict=True):
            self._tensors[id(tensor)] = recorded
        calls = list(keras_graph.calls(graph, prefix, _RECORDERS))
        readers = [(t, call.op) for call in calls for t in call.inputs]
        readers += [(tensor, "output") for tensor in graph.outputs]
        self._readers |= {id(tensor): [] for tensor, _ in readers}
        for tensor, op in readers:
            self._readers[id(tensor)].append(op)
        for call in calls:
            self._record(call)
        return [self._tensors[id(tensor)] for tensor in graph.outputs]

    def _record(self, call: keras_graph.Call) -> None:
        rows: Rows = None
        if (graph := keras_graph.graph_of(call.layer)) is not None:
            if len(graph.inputs) == len(call.inputs):
                inputs = [self._tensors[id(tensor)] for tensor in call.inputs]
                rows = self.walk(graph, inputs, f"{call.name}/")
        elif call.op in _RECORDERS and (
            call.inputs or call.op in keras_graph.FREE
        ):
            rows = _RECORDERS[call.op](self, call)
        if rows is None:
            rows = self.tape.unknown(
                type(call.layer).__name__,
                call.name,
                [self.read(call, tensor) for tensor in call.inputs],
                [graph_tape.extents(t.shape) for t in call.outputs],
            )
        rows = rows if isinstance(rows, list) else [rows]
        for tensor, row in zip(call.outputs, rows, strict=True):
            self._tensors[id(tensor)] = row

    def read(
        self, call: keras_graph.Call, tensor: Any, image: bool = False
    ) -> TensorShape:
        """A tensor that a call reads, laid out as it reads it."""
        layout = self._unpadded.get(id(tensor)) or (
            call.image(tensor) if image else graph_tape.extents(tensor.shape)
        )
        return graph_tape.view(self._tensors[id(tensor)], layout)

    def leave_unpadded(self, call: keras_graph.Call) -> TensorShape:
        """Leaves a padding to who reads it, which sees its input instead."""
        tensor = self.read(call, call.inputs[0], image=True)
        self._unpadded[id(call.outputs[0])] = tensor.extents
        return tensor

    def readers(self, call: keras_graph.Call) -> list[str]:
        """The operations that read what a call writes."""
        return self._readers.get(id(call.outputs[0]), [])

    def stores_bias(self, call: keras_graph.Call) -> bool:
        """Whether a call has a bias, its own or a batch normalisation."""
        folds = (
            self.readers(call) == ["batchnormalization"]
            and keras_graph.activation(call.layer.activation) == "linear"
        )
        if folds:
            self._folded.add(id(call.outputs[0]))
        return folds or bool(call.layer.use_bias)

    def is_folded(self, call: keras_graph.Call) -> bool:
        """Whether a batch normalisation is the bias of what it reads."""
        return id(call.inputs[0]) in self._folded

    def activate(
        self, call: keras_graph.Call, tensor: TensorShape
    ) -> TensorShape:
        """Records the activation that a layer brings along, if it costs."""
        name = keras_graph.activation(call.layer.activation)
        if name in keras_graph.FREE:
            return tensor
        layout = (tensor.height, tensor.width, tensor.channels)
        return self.tape.elementwise(f"{call.name}/{name}", [tensor], layout)


def _convolution(walker: _Walker, call: keras_graph.Call) -> Rows:
    layer, kind = call.layer, keras_graph.CONVOLUTIONS[call.op]
    tensor = walker.read(call, call.inputs[0], image=True)
    out_h, out_w, out_c = call.image(call.outputs[0])
    use_bias = walker.stores_bias(call)
    (k_h, k_w), (stride_h, stride_w) = (
        call.pair("kernel_size"),
        call.pair("strides"),
    )
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
        k_h=k_h,
        k_w=k_w,
        stride_h=stride_h,
        stride_w=stride_w,
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


def _transposed(walker: _Walker, call: keras_graph.Call) -> Rows:
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


def _dense(walker: _Walker, call: keras_graph.Call) -> Rows:
    written = walker.tape.add(
        call.name,
        "dense",
        [walker.read(call, call.inputs[0])],
        graph_tape.extents(call.outputs[0].shape),
        use_bias=walker.stores_bias(call),
    )
    return walker.activate(call, written)


def _pool(walker: _Walker, call: keras_graph.Call) -> Rows:
    k_h, k_w = call.pair("pool_size")
    stride_h, stride_w = call.pair(
        "strides" if call.layer.strides else "pool_size"
    )
    tensor = walker.read(call, call.inputs[0], image=True)
    return walker.tape.add(
        call.name,
        "pool",
        [tensor],
        call.image(call.outputs[0]),
        k_h=k_h,
        k_w=k_w,
        stride_h=stride_h,
        stride_w=stride_w,
        groups=tensor.channels,
    )


def _reduce(walker: _Walker, call: keras_graph.Call) -> Rows:
    tensor = walker.read(call, call.inputs[0], image=True)
    output = graph_tape.extents(call.outputs[0].shape)
    return walker.tape.reduce(call.name, tensor, output)


def _free(walker: _Walker, call: keras_graph.Call) -> Rows:
    return [walker.read(call, tensor) for tensor in call.inputs][
        : len(call.outputs)
    ]


def _elementwise(walker: _Walker, call: keras_graph.Call) -> Rows:
    tensors = [walker.read(call, tensor) for tensor in call.inputs]
    if call.op == "batchnormalization" and walker.is_folded(call):
        return tensors[0]
    output = graph_tape.extents(call.outputs[0].shape)
    return walker.tape.elementwise(call.name, tensors, output)


def _move(walker: _Walker, call: keras_graph.Call) -> Rows:
    pads = call.op in ("zeropadding1d", "zeropadding2d", "pad")
    if pads and set(walker.readers(call)) <= set(keras_graph.CONVOLUTIONS):
        return walker.leave_unpadded(call)
    tensors = [walker.read(call, tensor) for tensor in call.inputs]
    outputs = [graph_tape.extents(tensor.shape) for tensor in call.outputs]
    return walker.tape.move(call.name, tensors, outputs)


def _matmul(walker: _Walker, call: keras_graph.Call) -> Rows:
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
    walker: _Walker,
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


def _dot(walker: _Walker, call: keras_graph.Call) -> Rows:
    axes = getattr(call.layer, "axes", None)
    if axes is None:  # `keras.ops.dot`, which is a layer's namesake
        return _matmul(walker, call)
    left_axis, _ = (axes, axes) if isinstance(axes, int) else axes
    left, right = call.inputs
    k = int(left.shape[left_axis])
    m, n = (math.prod(tensor.shape[1:]) // k for tensor in (left, right))
    return _product(walker, call, left, right, (1, m, n, k))


def _einsum(walker: _Walker, call: keras_graph.Call) -> Rows:
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


def _attention(walker: _Walker, call: keras_graph.Call) -> Rows:
    """Multi-head attention over sequences: projections and two products."""
    operands: list[Any] = [
        call.arguments.get(position, call.arguments.get(name))
        for position, name in enumerate(("query", "value", "key"))
    ]
    query, value, key = operands
    config = call.layer.get_config()
    key = value if key is None else key
    if (
        config.get("use_gate")
        or len(call.outputs) > 1
        or any(len(tensor.shape) != 3 for tensor in (query, value, key))
    ):
        return None
    tape, name, bias = walker.tape, call.name, config["use_bias"]
    heads, key_dim = config["num_heads"], config["key_dim"]
    value_dim = config["value_dim"] or key_dim

    def project(step: str, tensor: Any, size: int) -> TensorShape:
        read = walker.read(call, tensor)
        layout = (read.height, 1, heads * size)
        return tape.add(
            f"{name}/{step}", "dense", [read], layout, use_bias=bias
        )

    asked = project("query", query, key_dim)
    keys = project("key", key, key_dim)
    values = project("value", value, value_dim)
    steps, seen = asked.height, keys.height
    scores = tape.product(
        f"{name}/scores", asked, keys, (heads, steps, seen, key_dim)
    )
    weights = tape.elementwise(
        f"{name}/softmax", [scores], (steps, 1, heads * seen)
    )
    context = tape.product(
        f"{name}/context", weights, values, (heads, steps, value_dim, seen)
    )
    output = graph_tape.extents(call.outputs[0].shape)
    return tape.add(f"{name}/output", "dense", [context], output, use_bias=bias)


_RECORDERS: dict[str, Callable[[_Walker, keras_graph.Call], Rows]] = {
    **dict.fromkeys(keras_graph.CONVOLUTIONS, _convolution),
    **dict.fromkeys(keras_graph.TRANSPOSED, _transposed),
    **dict.fromkeys(keras_graph.POOLS, _pool),
    **dict.fromkeys(keras_graph.REDUCTIONS, _reduce),
    **dict.fromkeys(keras_graph.FREE, _free),
    **dict.fromkeys(keras_graph.ELEMENTWISE, _elementwise),
    **dict.fromkeys(keras_graph.MOVES, _move),
    "activation": _free,  # `_op` gives the name of its function instead
    "dense": _dense,
    "matmul": _matmul,
    "dot": _dot,
    "einsum": _einsum,
    "einsumdense": _einsum,
    "multiheadattention": _attention,
}
