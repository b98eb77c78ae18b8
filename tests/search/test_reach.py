"""Which networks a proposal may price, where each has to be built."""

import json

import keras
import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.networks.spaces.hypermodel_space import NEW_NETWORKS
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.pricing import Pricer
from tf_cosearch.search.reach import FILE, Reach
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import place, run_trials

ACCELERATORS = {
    **accelerators.to_paths(load_accelerator("edge_tpu")),
    "dram/bandwidth_gbs": [5, 25],
}


class Builds:
    """A build(hp) that counts its calls: 64 networks, some of them none."""

    def __init__(self):
        self.calls = 0

    def __call__(self, hp):
        self.calls += 1
        units, groups = hp.Int("units", 1, 32), hp.Choice("groups", [1, 3])
        if units % groups:
            raise ValueError("units must be whole groups")
        return keras.Sequential(
            [
                keras.Input((16,)),
                keras.layers.Dense(units),
                keras.layers.Dense(3),
            ]
        )


@pytest.fixture
def builds():
    return Builds()


@pytest.fixture
def space(builds):
    return SearchSpace.from_hypermodel(builds, ACCELERATORS)


def networks(*genes):
    return np.asarray(genes, np.int64)


def test_a_templates_networks_are_all_within_reach():
    space = SearchSpace.load("digits")
    reach = Reach(space)
    genomes = space.sample(np.random.default_rng(0), 50)
    assert reach.mask(genomes[:, : space.num_network_parameters]).all()
    assert Pricer(space, 64).within_reach(genomes) is genomes


def test_a_proposal_builds_so_many_and_no_more(builds, space):
    reach = Reach(space)
    before = builds.calls
    reach.begin(0)
    wanted = networks(*([units, 0] for units in range(5, 15)))
    assert reach.mask(wanted).tolist() == [True] * 3 + [False] * 7
    assert builds.calls - before == NEW_NETWORKS == 3
    assert reach.mask(wanted).tolist() == [True] * 3 + [False] * 7
    assert builds.calls - before == 3
    reach.refill()
    assert reach.mask(wanted).sum() == 6
    # What was built is there for the next proposal, beside as many new ones.
    reach.begin(1)
    assert reach.mask(wanted).tolist() == [True] * 9 + [False]
    assert builds.calls - before == 9


def test_known_networks_are_those_of_earlier_proposals(space):
    reach = Reach(space)
    reach.begin(0)
    first = reach.known().tolist()
    assert [0, 0] in first  # the default values, built to look at
    reach.mask(networks([5, 0]))
    assert reach.known().tolist() == first
    reach.begin(1)
    assert reach.known().tolist() == [*first, [5, 0]]


def test_what_is_no_network_is_out_of_reach(space):
    reach = Reach(space)
    reach.begin(0)
    assert reach.mask(networks([4, 1], [5, 1])).tolist() == [False, True]
    reach.begin(1)
    assert [4, 1] not in reach.known().tolist()


def test_what_outlasts_a_proposal_does_not_depend_on_it(space):
    wanted = networks(*([units, 0] for units in range(5, 15)))
    reach = Reach(space)
    reach.begin(0)
    with reach.afresh():
        early = reach.mask(wanted)
    assert reach.mask(wanted[7:]).tolist() == [True] * 3
    reach.begin(7)
    assert reach.mask(wanted).sum() == 9
    with reach.afresh():
        assert (reach.mask(wanted) == early).all()


def test_a_run_that_is_continued_reads_what_it_has_read(
    tmp_path, builds, space
):
    wanted = networks(*([units, 0] for units in range(5, 15)))
    reach = Reach(space)
    reach.keep_in(tmp_path)
    reach.begin(0)
    reach.mask(wanted)
    reach.begin(1)
    there = reach.known().tolist()
    reach.mask(wanted)  # a kill comes in the middle of this one
    fresh_builds = Builds()
    again = Reach(
        SearchSpace.from_hypermodel(fresh_builds, ACCELERATORS, name="Builds")
    )
    again.keep_in(tmp_path)
    again.begin(1)
    before = fresh_builds.calls
    assert again.known().tolist() == there
    assert again.mask(wanted).tolist() == [True] * 6 + [False] * 4
    assert fresh_builds.calls == before
    for mine, theirs in zip(
        space.networks(wanted[:6]),
        again._space.networks(wanted[:6]),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert fresh_builds.calls == before


def test_a_damaged_file_costs_builds_and_nothing_else(tmp_path, space):
    reach = Reach(space)
    reach.keep_in(tmp_path)
    reach.begin(0)
    reach.mask(networks([5, 0], [6, 0], [7, 0]))
    file = tmp_path / FILE
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    bad = json.loads(lines[2])
    for change in (
        {"genes": [99, 0]},
        {"genes": [1]},
        {"rows": [[1.0]]},
        {"rows": "x"},
        {"used": ["others"]},
        {"used": None},
        {"turn": "soon"},
        {"identity": 3},
    ):
        text = json.dumps({**bad, **change}) + "\n"
        file.write_text("".join([*lines[:2], text, lines[3]]))
        again = Reach(space)
        again.keep_in(tmp_path)
        again.begin(1)
        assert [5, 0] in again.known().tolist()
        assert [6, 0] not in again.known().tolist()
        again.mask(networks([8, 0]))
        written = file.read_text().splitlines(keepends=True)
        assert (written[:2], len(written)) == (lines[:2], 3)
    file.write_text("".join(lines[:3])[:-9])
    again = Reach(space)
    again.keep_in(tmp_path)
    again.begin(1)
    again.mask(networks([8, 0]))
    assert len(file.read_text().splitlines()) == 3
    file.write_text('{"space": "another"}\n' + lines[1])
    again = Reach(space)
    again.keep_in(tmp_path)
    again.begin(1)
    assert [5, 0] not in again.known().tolist()


def test_a_line_without_its_end_is_not_whole(tmp_path, space):
    reach = Reach(space)
    reach.keep_in(tmp_path)
    reach.begin(0)
    reach.mask(networks([5, 0], [6, 0]))
    file = tmp_path / FILE
    file.write_text(file.read_text()[:-1])  # a kill before the last byte
    for turn, genes in ((1, [6, 0]), (2, [7, 0])):
        again = Reach(space)
        again.keep_in(tmp_path)
        again.begin(turn)
        again.mask(networks(genes))
    last = Reach(space)
    last.keep_in(tmp_path)
    last.begin(3)
    known = last.known().tolist()
    assert all(genes in known for genes in ([5, 0], [6, 0], [7, 0]))


def test_looking_at_a_run_of_another_process_leaves_its_file(tmp_path, space):
    running, looking = Reach(space), Reach(space)
    for reach in (running, looking):
        reach.keep_in(tmp_path)
    running.begin(0)
    running.mask(networks([5, 0]))
    file = tmp_path / FILE
    whole = file.read_text()
    file.write_text(whole + '{"turn": 0, "gen')  # it is just being written
    looking.begin(1)
    assert [5, 0] in looking.known().tolist()
    assert file.read_text() == whole + '{"turn": 0, "gen'
    file.write_text(whole)
    running.mask(networks([6, 0]))
    looking.keep_in(tmp_path)  # it goes on with the run
    looking.begin(1)
    assert [6, 0] in looking.known().tolist()


def test_what_is_out_of_reach_lends_its_accelerator(space):
    pricer = Pricer(space, 64)
    pricer.reach.begin(0)
    genomes = networks(*([units, 0, units % 2] for units in range(5, 15)))
    within = pricer.within_reach(genomes)
    assert within[:3].tolist() == genomes[:3].tolist()
    assert len(within) == 10
    assert {tuple(row[:2]) for row in within.tolist()} == {
        (units, 0) for units in range(5, 8)
    }
    assert within[3:, 2].tolist() == genomes[3:, 2].tolist()
    # None of these can be built, so what is known is paired.
    pricer.reach.begin(1)
    none = networks(*([units, 1, 1] for units in (3, 4, 6, 7, 9)))
    known = {tuple(row) for row in pricer.reach.known().tolist()}
    within = pricer.within_reach(none)
    assert {tuple(row[:2]) for row in within.tolist()} <= known


def test_networks_of_trials_are_known(builds, space):
    reach = Reach(space)
    reach.know(networks([5, 0]))
    reach.begin(0)
    before = builds.calls
    assert [5, 0] in reach.known().tolist()
    assert builds.calls == before + 1


def test_what_a_user_gives_is_tried_or_nothing(space, tmp_path):
    """Units of 5 in groups of 3 build no network, units of 6 do."""
    bad, good = ({"units": u, "groups": 3} for u in (5, 6))
    oracle = CoSearchOracle(
        space, "random", seed=0, initial_designs=[bad, good], proposals=64
    )
    oracle = place(oracle, tmp_path)
    rng = np.random.default_rng(0)
    oracle.prices.reach.begin(0)
    first = oracle._proposals._given(rng)
    assert not len(oracle._proposals._first(rng, first, are_given=True)[0])
    genomes = run_trials(oracle, 2)
    assert space.values(genomes[1])["units"] == 6
    for given, trial in ((bad, None), (good, 6)):
        held = CoSearchOracle(
            space, "random", seed=0, searched="accelerator", fixed=given
        )
        held = place(held, tmp_path / str(trial))
        if trial is None:
            with pytest.raises(ValueError, match="whole groups"):
                held.check_feasible()
        else:
            [genome] = run_trials(held, 1)
            assert space.values(genome)["units"] == trial
