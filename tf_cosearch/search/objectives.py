"""From accuracy and costs to one reward."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine.objective import MultiObjective

from tf_cosearch import configuration, metrics
from tf_cosearch.metrics.values import Values
from tf_cosearch.search import budgets as budgets_lib
from tf_cosearch.search.budgets import Budgets

_OF_FILE = "_int8"
_LESS_IS_BETTER = (
    "loss|error|crossentropy|hinge|poisson|divergence|log_?cosh|false_"
    r"|(^|_)(mse|mae|mape|msle|rmse)(_|$)"
)

FORMS = {"hard": (0.0, -1.0), "soft": (-0.07, -0.07)}
"""The exponents (p, q) of the forms of the weighted product."""


class Reward:
    """What accuracy and costs are worth together: `factor * accuracy + term`.

    Every reward is linear in the accuracy, with a `factor` that is not negative
    and a `term` that costs decide, as `parts` says. So what is known of the
    accuracy is known of the reward: one that is normal makes the other normal.
    """

    @property
    def targets(self) -> Budgets | None:
        """What costs are related to; `None` before `aimed_at`."""
        raise NotImplementedError

    def parts(self, costs: Mapping[str, Any]) -> tuple[Any, Any]:
        """What the costs of designs make of their accuracy.

        Args:
            costs: Arrays of one shape for each cost that has a target.

        Returns:
            The factor of the accuracy and the term to add, of that shape or
            numbers.
        """
        raise NotImplementedError

    def aimed_at(self, budgets: Budgets) -> Reward:
        """The same with targets: its own, or else from the budgets."""
        raise NotImplementedError

    def __call__(self, accuracy: Any, costs: Mapping[str, Any]) -> np.ndarray:
        """Rewards designs.

        Args:
            accuracy: `[N]`, or one number.
            costs: `[N]` numbers for each cost that has a target.

        Returns:
            `[N]` rewards; more is better.
        """
        factor, term = self.parts(costs)
        return factor * np.asarray(accuracy, np.float64) + term


@dataclasses.dataclass(frozen=True)
class WeightedProduct(Reward):
    """Accuracy times a power of each cost relative to its target.

    The reward is `accuracy * (latency / target)^w * (area / target)^w`, where
    `w` is `p` for a cost within its target and `q` for one above. With a
    target for energy its factor stands beside or instead of the latency's; a
    cost without target contributes nothing.

    The hard form (`p = 0`, `q = -1`) is the accuracy of a design within its
    targets; the soft form (`p = q = -0.07`) trades accuracy for cost
    everywhere: half the cost is worth 5 % of accuracy.

    Attributes:
        targets: What to relate costs to. An oracle puts its budgets here if
            there are none.
        form: `hard` or `soft`.
        p: Exponent within the target; by default the form's.
        q: Exponent above the target; by default the form's.

    Raises:
        ValueError: If the form is unknown or an exponent is not finite.

    Example: twice the latency, half the reward; area within its target.

    >>> reward = WeightedProduct(Budgets(latency_ms=2, area_mm2=30))
    >>> costs = {"latency_ms": [2.0, 4.0], "area_mm2": [15.0, 30.0]}
    >>> reward([0.8, 0.8], costs)
    array([0.8, 0.4])
    >>> soft = dataclasses.replace(reward, form="soft", p=-1.0, q=-1.0)
    >>> soft([0.8, 0.8], costs)
    array([1.6, 0.4])

    Reference: Zhou et al., Rethinking Co-design of Neural Architectures and
    Hardware Accelerators, arXiv 2102.08619; Tan et al., MnasNet, CVPR 2019.
    """

    targets: Budgets | None = None
    form: str = "hard"
    p: float | None = None
    q: float | None = None

    def __post_init__(self) -> None:
        _check_targets(self.targets)
        if self.form not in FORMS:
            raise configuration.unknown("reward form", self.form, FORMS)
        for name in ("p", "q"):
            if getattr(self, name) is not None:
                exponent = configuration.number(
                    getattr(self, name), f"The exponent {name}"
                )
                object.__setattr__(self, name, exponent)

    def parts(self, costs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The product of all powers, and nothing to add."""
        p, q = FORMS[self.form]
        p = p if self.p is None else self.p
        q = q if self.q is None else self.q
        factor: Any = 1.0
        values = Values.of(costs)
        for name, target in (self.targets or Budgets()).limits().items():
            ratio = metrics.get(name).share(
                np.asarray(values[name], np.float64), target
            )
            factor = factor * ratio ** np.where(ratio <= 1, p, q)
        return factor, 0.0

    def aimed_at(self, budgets: Budgets) -> WeightedProduct:
        """The same with targets: its own, or else the budgets."""
        if self.targets is not None:
            return self
        return dataclasses.replace(self, targets=Budgets(**budgets.limits()))


@dataclasses.dataclass(frozen=True)
class AbsoluteDeviation(Reward):
    """Accuracy less a share of how far a cost is from its target.

    The reward is `accuracy + beta * |latency / target - 1|` with a negative
    `beta`: a design that is faster than need be pays as well, since it could
    have used the time for accuracy. With further targets of its own, every
    one adds such a term.

    Attributes:
        targets: What costs should be. An oracle puts its latency budget here
            if there are none; its other budgets only limit.
        beta: What 100 % off target costs in accuracy, at most 0. The paper
            asks for a negative number; -0.3 is our choice.

    Raises:
        ValueError: If `beta` is no number, or positive.

    Example: on target, and a quarter off it on either side.

    >>> reward = AbsoluteDeviation(Budgets(latency_ms=4), beta=-0.4)
    >>> reward(0.75, {"latency_ms": [4.0, 5.0, 3.0]})
    array([0.75, 0.65, 0.65])

    Reference: Luo et al., HSCoNAS, DATE 2021, arXiv 2103.08325.
    """

    targets: Budgets | None = None
    beta: float = -0.3

    def __post_init__(self) -> None:
        _check_targets(self.targets)
        beta = configuration.number(self.beta, "beta")
        if beta > 0:
            raise ValueError(
                "beta must be at most 0, so that distance from the target "
                f"costs. Received: {self.beta}."
            )
        object.__setattr__(self, "beta", beta)

    def parts(self, costs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The accuracy as it is, and what is off target."""
        term: Any = 0.0
        values = Values.of(costs)
        for name, target in (self.targets or Budgets()).limits().items():
            ratio = metrics.get(name).share(
                np.asarray(values[name], np.float64), target
            )
            term = term + self.beta * np.abs(ratio - 1)
        return 1.0, term

    def aimed_at(self, budgets: Budgets) -> AbsoluteDeviation:
        """The same with targets: its own, or else the latency budget.

        Raises:
            ValueError: If there is neither.
        """
        latency_ms = budgets.limits().get("latency_ms")
        targets = self.targets or Budgets(latency_ms=latency_ms)
        if not targets.limits():
            raise ValueError(
                "The absolute reward must have a target. Received: no latency "
                "budget. Set latency_ms, or pass AbsoluteDeviation(targets)."
            )
        return dataclasses.replace(self, targets=targets)


def _check_targets(targets: Any) -> None:
    given = budgets_lib.given(targets, "`targets`")
    budgets_lib.priced(given or Budgets(), "`targets`")


def get(reward: str | Reward, budgets: Budgets) -> Reward:
    """Finds a reward by the name of its form.

    Args:
        reward: `hard`, `soft`, `absolute`, or a reward of one's own.
        budgets: The targets, unless the reward has its own.

    Returns:
        A reward with targets.

    Raises:
        ValueError: If the name is unknown, a target missing, or it is no
            reward.

    Example:
    >>> get("soft", Budgets(area_mm2=30)).targets
    Budgets(area_mm2=30.0)
    """
    if isinstance(reward, str):
        if reward not in REWARDS:
            raise configuration.unknown("reward", reward, REWARDS)
        reward = REWARDS[reward]
    if not isinstance(reward, Reward):
        raise ValueError(
            "`reward` must be a name or a Reward. Received: "
            f"{reward!r}. Known names: {', '.join(REWARDS)}; or pass, for "
            "example, WeightedProduct(form='soft')."
        )
    return reward.aimed_at(budgets)


REWARDS: dict[str, Reward] = {
    **{form: WeightedProduct(form=form) for form in FORMS},
    "absolute": AbsoluteDeviation(),
}
"""Rewards by the name of their form."""


class AccuracySum(MultiObjective):
    """Several metrics to maximise, of which the sum counts, as in KerasTuner.

    Args:
        objectives: The metrics.
    """

    def __init__(self, objectives: list[keras_tuner.Objective]) -> None:
        super().__init__(objectives)
        self.direction = "max"

    def get_value(self, logs: Mapping[str, float]) -> float:
        """The sum of the metrics."""
        return sum(logs[name] for name in self.name_to_direction)


def names(objective: keras_tuner.Objective) -> list[str]:
    """Names of the metrics that an objective is made of.

    Example:
    >>> names(accuracy_objective(["val_accuracy", "val_auc"]))
    ['val_accuracy', 'val_auc']
    """
    if isinstance(objective, AccuracySum):
        return list(objective.name_to_direction)
    return [objective.name]


def is_loss(name: str) -> bool:
    """Whether less is better of a metric, as its name says.

    KerasTuner takes R2, F1 and IoU for losses.

    Example:
    >>> is_loss("mean_absolute_error_int8"), is_loss("r2_score_int8")
    (True, False)
    """
    return re.search(_LESS_IS_BETTER, name.lower()) is not None


def accuracy_objective(objective: Any) -> keras_tuner.Objective:
    """The KerasTuner objective that names the accuracy of a trial.

    Args:
        objective: A metric to maximise or its name, or a list of them.
            Defaults to `accuracy_int8`.

    Returns:
        The objective, with direction `max`. A `NAME_int8` that Keras does not
        know is one to maximise.

    Raises:
        ValueError: If it is, or has in it, a metric to minimise.

    Example:
    >>> str(accuracy_objective("accuracy_qat"))
    'Objective(name="accuracy_qat", direction="max")'
    """
    name = "accuracy_int8" if objective is None else objective
    if isinstance(name, (list, tuple)) and name:
        parts = [accuracy_objective(part) for part in name]
        return parts[0] if len(parts) == 1 else AccuracySum(parts)
    if isinstance(name, str) and name in metrics.names():
        if name not in metrics.names(measured=True):
            raise ValueError(
                "`objective` must be what a trial measures. Received: "
                f"{name}, which is known before. Give it a budget, or a target "
                "of the reward."
            )
        found = keras_tuner.Objective(name, metrics.get(name).direction)
    elif isinstance(name, str) and name.endswith(_OF_FILE):
        # A compiled metric of an own model, measured on its int8 file.
        found = keras_tuner.Objective(name, "min" if is_loss(name) else "max")
    else:
        # KerasTuner infers the direction of the metrics that Keras knows.
        found = keras_tuner.Oracle(objective=name).objective
    if found.direction != "max":
        raise ValueError(
            "`objective` must be one metric to maximise, or a list of such: "
            f"the reward multiplies it. Received: {found}. Use, for example, "
            "'accuracy_int8' or 'val_accuracy'; costs are known anyway."
        )
    return found
