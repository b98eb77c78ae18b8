"""Several chips of a design's accelerator, as its judge."""

from __future__ import annotations

from collections.abc import Mapping

from tf_cosearch import configuration, metrics
from tf_cosearch.accelerators import pipelines
from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
)


class ChipPipeline(Evaluator):
    """Cuts the network over the chips of a design, see `cs.partition`.

    Costs are exact; the area is that of all chips, `throughput_fps` that of
    the pipeline. A search cannot price thousands of designs so: it screens by
    what it has learned of those it trained, and asks about the few that pass
    until one is within the budgets.

    Args:
        link_gbs: Bandwidth from chip to chip; by default as of `Link.of`.
        link_pj: Energy of a byte from chip to chip, likewise.

    Raises:
        ValueError: If one is no number, or out of its range.
    """

    costs = (
        *("latency_ms", "energy_mj", "area_mm2", "throughput_fps"),
        *("power_mw", "busy_share"),
    )
    is_exclusive = False
    needs_file = False
    takes_chips = True
    keeps_time = True

    def __init__(
        self, link_gbs: float | None = None, link_pj: float | None = None
    ) -> None:
        self.link_gbs = self.link_pj = None
        if link_gbs is not None:
            self.link_gbs = configuration.number(link_gbs, "`link_gbs`")
            Link(self.link_gbs).check()
        if link_pj is not None:
            self.link_pj = configuration.number(link_pj, "`link_pj`")
            Link(1.0, self.link_pj).check()

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Prices the pipeline; refuses a network of fewer layers than chips."""
        from tf_cosearch.cost import pipeline

        chip = design.accelerator
        link = Link.of(chip, self.link_gbs, self.link_pj)
        try:
            found = pipeline.partition(
                design.layers, pipelines.of(design.chips, chip), link
            )
        except ValueError as error:
            raise RefusedError(str(error)) from error
        numbers = found._asdict() | {
            "power_mw": found.energy_mj * found.throughput_fps,
            "busy_share": found.utilization,
        }
        units = {n: metrics.get(n).unit for n in self.costs[:-1]}
        return {
            name: Quantity(numbers[name], units.get(name, "share"))
            for name in self.costs
        }
