"""A tape for graphs that others wrote: what every importer needs to record."""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from tf_cosearch.networks import workload
from tf_cosearch.networks.tape import Tape, TensorShape, view

Extents = tuple[int, int, int]


def extents(shape: Sequence[int | None]) -> Extents:
    """Lays a tensor of any rank out as height, width and channels.

    The last axis is the channels, the one before the width (from rank 4 on),
    all others stack up as the height. A batch is thus a taller image, and
    row vectors are rows.

    Args:
        shape: The shape with its batch axis; an unknown batch counts as 1.

    Returns:
        Height, width and channels.

    Raises:
        ValueError: If another extent than the batch is unknown.

    Example:
    >>> extents((None, 32, 32, 3)), extents((1, 7, 64)), extents((None, 10))
    ((32, 32, 3), (7, 1, 64), (1, 1, 10))
    """
    if any(extent is None for extent in shape[1:]):
        raise ValueError(
            "Every extent but the batch must be fixed. Received: a tensor of "
            f"shape {tuple(shape)}. Give the model an input of fixed shape."
        )
    sizes = [1 if extent is None else int(extent) for extent in shape]
    if any(extent < 1 for extent in sizes):
        raise ValueError(
            "Every extent of a tensor must be positive. Received: a tensor "
            f"of shape {tuple(shape)}."
        )
    width = sizes[-2] if len(sizes) > 3 else 1
    channels = sizes[-1] if sizes else 1
    return math.prod(sizes) // (width * channels), width, channels


def warn_unknown(op: str) -> None:
    """Logs that an operation cannot be costed."""
    logging.warning("%s cannot be costed; it counts as data movement.", op)


class GraphTape:
    """A `Tape` that names rows uniquely and splits what no row can hold.

    Args:
        on_unknown: Called once for every type of operation that cannot be
            costed, with its name. Logs a warning when it is not given.

    Attributes:
        precision: `weight_bits`, `output_bits` and `operator` of the rows to
            come; the
            bits of what they read are those of the tensors.
        repeats: How often the rows to come run: they are within a loop.
    """

    def __init__(self, on_unknown: Callable[[str], None] | None = None) -> None:
        self.precision: dict[str, Any] = {}
        self.repeats = 1
        self._tape = Tape()
        self._on_unknown = on_unknown or warn_unknown
        self._reported: set[str] = set()
        self._names: collections.Counter[str] = collections.Counter()
        # A tensor that several rows write, by the number of its last part.
        self._parts: dict[int, list[TensorShape]] = {}

    def input(self, shape: Sequence[int | None], bits: int = 8) -> TensorShape:
        """Declares an input of the graph, with the bits of an element."""
        return self._tape.input(*extents(shape), bits)

    def start(self, shape: Sequence[int | None], bits: int) -> TensorShape:
        """Declares what a state is before its first run."""
        return self._tape.input(*extents(shape), bits, is_outside=False)

    def loop(self) -> contextlib.AbstractContextManager[None]:
        """Has the rows to come take turns; see `Tape.loop`."""
        return self._tape.loop()

    def layers(self, outputs: Sequence[TensorShape]) -> list[workload.Layer]:
        """The rows so far; see `Tape.layers`."""
        return self._tape.layers(self._with_parts(outputs))

    def _with_parts(self, tensors: Sequence[TensorShape]) -> list[TensorShape]:
        parts = [self._parts.get(tensor.number, ()) for tensor in tensors]
        return [*tensors, *(part for group in parts for part in group)]

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[TensorShape],
        output: Extents,
        **bounds: Any,
    ) -> TensorShape:
        """Records an operation; see `Tape.add`."""
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}:{self._names[name]}"
        bounds = {**self.precision, **bounds}
        bounds["repeats"] = self.repeats * bounds.get("repeats", 1)
        if op != "matmul":
            bits = bounds.get("activation_bits", inputs[0].bits)
            others = sum(tensor.count_of(bits) for tensor in inputs[1:])
            bounds = {"side_elements": others, **bounds}
        return self._tape.add(
            name, op, self._with_parts(inputs), output, **bounds
        )

    def elementwise(
        self,
        name: str,
        inputs: Sequence[TensorShape],
        output: Extents,
        **bounds: Any,
    ) -> TensorShape:
        """Records an operation on every element, with the largest input first.

        A smaller input is broadcast, like the gate of a squeeze-excite. As
        positions mean nothing to it, a column of vectors is laid out as an
        image, which keeps rows and columns of an array busy.
        """
        first, *others = sorted(inputs, key=lambda t: -t.elements)
        layout = output
        if first.elements == math.prod(output):
            if output[1] == 1:
                width = next(
                    width
                    for width in range(math.isqrt(output[0]), 0, -1)
                    if output[0] % width == 0
                )
                layout = output[0] // width, width, output[2]
            first = view(first, layout)
        result = self.add(
            name, "elementwise", [first, *others], layout, **bounds
        )
        return view(result, output)

    def reduce(
        self, name: str, tensor: TensorShape, output: Extents
    ) -> TensorShape:
        """Records a reduction: a pooling whose window is all it reduces.

        What leaves the channels alone is a global pooling; any other one
        reads its input as one column of vectors.
        """
        elements = math.prod(output)
        if elements != tensor.channels:
            window = max(1, tensor.elements // elements)
            tensor = view(tensor, (window, 1, elements))
        result = self.add(
            name,
            "pool",
            [tensor],
            (1, 1, elements),
            k_h=tensor.height,
            k_w=tensor.width,
            groups=elements,
        )
        return view(result, output)

    def move(
        self,
        name: str,
        inputs: Sequence[TensorShape],
        outputs: Sequence[Extents],
        **bounds: Any,
    ) -> list[TensorShape]:
        """Records an operation that copies; all outputs are one row."""
        layout = outputs[0]
        if len(outputs) > 1:
            layout = (1, 1, sum(math.prod(output) for output in outputs))
        moved = self.add(name, "data_movement", inputs, layout, **bounds)
        return [view(moved, output) for output in outputs]

    def unknown(
        self,
        op: str,
        name: str,
        inputs: Sequence[TensorShape],
        outputs: Sequence[Extents],
    ) -> list[TensorShape]:
        """Reports an operation and records it as data movement."""
        self.report(op)
        return self.move(name, inputs, outputs)

    def report(self, op: str) -> None:
        """Reports an operation that cannot be costed, once."""
        if op not in self._reported:
            self._reported.add(op)
            self._on_unknown(op)

    def product(
        self,
        name: str,
        left: TensorShape,
        right: TensorShape | None,
        sizes: tuple[int, int, int, int],
        use_bias: bool = False,
        **bounds: Any,
    ) -> TensorShape:
        """Records `batch` products of `[m, k]` by `[k, n]` matrices.

        Args:
            name: Name of the row.
            left: The left operand.
            right: The right operand; without it, weights (`dense`).
            sizes: `batch`, `m`, `n` and `k`.
            use_bias: Whether a bias is added.
            **bounds: Further fields of `Layer`.

        Returns:
            The product, as `m` rows of `batch * n` channels.
        """
        batch, m, n, k = sizes
        left = view(left, (m, 1, batch * k))
        return self.add(
            name,
            "dense" if right is None else "matmul",
            [left] if right is None else [left, right],
            (m, 1, batch * n),
            groups=batch,
            use_bias=use_bias,
            **bounds,
        )

    def gates(
        self,
        name: str,
        products: Sequence[TensorShape],
        output: Extents,
        count: int,
        steps: int,
        has_cell: bool,
        **bounds: Any,
    ) -> TensorShape:
        """Records what a recurrent layer does with its products, step by step.

        Args:
            name: What the names of the rows start with.
            products: Those with the input and with the state, which are added.
            output: Extents of the state.
            count: How many gates there are, side by side as channels.
            steps: How many steps there are.
            has_cell: Whether a cell is held beside the state, as in an LSTM.
            **bounds: Further fields of the row of the gates.

        Returns:
            The states of all steps, one below the other.
        """
        height, width, units = output
        gates = (height, width, count * units)
        whole = (steps * height, width, units)
        written = self.add(
            f"{name}/gates",
            "elementwise",
            [view(product, gates) for product in products],
            gates,
            repeats=steps,
            written=(steps * height, *gates[1:]) if has_cell else whole,
            **bounds,
        )
        if has_cell:
            written = self.add(
                f"{name}/cell",
                "elementwise",
                [view(written, gates)],
                output,
                repeats=steps,
                written=whole,
                held_elements=math.prod(output),
            )
        return view(written, whole)

    def convolution_3d(
        self,
        name: str,
        tensor: TensorShape,
        read: Sequence[int],
        output: Sequence[int],
        kernel: Sequence[int],
        strides: Sequence[int] = (1, 1, 1),
        **bounds: Any,
    ) -> TensorShape:
        """Records a three-dimensional convolution, a run for each depth.

        Each run is a plain convolution of as many images as the kernel is
        deep, side by side as channels. Images beyond the first and the last
        count like the padding of any convolution.

        Args:
            name: Name of the row.
            tensor: The input.
            read: Depth, height, width and channels of the input.
            output: Depth, height, width and channels of the output.
            kernel: Depth, height and width of the kernel.
            strides: Along depth, height and width.
            **bounds: Further fields of `Layer`.

        Returns:
            The whole output, whose images are stacked.

        Example:
        >>> tape = GraphTape()
        >>> clip = tape.input((1, 8, 16, 16, 3))
        >>> _ = tape.convolution_3d("conv", clip, (8, 16, 16, 3),
        ...     (6, 14, 14, 4), (3, 3, 3))
        >>> [row] = tape.layers([])
        >>> row.repeats, row.macs == 6 * 14 * 14 * 4 * 27 * 3
        (6, True)
        """
        _, height, width, channels = read
        depth, out_h, out_w, out_c = output
        k_d, k_h, k_w = kernel
        return self.add(
            name,
            "conv2d",
            [view(tensor, (height, width, k_d * channels))],
            (out_h, out_w, out_c),
            written=(depth * out_h, out_w, out_c),
            k_h=k_h,
            k_w=k_w,
            stride_h=strides[1],
            stride_w=strides[2],
            repeats=depth,
            **bounds,
        )

    def transposed_convolution(
        self,
        name: str,
        tensor: TensorShape,
        output: Extents,
        kernel: tuple[int, int],
        strides: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
        use_bias: bool = True,
    ) -> TensorShape:
        """Records a transposed convolution as its sub-pixel phases.

        Output positions that are a stride apart meet the same taps of the
        kernel, so `s_h * s_w` plain convolutions of the input, each with its
        share of the taps, write the output in turns. None of them multiplies
        the zeros that a transposed convolution inserts, and none has more
        positions than the input: every tap meets every position once, as in
        the convolution that is transposed. Phases that meet no tap write the
        bias alone and have no row.

        Args:
            name: Name of the rows: `name/phase_i_j`.
            tensor: The input.
            output: Height, width and channels of the whole output.
            kernel: Height and width of the kernel.
            strides: Vertical and horizontal stride.
            dilation: Vertical and horizontal dilation.
            use_bias: Whether there is a bias; the first row stores it.

        Returns:
            The whole output.
        """
        rows = _phases(kernel[0], strides[0], dilation[0])
        columns = _phases(kernel[1], strides[1], dilation[1])
        layout = (tensor.height, tensor.width, output[2])
        left = math.prod(output)
        parts: list[TensorShape] = []
        for i, k_h, dilation_h in rows:
            for j, k_w, dilation_w in columns:
                is_last = len(parts) + 1 == len(rows) * len(columns)
                part = self.add(
                    f"{name}/phase_{i}_{j}" if strides != (1, 1) else name,
                    "conv2d_transpose",
                    [tensor],
                    layout,
                    written=(1, 1, max(left, 1)) if is_last else None,
                    k_h=k_h,
                    k_w=k_w,
                    dilation_h=dilation_h,
                    dilation_w=dilation_w,
                    use_bias=use_bias and not parts,
                )
                left -= part.elements
                parts.append(part)
        # Who reads the output reads every part: those wait until then.
        self._parts[parts[-1].number] = parts[:-1]
        return view(parts[-1], output)


def _phases(
    kernel: int, stride: int, dilation: int
) -> list[tuple[int, int, int]]:
    """Phases of one axis that meet a tap: index, taps, dilation of the taps.

    >>> _phases(kernel=3, stride=2, dilation=1)
    [(0, 2, 1), (1, 1, 1)]
    >>> _phases(kernel=3, stride=1, dilation=2)
    [(0, 3, 2)]
    """
    taps = collections.Counter(tap * dilation % stride for tap in range(kernel))
    step = dilation // math.gcd(dilation, stride)
    return [(i, n, step if n > 1 else 1) for i, n in sorted(taps.items())]


def matmul_sizes(
    left: Sequence[int | None],
    right: Sequence[int | None],
    output: Sequence[int | None],
) -> tuple[int, int, int, int] | None:
    """Sizes of a matrix product, whichever operands are transposed.

    Args:
        left: Shape `[..., m, k]` or `[..., k, m]`.
        right: Shape `[..., k, n]` or `[..., n, k]`.
        output: Shape `[..., m, n]`.

    Returns:
        `batch`, `m`, `n`, `k`; `None` if an operand is a vector.

    Example:
    >>> matmul_sizes((None, 4, 8, 16), (None, 4, 16, 8), (None, 4, 8, 8))
    (4, 8, 8, 16)
    >>> matmul_sizes((1, 8, 16), (16, 5), (1, 8, 5))
    (1, 8, 5, 16)
    """
    if min(len(left), len(right), len(output)) < 2:
        return None
    *batch_axes, m, n = (extent or 1 for extent in output)
    batch = math.prod(batch_axes)
    left_rows = math.prod(extent or 1 for extent in left[:-2]) * m
    k = math.prod(extent or 1 for extent in left) // left_rows
    if math.prod(extent or 1 for extent in right[:-2]) == 1:
        batch, m = 1, batch * m
    return batch, m, n, k


def einsum_sizes(
    equation: Any, left: Sequence[int | None], right: Sequence[int | None]
) -> tuple[int, int, int, int] | None:
    """Sizes of the matrix products that an einsum is, if it is any.

    >>> einsum_sizes("bthd,bshd->bhts", (None, 7, 2, 16), (None, 5, 2, 16))
    (2, 7, 5, 16)
    """
    operands, _, output = str(equation).replace(" ", "").partition("->")
    terms = operands.split(",")
    if len(terms) != 2 or not output:
        return None
    sizes: dict[str, int] = {}
    letters: list[set[str]] = []
    for term, shape in zip(terms, (left, right), strict=True):
        hidden = "".join(map(str, range(len(shape) - len(term) + 3)))[::-1]
        labels = term.replace("...", hidden)
        output = output.replace("...", hidden)
        if len(labels) != len(shape) or len(set(labels)) < len(labels):
            return None
        letters.append(set(labels))
        extents_of = dict(zip(labels, (n or 1 for n in shape), strict=True))
        sizes |= {k: max(n, sizes.get(k, 1)) for k, n in extents_of.items()}
    of_left, of_right, of_output = *letters, set(output)
    if (of_left ^ of_right) - of_output:
        return None
    batch, m, n, k = (
        math.prod(sizes[label] for label in group)
        for group in (
            of_left & of_right & of_output,
            (of_left - of_right) & of_output,
            (of_right - of_left) & of_output,
            (of_left & of_right) - of_output,
        )
    )
    return batch, m, n, k


def pair(values: Any, axes: int = 2) -> tuple[int, int]:
    """Height and width of a setting; along one axis the height is 1.

    >>> pair((3, 5)), pair((3,)), pair(2), pair(2, axes=1)
    ((3, 5), (1, 3), (2, 2), (1, 2))
    """
    values = (values,) * axes if isinstance(values, int) else tuple(values)
    height, width = (1,) * (2 - len(values)) + values
    return height, width
