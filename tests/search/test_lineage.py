import json

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.search import algorithms
from tf_cosearch.search.genomes import mutate
from tf_cosearch.search.lineage import Lineage, Origin, gave
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.problem import Estimates
from tf_cosearch.testing import ToySpace, place, run_trials, toy_estimate

COUNTS = (5, 5, 5, 5, 5, 5)


def start(folder, algorithm, **kwargs):
    kwargs = {"max_trials": 40, "seed": 1, "proposals": 64, **kwargs}
    oracle = CoSearchOracle(
        ToySpace(COUNTS), algorithm, estimate=toy_estimate, **kwargs
    )
    return place(oracle, folder)


def told(folder):
    """What the files of the trials say, by id."""
    files = sorted(folder.glob("**/trial.json"))
    states = [json.loads(path.read_text()) for path in files]
    return {state["trial_id"]: state.get("origin") for state in states}


def genomes(oracle):
    return {i: oracle.trial_genome(t) for i, t in oracle.trials.items()}


def gives(child, parent, other):
    """Whether a child has of a parent what it has not of the other."""
    return ((child == parent) & (parent != other)).any()


@pytest.mark.parametrize("name", algorithms.names())
def test_every_trial_says_who_proposed_it(tmp_path, name):
    oracle = start(tmp_path, name)
    run_trials(oracle, 5)
    origins = told(tmp_path)
    assert len(origins) == 5
    for trial_id, origin in origins.items():
        assert origin["by"] == type(oracle.algorithm).__name__
        assert origin["how"]
        assert all(int(each) < int(trial_id) for each in origin["parents"])


def test_a_mutant_differs_from_its_parent_by_few_genes(tmp_path):
    evolution = algorithms.get("regularized_evolution")(
        population_size=4, mutations=2
    )
    oracle = start(tmp_path, evolution)
    run_trials(oracle, 20)
    known, origins = genomes(oracle), told(tmp_path)
    for trial_id, origin in origins.items():
        if int(trial_id) < 4:
            assert (origin["how"], origin["parents"]) == ("drawn at random", [])
            continue
        assert origin["how"] == "mutated"
        (parent,) = origin["parents"]
        assert 1 <= (known[trial_id] != known[parent]).sum() <= 2
        # It is one of the youngest four.
        assert int(trial_id) - 4 <= int(parent) < int(trial_id)


@pytest.mark.parametrize(
    "algorithm",
    [
        algorithms.get("nsga2")(population_size=4, mutation_probability=0.0),
        algorithms.get("regularized_evolution")(
            population_size=4,
            sample_size=1,  # else parents are too much alike
            mutations=1,
            crossover_probability=1.0,
        ),
    ],
)
def test_a_child_has_the_genes_of_its_parents(tmp_path, algorithm):
    oracle = start(tmp_path, algorithm)
    run_trials(oracle, 24)
    known, origins = genomes(oracle), told(tmp_path)
    most = 0 if isinstance(algorithm, algorithms.get("nsga2")) else 1
    of_two = 0
    for trial_id, origin in origins.items():
        parents = [known[parent] for parent in origin["parents"]]
        of_two += len(parents) == 2
        if parents:
            foreign = np.all([known[trial_id] != p for p in parents], axis=0)
            assert foreign.sum() <= most
        if len(parents) == 2:
            assert origin["how"] == "crossed and mutated"
            assert gives(known[trial_id], *parents)
            assert gives(known[trial_id], *parents[::-1])
    assert of_two > 2


def test_networks_of_grey_box_are_made_of_trials(tmp_path):
    oracle = start(tmp_path, "grey_box", algorithm_options={"warm_up": 4})
    run_trials(oracle, 16)
    origins = told(tmp_path)
    firsts = [*origins.values()][:4]
    assert {o["how"] for o in firsts} == {"spreads over the space"}
    networks = {i: genome[:3] for i, genome in genomes(oracle).items()}
    for trial_id, origin in origins.items():
        network = networks[trial_id]
        parents = [networks[parent] for parent in origin["parents"]]
        is_taken = len(parents) == 1 and (network == parents[0]).all()
        assert is_taken == (origin["how"] == "the same network")
        if len(parents) == 2:
            assert gives(network, *parents)
            assert gives(network, *parents[::-1])
    assert sum(bool(o["parents"]) for o in origins.values()) > 2


@pytest.mark.parametrize("searched", ["nested", "phased", "shrunk"])
@pytest.mark.parametrize("name", ["nsga2", "regularized_evolution"])
def test_children_are_found_whoever_has_a_hand_in_them(
    tmp_path, name, searched
):
    """Parents are named by the genes that were chosen, and no others."""
    is_shrunk = searched == "shrunk"
    scope = {} if is_shrunk else {"searched": searched}
    oracle = start(
        tmp_path, name, algorithm_options={"population_size": 4}, **scope
    )
    left = [[1, 2, 3]] * 3
    if is_shrunk:
        none = np.zeros((0, len(COUNTS)), int), np.zeros(0)
        oracle.expect(Estimates(*none, choices=left))
    run_trials(oracle, 26)
    known = genomes(oracle)
    chosen = slice(3) if searched == "nested" else slice(None)
    of_two = 0
    for trial_id, origin in [*told(tmp_path).items()][4:]:
        if searched == "phased":  # a side each, of 20 trials
            chosen = slice(3, 6) if int(trial_id) < 20 else slice(3)
        assert origin["how"] in ("mutated", "crossed and mutated")
        child = known[trial_id][chosen]
        parents = [known[parent][chosen] for parent in origin["parents"]]
        of_two += len(parents) == 2
        if len(parents) == 2:
            assert gives(child, *parents)
            assert gives(child, *parents[::-1])
    assert of_two or name != "nsga2"


def test_a_parent_of_which_nothing_is_left_is_none():
    """Of the second there is a gene, which came by a mutation; or none."""
    mother, father = np.array([[1, 1, 1]] * 3), np.array([[2, 2, 1]] * 3)
    before = np.array([[1, 1, 1], [1, 2, 1], [2, 2, 1]])
    child = np.array([[1, 2, 1], [1, 2, 3], [2, 2, 3]])
    of_mother, of_father = gave(child, before, mother, father)
    assert of_mother.tolist() == [True, True, False]
    assert of_father.tolist() == [False, True, True]


def test_what_was_asked_for_says_so(tmp_path):
    first = np.zeros(len(COUNTS), int)
    oracle = start(tmp_path, "ppo", initial_designs=[first])
    run_trials(oracle, 3)
    hows = [origin["how"] for origin in told(tmp_path).values()]
    assert hows == ["given to be tried first", *["sampled from the policy"] * 2]


def test_a_screen_that_looks_elsewhere_says_so(tmp_path):
    class Stubborn(cs.Algorithm):
        def suggest(self, rng, n):
            return np.zeros((1, len(COUNTS)), int)

    oracle = start(tmp_path, Stubborn())
    run_trials(oracle, 3)
    hows = [origin["how"] for origin in told(tmp_path).values()]
    elsewhere = "found by the screen, as nothing suggested passed it"
    assert hows == ["suggested", elsewhere, elsewhere]


def test_it_outlives_a_restart_and_changes_no_proposal(tmp_path):
    run_trials(start(tmp_path / "1", "nsga2"), 16)
    whole = told(tmp_path / "1")
    killed = start(tmp_path / "2", "nsga2")
    run_trials(killed, 12)
    killed.create_trial("tuner")  # which another process goes on with
    again = start(tmp_path / "2", "nsga2")
    again.reload()
    run_trials(again, 4)
    assert told(tmp_path / "2") == whole


def test_an_own_algorithm_may_name_parents(tmp_path):
    class Climb(cs.Algorithm):
        def suggest(self, rng, n):
            space, done = self.problem.space, self.problem.history.best()
            if done is None:
                return space.sample(rng, n)
            self.parent = done.genome
            return mutate(space, rng, np.repeat(done.genome[None], n, axis=0))

        def origin(self, genome):
            if not hasattr(self, "parent"):
                return Origin()
            return Origin("climbs", [self.parent, np.full(len(COUNTS), 9)])

    oracle = start(tmp_path, Climb())
    run_trials(oracle, 3)
    first, second, _ = told(tmp_path).values()
    assert first == {"by": "Climb", "how": "suggested", "parents": []}
    # Of what nobody has tried there is no trial to name.
    assert second == {"by": "Climb", "how": "climbs", "parents": ["00"]}


def test_children_of_what_was_made_of_others_have_their_parents():
    lineage, parent = Lineage(), np.array([7, 8, 9])
    lineage.add(np.array([[1, 2]]), parent[None], parent[None])
    lineage.pass_on(np.array([[1, 3], [4, 4]]), np.array([[1, 2], [5, 5]]))
    how, (found,) = lineage.origin(np.array([1, 3]))
    assert (how, found.tolist()) == ("mutated", [7, 8, 9])
    assert lineage.origin(np.array([4, 4]), "new") == Origin("new")


def test_of_two_parents_those_count_of_which_something_is_left():
    lineage = Lineage()
    mother, father = np.array([1, 1, 7]), np.array([2, 2, 7])
    lineage.add(np.array([[1, 2]]), mother[None], father[None])
    between = np.array([[1, 2]] * 2)
    lineage.pass_on(np.array([[1, 3], [3, 2]]), between)
    assert len(lineage.origin(np.array([1, 2])).parents) == 2
    for child, parent in (([1, 3], mother), ([3, 2], father)):
        how, (found,) = lineage.origin(np.array(child))
        assert (how, found.tolist()) == ("mutated", parent.tolist())
