"""What a family of accelerators says of itself: all that pricing asks.

To add one, make a folder in `families` whose `__init__.py` has a `FAMILY`; a
package of your own calls `families.register`. Nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime
from tf_cosearch.networks.importers.tflite_kinds import ON_THE_HOST
from tf_cosearch.networks.workload import Layer

OBJECTIVES = ("latency", "energy", "energy_delay")
"""What the mapping of a layer may be chosen by."""


def runs_all(layer: Layer) -> bool:
    """Whether any accelerator runs an operation.

    Example:
    >>> row = Layer("boxes", "data_movement", 1, 1, 4, 1, 1, 4,
    ...     operator="NON_MAX_SUPPRESSION_V5")
    >>> runs_all(row)
    False
    """
    return layer.operator not in ON_THE_HOST


class Room(NamedTuple):
    """What of a network finds room on the chip.

    Each field is `[B, 1]`, or `[M]` where nothing is said of layers; a number
    is one that is left out of the graph, so what differs from a default must
    be computed from the accelerator's fields.

    Attributes:
        capacity_bytes: Capacity of the memory on the chip.
        weight_bytes: The most of it for weights that stay.
        activation_bytes: The most of it for activations between layers.
        onload_share: Part of an off-chip input that must come first.
        image_share: 1 where image and answer pass the DRAM, 0 where they
            cross a link to the host.
        whole_layers: 1 where weights leave the chip by whole layers, else 0.
        out_c_multiple: Output channels that are stored fill multiples of it.
        in_c_multiple: So do input channels, but those of groups.
        channel_bytes: What is stored beside the weights of an output channel.
        tile_bytes: Memory for activations alone in each part of the chip,
            which works on as many rows at a time as fit; 0 where activations
            are beside weights.
        tile_rows: Parts that rows of an image are dealt to.
        tile_columns: Parts that its columns are.
        fused_layers: Layers that may be worked on together, at most.
    """

    capacity_bytes: Any
    weight_bytes: Any
    activation_bytes: Any
    onload_share: Any
    image_share: Any = 1.0
    whole_layers: Any = 0.0
    out_c_multiple: Any = 1.0
    in_c_multiple: Any = 1.0
    channel_bytes: Any = 4.0
    tile_bytes: Any = 0.0
    tile_rows: Any = 1.0
    tile_columns: Any = 1.0
    fused_layers: Any = 1.0

    def keeps_what_it_is_given(self) -> Any:
        """Where nothing of a network depends on it as long as all fits."""
        as_in_a_file = (self.out_c_multiple == 1) & (self.in_c_multiple == 1)
        return as_in_a_file & (self.tile_bytes == 0)


class OnChip(NamedTuple):
    """What layers cost on the chip; each field is `[B, L]`, or a tuple of them.

    The rest is `None` unless asked for: the number of the mapping, cycles of
    each of `Family.bounds`, energy of each of `Family.energy_parts`, and the
    traffic, a `NamedTuple` of bytes.
    """

    cycles: Any
    energy_pj: Any
    index: Any = None
    busy: Any = None
    parts_pj: Any = None
    traffic: Any = None


class Accelerator(Protocol):
    """An accelerator of some family: a `NamedTuple` of its components.

    The fields of every component are numbers, or `[B]` tensors for a batch.
    Of these four components every family has some.
    """

    @property
    def dram(self) -> Dram:
        """The memory off the chip."""

    @property
    def host_link(self) -> HostLink:
        """What the host is behind."""

    @property
    def process(self) -> Process:
        """What the chip is made in."""

    @property
    def runtime(self) -> Runtime:
        """What running a network costs beside."""

    def macs_per_cycle(self) -> Any:
        """Multiply-accumulates a cycle when nothing stands idle."""

    def pes(self) -> Any:
        """Parts with multipliers and memories of their own."""

    def port_bytes(self) -> Any:
        """Bytes a cycle that the memory on the chip moves at most."""

    def area_mm2(self) -> Any:
        """Area of all components."""

    def leakage_mw(self) -> Any:
        """Power that transistors leak."""

    def register_bytes(self) -> Any:
        """Registers between and behind multipliers, which a clock reaches."""

    def room(self) -> Room:
        """What the memory on the chip holds."""

    def write_pj(self) -> Any:
        """Energy of writing a byte that comes from DRAM or the host."""

    def pipeline_cycles(self) -> Any:
        """What fills and drains the pipeline of a layer."""

    def operand_cycles(self, operand_bytes: Any) -> Any:
        """Cycles until the first operands of a layer have come."""

    def repeat_cycles(self, weight_bytes: Any) -> Any:
        """Cycles of bringing weights that stay once more."""

    def missing_register_bytes(self) -> Any:
        """What registers lack for any layer to run."""

    def _asdict(self) -> dict[str, Any]:
        """Components by name."""

    def _replace(self, **components: Any) -> Accelerator:
        """The accelerator with other components."""


class Family(NamedTuple):
    """A family of accelerators.

    Attributes:
        accelerator: The class of its accelerators, whose default values are
            its baseline.
        on_chip: What layers cost whatever DRAM and network they come from. Of
            a `LayerTable`, its `Loops`, an `Accelerator`, one of `OBJECTIVES`
            and whether all of `OnChip` is asked for, with shapes that
            broadcast to those of the answer.
        describe: A mapping in words, of its number and the rows, columns and
            channels that are worked on at a time, if known.
        memory: What of `bounds` and `energy_parts` the memory on the chip is.
        memory_noun: What it is called.
        bounds: What a layer may wait for on the chip, `compute` first.
        energy_parts: What takes energy on it, beside arithmetic.
        relief: Parameters that widen each of `bounds` but `compute`, and
            `dram`: first its bandwidth, then what makes it needed less.
        array: Parameters that multiply its multipliers, in words.
        shape: Those of them that may be traded for each other.
        depthwise_words: What of an accelerator a depthwise layer leaves idle.
        off_chip: Parameters of its own components that `on_chip` does not
            depend on.
        fused_layers: The parameter that says how many layers may be worked on
            together, if there is one.
        int4_products: The parameter that says how many products of 4 bits a
            multiplier does a cycle, if there is one.
        relations: Products and ratios of parameters that matter together:
            exponents by path, by name.
        runs: Whether it runs the operation of a `Layer`, of which `operator`
            is known; the host runs the others.
        compiler: Whose list of operations that is, in words.
        resumes: Whether it goes on after what the host runs, as a compiler
            that makes one piece of a network cannot.
    """

    accelerator: Any
    on_chip: Callable[..., OnChip]
    describe: Callable[..., str]
    memory: str
    memory_noun: str
    bounds: tuple[str, ...]
    energy_parts: tuple[str, ...]
    relief: Mapping[str, tuple[str, ...]]
    array: Mapping[str, str]
    shape: tuple[str, ...]
    depthwise_words: Callable[[Any], str]
    off_chip: tuple[str, ...] = ()
    fused_layers: str = ""
    int4_products: str = ""
    relations: Mapping[str, Mapping[str, int]] = {}
    runs: Callable[[Layer], bool] = runs_all
    compiler: str = ""
    resumes: bool = True
