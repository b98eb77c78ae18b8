"""What a component of an accelerator must do."""

from __future__ import annotations

import numpy as np

from tf_cosearch import accelerators
from tf_cosearch.accelerators import families
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.testing.requirement import require

_LAYERS = (
    Layer("conv", "conv2d", 28, 28, 96, 28, 28, 64, 3, 3),
    Layer("dw", "depthwise_conv2d", 28, 28, 96, 28, 28, 96, 3, 3, groups=96),
    Layer("dense", "dense", 1, 1, 2000, 1, 1, 2000),
)


class ComponentSuite:
    """Tests of the component called `name`, a field of a family's accelerators.

    Attributes:
        name: The component's name.
        family: The family's name.
    """

    name: str
    family: str = families.DEFAULT

    def paths(self) -> list[str]:
        """Its parameters."""
        return [
            path
            for path in accelerators.parameters(self.family)
            if path.startswith(f"{self.name}/")
        ]

    def cost(self, path: str, values: list[float]) -> Cost:
        """What the layers cost as one parameter changes, `[B]`."""
        changed = {path: np.asarray(values, np.float32)}
        chips = accelerators.from_paths(changed, self.family)
        return estimate(pad([_LAYERS] * len(values)), chips)

    def choices(self, path: str) -> list[float]:
        """Values of a parameter, what the search chooses or its range."""
        held = accelerators.parameters(self.family)[path]
        return list(held.choices) or [held.low, held.high]

    def test_parameters_are_described(self) -> None:
        """Unit, range, and a default and choices inside it."""
        defaults = accelerators.to_paths(accelerators.default(self.family))
        require(bool(self.paths()), f"{self.name} has no parameters")
        for path in self.paths():
            held = accelerators.parameters(self.family)[path]
            for value in (defaults[path], *held.choices):
                require(held.low <= value <= held.high, f"{path}: {value}")
            ordered = list(held.choices) == sorted(set(held.choices))
            require(bool(held.unit) and ordered, f"{path}: {held}")

    def test_costs_are_finite_and_positive(self) -> None:
        """At every choice and at both ends of a range."""
        for path in self.paths():
            cost = self.cost(path, self.choices(path))
            for name in ("latency_ms", "energy_mj", "area_mm2"):
                values = getattr(cost, name).numpy()
                good = np.isfinite(values).all() and (values > 0).all()
                require(bool(good), f"{name} over {path}: {values}")

    def test_area_grows_with_what_is_searched(self) -> None:
        """More of what is built is not free; more of a setting costs none."""
        for path in self.paths():
            if accelerators.parameters(self.family)[path].choices:
                area = self.cost(path, self.choices(path)).area_mm2.numpy()
                step = np.diff(area)
                good = (step > 0).all() or (step == 0).all()
                require(bool(good), f"{path}: {area}")

    def test_batch_equals_singles(self) -> None:
        """No candidate feels its neighbours in a batch."""
        for path in self.paths():
            together = self.cost(path, self.choices(path)).energy_mj.numpy()
            alone = [
                float(self.cost(path, [value]).energy_mj[0])
                for value in self.choices(path)
            ]
            np.testing.assert_allclose(together, alone, rtol=1e-6)
