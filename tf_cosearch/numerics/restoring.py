"""Low bits everywhere, and more of them where a network needs them.

The workflow of low-precision inference for a network that one has. All layers
start with the fewest bits. How sensitive a part is, is how much noise there is
in the answers if it alone has the fewest and all others the most. The most
sensitive part gets more bits, then the next, until the accuracy is within a
limit; in the end, what has turned out to be needless is taken back.

Reference: Deng et al., Low-Precision Hardware Architectures Meet
Recommendation Model Inference at Scale, arXiv 2105.12676, whose layers go back
to float.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from tf_cosearch.networks.importers.tflite_file import Graph
from tf_cosearch.numerics import debugger, matching
from tf_cosearch.numerics.diagnosis import ACCUMULATION, ROUNDING
from tf_cosearch.numerics.layer_errors import decibels
from tf_cosearch.training import evaluate, mixed_precision

LOWEST_BITS = (8, 4)
"""That layers may start with."""

_MEASURED = 256  # images that noise is measured on
_EXPLAINED = 64  # and causes
_EQUAL = 1e-9  # of accuracies
_OF_OTHERS = (ROUNDING.cause, ACCUMULATION.cause)


class Part(NamedTuple):
    """What may get more bits.

    Attributes:
        layer: As `mixed_precision.requantize` takes it.
        what: `weights`, or `activations`: what it reads and puts out.
    """

    layer: str
    what: str

    @property
    def bits(self) -> int:
        """Those it has once it is restored."""
        return 8 if self.what == "weights" else 16


class Restored(NamedTuple):
    """A part that got more bits.

    Attributes:
        part: Which.
        alone_db: Signal-to-noise ratio of the answers if it alone has the
            fewest bits. Weights of a depthwise layer have 4 only where its
            activations have 8.
        accuracy: Of the file with it and the rows before it.
        cause: What the debugger says of the layer with the fewest bits.
    """

    part: Part
    alone_db: float
    accuracy: float
    cause: str


@dataclasses.dataclass(frozen=True)
class Result:
    """A file, and how it came about.

    Attributes:
        content: The file.
        lowest: The file with the fewest bits everywhere.
        accuracy_float: Of the float network.
        accuracy_lowest: Of `lowest`.
        accuracy: Of `content`.
        restored: What got more bits, the most sensitive first.
        is_met: Whether the limit is met; else `content` is the best found.
    """

    content: bytes
    lowest: bytes
    accuracy_float: float
    accuracy_lowest: float
    accuracy: float
    restored: list[Restored]
    is_met: bool


class Restoration:
    """Restores bits of an int8 network until its accuracy is within a limit.

    Args:
        float_content: Of the float .tflite file.
        int8_content: Of the int8 file made from it.
        images: float32 `[N, ...]` that accuracy is measured on.
        labels: Integers `[N]`.
        lowest_bits: 8, or 4 to start with weights of 4 bits.

    Raises:
        ValueError: If files do not match, or images say nothing.
    """

    def __init__(
        self,
        float_content: bytes,
        int8_content: bytes,
        images: np.ndarray,
        labels: np.ndarray,
        lowest_bits: int = 8,
    ) -> None:
        if lowest_bits not in LOWEST_BITS:
            raise ValueError(
                f"The lowest bits must be 8 or 4. Received: {lowest_bits!r}."
            )
        self._float = float_content
        self._int8 = int8_content
        self._images, self._labels = images, labels
        graph = matching.read(int8_content, "The int8 model")
        debugger.check_images(images, graph.tensors[graph.inputs[0]].shape[1:])
        rows = np.linspace(0, len(images) - 1, min(len(images), _MEASURED))
        self._few = images[rows.astype(int)]
        self._wanted = evaluate.Runner(float_content).dequantized(self._few)
        self._power = float((self._wanted**2).mean())
        names = mixed_precision.operator_layers(int8_content)
        self._tensors = {
            operator.name: name
            for operator, name in zip(graph.operators, names, strict=True)
        }
        self._before = _before(graph, names)
        self._only_int8 = set(_depthwise(graph, names))
        layers = list(dict.fromkeys(names))
        self._narrow: set[str] = set()  # layers that may have 4-bit weights
        if lowest_bits == 4:
            self._narrow = {
                each for each in layers if self._is_possible([each], [])
            }
        wide = [each for each in layers if self._is_possible([], [each])]
        narrow = [each for each in layers if each in self._narrow]
        self._parts = [Part(each, "weights") for each in narrow]
        self._parts += [Part(each, "activations") for each in wide]

    def run(
        self,
        max_drop: float,
        on_step: Callable[[str], None] = lambda line: None,
    ) -> Result:
        """Restores until the accuracy is within a limit.

        Args:
            max_drop: Points that it may be below that of the float network.
            on_step: Told what was done, a line each.

        Raises:
            ValueError: If the limit is below 0.
        """
        if not max_drop >= 0:
            raise ValueError(
                "The accuracy drop must be 0 points or more. Received: "
                f"{max_drop}."
            )
        wanted = self._accuracy(self._float)
        least = wanted - max_drop / 100 - _EQUAL
        lowest = self._content(())
        first = self._accuracy(lowest)
        on_step(f"float {wanted:.2%}, lowest bits {first:.2%}")
        restored: list[Restored] = []
        if first < least:
            restored = self._restored(lowest, least, on_step)
        accuracies = [first, *(each.accuracy for each in restored)]
        is_met = accuracies[-1] >= least
        if is_met:
            restored = self._measured(self._pruned(restored, least, on_step))
        else:
            restored = restored[: int(np.argmax(accuracies))]
        content = self._content(each.part for each in restored)
        return Result(
            content=content,
            lowest=lowest,
            accuracy_float=wanted,
            accuracy_lowest=first,
            accuracy=self._accuracy(content),
            restored=restored,
            is_met=is_met,
        )

    def _restored(
        self, lowest: bytes, least: float, on_step: Callable[[str], None]
    ) -> list[Restored]:
        """Restores the most sensitive parts until the accuracy suffices."""
        noises = {
            part: self._noise(self._content(self._others(part)))
            for part in self._parts
        }
        on_step(f"measured {len(noises)} parts alone")
        causes = {
            "weights": self._causes(lowest),
            "activations": self._causes(self._int8),
        }
        found: list[Restored] = []
        # Weights that activations bring with them come before these.
        ranks = {
            part: max(noises[part], noises.get(self._bringing(part), 0.0))
            for part in self._parts
        }
        for part in sorted(self._parts, key=lambda each: -ranks[each]):
            raised = [*(each.part for each in found), part]
            accuracy = self._accuracy(self._content(raised))
            alone_db = decibels(self._power, noises[part])
            cause = self._why(part, causes[part.what])
            found.append(Restored(part, alone_db, accuracy, cause))
            on_step(
                f"{part.layer}: {part.what} of {part.bits} bits, {accuracy:.2%}"
            )
            if accuracy >= least:
                break
        return found

    def _others(self, part: Part) -> list[Part]:
        """What has more bits while a part alone has the fewest."""
        low = (part, self._bringing(part))
        return [each for each in self._parts if each not in low]

    def _bringing(self, part: Part) -> Part:
        """The activations whose bits bring those of some weights, or itself."""
        is_brought = part.what == "weights" and part.layer in self._only_int8
        return Part(part.layer, "activations") if is_brought else part

    def _causes(self, content: bytes) -> dict[str, str]:
        """What is wrong with each layer of a file."""
        reports = debugger.compare(self._float, content, self._few[:_EXPLAINED])
        # Of several operators of a layer the worst is the last here.
        return {
            self._tensors[report.tensor]: report.diagnosis.cause
            for report in debugger.worst_first(reports)[::-1]
            if report.tensor in self._tensors
        }

    def _why(self, part: Part, causes: Mapping[str, str]) -> str:
        """The cause of a layer's noise, or that of what it reads."""
        own = causes.get(part.layer, "")
        if part.what == "activations" and own in _OF_OTHERS:
            for before in self._before.get(part.layer, ()):
                if causes.get(before, "") not in ("", *_OF_OTHERS):
                    return f"reads {before}: {causes[before]}"
        return own

    def _pruned(
        self,
        restored: list[Restored],
        least: float,
        on_step: Callable[[str], None],
    ) -> list[Restored]:
        """Takes back what is not needed, the least sensitive first."""
        kept = list(restored)
        for each in restored[-2::-1]:
            fewer = [other for other in kept if other is not each]
            raised = [other.part for other in fewer]
            if self._bringing(each.part) in raised:
                continue
            if self._accuracy(self._content(raised)) >= least:
                kept = fewer
                on_step(f"{each.part.layer}: {each.part.what} not needed")
        return kept

    def _measured(self, kept: list[Restored]) -> list[Restored]:
        """The same with the accuracies that there are without the others."""
        parts = [each.part for each in kept]
        return [
            each._replace(accuracy=self._accuracy(self._content(parts[:count])))
            for count, each in enumerate(kept, 1)
        ]

    def _content(self, raised: Iterable[Part]) -> bytes:
        """The file with more bits of some parts."""
        given = set(raised)
        wide = {each.layer for each in given if each.what == "activations"}
        narrow = {
            layer
            for layer in self._narrow
            if Part(layer, "weights") not in given
            and not (layer in wide and layer in self._only_int8)
        }
        return self._write(narrow, wide)

    def _write(self, narrow: set[str], wide: set[str]) -> bytes:
        return mixed_precision.requantize(
            self._int8,
            dict.fromkeys(sorted(narrow), 4),
            dict.fromkeys(sorted(wide), 16),
        )

    def _is_possible(self, narrow: Iterable[str], wide: Iterable[str]) -> bool:
        """Whether there are kernels for other bits of layers."""
        try:
            self._write(set(narrow), set(wide))
        except ValueError:
            return False
        return True

    def _noise(self, content: bytes) -> float:
        """Power of what the answers are off by."""
        got = evaluate.Runner(content).dequantized(self._few)
        return float(((got - self._wanted) ** 2).mean())

    def _accuracy(self, content: bytes) -> float:
        return evaluate.accuracy(content, [(self._images, self._labels)])


def _before(graph: Graph, names: list[str]) -> dict[str, list[str]]:
    """The layers that each layer reads."""
    walk = matching.Walk(graph)
    found: dict[str, list[str]] = {}
    owners: dict[int, str] = {}
    for operator, name in zip(graph.operators, names, strict=True):
        found.setdefault(name, []).extend(
            owners[i] for i in walk.reads(operator) if i in owners
        )
        owners.update(dict.fromkeys(operator.outputs, name))
    return found


def _depthwise(graph: Graph, names: list[str]) -> Iterable[str]:
    """Layers whose weights of 4 bits have no kernel of 16-bit activations."""
    for operator, name in zip(graph.operators, names, strict=True):
        if operator.op == "DEPTHWISE_CONV_2D":
            yield name
