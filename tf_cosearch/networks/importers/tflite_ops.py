"""How the operators of a .tflite file become rows of a layer table."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

from tf_cosearch.networks.importers import (
    graph_tape,
    tflite_padding,
    tflite_recurrent,
)
from tf_cosearch.networks.importers.graph_tape import GraphTape
from tf_cosearch.networks.importers.tflite_graph import Call, Dilation
from tf_cosearch.networks.importers.tflite_kinds import (
    AXES,
    CONVOLUTIONS,
    ELEMENTWISE,
    FREE,
    MOVES,
    ON_THE_HOST,
    POOLS,
    REDUCTIONS,
)
from tf_cosearch.networks.tape import TensorShape, view

_LARGEST_KERNEL = 4096  # a bit flip may state any extent

_MAKE_FLOATS = ("CAST", "EMBEDDING_LOOKUP")

Rows = list[TensorShape] | TensorShape | None


def fit(layout: graph_tape.Extents, elements: int) -> graph_tape.Extents:
    """Extents of a tensor whose elements are known, but maybe not its shape.

    A file that leaves the batch open states 1 for every extent that depends
    on it, also where a reshape has merged the batch with others.
    """
    channels = layout[2]
    if math.prod(layout) == elements:
        return layout
    if elements % channels:
        return 1, 1, elements
    return elements // channels, 1, channels


def _disagree(call: Call, output: int, read: int, weights: int) -> ValueError:
    return ValueError(
        f"it makes {output} channels of {read} by weights of shape "
        f"{call.shape(weights)}"
    )


def _strides(call: Call, axes: str = "HW") -> list[int]:
    strides = [call.option(f"Stride{axis}", 1) for axis in axes]
    if min(strides) < 1:
        raise ValueError(f"it has the strides {strides}")
    return strides


def _convolution(tape: GraphTape, call: Call) -> Rows:
    filters, k_h, k_w, depth = call.weight_shape(1, 4)
    rates = [max(1, call.option(f"Dilation{axis}Factor", 1)) for axis in "HW"]
    dilated = call.frame.dilations.get(call.operator.outputs[0])
    if dilated is not None:
        tensor = view(call.row(0), dilated.input)
        output = dilated.output
        rates = [max(pair) for pair in zip(rates, dilated.rates, strict=True)]
    else:
        tensor, output = call.image(0), call.layouts[0]
    op, groups = "conv2d", tensor.channels // depth
    if call.op == "DEPTHWISE_CONV_2D":
        op, groups, filters = "depthwise_conv2d", tensor.channels, depth
    if output[2] != filters or not groups or tensor.channels % groups:
        raise _disagree(call, output[2], tensor.channels, 1)
    stride_h, stride_w = _strides(call)
    return tape.add(
        call.name,
        op,
        [tensor],
        output,
        k_h=k_h,
        k_w=k_w,
        stride_h=stride_h,
        stride_w=stride_w,
        dilation_h=rates[0],
        dilation_w=rates[1],
        groups=groups,
        **call.weights(1, call.stores_bias(2, output[2])),
    )


def _convolution_3d(tape: GraphTape, call: Call) -> Rows:
    """Rows of the output are images of it, taps in depth are channels."""
    k_d, k_h, k_w, depth, filters = call.weight_shape(1, 5)
    *_, channels = call.shape(0)
    batch, out_d, out_h, out_w, out_c = call.outputs[0].shape
    if (depth, filters) != (channels, out_c):
        raise _disagree(call, out_c, channels, 1)
    return tape.convolution_3d(
        call.name,
        call.row(0),
        (batch * call.shape(0)[1], *call.shape(0)[2:]),
        (batch * out_d, out_h, out_w, out_c),
        (k_d, k_h, k_w),
        _strides(call, "DHW"),
        **call.weights(1, call.stores_bias(2, out_c)),
    )


def _transposed_3d(tape: GraphTape, call: Call) -> Rows:
    """Each image of the input writes as many as the kernel is deep."""
    k_d, k_h, k_w, filters, depth = call.weight_shape(1, 5)
    batch, images, height, width, channels = call.shape(2)
    *_, out_h, out_w, out_c = call.outputs[0].shape
    if (depth, filters) != (channels, out_c):
        raise _disagree(call, out_c, channels, 1)
    if max(k_h, k_w) > _LARGEST_KERNEL:
        raise ValueError(f"it has a kernel of {k_h}x{k_w}")
    stride_h, stride_w = _strides(call)
    fields = call.weights(1)
    del fields["use_bias"]
    before = tape.repeats
    tape.precision |= fields
    tape.repeats *= batch * images
    with tape.loop():
        written = tape.transposed_convolution(
            call.name,
            view(call.row(2), (height, width, channels)),
            (out_h, out_w, k_d * filters),
            (k_h, k_w),
            (stride_h, stride_w),
            use_bias=False,
        )
    tape.repeats = before
    written = view(written, call.layouts[0])
    if not call.has(3):
        return written
    return tape.elementwise(
        f"{call.name}/bias",
        [written],
        call.layouts[0],
        stored_elements=filters,
        reuses_weights=fields["reuses_weights"],
    )


def _transposed(tape: GraphTape, call: Call) -> Rows:
    strides = _strides(call)
    return _transposed_by(tape, call, (2, 1, 3), strides[0], strides[1])


def _transposed_with_bias(tape: GraphTape, call: Call) -> Rows:
    """MediaPipe's: padding, horizontal and vertical stride are its options."""
    _, stride_w, stride_h = struct.unpack_from("<iii", call.operator.custom)
    if not 0 < stride_h < _LARGEST_KERNEL or not 0 < stride_w < _LARGEST_KERNEL:
        raise ValueError(f"it has the strides {(stride_h, stride_w)}")
    return _transposed_by(tape, call, (0, 1, 2), stride_h, stride_w)


def _transposed_by(
    tape: GraphTape,
    call: Call,
    positions: tuple[int, int, int],
    stride_h: int,
    stride_w: int,
) -> Rows:
    image, weights, bias = positions
    filters, k_h, k_w, depth = call.weight_shape(weights, 4)
    tensor, output = call.row(image), call.layouts[0]
    tensor = view(tensor, graph_tape.extents(call.shape(image)))
    if (filters, depth) != (output[2], tensor.channels):
        raise _disagree(call, output[2], tensor.channels, weights)
    if max(k_h, k_w) > _LARGEST_KERNEL:
        raise ValueError(f"it has a kernel of {k_h}x{k_w}")
    fields = call.weights(weights, call.stores_bias(bias, output[2]))
    use_bias = fields.pop("use_bias")
    tape.precision |= fields
    return tape.transposed_convolution(
        call.name,
        tensor,
        output,
        (k_h, k_w),
        (stride_h, stride_w),
        use_bias=use_bias,
    )


def _fully_connected(tape: GraphTape, call: Call) -> Rows:
    if not call.is_activation(0):
        if len(call.shape(0)) != 2 or len(call.shape(1)) != 2:
            return None
        # Weights times an activation: the transpose of a product as usual.
        (m, k), n = call.shape(0), call.row(1).elements // call.shape(0)[-1]
        return tape.product(
            call.name, call.row(1), None, (1, n, m, k), **call.weights(0)
        )
    tensor = call.row(0)
    n, k = call.weight_shape(1, 2)
    rows, rest = divmod(tensor.elements, k)
    output = fit(call.layouts[0], rows * n)
    if rest or output[2] != n:
        raise ValueError(
            f"it makes {output[2]} channels of {tensor.elements} elements by "
            f"weights of shape {(n, k)}"
        )
    if call.is_activation(1):
        sizes = (1, rows, n, k)
        return tape.product(call.name, tensor, call.row(1), sizes)
    if tensor.channels != k or tensor.extents[:2] != output[:2]:
        tensor = view(tensor, (*output[:2], k))
    return tape.add(
        call.name,
        "dense",
        [tensor],
        output,
        **call.weights(1, call.stores_bias(2, n)),
    )


def _matmul(tape: GraphTape, call: Call) -> Rows:
    sizes = graph_tape.matmul_sizes(
        call.shape(0), call.shape(1), call.outputs[0].shape
    )
    if sizes is None:
        return None
    if not call.is_activation(0):  # weights on the left
        batch, m, n, k = sizes
        return tape.product(
            call.name, call.row(1), None, (batch, n, m, k), **call.weights(0)
        )
    batch, m, n, k = sizes
    left = call.row(0)
    if left.elements != batch * m * k:
        raise ValueError(f"its input has {left.elements} elements, not {sizes}")
    if call.is_activation(1):
        return tape.product(call.name, left, call.row(1), sizes)
    fields = call.weights(1, batch == 1 and call.stores_bias(2, n))
    return tape.product(call.name, left, None, sizes, **fields)


def _pool(tape: GraphTape, call: Call) -> Rows:
    strides = _strides(call)
    window = call.option("FilterHeight"), call.option("FilterWidth")
    return _pool_by(tape, call, (*window, *strides))


def _pool_with_indices(tape: GraphTape, call: Call) -> Rows:
    """MediaPipe's: padding, strides and window are its options."""
    _, stride_w, stride_h, k_w, k_h = struct.unpack_from(
        "<iiiii", call.operator.custom
    )
    pooled = _pool_by(tape, call, (k_h, k_w, stride_h, stride_w))
    indices = [view(pooled, layout) for layout in call.layouts[1:]]
    return [pooled, *indices]


def _pool_by(
    tape: GraphTape, call: Call, window: tuple[int, int, int, int]
) -> TensorShape:
    k_h, k_w, stride_h, stride_w = (max(1, extent) for extent in window)
    tensor = call.image(0)
    return tape.add(
        call.name,
        "pool",
        [tensor],
        call.layouts[0],
        k_h=k_h,
        k_w=k_w,
        stride_h=stride_h,
        stride_w=stride_w,
        groups=tensor.channels,
    )


def _reduce(tape: GraphTape, call: Call) -> Rows:
    return tape.reduce(call.name, call.reads()[0], call.layouts[0])


def _free(tape: GraphTape, call: Call) -> Rows:
    del tape
    [row, *_] = call.reads()
    index, frame = call.operator.outputs[0], call.frame
    shape = frame.unpadded.get(call.index(0))
    if shape and call.op in AXES and (origins := call.axes()) is not None:
        frame.unpadded[index] = tuple(
            1 if axis is None else shape[axis] for axis in origins
        )
    return view(row, fit(call.layouts[0], row.elements))


def _elementwise(tape: GraphTape, call: Call) -> Rows:
    reads, output = call.reads(), call.layouts[0]
    largest = max(read.elements for read in reads)
    if math.prod(output) < largest:
        output = fit(output, largest)
    if call.operator.outputs[0] in call.frame.folded:
        return view(reads[0], output)
    return tape.elementwise(call.name, reads, output, **call.constants())


def _move(tape: GraphTape, call: Call) -> Rows:
    return tape.move(call.name, call.reads(), call.layouts)


def _join(tape: GraphTape, call: Call) -> Rows:
    """May join constants to what is computed, like a class token."""
    return tape.move(call.name, call.reads(), call.layouts, **call.constants())


def _quantize(tape: GraphTape, call: Call) -> Rows:
    """Rescales for free what moves in any case.

    The kernels of TFLite want tensors of one scale where elements only move,
    so that a converter puts this between. What moves elements passes each of
    them through its requantization. Floats that are made of integers count as
    integers of 8 bits already.
    """
    frame, index = call.frame, call.operator.outputs[0]
    read, written = call.tensor(0), frame.graph.tensors[index]
    owner = frame.owners.get(call.index(0))
    if read.type == "FLOAT32" and owner and owner.op in _MAKE_FLOATS:
        return call.row(0)
    readers = frame.readers.get(index, [])
    if read.type == written.type and all(
        reader is not None and reader.op in MOVES for reader in readers
    ):
        return call.row(0)
    return _elementwise(tape, call)


def _select(tape: GraphTape, call: Call) -> Rows:
    """Reads as much as it writes: of weights in a table, or of activations."""
    [output] = call.layouts
    if call.is_activation(0):
        read = view(call.row(0), output)
        return tape.move(call.name, [read, *call.reads()[1:]], [output])
    return _embed(tape, call, 0, 1)


def _look_up(tape: GraphTape, call: Call) -> Rows:
    return _embed(tape, call, 1, 0)


def _embed(tape: GraphTape, call: Call, table: int, places: int) -> Rows:
    source = call.frame.source(call.index(table))
    if source is None or not call.is_activation(places):
        return tape.move(call.name, call.reads(), call.layouts)
    fields, [output] = call.weights(table), call.layouts

    def look_up(
        name: str, layout: graph_tape.Extents, **bounds: Any
    ) -> TensorShape:
        return tape.add(
            name,
            "embedding",
            [call.row(places)],
            layout,
            reuses_weights=fields["reuses_weights"],
            use_bias=False,
            **bounds,
        )

    found = look_up(
        call.name,
        output,
        stored_elements=math.prod(call.shape(table)),
        weight_bits=fields["weight_bits"],
    )
    written = call.frame.graph.tensors[call.operator.outputs[0]]
    is_scaled = written.type == "FLOAT32" != call.tensor(table).type
    if not is_scaled:
        return found
    # Floats of integers: each row has a scale of its own, which is a float.
    scales = look_up(
        f"{call.name}_scales",
        (output[0], output[1], 1),
        stored_elements=call.shape(table)[0],
        weight_bits=32,
        output_bits=32,
    )
    return tape.elementwise(f"{call.name}_scaled", [found, scales], output)


def _pad(tape: GraphTape, call: Call) -> Rows:
    """Convolutions pad by themselves, as far as their windows reach."""
    frame, index = call.frame, call.index(0)
    shape, pads = frame.unpadded.get(index, call.shape(0)), call.integers(1)
    if call.op == "PAD" and pads is not None and len(pads) == 2 * len(shape):
        edges = list(zip(pads[::2], pads[1::2], strict=True))
        readers = tflite_padding.convolutions(call)
        if readers and all(reader.fits(shape, edges) for reader in readers):
            frame.unpadded[call.operator.outputs[0]] = shape
            return call.row(0)
    return _move(tape, call)


def _to_blocks(tape: GraphTape, call: Call) -> Rows:
    """Before a convolution and its inverse, it dilates the convolution."""
    frame, pads = call.frame, call.integers(2)
    shape = frame.unpadded.get(call.index(0), call.shape(0))
    end = tflite_padding.leads_to(call)
    if end is None or end.end is None or pads is None:
        return _move(tape, call)
    edges = [(0, 0)] * len(shape)
    edges[1 : 1 + len(pads) // 2] = zip(pads[::2], pads[1::2], strict=True)
    if not end.fits(shape, edges):
        return _move(tape, call)
    frame.dilations[end.call.operator.outputs[0]] = Dilation(
        end.rates,
        graph_tape.extents(end.shape(shape)),
        graph_tape.extents(end.end[0]),
        end.end[1],
    )
    return call.row(0)


def _from_blocks(tape: GraphTape, call: Call) -> Rows:
    ends = (dilation.last for dilation in call.frame.dilations.values())
    if call.operator in ends:
        return view(call.row(0), call.layouts[0])
    return _move(tape, call)


def _transpose(tape: GraphTape, call: Call) -> Rows:
    [read] = call.reads()
    return tape.move(call.name, [read], [fit(call.layouts[0], read.elements)])


def _update(tape: GraphTape, call: Call) -> Rows:
    """Writes a part of a tensor in place."""
    if not call.is_activation(1):
        return _move(tape, call)
    part = call.row(1)
    return tape.add(
        call.name,
        "data_movement",
        [part],
        part.extents,
        written=call.layouts[0],
    )


RECORDERS: dict[str, Callable[[GraphTape, Call], Rows]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(FREE, _free),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(MOVES | ON_THE_HOST, _move),
    "QUANTIZE": _quantize,
    **dict.fromkeys(["SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND"], _select),
    **dict.fromkeys(["PAD", "PADV2", "MIRROR_PAD"], _pad),
    **tflite_recurrent.RECORDERS,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "TRANSPOSE_CONV": _transposed,
    "Convolution2DTransposeBias": _transposed_with_bias,
    "MaxPoolingWithArgmax2D": _pool_with_indices,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matmul,
    "EMBEDDING_LOOKUP": _look_up,
    "SPACE_TO_BATCH_ND": _to_blocks,
    "BATCH_TO_SPACE_ND": _from_blocks,
    "TRANSPOSE": _transpose,
    **dict.fromkeys(["CONCATENATION", "PACK"], _join),
    "DYNAMIC_UPDATE_SLICE": _update,
}
"""What records each operator; `None` where it cannot."""
