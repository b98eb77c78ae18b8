"""The array: rows x columns of multipliers that pass data to neighbours."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import technology
from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES

DATAFLOWS = ("weight_stationary", "output_stationary", "input_stationary")


class Array(NamedTuple):
    """Multiply-accumulate units in a grid, one int8 product a cycle each.

    What is stationary lies in the units; the other operands come in at the
    left and the top and pass from unit to unit, a step a cycle. Below the
    array `vector_lanes` a column do what is no matrix product, an operation a
    cycle each: an addition, or an element of a softmax; they are counted in
    neither area nor leakage. Fields are numbers or `[B]` tensors.

    Reference:
        One lane a column is the activation unit of the first TPU (Jouppi et
        al., ISCA 2017), 8 the vector unit of TPU v2 and v3, 128 lanes of 8
        sublanes (Norrie et al., IEEE Micro 41(2), 2021).
    """

    rows: Annotated[
        Any, Searched((8, 16, 32, 64, 128), "units", 1, 1024, True)
    ] = 32
    columns: Annotated[
        Any, Searched((8, 16, 32, 64, 128), "units", 1, 1024, True)
    ] = 32
    dataflow: Annotated[
        Any, Searched((0, 1, 2), "dataflow", 0, 2, True, DATAFLOWS)
    ] = 0
    vector_lanes: Annotated[Any, Fixed("lanes a column", 1, 64, True)] = 1

    def units(self) -> Any:
        """Multiply-accumulates a cycle when nothing stands idle."""
        return self.rows * self.columns

    def port_bytes(self) -> Any:
        """Bytes a cycle that pass its edges: operands, sums out and in."""
        return self.rows + self.columns * (1 + 2 * ACCUMULATOR_BYTES)

    def register_bytes(self) -> Any:
        """Of all units: two operands and a sum each."""
        return self.units() * (2 + ACCUMULATOR_BYTES)

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of multipliers and registers."""
        macs = self.units() * technology.mac_area_mm2(node_nm)
        return macs + technology.register_area_mm2(
            self.register_bytes(), node_nm
        )

    def leakage_mw(self, node_nm: Any) -> Any:
        """Leakage of multipliers and registers."""
        macs = self.units() * technology.mac_area_mm2(node_nm)
        return (
            technology.logic_leakage_mw(macs, node_nm)
            + technology.REGISTER_LEAKAGE.value * self.register_bytes()
        )
