"""The PE array: a grid of PEs, each with lanes of SIMD units."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from tf_cosearch.accelerators import subword, technology
from tf_cosearch.accelerators.parameter import Fixed, Searched
from tf_cosearch.networks.loops import ACCUMULATOR_BYTES, PRODUCT_BYTES
from tf_cosearch.networks.workload import LayerTable


class PEArray(NamedTuple):
    """Processing elements in a grid.

    A PE holds several compute lanes that share its memory; a lane is a row of
    SIMD units; a unit adds up a few int8 products a cycle that belong to one
    output. The units of a lane see the same input vector unless the lane has
    several `input_streams`: so many units can work on groups, or positions, of
    their own. At most `vector_units` of a lane work on pooling, additions and
    what else has no products. `pipeline_cycles` is what fills and drains the
    pipeline of a layer. Fields are numbers or `[B]` tensors.

    Of `int4_products` 2, a multiplier of 8 by 8 bits is two of 4 by 8, so that
    a unit adds up twice as many products of 4-bit weights; of 4 it is four of
    4 by 4. What they multiply are further input channels of the same output,
    so layers of few channels in a group gain nothing.

    Reference: NAHAS (arXiv 2102.08619) for the values of the search space.
    """

    columns: Annotated[Any, Searched((1, 2, 4, 6, 8), "PEs", 1, 1024, True)] = 4
    rows: Annotated[Any, Searched((1, 2, 4, 6, 8), "PEs", 1, 1024, True)] = 4
    lanes: Annotated[Any, Searched((1, 2, 4, 8), "lanes", 1, 1024, True)] = 4
    simd_units: Annotated[
        Any, Searched((16, 32, 64, 128), "SIMD units", 1, 4096, True)
    ] = 64
    dot_width: Annotated[Any, Fixed("products", 1, 64, True)] = 4
    input_streams: Annotated[Any, Fixed("inputs", 1, 4096, True)] = 4
    vector_units: Annotated[Any, Fixed("SIMD units", 1, 4096, True)] = 4096
    pipeline_cycles: Annotated[Any, Fixed("cycles", 0, 1e4)] = 8
    int4_products: Annotated[
        Any, Fixed("products a multiplier", 1, 4, True, (1, 2, 4))
    ] = 1

    def pes(self) -> Any:
        """Number of PEs."""
        return self.columns * self.rows

    def macs_per_cycle(self) -> Any:
        """Those of 8 bits a cycle when nothing stands idle; see `products`."""
        return self.pes() * self.lanes * self.simd_units * self.dot_width

    def products(self, layers: LayerTable) -> Any:
        """Products that a unit adds up a cycle: see `subword.products`."""
        return self.dot_width * subword.products(self.int4_products, layers)

    def register_bytes(self) -> Any:
        """Of all units: two operands and a product each, and a sum a unit.

        One that is split has more of them, see `subword.operand_bytes`, and
        products that together are as wide.
        """
        operands = subword.operand_bytes(self.int4_products)
        products = self.dot_width * operands * (2 + PRODUCT_BYTES) / 2
        units = self.pes() * self.lanes * self.simd_units
        return units * (products + ACCUMULATOR_BYTES)

    def unrolling(self) -> tuple[Any, Any, Any, Any]:
        """Sizes of the levels that a mapping can unroll a loop over."""
        return self.columns, self.rows, self.lanes, self.simd_units

    def area_mm2(self, node_nm: Any) -> Any:
        """Area of the multiply-accumulate units."""
        share = technology.subword_area_share(self.int4_products)
        return self.macs_per_cycle() * technology.mac_area_mm2(node_nm) * share

    def leakage_mw(self, node_nm: Any) -> Any:
        """Leakage of the multiply-accumulate units."""
        return technology.logic_leakage_mw(self.area_mm2(node_nm), node_nm)
