import dataclasses
import itertools

import numpy as np
import pytest
import yaml

from tf_cosearch import configuration
from tf_cosearch.networks.layer_ops import LayerRecorder
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.networks.stage_values import round_channels

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


def shipped(name):
    content = configuration.load("spaces", name)
    content.pop("accelerator", None)
    return Template(content, name)


def every_genome(counts):
    return list(itertools.product(*map(range, counts)))


class Log(LayerRecorder):
    """Everything that blocks do, activations included."""

    def __init__(self):
        super().__init__()
        self.activations = []

    def activate(self, x, activation, name):
        self.activations.append(activation)
        return super().activate(x, activation, name)


def signature(network):
    """What tells one network from another: its rows but for their names."""
    log = Log()
    network._apply(log, log.input(*network.input_shape))
    rows = [dataclasses.replace(row, name="") for row in log.layers()]
    return (*rows, *log.activations)


def check_count(space):
    counts = [len(p.choices) for p in space.parameters]
    canonical = {}
    for genes in every_genome(counts):
        first = space.canonical(genes)
        assert space.canonical(first) == first
        done = signature(space.decode(genes))
        assert signature(space.decode(first)) == done
        canonical.setdefault(first, done)
    assert space.count() == len(canonical) == len(set(canonical.values()))


@pytest.mark.parametrize("per", ["stage", "block"])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"width_multiplier": [0.5, 0.6, 1]},
        {"block": "fused_inverted_residual", "expansion": [1, 2]},
        {"block": "inverted_residual", "activation": ["relu", "relu6"]},
    ],
)
def test_count_is_the_number_of_different_networks(per, keys):
    check_count(stage(**keys, per=per))


def test_skipped_blocks_count_once_wherever_they_stand():
    space = stage(
        block=["inverted_residual", "skip"],
        kernel_size=[3, 5],
        expansion=2,
        repeats=[1, 3],
        per="block",
    )
    check_count(space)
    assert space.count() == 2 + 2**2 + 2**3


def handing_on(**keys):
    defaults = {"block": "nas_bench_macro", "filters": 16, "per": "block"}
    return template(stages=[{**defaults, **keys}])


@pytest.mark.parametrize("repeats", [1, 3, [1, 3]])
def test_layers_that_hand_on_count_once_wherever_they_stand(repeats):
    space = handing_on(operator=[0, 1, 2], repeats=repeats)
    check_count(space)
    assert space.count() == (3 if repeats == 1 else 3 * (1 + 2 + 4))
    assert space.canonical(space.canonical((0,) * len(space.parameters))) == (
        (0,) * len(space.parameters)
    )


def test_layers_that_hand_on_are_chosen_each():
    with pytest.raises(ValueError, match="hand their input on must be chosen"):
        handing_on(operator=[0, 1], repeats=2, per="stage")


@pytest.mark.parametrize("wrong", [3, -1, True, "max", 1.5])
def test_layers_that_hand_on_know_what_they_may_be(wrong):
    with pytest.raises(ValueError, match=f"`operator` must .*: {wrong!r}"):
        handing_on(operator=wrong)


@pytest.mark.parametrize("name", configuration.names("spaces"))
def test_stages_of_shipped_spaces_count_different_runs(name):
    space = shipped(name)
    for part in space.stages:
        counts = [len(p.choices) for p in part.parameters]
        if np.prod(counts) <= 2000:
            found = {part.canonical(genes) for genes in every_genome(counts)}
            assert part.count() == len(found)


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
        space = shipped(name)
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
        assert deepest <= space.padded_layers(deepest)


def test_sizes_of_the_shipped_spaces():
    counts = {
        name: shipped(name).count() for name in configuration.names("spaces")
    }
    assert counts["mobilenet_v2"] == 3 * 6**16
    assert counts["efficientnet_b0"] == 3 * 6**15
    assert counts["evolved"] > 1e17
    # Four operators with ten factors, runs of which skips make shorter.
    runs = [sum(40**depth for depth in range(1, most + 1)) for most in (4, 8)]
    assert counts["hsconas"] == runs[0] ** 3 * runs[1]
    assert counts["digits"] > 5e7


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
        ({"stem": None}, "stem must be a mapping"),
        ({"stem": "x"}, "stem must be a mapping"),
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
        ({"block": [["conv_bn"]]}, "Unknown block"),
        ({"block": {"a": 1}}, "Unknown block"),
        ({"block": "conv_bm"}, "Did you mean 'conv_bn'"),
        ({"kernel": 3}, "Did you mean 'kernel_size'"),
        ({"kernel_size": []}, "list of different values"),
        ({"kernel_size": [3, 3]}, "list of different values"),
        ({"kernel_size": [3, {"a": 1}]}, "must be a number"),
        ({"kernel_size": 2.5}, "must be a whole number"),
        ({"kernel_size": [[10, 4]]}, r"columns such as 10x4.*\[10, 4\]"),
        ({"kernel_size": "10x"}, "columns such as 10x4"),
        ({"kernel_size": "3x4x5"}, "columns such as 10x4"),
        ({"kernel_size": "40x4"}, "in 1 to 31. Received: 40"),
        ({"kernel_size": [3, "3x3"]}, "list of different values"),
        ({"activation": "relu7"}, "Did you mean 'relu'"),
        ({"groups": [1, 3]}, "groups in test, stage1 must divide"),
        ({"block": ["inverted_residual", "skip"]}, "chosen per block"),
        ({"per": "network"}, "Unknown per"),
        ({"skip": {"a": 1}}, "Unknown skip in test"),
    ],
)
def test_bad_stages_say_what_is_wrong(keys, message):
    with pytest.raises(ValueError, match=message):
        stage(**keys)


def test_kernels_may_be_rectangles():
    """Choices are of one type, and blocks get rows and columns."""
    space = stage(kernel_size=[3, "10x4"], expansion=2)
    check_count(space)
    (kernel,) = (p for p in space.parameters if p.name.endswith("kernel_size"))
    assert kernel.choices == ("3x3", "10x4")
    squares = stage(kernel_size=[3, "5x5"]).stages[1].keys["kernel_size"]
    assert squares == ((3, 5), True)
    row = kernels("10x4").decode(()).layers()[1]
    assert (row.k_h, row.k_w, row.params) == (10, 4, 16 * (10 * 4 * 8 + 1))
    assert kernels([3, "10x4"]).encode(kernels("10x4").decode(())) == (1,)
    assert kernels(["10x4", 3]).encode(kernels(3).decode(())) == (1,)
    with pytest.raises(ValueError, match="stage1 the space does not offer"):
        kernels([3, 5]).encode(kernels("10x4").decode(()))


def kernels(kernel_size):
    """Networks of one convolution after the stem."""
    one = {"block": "conv_bn", "filters": 16, "kernel_size": kernel_size}
    return template(stages=[one])


def test_groups_must_divide_only_the_channels_they_meet():
    # Of 48 * 8 expanded channels; the 80 it ends in are not grouped.
    keys = {"block": "fused_inverted_residual", "expansion": 8, "filters": 80}
    stem = {"filters": 48}
    single = template(stem=stem, stages=[keys | {"groups": [3, 6]}])
    assert single.count() == 2
    rows = single.decode((1,)).layers()
    assert [row.groups for row in rows if row.op == "conv2d"] == [1, 6, 1]
    with pytest.raises(ValueError, match=r"in_c=80.*expand"):
        template(stem=stem, stages=[keys | {"groups": 6, "repeats": 2}])


def test_options_that_a_block_lacks_make_no_difference():
    """Of five operators only three have a kernel, and one has no factor."""
    space = stage(
        block=["shuffle_v2", "xception", "skip"],
        kernel_size=[3, 5, 7],
        expansion=[0.5, 1],
        repeats=2,
        per="block",
    )
    check_count(space)
    assert space.count() == 8 + 8**2


def test_blocks_must_take_the_channels_they_meet():
    with pytest.raises(ValueError, match=r"stage1 must fit .* 15 channels"):
        stage(block="shuffle_v2", filters=15, expansion=1)


def test_names_may_have_dots():
    assert Template(BASE, "some_dm1.5").name == "some_dm1.5"
    assert Template(BASE, "folder/my_net.yaml").name == "my_net"


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
