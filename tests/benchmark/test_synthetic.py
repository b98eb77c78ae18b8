import dataclasses

import numpy as np
import pytest

from tf_cosearch.benchmark import synthetic
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import to_array

NETWORK = load_network("mobilenet_v2")


def change(places, blocks=NETWORK.blocks, repeat=1, **options):
    """The blocks with some of their fields or options changed."""
    fields = {f.name for f in dataclasses.fields(blocks[0])}
    found = []
    for index, spec in enumerate(blocks):
        new = options if index in places else {}
        own = {k: v for k, v in new.items() if k in fields}
        rest = {k: v for k, v in new.items() if k not in fields}
        changed = dataclasses.replace(
            spec, options=tuple((dict(spec.options) | rest).items()), **own
        )
        found += [changed] * (repeat if index in places else 1)
    return found


EARLY, LATE, ALL = range(2, 4), range(8, 18), range(1, 18)
BASE = synthetic.structure(NETWORK.blocks)


def test_the_published_pairs_are_met_within_the_error_stated():
    fit, errors = synthetic.fit(), []
    for pair in synthetic.published():
        network = pair.network
        structure = synthetic.structure(network.blocks)
        found = fit.accuracy(network.macs, network.params, structure)
        errors.append(found - pair.accuracy)
    assert len(errors) >= 25
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(fit.error)
    assert fit.error < 0.02
    assert np.max(np.abs(errors)) < 0.045
    spread = np.std([pair.accuracy for pair in synthetic.published()])
    assert fit.error < spread / 2  # more than their mean is explained


def test_published_networks_have_the_macs_of_their_source():
    compared = [pair for pair in synthetic.published() if pair.macs]
    assert len(compared) >= 15
    for pair in compared:
        assert pair.network.macs == pytest.approx(pair.macs, rel=0.06)


def test_capacity_is_worth_less_and_less():
    fit = synthetic.fit()
    assert fit.macs > 0
    assert fit.params > 0
    sizes = np.geomspace(1e8, 1e13, 6)
    found = np.asarray([fit.accuracy(n, 5e6, 0.5) for n in sizes])
    gains = np.diff(found)
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()
    assert found[-1] < fit.ceiling


def test_capacity_is_that_of_the_network():
    found = synthetic.capacity(to_array(NETWORK.layers()))
    assert found == (NETWORK.macs, NETWORK.params)


def test_depth_is_rewarded_less_and_less():
    found = [
        synthetic.structure(change([12], repeat=count))
        for count in (1, 2, 3, 4)
    ]
    gains = np.diff(found)
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()


def test_kernels_are_rewarded_late_and_less_and_less():
    late = [
        synthetic.structure(change(LATE, kernel_size=size)) - BASE
        for size in (3, 5, 7)
    ]
    assert late[0] == 0
    assert late[1] > late[2] - late[1] > 0
    early = synthetic.structure(change(EARLY, kernel_size=7)) - BASE
    assert early < late[2] / 4


def test_a_kernel_is_worth_more_with_more_expansion():
    def gain(expansion):
        small = change(LATE, expansion=expansion)
        large = change(LATE, small, kernel_size=7)
        return synthetic.structure(large) - synthetic.structure(small)

    assert gain(6) > gain(3) > 0


def test_fused_blocks_are_good_early_and_bad_late():
    def gain(places):
        fused = change(places, block="fused_inverted_residual")
        return synthetic.structure(fused) - BASE

    assert gain(EARLY) > 0 > gain(LATE)


def test_groups_cost_less_in_wide_blocks():
    narrow = synthetic.structure(change([3], groups=4)) - BASE
    wide = synthetic.structure(change([16], groups=4)) - BASE
    assert narrow < wide < 0


def test_a_bottleneck_between_stages_costs():
    assert synthetic.structure(change([12, 13], filters=24)) < BASE


def test_noise_is_normal_and_the_same_again():
    keys = [b"%d" % number for number in range(3000)]
    found = np.asarray([synthetic.noise(key, 0) for key in keys])
    again = np.asarray([synthetic.noise(key, 0) for key in keys])
    np.testing.assert_array_equal(found, again)
    assert abs(found.mean()) < synthetic.NOISE / 10
    assert found.std() == pytest.approx(synthetic.NOISE, rel=0.05)
    assert len(set(found)) == len(keys)
    other = np.asarray([synthetic.noise(key, 1) for key in keys])
    assert abs(np.corrcoef(found, other)[0, 1]) < 0.1
