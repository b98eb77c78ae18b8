"""The cost model of this package, as an evaluator."""

from __future__ import annotations

from collections.abc import Mapping

from tf_cosearch import metrics
from tf_cosearch.evaluators.evaluator import BuiltDesign, Evaluator, Quantity
from tf_cosearch.metrics.values import Designs, Values
from tf_cosearch.networks.workload import pad


class Analytic(Evaluator):
    """Computes what the layers of a design cost on its accelerator.

    A search asks for thousands of designs anyway, so that nothing is left to
    measure of those that it trains. But it asks what they cost on the
    accelerator alone, as the operations of a space are taken to run there;
    what a host has to run of a file is counted here.
    """

    costs = tuple(metrics.names(measured=False))
    is_exclusive = False

    def describe(self) -> dict[str, str]:
        """Its class: metrics of a user do not make it another one."""
        return {"class": type(self).__name__}

    def measure(self, design: BuiltDesign) -> Mapping[str, Quantity]:
        """Every metric that is known before a trial."""
        from tf_cosearch.cost import costs, fallback

        layers = pad([design.layers])
        cost = fallback.estimate_all(design.layers, design.accelerator)
        values = Values(
            {name: getattr(cost, name) for name in costs.SCALARS},
            lambda rows: Designs(layers.arrays(), design.accelerator),
        )
        return {
            name: Quantity(float(values[name][0]), metrics.get(name).unit)
            for name in self.costs
        }
