"""A network over several chips, each of which does a part of every image.

Each chip of a pipeline holds a run of the network's rows. It receives what is
alive where the network is cut before them, works, and sends what is alive at
the next cut, all one after the other. While it does so for an image, the chips
before it are at work on the next ones:

    stage time  = receive + work + send
    period      = longest stage time
    throughput  = 1 / period
    latency     = sum of stage times
    utilization = sum of stage times / (chips x period)
    energy      = that of the work + idle power x rest of the period
                  + crossing bytes x (link's energy + writing on the chip)

`work` is what `estimate` says of a network of these rows, so weights stay as
far as those of one chip find room on it. Images and answers pass as they do of
one chip, not by the link. The cuts are the best there are:

    best(k, j) = min over i of max(best(k - 1, i), stage time of i..j on chip k)

and among those of the same period the ones of least latency, by a second such
program of sums over the stages that are no longer than that. `L` are rows.

Reference:
    Period, throughput and utilization: Jiang et al., "Hardware/Software
    Co-Exploration of Neural Architectures", arXiv 1907.04650. They find
    stages by a heuristic.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_cosearch.accelerators import Accelerator, power
from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.cost import stages
from tf_cosearch.networks.network import Network, layers_of
from tf_cosearch.networks.workload import Layer


class Stage(NamedTuple):
    """What one chip of a pipeline holds, and what an image costs there.

    Attributes:
        accelerator: The chip.
        layers: Names of the rows it runs, in order.
        time_ms: Time it takes of each period: `receive_ms + work_ms + send_ms`.
        receive_ms: Time of tensors that come from the chip before.
        work_ms: Time of the rows, with images and answers.
        send_ms: Time of tensors that go to the next chip.
        received_bytes: Those tensors that come.
        sent_bytes: Those that go.
        energy_mj: Energy of a period, with what crosses the link to it.
        params: Parameters stored on it, or streamed to it.
        weight_residency: Share of their bytes that stays on it.
        dram_bytes: Bytes to and from its DRAM.
    """

    accelerator: Accelerator
    layers: tuple[str, ...]
    time_ms: float
    receive_ms: float
    work_ms: float
    send_ms: float
    received_bytes: float
    sent_bytes: float
    energy_mj: float
    params: int
    weight_residency: float
    dram_bytes: float


class Pipeline(NamedTuple):
    """What a network costs over several chips.

    Attributes:
        stages: A `Stage` for each chip, in order.
        period_ms: Time from one answer to the next.
        throughput_fps: Images a second.
        latency_ms: Time from an image to its answer.
        energy_mj: Energy an image, at that throughput.
        utilization: Share of their time that chips are not idle.
        area_mm2: Area of all chips.
    """

    stages: tuple[Stage, ...]
    period_ms: float
    throughput_fps: float
    latency_ms: float
    energy_mj: float
    utilization: float
    area_mm2: float


def partition(
    network: Network | Sequence[Layer],
    accelerators: Sequence[Accelerator],
    link: Link,
) -> Pipeline:
    """Cuts a network so that the slowest stage of a pipeline is fastest.

    Args:
        network: A network, or its rows in execution order.
        accelerators: The chips in the order of the pipeline, an `Accelerator`
            of numbers each; each gets a row at least.
        link: What tensors cross from each chip to the next.

    Returns:
        The `Pipeline`: none has a shorter period, and of those that have as
        short a one, none has less latency.

    Raises:
        ValueError: If there are no chips or more than rows, the link carries
            nothing, a row fits no chip or would be left to the host.
        TypeError: If an argument is of another kind.

    Example:
    Two of four equal layers are the stage of each of two chips. Between them
    1,024 bytes take 1.024 us to be sent, and as long to be received.

    >>> from tf_cosearch import accelerators
    >>> layer = Layer("dense", "dense", 1, 1, 1024, 1, 1, 1024)
    >>> chips = [accelerators.default()] * 2
    >>> pipeline = partition([layer] * 4, chips, Link(bandwidth_gbs=1))
    >>> [len(stage.layers) for stage in pipeline.stages]
    [2, 2]
    >>> pipeline.stages[0].send_ms, pipeline.stages[1].receive_ms
    (0.001024, 0.001024)
    """
    return _Cuttable(network, accelerators, link).over_all()


def partitions(
    network: Network | Sequence[Layer],
    accelerators: Sequence[Accelerator],
    link: Link,
) -> list[Pipeline]:
    """`partition` over the first chip alone, over the first two, and so on.

    Returns:
        Pipelines by number of chips, without those that some row does not fit;
        that of all chips is the last.
    """
    cuttable = _Cuttable(network, accelerators, link)
    fewer = map(cuttable.over, range(1, len(cuttable.chips)))
    return [*filter(None, fewer), cuttable.over_all()]


class _Cuttable:
    """A network all of whose runs of rows are priced on each chip."""

    def __init__(
        self,
        network: Network | Sequence[Layer],
        accelerators: Sequence[Accelerator],
        link: Link,
    ) -> None:
        self._layers, self._link = layers_of(network), link
        self.chips = _checked(self._layers, accelerators, link)
        self._crossing = stages.crossing_bytes(self._layers)
        kinds: list[tuple[Accelerator, stages.Runs]] = []
        self._runs = []
        for chip in self.chips:
            own = next((own for k, own in kinds if _is_same(chip, k)), None)
            if own is None:
                own = stages.price(self._layers, chip)
                kinds.append((chip, own))
            self._runs.append(own)
        ms = link.ms(self._crossing)
        self._times = [own.latency_ms + ms[:, None] + ms for own in self._runs]

    def over(self, count: int) -> Pipeline | None:
        """Cut best over the first chips; None if no way fits them."""
        cuts = _best_cuts(self._times[:count])
        if not cuts:
            return None
        some = self.chips[:count], self._runs[:count]
        return _pipeline(self._layers, *some, self._link, self._crossing, cuts)

    def over_all(self) -> Pipeline:
        """Cut best over all chips."""
        count = len(self.chips)
        pipeline = self.over(count)
        if pipeline is None:
            raise ValueError(
                "A network must have a way to be cut, though not within a "
                "loop, so that each chip has memory for its layers. Received: "
                f"{count} chips that lack it whatever the cuts. Use chips with "
                "more memory, in another order, or fewer."
            )
        return pipeline


def _checked(
    layers: Sequence[Layer], accelerators: Sequence[Accelerator], link: Link
) -> list[Accelerator]:
    """The chips, if a network can be cut for them."""
    if hasattr(accelerators, "runtime"):  # an accelerator is a tuple, too
        raise TypeError(
            "`accelerators` must be a sequence of chips. Received: one "
            "accelerator. Write [accelerator] * 2 for two of them."
        )
    chips = list(accelerators)
    for chip in chips:
        if not hasattr(chip, "runtime") or not all(
            np.ndim(value) == 0 for value in tf.nest.flatten(chip)
        ):
            raise TypeError(
                "Each of `accelerators` must be an Accelerator of numbers. "
                f"Received: {chip!r}."
            )
    if not isinstance(link, Link):
        raise TypeError(
            f"`link` must be a Link. Received: {link!r}. Use, for example, "
            "Link(bandwidth_gbs=0.5), or Link.of(accelerator)."
        )
    if not chips:
        raise ValueError("A pipeline must have chips. Received: none.")
    if len(chips) > len(layers):
        raise ValueError(
            "A pipeline must have no more chips than layers, as each chip "
            f"runs one at least. Received: {len(chips)} chips for "
            f"{len(layers)} layers. Use {len(layers)} chips or fewer."
        )
    link.check()
    return chips


def _is_same(chip: Accelerator, other: Accelerator) -> bool:
    return type(chip) is type(other) and chip == other


def _best_cuts(times: Sequence[np.ndarray]) -> list[int]:
    """Where a network is cut best.

    Args:
        times: Stage times of runs on each chip, `[L + 1, L + 1]`; infinite
            where a run is none.

    Returns:
        The rows before which stages begin, and as the last `L`; nothing if
        every way to cut it has a stage that does not fit its chip.

    Example:
    Of rows that take 2, 2, 3 and 1 two chips do two each.

    >>> ends = np.cumsum([0, 2, 2, 3, 1])
    >>> spans = np.where(
    ...     np.triu(np.ones((5, 5)), 1) > 0, ends - ends[:, None], np.inf)
    >>> _best_cuts([spans, spans])
    [0, 2, 4]
    """
    start = np.full(len(times[0]), np.inf)
    start[0] = 0.0
    longest = start
    for spans in times:
        longest = np.maximum(longest[:, None], spans).min(0)
    period = longest[-1]
    if period == np.inf:
        return []
    total, before = start, []
    for spans in times:
        totals = total[:, None] + np.where(spans <= period, spans, np.inf)
        before.append(totals.argmin(0))
        total = totals.min(0)
    cuts = [len(start) - 1]
    for begins in reversed(before):
        cuts.append(int(begins[cuts[-1]]))
    return cuts[::-1]


def _pipeline(
    layers: Sequence[Layer],
    chips: Sequence[Accelerator],
    runs: Sequence[stages.Runs],
    link: Link,
    crossing: np.ndarray,
    cuts: Sequence[int],
) -> Pipeline:
    """Puts stages together that begin and end at cuts."""
    spans = list(itertools.pairwise(cuts))
    times = [
        float(own.latency_ms[span] + link.ms(crossing[[*span]].sum()))
        for own, span in zip(runs, spans, strict=True)
    ]
    period = max(times)
    done = []
    for chip, own, span, time in zip(chips, runs, spans, times, strict=True):
        received, sent = (float(crossing[place]) for place in span)
        work_ms = float(own.latency_ms[span])
        rest_mj = _number(power.idle_mw(chip)) * (period - work_ms) / 1e3
        write_mj = _number(chip.write_pj()) * received / 1e9
        done.append(
            Stage(
                accelerator=chip,
                layers=tuple(row.name for row in layers[slice(*span)]),
                time_ms=time,
                receive_ms=link.ms(received),
                work_ms=work_ms,
                send_ms=link.ms(sent),
                received_bytes=received,
                sent_bytes=sent,
                energy_mj=float(own.energy_mj[span])
                + rest_mj
                + write_mj
                + link.mj(received),
                params=int(own.params[span]),
                weight_residency=float(own.weight_residency[span]),
                dram_bytes=float(own.dram_bytes[span]),
            )
        )
    return Pipeline(
        stages=tuple(done),
        period_ms=period,
        throughput_fps=1e3 / period,
        latency_ms=sum(times),
        energy_mj=sum(stage.energy_mj for stage in done),
        utilization=sum(times) / (len(chips) * period),
        area_mm2=sum(_number(chip.area_mm2()) for chip in chips),
    )


def _number(value: Any) -> float:
    return float(np.asarray(value))
