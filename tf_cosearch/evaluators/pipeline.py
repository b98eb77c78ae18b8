"""Several chips of a design's accelerator, as its judge."""

from __future__ import annotations

from collections.abc import Mapping

from tf_cosearch import metrics
from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.configuration import at_least
from tf_cosearch.evaluators.evaluator import (
    BuiltDesign,
    Evaluator,
    Quantity,
    RefusedError,
    positive,
)


class ChipPipeline(Evaluator):
    """Cuts the network over several of its accelerators, see `cs.partition`.

    Costs are exact; the area is that of all chips, `throughput_fps` that of
    the pipeline. A search cannot price thousands of designs so: it screens by
    what it has learned of those it trained, and asks about the few that pass
    until one is within the budgets.

    Args:
        chips: Accelerators in the pipeline, at most.
        throughput_fps: Images a second from which no more chips are added;
            without it there are always `chips` of them.
        link_gbs: Bandwidth from chip to chip; by default as of `Link.of`.
        link_pj: Energy of a byte from chip to chip, likewise.

    Raises:
        ValueError: If one is out of its range.
    """

    costs = (
        *("latency_ms", "energy_mj", "area_mm2", "throughput_fps"),
        *("chips", "busy_share"),
    )
    is_exclusive = False
    needs_file = False
    keeps_time = True

    def __init__(
        self,
        chips: int = 2,
        throughput_fps: float | None = None,
        link_gbs: float | None = None,
        link_pj: float | None = None,
    ) -> None:
        self.chips = at_least("chips", chips, 1)
        self.throughput_fps = throughput_fps
        if throughput_fps is not None:
            self.throughput_fps = positive("throughput_fps", throughput_fps)
        self.link_gbs, self.link_pj = link_gbs, link_pj
        self._link(Link(1.0)).check()

    def _link(self, default: Link) -> Link:
        given = {"bandwidth_gbs": self.link_gbs, "byte_pj": self.link_pj}
        return default._replace(
            **{
                name: value
                for name, value in given.items()
                if value is not None
            }
        )

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Prices the pipeline; refuses a network of fewer layers than chips."""
        from tf_cosearch.cost import pipeline

        chip = design.accelerator
        link = self._link(Link.of(chip))
        try:
            found = pipeline.partitions(
                design.layers, [chip] * self.chips, link
            )
        except ValueError as error:
            raise RefusedError(str(error)) from error
        chosen = found[-1]
        if self.throughput_fps is not None:
            enough = (
                p for p in found if p.throughput_fps >= self.throughput_fps
            )
            chosen = next(enough, chosen)
        numbers = {
            name: Quantity(getattr(chosen, name), metrics.get(name).unit)
            for name in self.costs[:4]
        }
        return numbers | {
            "chips": Quantity(len(chosen.stages), ""),
            "busy_share": Quantity(chosen.utilization, "share"),
        }
