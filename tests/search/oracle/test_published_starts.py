import logging as python_logging

import numpy as np
import pytest
from absl import logging

from tf_cosearch import accelerators, configuration
from tf_cosearch.cost.model import estimate
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.oracle import published_starts
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import place, run_trials

FEW = {"pe_array/rows": [2, 4], "pe_array/lanes": [2, 4]}
COSTS = ("latency_ms", "energy_mj", "area_mm2")


@pytest.fixture(scope="module")
def space():
    """Small images and few accelerators, so that pricing takes no time."""
    fixed = {
        path: parameter.choices[0]
        for path, parameter in accelerators.parameters().items()
        if parameter.choices
    }
    return SearchSpace.load("evolved", (32, 32, 3), 10, {**fixed, **FEW})


def start(folder, space, *args, **kwargs):
    defaults = {"proposals": 64, "max_trials": 6, "seed": 0}
    oracle = CoSearchOracle(space, "random", *args, **{**defaults, **kwargs})
    return place(oracle, folder)


def network(space, name):
    (genes,) = published_starts.encode(space, [name]).values()
    return list(genes)


def exact_best(space, genes, budgets):
    """Every accelerator, priced the slow way."""
    chips = space.all_accelerators()
    genomes = np.concatenate([np.tile(genes, (len(chips), 1)), chips], axis=1)
    cost = estimate(*space.batch(genomes))
    costs = {k: np.asarray(v) for k, v in cost._asdict().items() if k in COSTS}
    product = np.prod([costs[name] for name in COSTS], axis=0)
    product[~budgets.is_feasible(costs)] = np.inf
    return genomes[product.argmin()].tolist(), costs


def test_published_networks_come_first_with_their_best_accelerators(
    tmp_path, space
):
    shipped = configuration.shipped("networks", "efficientnet_lite0.yaml")
    own = tmp_path / "own.yaml"
    own.write_text(
        shipped.read_text().replace("kernel_size: 5", "kernel_size: 3")
    )
    names = [str(own), "efficientnet_lite0"]
    _, costs = exact_best(space, network(space, names[0]), Budgets())
    budgets = Budgets(area_mm2=float(np.median(costs["area_mm2"])))
    oracle = start(tmp_path, space, budgets, start_from=names)
    genomes = run_trials(oracle, 2)
    split = space.num_network_parameters
    for genome, name in zip(genomes, names, strict=True):
        assert genome[:split] == network(space, name)
        assert genome == exact_best(space, genome[:split], budgets)[0]
    resumed = start(tmp_path, space, budgets, start_from=names)
    resumed.reload()
    (third,) = run_trials(resumed, 1)
    assert third[:split] not in [genome[:split] for genome in genomes]


def test_they_may_be_added_to_a_run(tmp_path, space):
    run_trials(start(tmp_path, space), 2)
    oracle = start(tmp_path, space, start_from="efficientnet_b0")
    oracle.reload()
    (genome,) = run_trials(oracle, 1)
    split = space.num_network_parameters
    assert genome[:split] == network(space, "efficientnet_b0")


@pytest.mark.parametrize("searched", ["network", "phased", "nested"])
def test_a_side_that_is_held_stays_so(tmp_path, space, searched):
    oracle = start(
        tmp_path, space, searched=searched, start_from=["efficientnet_b0"]
    )
    genomes = np.asarray(run_trials(oracle, 6))
    split = space.num_network_parameters
    at = 3 if searched == "phased" else 0
    wanted = network(space, "efficientnet_b0")
    assert genomes[at, :split].tolist() == wanted
    if searched == "phased":
        assert len(np.unique(genomes[:3, :split], axis=0)) == 1
    if searched == "network":
        assert len(np.unique(genomes[:, split:], axis=0)) == 1


def test_one_that_meets_no_budget_is_skipped_and_said(tmp_path, space, caplog):
    genes = network(space, "efficientnet_b0")
    _, costs = exact_best(space, genes, Budgets())
    budgets = Budgets(latency_ms=float(costs["latency_ms"].min() * 0.99))
    oracle = start(tmp_path, space, budgets, start_from=["efficientnet_b0"])
    logger = logging.get_absl_logger()
    logger.addHandler(caplog.handler)
    with caplog.at_level(python_logging.WARNING):
        (genome,) = run_trials(oracle, 1)
    logger.removeHandler(caplog.handler)
    assert genome[: space.num_network_parameters] != genes
    assert "efficientnet_b0 meets the budgets on no accelerator" in caplog.text


@pytest.mark.parametrize("name", ["mobilenet_v2", "vgg16", "eficientnet_b0"])
def test_what_the_space_does_not_hold_is_refused(space, name):
    with pytest.raises(ValueError, match=name) as caught:
        CoSearchOracle(space, "random", start_from=[name])
    message = str(caught.value)
    assert "Published networks in evolved: efficientnet_b0, eff" in message


def test_a_search_of_accelerators_has_no_networks_to_start_from(space):
    with pytest.raises(ValueError, match="Give the network as `fixed`"):
        CoSearchOracle(
            space,
            "random",
            searched="accelerator",
            start_from=["efficientnet_b0"],
        )
