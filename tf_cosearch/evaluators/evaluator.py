"""What an evaluator is: from a design to what it costs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tf_cosearch import configuration, metrics, text
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.accelerators.pipelines import Chips
from tf_cosearch.cost.costs import SCALARS
from tf_cosearch.networks.workload import Layer

MOST_REASON = 1000
"""Characters of a reason that are told; what a program says may be long."""


class Quantity(NamedTuple):
    """What was measured of one cost.

    Attributes:
        value: In its unit.
        unit: For example `ms`; empty for a plain number.
        noise: By how much one call differs from another, a standard
            deviation in the same unit. 0 is none, or none that is known.
    """

    value: float
    unit: str
    noise: float = 0.0


class BuiltDesign(NamedTuple):
    """A design whose int8 file is there.

    Attributes:
        layers: Of the network, in execution order.
        accelerator: What it is to run on, an `Accelerator` of numbers.
        tflite: The path of the file.
        chips: How many of the accelerators there are in a pipeline, or which
            chips, see `accelerators.pipelines`.
    """

    layers: Sequence[Layer]
    accelerator: Accelerator
    tflite: pathlib.Path
    chips: Chips = 1


class Evaluation(NamedTuple):
    """What an evaluator says of a design.

    Attributes:
        costs: By name.
        seconds: The price of asking: how long the call took.
    """

    costs: Mapping[str, Quantity]
    seconds: float


class RefusedError(ValueError):
    """A design that an evaluator cannot judge, however often it is asked."""


_MANNERS = (
    "retries",
    "pause_s",
    "timeout_s",
    "keeps_time",
    "is_exclusive",
    "is_disturbed",
    "needs_file",
    "takes_chips",
)
"""How an evaluator is asked, which does not change what it answers."""


class Evaluator:
    """Says what designs cost: a model, a compiler, or a device.

    Write `measure`, and name in `costs` what it returns. A cost that is a
    metric known before a trial, `latency_ms` for one, counts instead of what
    the analytic model says; any other is a column beside.

    What is public of an instance and plain, numbers, texts, paths, lists and
    mappings of them, tells it from others of its class. Costs by two
    evaluators are not compared.

    Attributes:
        costs: Names of what is measured.
        is_exclusive: Whether it works on one design at a time, as a board
            does that several workers share.
        is_disturbed: Whether trainings on this machine would slow it, so that
            a search has one worker unless told otherwise.
        needs_file: Whether it looks at the file. One that does not is asked
            about a design before that is trained, too: what it says is beyond
            the budgets then is not, if there is another.
        takes_chips: Whether it judges designs of several chips.
        timeout_s: Most seconds that a call may take; more is a failure of the
            device. `measure` runs in a thread of its own. Python cannot end
            one that hangs: it is left alone, and whatever it says is too late.
        keeps_time: Whether `measure` itself raises an error after `timeout_s`,
            as one can that waits for a program. Then it needs no thread.
        retries: How often a call that fails is repeated.
        pause_s: Seconds before the first repetition, twice that before the
            next, and so on.

    Example:
    >>> class Weight(Evaluator):
    ...     costs = ("weight_kib",)
    ...     def measure(self, design):
    ...         size = design.tflite.stat().st_size
    ...         return {"weight_kib": Quantity(size / 1024, "KiB")}
    >>> Weight().describe()
    {'class': 'Weight', 'costs': ['weight_kib']}
    """

    costs: Sequence[str] = ("latency_ms",)
    is_exclusive: bool = True
    is_disturbed: bool = False
    needs_file: bool = True
    takes_chips: bool = False
    timeout_s: float = 600.0
    keeps_time: bool = False
    retries: int = 3
    pause_s: float = 2.0

    def check(self, accelerator: Accelerator) -> None:
        """Refuses accelerators that it cannot judge, before a search begins.

        Args:
            accelerator: One of the family that is searched.

        Raises:
            ValueError: If it cannot; by default it takes all.
        """

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Measures a design.

        Args:
            design: Its file must not be changed.

        Returns:
            A `Quantity` for each of `costs`.

        Raises:
            RefusedError: If it is the design's fault that there is none. Any
                other error is the device's, and the call is repeated.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """What tells it from others, as plain JSON."""
        told: dict[str, Any] = {"class": type(self).__name__}
        told["costs"] = list(self.costs)
        for name, value in sorted(vars(self).items()):
            # A connection or a lock is another object in every process.
            with contextlib.suppress(TypeError, ValueError):
                if not name.startswith("_") and name not in _MANNERS:
                    plain = json.dumps(value, default=os.fspath)
                    told[name] = json.loads(plain)
        return told

    def __call__(self, design: BuiltDesign) -> Evaluation:
        """Measures a design, and refuses what makes no sense.

        Args:
            design: What to measure.

        Returns:
            Its costs, and how long it took.

        Raises:
            RefusedError: See `measure`.
            TimeoutError: If it took longer than `timeout_s`.
            RuntimeError: If the answer lacks a cost, has one too many, or one
                that is negative, no number, or of another unit.
        """
        began = time.perf_counter()
        try:
            answer = self._answer(design)
        except RefusedError as error:
            raise RefusedError(
                f"{self._name} refused the design: "
                f"{text.line(error, MOST_REASON)}"
            ) from error
        seconds = time.perf_counter() - began
        return Evaluation(self._checked(answer), seconds)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _answer(self, design: BuiltDesign) -> Any:
        """What `measure` returns or raises, unless that takes too long."""
        if self.keeps_time:
            return self.measure(design)
        answers: list[Any] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                answers.append(self.measure(design))
            except BaseException as error:
                errors.append(error)

        seconds = positive("timeout_s", self.timeout_s)
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(seconds)
        if errors:
            raise errors[0]
        if not answers:
            raise TimeoutError(
                f"{self._name} must answer within {seconds:g} s. Received: "
                "nothing."
            )
        return answers[0]

    def _checked(self, answer: Any) -> dict[str, Quantity]:
        """The costs of an answer, as plain numbers and texts."""
        if not isinstance(answer, Mapping):
            raise RuntimeError(
                f"{self._name} must answer with a mapping from costs to "
                f"quantities. Received: {answer!r}."
            )
        told = ", ".join(map(str, answer)) or "nothing"
        for name in self.costs:
            if name not in answer:
                raise RuntimeError(
                    f"The answer of {self._name} must have {name}. Received: "
                    f"{told}."
                )
        for name in answer:
            if name not in self.costs:
                raise RuntimeError(
                    f"The answer of {self._name} must be "
                    f"{', '.join(self.costs)} alone. Received: {told}. Name "
                    f"{name} in `costs`, too."
                )
        return {
            name: self._quantity(name, quantity)
            for name, quantity in answer.items()
        }

    def _quantity(self, name: str, quantity: Any) -> Quantity:
        """One cost of an answer, which its metric may ask more of."""
        if not isinstance(quantity, Quantity):
            raise RuntimeError(
                f"{name} of {self._name} must be a Quantity. Received: "
                f"{quantity!r}. Use, for example, Quantity(1.5, 'ms')."
            )
        value = self._number(name, quantity.value)
        noise = self._number(f"The noise of {name}", quantity.noise)
        if name in metrics.names():
            metric = metrics.get(name)
            if quantity.unit != metric.unit:
                raise RuntimeError(
                    f"{name} of {self._name} must be in {metric.unit}. "
                    f"Received: {quantity.unit!r}."
                )
            if metric.always_compared and not value:
                raise RuntimeError(
                    f"{name} of {self._name} must be more than 0. Received: "
                    f"{quantity.value!r}."
                )
        return Quantity(value, str(quantity.unit), noise)

    def _number(self, name: str, said: Any) -> float:
        """What was said, if it is a number that a cost may be."""
        number = math.nan
        if not isinstance(said, (bool, str, bytes)):
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                number = float(said)
        if not (math.isfinite(number) and number >= 0):
            raise RuntimeError(
                f"{name} of {self._name} must be a finite number that is not "
                f"negative. Received: {said!r}."
            )
        return number


def check_costs(costs: Any) -> tuple[str, ...]:
    """Names of costs that an evaluator may measure, checked.

    Args:
        costs: A list of names.

    Returns:
        The names.

    Raises:
        ValueError: If it is none, a name is given twice or no identifier, or
            one is not a cost but an accuracy, or has another meaning.
    """
    rule = "`costs` must be a list of names, each once"
    if isinstance(costs, str) or not isinstance(costs, Sequence) or not costs:
        raise ValueError(
            f"{rule}. Received: {costs!r}. Use, for example, [latency_ms]."
        )
    for name in costs:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"{rule}. Received: {name!r}.")
        is_taken = name in metrics.TAKEN or name == "stopped_epoch"
        is_taken |= name.startswith(("accuracy", "seconds"))
        is_taken |= name.endswith(metrics.ENDINGS)
        # What the cost model counts cannot be told beside what it counts.
        is_taken |= name in SCALARS and name not in metrics.names()
        if is_taken:
            raise ValueError(
                "An evaluator must measure costs. Received: "
                f"{name}, which means something else. Use another name."
            )
        if name in metrics.names(measured=True):
            raise ValueError(
                "An evaluator must measure what a design costs. Received: "
                f"{name}, which a trial tells itself. Leave it out."
            )
    if len({*costs}) < len(costs):
        raise ValueError(f"{rule}. Received: {', '.join(costs)}.")
    return tuple(costs)


def positive(name: str, value: Any) -> float:
    """An option that is a positive number, checked.

    Raises:
        ValueError: If it is none.
    """
    number = configuration.number(value, f"`{name}`")
    if number <= 0:
        raise ValueError(f"`{name}` must be positive. Received: {value!r}.")
    return number
