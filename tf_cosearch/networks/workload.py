"""The workload: what a network asks of an accelerator, one row a layer.

| here            | Timeloop | ZigZag | meaning                              |
|-----------------|----------|--------|--------------------------------------|
| `out_h`         | P        | OY     | rows of the output                   |
| `out_w`         | Q        | OX     | columns of the output                |
| `out_c`/groups  | M        | K      | output channels of a group           |
| `in_c`/groups   | C        | C      | input channels of a group            |
| `k_h`           | R        | FY     | rows of the kernel                   |
| `k_w`           | S        | FX     | columns of the kernel                |
| `groups`        | G        | G      | groups (`in_c` of them is depthwise) |
| `in_h`, `in_w`  | H, W     | IY, IX | rows and columns of the input        |
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch import configuration


class OpKind(NamedTuple):
    """How an operation uses the machine.

    Attributes:
        is_mac: Multiply-accumulates that a reduction tree can add up.
        is_vector: One operation an output element and kernel tap, no
            reduction across channels (pooling, additions, activations).
        has_weights: What it works with is stored with the model; without it
            the second operand (of a `matmul`) is an activation.
    """

    is_mac: bool
    is_vector: bool
    has_weights: bool


OPS = {
    "conv2d": OpKind(True, False, True),
    "depthwise_conv2d": OpKind(True, False, True),
    "conv2d_transpose": OpKind(True, False, True),
    "dense": OpKind(True, False, True),
    "matmul": OpKind(True, False, False),
    "pool": OpKind(False, True, False),
    "elementwise": OpKind(False, True, False),
    "data_movement": OpKind(False, False, False),
    "embedding": OpKind(False, False, True),
}
"""Every operation that a layer table knows."""

_MAY_BE_ZERO = (
    "use_bias",
    "side_elements",
    "held_elements",
    "network_in_elements",
    "network_out_elements",
    "reuses_weights",
    "stored_elements",
    "continues",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One row of a layer table: the loop bounds of one operation.

    Attributes:
        name: Where the row comes from, for example `stage2/block1/expand`.
        op: One of `OPS`.
        out_h: Rows of the output.
        out_w: Columns of the output.
        out_c: Channels of the output.
        in_h: Rows of the input.
        in_w: Columns of the input.
        in_c: Channels of the input.
        k_h: Rows of the kernel or pooling window.
        k_w: Columns of the kernel or pooling window.
        stride_h: Vertical step of the kernel.
        stride_w: Horizontal step of the kernel.
        groups: Groups the channels fall into; `in_c` for depthwise.
        use_bias: Whether a bias is stored for every output channel. Batch
            normalisation counts as one: it is folded into the convolution.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an element of the input.
        side_elements: Elements of further inputs, for example of the second
            addend of an addition. The right operand of a `matmul` is not
            among them: it follows from the loop bounds.
        held_elements: Elements of other tensors that must be kept while this
            layer runs, for example the input of a residual block. Like those
            of further inputs they are counted in elements of
            `activation_bits`: one of 32 bits counts as four of 8.
        network_in_elements: Elements of its inputs, in elements of
            `activation_bits`, that come from outside the chip: of inputs of
            the network that no row before has read.
        network_out_elements: Elements of its output that leave the chip.
        dilation_h: Rows from one tap of the kernel to the next.
        dilation_w: Columns from one tap of the kernel to the next.
        output_bits: Bits of an element of the output; as `activation_bits`
            if not given.
        repeats: How often the row runs, one after the other, as the time
            steps of a recurrent layer do. All other fields are of one run.
        reuses_weights: Whether its weights are those of an earlier row, as
            of a layer that is called twice. They are stored once.
        stored_elements: Further parameters, of `weight_bits`: the table of an
            embedding, the gains of a normalisation. As many as the output
            has elements are read in a run, or all of them.
        continues: Whether it alone reads, as its first input, all that the row
            before writes, which stays on the chip. Such rows may be worked on
            together, see `cost/fusion.py`.
        operator: What a .tflite file calls the operation, if that is known;
            it says whether an accelerator runs it, and makes no other
            difference.
        alive_elements: Elements, in those of `activation_bits`, that rows
            before have read or made and this or a later one needs: what has
            to travel if another chip goes on here. Infinite within a loop,
            whose rows take turns; none if it is not known.

    Example:
    An image that is read here first, by a kernel that spans 5 x 5 pixels.

    >>> row = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 3, k_h=3, k_w=3,
    ...     dilation_h=2, dilation_w=2, network_in_elements=192)
    >>> row.macs, row.params
    (27648, 448)
    """

    name: str
    op: str
    out_h: int
    out_w: int
    out_c: int
    in_h: int
    in_w: int
    in_c: int
    k_h: int = 1
    k_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    groups: int = 1
    use_bias: bool = True
    weight_bits: int = 8
    activation_bits: int = 8
    side_elements: int = 0
    held_elements: int = 0
    network_in_elements: int = 0
    network_out_elements: int = 0
    dilation_h: int = 1
    dilation_w: int = 1
    output_bits: int | None = None
    repeats: int = 1
    reuses_weights: bool = False
    stored_elements: int = 0
    continues: bool = False
    operator: str = dataclasses.field(default="", compare=False)
    alive_elements: float | None = dataclasses.field(
        default=None, compare=False
    )

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise configuration.unknown("operation", self.op, OPS)
        for name in self.__slots__[2:-2]:
            value, least = getattr(self, name), name not in _MAY_BE_ZERO
            if name == "output_bits" and value is None:
                continue
            if not isinstance(value, numbers.Integral) or value < least:
                kind = "positive" if least else "non-negative"
                raise ValueError(
                    f"{name} must be a {kind} whole number. Received: "
                    f"{value!r} in layer {self.name!r}."
                )
        if self.op == "depthwise_conv2d" and self.groups != self.in_c:
            raise ValueError(
                "A depthwise convolution must have in_c groups. Received: "
                f"groups={self.groups}, in_c={self.in_c} in layer "
                f"{self.name!r}."
            )
        if self.in_c % self.groups or self.out_c % self.groups:
            raise ValueError(
                "groups must divide in_c and out_c. Received: groups="
                f"{self.groups}, in_c={self.in_c}, out_c={self.out_c} in "
                f"layer {self.name!r}."
            )
        if self.op == "embedding" and not self.stored_elements:
            raise ValueError(
                "An embedding must have stored_elements, those of its table. "
                f"Received: 0 in layer {self.name!r}."
            )

    @property
    def kind(self) -> OpKind:
        """How the operation uses the machine."""
        return OPS[self.op]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.repeats * self.pixels * self.operand_elements

    @property
    def pixels(self) -> int:
        """Positions of the output."""
        return self.out_h * self.out_w

    @property
    def in_elements(self) -> int:
        """Elements of all activation inputs but a matmul's right."""
        return self.in_h * self.in_w * self.in_c + self.side_elements

    @property
    def touched_elements(self) -> int:
        """Elements of the inputs, without what a convolution jumps over."""
        height, width = self.in_h, self.in_w
        if self.kind.is_mac:
            height = _touched(
                height, self.out_h, self.k_h, self.stride_h, self.dilation_h
            )
            width = _touched(
                width, self.out_w, self.k_w, self.stride_w, self.dilation_w
            )
        return height * width * self.in_c + self.side_elements

    @property
    def out_elements(self) -> int:
        """Elements of the output."""
        return self.pixels * self.out_c

    @property
    def operand_elements(self) -> int:
        """Elements of the second operand: the weights, or a matmul's right."""
        taps = self.k_h * self.k_w
        return int(self.kind.is_mac) * (
            self.out_c * self.in_c // self.groups * taps
        )

    @property
    def params(self) -> int:
        """Parameters stored with the model, but for an earlier row's."""
        stored = self.stored_elements
        if self.kind.is_mac and self.kind.has_weights:
            stored += self.operand_elements + self.use_bias * self.out_c
        return 0 if self.reuses_weights else stored


def _touched(
    size: int, outputs: int, kernel: int, stride: int, dilation: int
) -> int:
    """Rows, or columns, of an image that some tap of a kernel lands on.

    All lines that windows look at (see `mapping.lines_read`) less those that
    are padding, of which half comes first. Where few windows leave gaps
    between their taps, the padding has gaps, too. Exact where one of stride
    and dilation divides the other.

    >>> _touched(8, 3, 3, 3, 1)  # one of 3 x 3 rows is padding
    8
    >>> _touched(12, 2, 3, 1, 4)  # 0 1, 4 5 and 8 9
    6
    """
    common = math.gcd(stride, dilation)
    stride, gap = stride // common, dilation // common
    again = max(outputs - gap, 0) * max(kernel - stride, 0)
    span = ((outputs - 1) * stride + (kernel - 1) * gap) * common + 1
    padding = max(span - size, 0)
    lines = outputs * kernel - again
    for part in (padding // 2, padding - padding // 2):
        runs, rest = divmod(-(-part // common), gap)
        lines -= runs * min(outputs, gap) + min(outputs, rest)
    return max(lines, 0)


class LayerTable(NamedTuple):
    """The layers of `B` networks, padded to `L` rows each.

    Every field is a `[B, L]` float32 tensor. Rows stand in execution order,
    padding comes last and is marked by `is_layer` 0. The fields are those of
    `Layer`, with `op` spelled out as the three flags of `OpKind`; those with a
    default may be left out.
    """

    out_h: Any
    out_w: Any
    out_c: Any
    in_h: Any
    in_w: Any
    in_c: Any
    k_h: Any
    k_w: Any
    stride_h: Any
    stride_w: Any
    groups: Any
    use_bias: Any
    weight_bits: Any
    activation_bits: Any
    side_elements: Any
    held_elements: Any
    network_in_elements: Any
    network_out_elements: Any
    is_mac: Any
    is_vector: Any
    has_weights: Any
    is_layer: Any
    continues: Any = 0.0
    dilation_h: Any = 1.0
    dilation_w: Any = 1.0
    output_bits: Any = None
    repeats: Any = 1.0
    reuses_weights: Any = 0.0
    stored_elements: Any = 0.0

    def columns(self) -> list[np.ndarray]:
        """The fields as arrays, without the optional ones if none is used.

        Returns:
            `[B, L]` arrays of all fields; or of those before the first one
            that has a default, where every row has the defaults; or of these
            and `continues`, where every row has the others.
        """
        defaults = self._field_defaults | {"output_bits": self.activation_bits}
        some = len(self) - len(self._field_defaults)
        arrays = [np.asarray(field) for field in self[:some]]
        rest = {
            name: np.asarray(defaults[name] if value is None else value)
            for name, value in self._asdict().items()
            if name in self._field_defaults
        }
        used = {
            name
            for name, value in rest.items()
            if np.any(value != np.asarray(defaults[name]))
        }
        if not used:
            return arrays
        if used == {"continues"}:
            return [*arrays, rest["continues"]]
        shape = arrays[0].shape
        return [*arrays, *(np.broadcast_to(v, shape) for v in rest.values())]

    def arrays(self) -> LayerTable:
        """The same as `[B, L]` arrays, with every optional field."""
        first = np.asarray(self.out_h)
        bits = self.activation_bits
        fields = self._replace(
            output_bits=bits if self.output_bits is None else self.output_bits
        )
        return LayerTable(
            *(
                np.broadcast_to(np.asarray(f, np.float32), first.shape)
                for f in fields
            )
        )

    def stack_images(self, count: Any) -> LayerTable:
        """The table of a batch of images: their rows are one loop."""
        return self._replace(
            out_h=self.out_h * count,
            in_h=self.in_h * count,
            side_elements=self.side_elements * count,
            held_elements=self.held_elements * count,
            network_in_elements=self.network_in_elements * count,
            network_out_elements=self.network_out_elements * count,
        )

    def is_wrong(self) -> Any:
        """Rows that describe no layer, `[B, L]` booleans; `explain` says why.

        Bounds are positive whole numbers, groups divide the channels, and
        every window of a convolution touches its input.
        """
        least: Any = 1.0
        rest: Any = 0.0
        for name in NUMBERS:
            value = getattr(self, name)
            if value is LayerTable._field_defaults.get(name, self):
                continue
            if name in POSITIVE:
                least, rest = tf.minimum(least, value), rest + value
            else:
                least = tf.minimum(least, value + 1)
        rest *= 0.0  # NaN if one of them is not finite
        for channels in (self.in_c / self.groups, self.out_c / self.groups):
            rest += tf.abs(channels - tf.floor(channels))
        return ~((least >= 1) & (rest == 0) & ~self._misses_its_input())

    def _misses_its_input(self) -> Any:
        """Whether a window of a convolution lies wholly outside its input."""
        stored = self.has_weights * self.is_mac > 0
        below = self.in_h - 1 + (self.k_h - 1) * self.dilation_h
        beside = self.in_w - 1 + (self.k_w - 1) * self.dilation_w
        return stored & (
            ((self.out_h - 1) * self.stride_h > below)
            | ((self.out_w - 1) * self.stride_w > beside)
        )

    def pixels(self) -> Any:
        """Positions of the output, `[B, L]`."""
        return self.out_h * self.out_w

    def taps(self) -> Any:
        """Positions of the kernel, `[B, L]`."""
        return self.k_h * self.k_w

    def operand_elements(self) -> Any:
        """Elements of the second operand (weights or a matmul's right)."""
        per_group = self.in_c / self.groups
        return self.is_mac * self.out_c * per_group * self.taps()

    def operand_bits(self) -> Any:
        """Bits of an element of the second operand, `[B, L]`."""
        is_stored = self.has_weights > 0
        return tf.where(is_stored, self.weight_bits, self.activation_bits)

    def macs(self) -> Any:
        """Multiply-accumulates of one run, `[B, L]`."""
        return self.pixels() * self.operand_elements()

    def params(self) -> Any:
        """Parameters stored with the model, `[B, L]`."""
        stored = self.operand_elements() + self.use_bias * self.out_c
        return self.once(self.has_weights * stored + self.stored_elements)

    def all_runs(self, values: Any) -> Any:
        """The sum over all runs of rows of what each run takes."""
        if not isinstance(self.repeats, float):
            values = values * self.repeats
        return values

    def once(self, stored: Any) -> Any:
        """What rows store, 0 where they use what an earlier row does."""
        if not isinstance(self.reuses_weights, float):
            stored = stored * (1 - self.reuses_weights)
        return stored

    def in_elements(self) -> Any:
        """Elements of all activation inputs but a matmul's right."""
        return self.in_h * self.in_w * self.in_c + self.side_elements

    def touched_elements(self, images: Any = 1.0) -> Any:
        """`in_elements` without rows and columns that no tap lands on.

        Args:
            images: How many are stacked.

        Returns:
            Elements of all images, `[B, L]`; see `Layer.touched_elements`.
        """
        height = images * _touched_lines(
            self.in_h / images,
            self.out_h / images,
            self.k_h,
            self.stride_h,
            self.dilation_h,
        )
        width = _touched_lines(
            self.in_w, self.out_w, self.k_w, self.stride_w, self.dilation_w
        )
        whole = self.in_h * self.in_w
        image = tf.where(self.is_mac > 0, height * width, whole)
        return image * self.in_c + self.side_elements

    def out_elements(self) -> Any:
        """Elements of the output, `[B, L]`."""
        return self.pixels() * self.out_c


def _touched_lines(
    size: Any, outputs: Any, kernel: Any, stride: Any, dilation: Any
) -> Any:
    """`_touched` of tensors; 1.0 instead of one spares arithmetic."""
    if isinstance(dilation, float):
        span = kernel + (outputs - 1) * stride
        lines = kernel + (outputs - 1) * tf.minimum(stride, kernel)
        return lines - tf.maximum(span - size, 0.0)
    common = common_step(stride, dilation)
    stride, gap = stride / common, dilation / common
    again = tf.maximum(outputs - gap, 0.0) * tf.maximum(kernel - stride, 0.0)
    span = ((outputs - 1) * stride + (kernel - 1) * gap) * common + 1
    padding = tf.maximum(span - size, 0.0)
    lines = outputs * kernel - again
    for part in (tf.floor(padding / 2), tf.math.ceil(padding / 2)):
        steps = tf.math.ceil(part / common)
        runs = tf.floor(steps / gap)
        rest = tf.minimum(outputs, steps - runs * gap)
        lines -= runs * tf.minimum(outputs, gap) + rest
    return tf.maximum(lines, 0.0)


def common_step(stride: Any, dilation: Any) -> Any:
    """What divides both, if one of them divides the other, or 1."""
    return tf.where(
        tf.math.floormod(stride, dilation) == 0,
        dilation,
        tf.where(tf.math.floormod(dilation, stride) == 0, stride, 1.0),
    )


_FLAGS = (*OpKind._fields, "is_layer")
NUMBERS = tuple(name for name in LayerTable._fields if name not in _FLAGS)
"""Fields of a table that are fields of a `Layer`."""

POSITIVE = tuple(name for name in NUMBERS if name not in _MAY_BE_ZERO)
"""Fields of a table that are at least one."""

PADDING = {name: float(name in POSITIVE) for name in LayerTable._fields}
"""What stands in the rows that are no layers."""

NETWORK_ENDS = [
    LayerTable._fields.index(name)
    for name in ("network_in_elements", "network_out_elements")
]
"""Columns of what comes from outside the chip, and of what leaves it."""

_BIAS = LayerTable._fields.index("use_bias")
_WEIGHTED = [LayerTable._fields.index(n) for n in ("is_mac", "has_weights")]

_numbers = operator.attrgetter(
    *(name for name in NUMBERS if name not in LayerTable._field_defaults)
)


def to_array(layers: Sequence[Layer]) -> np.ndarray:
    """Turns the layers of a network into numbers.

    Where no row says what comes from outside the chip or leaves it, the first
    one reads its inputs from there and the last one writes its output.

    Args:
        layers: `L` layers.

    Returns:
        A `[L, F]` float32 array; column `f` is `LayerTable._fields[f]`.
    """
    rows = np.asarray(
        [
            (
                *_numbers(layer),
                *layer.kind,
                1,
                layer.continues,
                layer.dilation_h,
                layer.dilation_w,
                layer.output_bits or layer.activation_bits,
                layer.repeats,
                layer.reuses_weights,
                layer.stored_elements,
            )
            for layer in layers
        ],
        np.float32,
    ).reshape(-1, len(LayerTable._fields))
    rows[:, _BIAS] *= rows[:, _WEIGHTED].all(1)
    if len(rows) and not rows[:, NETWORK_ENDS].any():
        rows[0, NETWORK_ENDS[0]] = layers[0].touched_elements
        rows[-1, NETWORK_ENDS[1]] = layers[-1].out_elements
    return rows


def pad(
    networks: Sequence[Sequence[Layer] | np.ndarray],
    max_layers: int | None = None,
) -> LayerTable:
    """Stacks networks of different depth into one table.

    Args:
        networks: `B` networks, each a sequence of `Layer` or the `[L, F]`
            array that `to_array` makes of one.
        max_layers: Rows to pad to. Defaults to the deepest network's.

    Returns:
        A `LayerTable` of `[B, max_layers]` float32 tensors.

    Raises:
        ValueError: If there is no network, or one does not fit.

    Example:
    >>> conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 4, k_h=3, k_w=3)
    >>> table = pad([[conv], [conv, conv]])
    >>> table.macs().numpy()
    array([[36864.,     0.],
           [36864., 36864.]], dtype=float32)
    """
    arrays = [
        rows if isinstance(rows, np.ndarray) else to_array(rows)
        for rows in networks
    ]
    if not arrays:
        raise ValueError("`networks` must hold at least one network.")
    deepest = max(len(rows) for rows in arrays)
    max_layers = deepest if max_layers is None else max_layers
    if deepest > max_layers:
        index = next(i for i, rows in enumerate(arrays) if len(rows) == deepest)
        raise ValueError(
            "Every network must fit in `max_layers` rows. Received: "
            f"max_layers={max_layers}, but network {index} of the batch has "
            f"{deepest} layers."
        )
    shape = (len(LayerTable._fields), len(arrays), max_layers)
    table = np.empty(shape, np.float32)
    table[:] = np.reshape([PADDING[f] for f in LayerTable._fields], (-1, 1, 1))
    for network, rows in enumerate(arrays):
        table[:, network, : len(rows)] = rows.T
    return LayerTable(*(tf.constant(column) for column in table))
