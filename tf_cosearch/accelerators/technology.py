"""Energy and area constants of silicon, each with unit, node and source.

Everything here answers for one inference-sized event (an access, an
operation) or one macro; how many there are is the business of components and
mapping. Costs are given for process nodes of 22 to 45 nm, the range of the
tables they were fitted to; the reference node is 22 nm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

REFERENCE_NM = 22.0
NODE_RANGE_NM = (22.0, 45.0)

_HOROWITZ = (
    "Horowitz, Computing's energy problem, ISSCC 2014: 45 nm, 0.9 V, int8 "
    "multiplication 0.2 pJ, int32 addition 0.1 pJ"
)
_CACTI = (
    "CACTI 7, 54 SRAMs of 4 KiB to 4 MiB, 8 to 64 bytes wide, 22/32/45 nm "
    "(tests/accelerators/data/cacti_sram.csv): least squares in logarithms"
)


class Constant(NamedTuple):
    """A number with what makes it trustworthy.

    Attributes:
        value: The number.
        unit: Its unit.
        node_nm: Process node it holds for; 0 where none applies.
        source: Where it was published or what it was fitted to.
    """

    value: float
    unit: str
    node_nm: float
    source: str


class PowerLaw(NamedTuple):
    """`value * capacity^a * width^b * (node / reference node)^c`.

    Attributes:
        value: One KiB, one byte wide, at the reference node.
        capacity: Exponent `a` of the capacity in KiB.
        width: Exponent `b` of the port width in bytes.
        node: Exponent `c` of the process node.
        unit: Unit of the value.
        source: What it was fitted to.
    """

    value: float
    capacity: float
    width: float
    node: float
    unit: str
    source: str

    def __call__(
        self, capacity_kib: Any, width_bytes: Any, node_nm: Any
    ) -> Any:
        """Evaluates the law; arguments broadcast.

        Args:
            capacity_kib: Capacity in KiB, `[B]` or a number.
            width_bytes: Port width in bytes, `[B]` or a number.
            node_nm: Process node in nm, `[B]` or a number.

        Returns:
            The quantity in `unit`, `[B]` or a number.
        """
        # One exponential of a sum of logarithms: compiled code does those
        # many at a time and powers one by one.
        exponent = (
            self.capacity * _log(capacity_kib)
            + self.width * _log(width_bytes)
            + self.node * _log(node_nm / REFERENCE_NM)
        )
        return self.value * _exp(exponent)


def _log(value: Any) -> Any:
    return tf.math.log(value) if tf.is_tensor(value) else np.log(value)


def _exp(value: Any) -> Any:
    return tf.exp(value) if tf.is_tensor(value) else np.exp(value)


SRAM_READ = PowerLaw(0.15743, 0.57140, -0.29495, 1.86838, "pJ/byte", _CACTI)
SRAM_WRITE = PowerLaw(0.14189, 0.49736, -0.13072, 2.02036, "pJ/byte", _CACTI)
SRAM_AREA = PowerLaw(0.0016676, 0.92303, 0.16517, 1.90688, "mm2", _CACTI)
SRAM_LEAKAGE = PowerLaw(2.4765e-4, 0.94797, -0.0071, -2.52641, "mW", _CACTI)

MULTIPLY = Constant(0.2, "pJ", 45.0, _HOROWITZ)
ACCUMULATE = Constant(0.1, "pJ", 45.0, _HOROWITZ)
LOGIC_ENERGY_EXPONENT = Constant(
    0.59,
    "1",
    0.0,
    "int8 multiplication and int32 addition together: 0.3 pJ at 45 nm "
    "(Horowitz, ISSCC 2014), 0.1 pJ at 7 nm (Jouppi et al., TPUv4i, ISCA "
    "2021, table 2); ln(3) / ln(45 / 7)",
)
MAC_AREA = Constant(
    336.7e-6,
    "mm2",
    28.0,
    "int8 multiply-accumulate, pipelined for 1 GHz, 28/32 nm synthesis: "
    "VerticalResearchGroup/upcycle, upcycle/pat/reflib.py",
)
LOGIC_LEAKAGE = Constant(
    1.26e-5,
    "mW/um2",
    40.0,
    "Aladdin 40 nm component table: multiplier at 1 ns, 0.08 mW on 6350 um2",
)
_REGISTER = (
    "Aladdin 40 nm component table: a register bit at 1 ns, 8.9995e-3 pJ, "
    "5.981433 um2, 7.395312e-5 mW; eight of them"
)
REGISTER_WRITE = Constant(8 * 8.9995e-3, "pJ/byte", 40.0, _REGISTER)
REGISTER_CLOCK = Constant(
    8 * 7.936518e-3,
    "pJ/byte",
    40.0,
    _REGISTER + "; what of writing is internal power, which its clock takes "
    "(Aladdin, common/power_func.h)",
)
REGISTER_AREA = Constant(8 * 5.981433e-6, "mm2/byte", 40.0, _REGISTER)
REGISTER_LEAKAGE = Constant(8 * 7.395312e-5, "mW/byte", 40.0, _REGISTER)
INTER_PE_TRANSFER = Constant(
    2.0,
    "MACs/16 bit",
    65.0,
    "Eyeriss, ISCA 2016: a word between PEs costs twice a 16-bit MAC "
    "(table of relative access energies)",
)
DRAM_ACCESS = Constant(
    70.0,
    "pJ/byte",
    0.0,
    "8.75 pJ/bit: NN-Baton constants in fanfancy/hetero_gem5, "
    "nnparser_SE_hetero/config.py",
)
DRAM_INTERFACE_AREA = Constant(
    0.1,
    "mm2/(GB/s)",
    28.0,
    "assumption: order of magnitude of LPDDR4 interfaces (PHY and "
    "controller); no published table backs it",
)
_HCM = (
    "Karbachevsky et al., Early-Stage Neural Network Hardware Performance "
    "Analysis (HCM), Sustainability 13(2):717, 2021, TSMC 28 nm, PE of one "
    "3x3 kernel; taken to be in um2; "
)
PE_AREA_PER_BOP = Constant(
    1.694, "um2/BOP", 28.0, _HCM + "slope of the fit in figure 3, R2 0.998"
)
PE_AREA_BASE = Constant(
    153.46, "um2", 28.0, _HCM + "constant of the fit in figure 3, R2 0.998"
)
PE_AREA_PER_SQUARED_BIT = Constant(
    12.39, "um2/bit2", 28.0, _HCM + "square term of figure 1, R2 0.9999877"
)
PE_AREA_PER_BIT = Constant(
    86.07, "um2/bit", 28.0, _HCM + "linear term of figure 1, R2 0.9999877"
)
PE_AREA_LESS = Constant(
    14.02, "um2", 28.0, _HCM + "what figure 1 subtracts, R2 0.9999877"
)


def mac_energy_pj(weight_bits: Any, activation_bits: Any, node_nm: Any) -> Any:
    """Energy of one multiply-accumulate.

    The array multiplier grows with the product of the widths, the 32-bit
    accumulation stays.

    Args:
        weight_bits: Bits of one factor.
        activation_bits: Bits of the other.
        node_nm: Process node in nm.

    Returns:
        Picojoules, in the shape the arguments broadcast to.

    Example:
    >>> round(float(mac_energy_pj(8, 8, 45.0)), 6)
    0.3
    """
    share = weight_bits * activation_bits / 64.0
    return (MULTIPLY.value * share + ACCUMULATE.value) * _exp(
        LOGIC_ENERGY_EXPONENT.value * _log(node_nm / MULTIPLY.node_nm)
    )


def vector_energy_pj(node_nm: Any) -> Any:
    """Energy of one element-wise operation, taken for an int32 addition."""
    return mac_energy_pj(0.0, 0.0, node_nm)


def transfer_energy_pj(node_nm: Any) -> Any:
    """Energy of moving one byte between PEs, in picojoules."""
    word_bytes = 2.0
    return INTER_PE_TRANSFER.value / word_bytes * mac_energy_pj(16, 16, node_nm)


def register_energy_pj(node_nm: Any, clocked_share: Any = 0.0) -> Any:
    """Energy of writing one byte to a register; follows that of logic.

    Args:
        node_nm: Process node in nm.
        clocked_share: Share of the registers whose clock is counted apart.

    Returns:
        Picojoules, in the shape the arguments broadcast to.
    """
    pj = REGISTER_WRITE.value - REGISTER_CLOCK.value * clocked_share
    return pj * _exp(
        LOGIC_ENERGY_EXPONENT.value * _log(node_nm / REGISTER_WRITE.node_nm)
    )


def clock_energy_pj(register_bytes: Any, node_nm: Any) -> Any:
    """Energy of clocking registers for a cycle; follows that of logic.

    Args:
        register_bytes: Bytes of registers that the clock reaches.
        node_nm: Process node in nm.

    Returns:
        Picojoules, in the shape the arguments broadcast to.

    Example:
    >>> round(float(clock_energy_pj(1.0, 40.0)), 4)  # 8 bits of 7.94e-3 pJ
    0.0635
    """
    return (
        REGISTER_CLOCK.value
        * register_bytes
        * _exp(
            LOGIC_ENERGY_EXPONENT.value * _log(node_nm / REGISTER_CLOCK.node_nm)
        )
    )


def register_area_mm2(register_bytes: Any, node_nm: Any) -> Any:
    """Area of registers; shrinks with the square."""
    scale = (node_nm / REGISTER_AREA.node_nm) ** 2
    return REGISTER_AREA.value * register_bytes * scale


def mac_area_mm2(node_nm: Any) -> Any:
    """Area of one int8 multiply-accumulate unit; shrinks with the square."""
    return MAC_AREA.value * (node_nm / MAC_AREA.node_nm) ** 2


def multiplier_um2(weight_bits: Any, activation_bits: Any) -> Any:
    """Area of a PE of one 3x3 kernel by the widths of its factors (HCM).

    The fit of figure 1 is of equal widths `b`: `12.39 b^2 + 86.07 b - 14.02`.
    Of different ones, their product takes the place of the square, as that is
    what an array multiplier has cells for, and their mean that of `b`.

    Args:
        weight_bits: Bits of one factor.
        activation_bits: Bits of the other; the accumulator has 4 more.

    Returns:
        Square micrometres at 28 nm, in the shape the arguments broadcast to.

    Example:
    >>> [round(multiplier_um2(bits, bits)) for bits in (2, 4, 8, 16)]
    [208, 528, 1468, 4535]
    >>> round(multiplier_um2(4, 8))  # 12.39 x 32 + 86.07 x 6 - 14.02
    899
    """
    square = PE_AREA_PER_SQUARED_BIT.value * weight_bits * activation_bits
    linear = PE_AREA_PER_BIT.value * (weight_bits + activation_bits) / 2
    return square + linear - PE_AREA_LESS.value


def subword_area_share(int4_products: Any) -> Any:
    """Area of a multiplier that can be split, of one that cannot.

    One of 2 products is two multipliers of 4 by 8 bits, one of 4 is four of
    4 by 4, which add up to the product of 8 by 8 bits:

        share = int4_products multiplier_um2(parts) / multiplier_um2(8, 8)

    Args:
        int4_products: 1, 2 or 4.

    Returns:
        The share, in the shape of the argument.

    Example:
    >>> [round(float(subword_area_share(count)), 3) for count in (1, 2, 4)]
    [1.0, 1.225, 1.441]

    Reference: HCM for the areas; the split is that of Sharma et al., Bit
    Fusion, ISCA 2018 (arXiv 1712.01507).
    """
    of_weight = at_most(int4_products, 2.0)
    of_activation = int4_products / of_weight
    parts = multiplier_um2(8.0 / of_weight, 8.0 / of_activation)
    return int4_products * parts / multiplier_um2(8.0, 8.0)


def at_most(value: Any, limit: float) -> Any:
    """The smaller of a number, array or tensor and a limit."""
    if tf.is_tensor(value):
        return tf.minimum(value, limit)
    if isinstance(value, (int, float)):
        return min(value, limit)
    return np.minimum(value, limit)


def logic_leakage_mw(area_mm2: Any, node_nm: Any) -> Any:
    """Leakage of logic; a circuit keeps its leakage when it is shrunk.

    Args:
        area_mm2: Area at `node_nm`.
        node_nm: Process node in nm.

    Returns:
        Milliwatts.
    """
    um2 = area_mm2 * 1e6 * (LOGIC_LEAKAGE.node_nm / node_nm) ** 2
    return LOGIC_LEAKAGE.value * um2


def dram_interface_area_mm2(bandwidth_gbs: Any, node_nm: Any) -> Any:
    """Area of the DRAM interface for a bandwidth in GB/s."""
    scale = (node_nm / DRAM_INTERFACE_AREA.node_nm) ** 2
    return DRAM_INTERFACE_AREA.value * bandwidth_gbs * scale
