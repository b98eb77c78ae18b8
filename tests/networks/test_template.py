import numpy as np
import pytest
import yaml

from tf_cosearch import configuration
from tf_cosearch.networks.stage import round_channels
from tf_cosearch.networks.template import Template

BASE = {
    "input_shape": [16, 16, 3],
    "classes": 4,
    "stem": {"filters": 8},
    "stages": [
        {
            "block": ["inverted_residual", "conv_bn"],
            "filters": 16,
            "stride": 2,
            "repeats": [1, 2],
            "kernel_size": [3, 5],
            "expansion": [2, 3, 4],
        }
    ],
}


def template(**changes):
    return Template({**BASE, **changes}, "test")


def stage(**keys):
    return template(stages=[{**BASE["stages"][0], **keys}])


def every_genome(counts):
    grid = np.indices(counts).reshape(len(counts), -1).T
    return [tuple(genes) for genes in grid.tolist()]


@pytest.mark.parametrize("per", ["stage", "block"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {
            "block": ["inverted_residual", "conv_bn"],
            "width_multiplier": [0.5, 1],
        },
        {"block": "inverted_residual", "repeats": 2, "skip": [True, False]},
    ],
)
def test_count_is_the_number_of_different_networks(per, keys):
    space = stage(**keys, per=per)
    counts = [len(p.choices) for p in space.parameters]
    networks = set()
    canonical = set()
    for genes in every_genome(counts):
        active = space.is_active(genes)
        networks.add(space.decode(genes))
        canonical.add(tuple(g * a for g, a in zip(genes, active, strict=True)))
    assert space.count() == len(networks) == len(canonical)


def test_inactive_genes_change_nothing():
    space = stage(per="block")
    counts = [len(p.choices) for p in space.parameters]
    for genes in every_genome(counts)[::7]:
        active = space.is_active(genes)
        same = tuple(g * a for g, a in zip(genes, active, strict=True))
        assert space.decode(genes) == space.decode(same)
        assert space.is_active(same) == active


def test_skipped_blocks_make_depth_a_choice():
    space = stage(block=["inverted_residual", "skip"], repeats=2, per="block")
    depths = {
        len(space.rows(genes))
        for genes in every_genome([len(p.choices) for p in space.parameters])
    }
    assert len(depths) == 2
    first = next(
        p for p in space.parameters if p.name == "stage1/block1/kernel_size"
    )
    assert first.choices == (3, 5)
    assert not any(
        p.name == "stage1/block1/block" and "skip" in p.choices
        for p in space.parameters
    )


def test_rows_are_those_of_the_decoded_network():
    from tf_cosearch.networks.workload import to_array

    for name in configuration.names("spaces"):
        space = Template(configuration.load("spaces", name), name)
        rng = np.random.default_rng(0)
        deepest = 0
        for _ in range(20):
            genes = tuple(
                int(rng.integers(len(p.choices))) for p in space.parameters
            )
            rows = space.rows(genes)
            layers = space.decode(genes).layers()
            np.testing.assert_array_equal(rows, to_array(layers))
            deepest = max(deepest, len(rows))
        assert deepest <= space.max_layers()


def test_sizes_of_the_shipped_spaces():
    counts = {
        name: Template(configuration.load("spaces", name), name).count()
        for name in configuration.names("spaces")
    }
    assert counts["mobilenet_v2"] == 3 * 6**16
    assert counts["efficientnet_b0"] == 3 * 6**15
    assert counts["evolved"] > 1e17
    assert counts["digits"] > 1e8


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(24, 24), (12, 16), (18, 24), (1, 8), (100, 104)],
)
def test_round_channels_is_that_of_mobilenet(channels, rounded):
    assert round_channels(channels) == rounded


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": []}, "Did you mean 'stages'"),
        ({"stages": []}, "must be a list of stages"),
        ({"stages": {"a": 1}}, "must be a list of stages"),
        ({"stages": [{"filters": 8}]}, "Missing key in .*stage1: 'block'"),
        ({"stem": {}}, "Missing key in .*stem: 'filters'"),
        ({"stem": {"filters": 0}}, "filters in test, stem must be a whole"),
        ({"stem": {"filters": "x"}}, "must be a number"),
        ({"input_shape": [16, 16]}, "height, width and channels"),
        ({"input_shape": [16, 0, 3]}, "height, width and channels"),
        ({"classes": 1}, "classes in test must be a whole number in 2"),
        ({"head": {"filter": 8}}, "Did you mean 'filters'"),
        ({"defaults": {"kernel": 3}}, "Did you mean 'kernel_size'"),
    ],
)
def test_bad_descriptions_say_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message):
        template(**change)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"block": "conv_bm"}, "Did you mean 'conv_bn'"),
        ({"kernel": 3}, "Did you mean 'kernel_size'"),
        ({"kernel_size": []}, "list of different values"),
        ({"kernel_size": [3, 3]}, "list of different values"),
        ({"kernel_size": [3, {"a": 1}]}, "must be a number"),
        ({"kernel_size": 2.5}, "must be a whole number"),
        ({"activation": "relu7"}, "Did you mean 'relu'"),
        ({"groups": [1, 3]}, "groups in test, stage1 must divide"),
        ({"block": ["inverted_residual", "skip"]}, "chosen per block"),
        ({"per": "network"}, "Unknown per"),
        ({"skip": {"a": 1}}, "must be one value or a list"),
    ],
)
def test_bad_stages_say_what_is_wrong(keys, message):
    with pytest.raises(ValueError, match=message):
        stage(**keys)


def test_missing_keys_and_size_overrides():
    bare = {k: v for k, v in BASE.items() if k != "classes"}
    with pytest.raises(ValueError, match="classes in test must be a number"):
        Template(bare, "test")
    small = Template(bare, "test", (8, 8, 1), 3)
    assert small.input_shape == (8, 8, 1)
    assert small.classes == 3


def test_shipped_configurations_describe_themselves():
    for kind in ("spaces", "networks", "accelerators"):
        for name in configuration.names(kind):
            content = configuration.load(kind, name)
            assert len(content["description"]) > 30
            assert yaml.safe_dump(content)
