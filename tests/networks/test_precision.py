import itertools

import numpy as np
import pytest

from tf_cosearch.networks import precision
from tf_cosearch.networks.network import BlockSpec, Network
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.networks.workload import to_array


def space(stage=None, **changes):
    keys = {
        "block": ["inverted_residual", "fused_inverted_residual"],
        "filters": 16,
        "repeats": [1, 2],
        "expansion": 2,
    }
    return Template(
        {
            "input_shape": [8, 8, 3],
            "classes": 4,
            "stem": {"filters": 16},
            "stages": [{**keys, **(stage or {})}],
            **changes,
        },
        "test",
    )


def bits_of(network):
    return {
        row.name: (row.weight_bits, row.activation_bits)
        for row in network.layers()
        if row.params
    }


def every_genome(template):
    counts = [len(p.choices) for p in template.parameters]
    return itertools.product(*map(range, counts))


def genome(template, **chosen):
    """The first choices, but for some by the last part of their names."""
    return tuple(
        p.choices.index(chosen[p.name.split("/")[-1]])
        if p.name.split("/")[-1] in chosen
        else 0
        for p in template.parameters
    )


def test_stem_depthwise_layers_and_classifier_keep_8_bits():
    template = space({"weight_bits": [8, 4], "activation_bits": [8, 16]})
    narrow = genome(template, weight_bits=4)
    assert bits_of(template.decode(narrow)) == {
        "stem/conv": (8, 8),
        "stage1/block1/expand": (4, 8),
        "stage1/block1/depthwise": (8, 8),
        "stage1/block1/project": (4, 8),
        "logits": (8, 8),
    }
    wide = genome(template, activation_bits=16)
    assert bits_of(template.decode(wide)) == {
        "stem/conv": (8, 8),
        "stage1/block1/expand": (8, 16),
        "stage1/block1/depthwise": (8, 16),
        "stage1/block1/project": (8, 16),
        "logits": (8, 8),
    }


def test_a_space_may_say_otherwise_of_each():
    template = space(
        {"depthwise_bits": 4},
        stem={"filters": 8, "weight_bits": 4},
        head={"filters": 16, "weight_bits": 4, "classifier_bits": 4},
    )
    bits = bits_of(template.decode((0, 0)))
    assert {name for name, (weights, _) in bits.items() if weights == 4} == {
        *("stem/conv", "stage1/block1/depthwise", "head/conv", "logits")
    }


def test_conversions_stand_where_bits_change_and_only_there():
    template = space({"activation_bits": [8, 16], "per": "block", "repeats": 3})
    for genes in every_genome(template):
        network = template.decode(genes)
        blocks = network.blocks[1:]
        widths = [dict(spec.options)["activation_bits"] for spec in blocks]
        changes = np.count_nonzero(np.diff([8, *widths, 8]))
        found = [r for r in network.layers() if r.name.endswith("quantize")]
        assert len(found) == changes
        for row in found:
            assert {row.activation_bits, row.output_bits} == {8, 16}
        # What a block reads twice is converted once.
        assert len({row.name for row in network.layers()}) == len(
            network.layers()
        )
        np.testing.assert_array_equal(
            template.rows(genes), to_array(network.layers())
        )
        assert len(network.layers()) <= template.padded_layers(0)


def test_each_different_network_is_counted_once():
    template = space(
        {
            "weight_bits": [4, 8],
            "activation_bits": [8, 16],
            "block": ["inverted_residual", "skip"],
            "per": "block",
        }
    )
    tables = {}
    for genes in every_genome(template):
        layers = template.decode(genes).layers()
        rows = tuple((row.op, *to_array([row])[0]) for row in layers)
        tables.setdefault(rows, set()).add(template.canonical(genes))
    assert all(len(canonical) == 1 for canonical in tables.values())
    assert template.count() == len(tables) == 4 + 4**2


def test_bits_that_change_nothing_are_no_choice():
    template = space(
        {"block": "fused_inverted_residual", "depthwise_bits": [8, 4]}
    )
    assert template.count() == 2
    for genes in every_genome(template):
        assert template.canonical(genes)[-1] == 0


def test_networks_with_bits_are_written_and_read():
    template = space(
        {"weight_bits": [4, 8]}, head={"filters": 8, "classifier_bits": 4}
    )
    for genes in every_genome(template):
        network = template.decode(genes)
        assert Network.from_config(network.get_config()) == network
        assert template.encode(network) == genes


def test_networks_without_bits_are_of_8():
    plain = space().decode((0, 0))
    template = space({"weight_bits": [4, 8]})
    assert bits_of(template.decode(template.encode(plain))) == bits_of(plain)
    with pytest.raises(ValueError, match="stage1 the space does not offer"):
        space({"weight_bits": [4]}).encode(plain)


def test_layers_of_keras_have_the_bits_of_their_block():
    specs = (
        BlockSpec("stem", "conv_bn", 8, 1),
        BlockSpec("stage1/block1", "conv_bn", 8, 1, (("weight_bits", 4),)),
        BlockSpec("stage1/block10", "conv_bn", 8, 1),
    )
    network = Network("test", (8, 8, 3), 4, specs, classifier_bits=4)
    found = {
        name: network.precision(name).weight_bits
        for name in ("stem_conv", "stage1_block1_conv", "stage1_block10_conv")
    }
    assert [*found.values()] == [8, 4, 8]
    assert network.precision("logits") == precision.Precision(4)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"weight_bits": 3}, "weight_bits in .*stage1 must be 4 or 8.*: 3"),
        ({"weight_bits": [4, 5]}, "weight_bits in .* must be 4 or 8.*: 5"),
        ({"weight_bits": [8, 32]}, "weight_bits in .* must be 4 or 8.*: 32"),
        ({"weight_bits": ["8"]}, "weight_bits in .* must be 4 or 8.*: '8'"),
        ({"weight_bits": True}, "weight_bits in .* must be 4 or 8.*: True"),
        ({"weight_bits": [8, 8]}, "must be a list of different values"),
        ({"activation_bits": 4}, "activation_bits in .* must be 8 or 16.*: 4"),
        ({"depthwise_bits": 16}, "depthwise_bits in .* must be 4 or 8.*: 16"),
        (
            {"depthwise_bits": [4, 8], "activation_bits": [8, 16]},
            "Depthwise layers of 4 bits in .*stage1 must have activations of 8",
        ),
    ],
)
def test_bits_that_no_format_holds_are_refused(stage, message):
    with pytest.raises(ValueError, match=message):
        space(stage)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"filters": 8, "classifier_bits": 2}, "must be 4 or 8.*: 2"),
        ({"weight_bits": 4}, "of a convolution.*a head without filters"),
    ],
)
def test_bits_of_a_head_are_of_its_layers(head, message):
    with pytest.raises(ValueError, match=message):
        space(head=head)
