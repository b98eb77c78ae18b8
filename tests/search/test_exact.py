import itertools

import hardware
import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import all_accelerators, best_accelerators

CHOICES = {
    path: np.atleast_1d(values).tolist()
    for path, values in hardware.only(
        {
            "pe_array/columns": (1, 2, 4),
            "pe_array/rows": (1, 4),
            "pe_array/lanes": (1, 4),
            "pe_array/simd_units": (16, 64),
            "register_file/capacity_kib": (32,),
            "pe_memory/capacity_mib": (0.5, 2),
            "dram/bandwidth_gbs": (5, 20),
        }
    ).items()
}
CONV = Layer("conv", "conv2d", 28, 28, 96, 28, 28, 64, 3, 3)
DENSE = Layer("dense", "dense", 1, 1, 1000, 1, 1, 2000)


def by_hand(networks, budgets, goal, weights):
    """Every combination, one `estimate` each; the feasible ones, best first."""
    found = []
    for combination in itertools.product(*CHOICES.values()):
        values = dict(zip(CHOICES, combination, strict=True))
        costs = [
            estimate(pad([layers]), accelerators.from_paths(values))
            for layers in networks
        ]
        area = float(costs[0].area_mm2[0])
        slowest = max(float(cost.latency_ms[0]) for cost in costs)
        limits = budgets.limits()
        if area <= limits["area_mm2"] and slowest <= limits["latency_ms"]:
            total = sum(
                weight * float(getattr(cost, goal)[0])
                for weight, cost in zip(weights, costs, strict=True)
            )
            found.append((total, area, values))
    return sorted(found, key=lambda item: item[:2])


@pytest.mark.parametrize("goal", ["latency_ms", "energy_mj", "area_mm2"])
def test_it_is_the_true_optimum(goal):
    networks, weights = [[CONV, CONV, DENSE], [DENSE]], [1.0, 3.0]
    budgets = Budgets(area_mm2=14, latency_ms=0.5)
    expected = by_hand(networks, budgets, goal, weights)
    found = best_accelerators(
        networks, budgets, top=5, goal=goal, weights=weights, choices=CHOICES
    )
    assert 5 < len(expected) < 96
    assert [r.goal for r in found] == pytest.approx(
        [total for total, *_ in expected[:5]], rel=1e-5
    )
    for ranked in found:
        assert len(ranked.costs) == 2
        cost = estimate(pad([networks[0]]), ranked.accelerator)
        assert ranked.costs[0]["latency_ms"] == pytest.approx(
            float(cost.latency_ms[0]), rel=1e-5
        )
        values = accelerators.to_paths(ranked.accelerator)
        assert all(values[path] in CHOICES[path] for path in CHOICES)


def test_it_is_of_the_very_values_to_choose_from():
    """0.3 and 0.123456789 are no float32."""
    choices = {"process/clock_ghz": [0.3], "dram/bandwidth_gbs": [0.123456789]}
    (found,) = best_accelerators([CONV], choices=choices)
    assert found.accelerator.process.clock_ghz == 0.3
    assert found.accelerator.dram.bandwidth_gbs == 0.123456789


def test_all_of_the_search_space_is_there(num_chips):
    chips = accelerators.to_paths(all_accelerators({}))
    searched = {
        path: held.choices
        for path, held in accelerators.parameters().items()
        if held.choices
    }
    columns = np.stack([chips[path] for path in searched], 1)
    assert len(np.unique(columns, axis=0)) == len(columns) == num_chips


def test_a_network_by_itself_and_what_should_be_more():
    network = load_network("mobilenet_v2")
    (found,) = best_accelerators(network, choices=CHOICES, goal="utilization")
    (cost,) = found.costs
    assert found.goal == pytest.approx(cost["utilization"])
    same = best_accelerators(
        network.layers(), choices=CHOICES, goal="utilization"
    )
    assert same == [found]
    (fast,) = best_accelerators(network, choices=CHOICES)
    assert cost["utilization"] > fast.costs[0]["utilization"]


def test_budgets_nobody_meets_say_what_is_closest():
    with pytest.raises(ValueError, match="smallest latency_ms seen is"):
        best_accelerators([CONV], Budgets(latency_ms=1e-6), choices=CHOICES)


@pytest.mark.parametrize(
    ("networks", "error", "message"),
    [
        ([], ValueError, "must have layers. Received: none"),
        ([[CONV], []], ValueError, "must have layers. Received: none"),
        ([CONV, "conv"], TypeError, "a sequence of Layer. Received: Layer"),
        (5, TypeError, "a sequence of Layer. Received: int"),
    ],
)
def test_networks_must_have_layers(networks, error, message):
    with pytest.raises(error, match=message):
        best_accelerators(networks)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"goal": "speed"}, "goal"),
        ({"top": 0}, "positive whole number"),
        ({"weights": [1.0, 2.0]}, "one number a network"),
        ({"weights": [-1.0]}, "none negative"),
        ({"choices": {"pe_array/row": [1]}}, "pe_array/rows"),
        ({"choices": {"pe_array/rows": [0]}}, "must lie in"),
        ({"choices": {"pe_array/rows": []}}, "must have a value"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        best_accelerators([CONV], **wrong)
