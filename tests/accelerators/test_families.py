import csv
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import families, presets
from tf_cosearch.accelerators.dram import Dram
from tf_cosearch.accelerators.families.edge_tpu import FAMILY, EdgeTpu
from tf_cosearch.accelerators.families.ethos_u import blocks
from tf_cosearch.accelerators.family import (
    Accelerator,
    Family,
    OnChip,
    Room,
)
from tf_cosearch.accelerators.host_link import HostLink
from tf_cosearch.accelerators.process import Process
from tf_cosearch.accelerators.runtime import Runtime
from tf_cosearch.cost.calibrate import family_evidence
from tf_cosearch.cost.costs import energy_parts
from tf_cosearch.cost.explain import complexity, summary
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.importers import layers_csv
from tf_cosearch.networks.loops import loops_of
from tf_cosearch.networks.workload import Layer, LayerTable, pad
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.testing import FamilySuite

pytestmark = pytest.mark.xdist_group("cost")  # which traces the same graphs


class TestEdgeTpu(FamilySuite):
    name = "edge_tpu"
    slack = 0.02  # halves of arrays are no mapping of their own


class TestEthosU(FamilySuite):
    name = "ethos_u"


class TestEthosU85(FamilySuite):
    name = "ethos_u85"
    keeps_batches = False  # 384 KiB


class TestSystolic(FamilySuite):
    name = "systolic"
    may_slow = ("array/rows", "array/columns")  # data pass all of the array
    keeps_batches = False  # 192 KiB


def test_every_family_passes_its_suite():
    suites = {suite.name for suite in FamilySuite.__subclasses__()}
    assert suites == set(families.names())


def test_unknown_families_are_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'gpu'.*Known: edge_tpu, .*systolic"):
        accelerators.default("gpu")
    with pytest.raises(ValueError, match=r"family in .*: 'gpu'.*systolic"):
        SearchSpace.load("digits", accelerator={"family": "gpu"})
    with pytest.raises(TypeError, match=r"edge_tpu, .*Received: float"):
        families.of(1.0)
    with pytest.raises(
        ValueError, match=r"Received: 'tpu', where .*'edge_tpu'"
    ):
        families.register("tpu", FAMILY)


def test_a_space_may_be_of_another_family():
    chosen = {"family": "systolic", "array/rows": [8, 16], "array/columns": 8}
    space = SearchSpace.load("digits", accelerator=chosen)
    names = {parameter.name for parameter in space.parameters}
    assert space.family == "systolic"
    assert "array/rows" in names
    assert "pe_array/rows" not in names
    genomes = space.sample(np.random.default_rng(0), 5)
    table, chips = space.batch(genomes)
    assert (estimate(table, chips).latency_ms.numpy() > 0).all()
    assert space.decode(genomes[0]).accelerator.array.columns == 8
    usual = SearchSpace.load("digits")
    assert usual.fingerprint != space.fingerprint
    with pytest.raises(ValueError, match=r"family, systolic.*Received: .*edge"):
        space.encode_accelerator(EdgeTpu())
    with pytest.raises(ValueError, match=r"of systolic .*: 'pe_array/rows'"):
        SearchSpace.load("digits", accelerator={**chosen, "pe_array/rows": 2})


def test_the_best_accelerator_of_a_family_is_known():
    conv = Layer("conv", "conv2d", 28, 28, 64, 28, 28, 64, 3, 3)
    choices = {
        "array/rows": [8, 32, 64],
        "array/columns": [8, 64],
        "array/dataflow": ["weight_stationary", "output_stationary"],
        "scratchpad/capacity_kib": [256],
        "dram/bandwidth_gbs": [20],
    }
    best = best_accelerators(
        [conv], Budgets(), 1, choices=choices, family="systolic"
    )[0]
    chip = best.accelerator
    assert families.name_of(chip) == "systolic"
    assert (chip.array.rows, chip.array.columns) == (64, 64)
    alone = estimate(pad([[conv]]), chip)
    np.testing.assert_allclose(best.goal, alone.latency_ms, rtol=1e-5)


def simulated():
    path = configuration.shipped("measurements", "systolic_layers.csv")
    layers = layers_csv.read_layers_csv(path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    kinds = accelerators.parameters("systolic")["array/dataflow"].words
    chips = accelerators.from_paths(
        {
            "array/rows": np.float32([row["array/rows"] for row in rows]),
            "array/columns": np.float32([row["array/columns"] for row in rows]),
            "array/dataflow": np.float32(
                [kinds.index(row["array/dataflow"]) for row in rows]
            ),
        },
        "systolic",
    )
    return layers, chips, np.int64([int(row["cycles"]) for row in rows])


def compute_cycles(layers, chips):
    cost = estimate(pad([[layer] for layer in layers]), chips, per_layer=True)
    return np.rint(cost.layers.busy_cycles[0].numpy()[:, 0]).astype(int)


def test_systolic_arrays_take_the_cycles_of_scale_sim():
    layers, chips, cycles = simulated()
    assert len(cycles) >= 300
    np.testing.assert_array_equal(compute_cycles(layers, chips), cycles)


def closed_form(dataflow, r, c, m, k, n):
    """Cycles of a matrix product; the formulas by hand."""
    up = lambda a, b: -(-a // b)  # noqa: E731
    if dataflow == 1:
        return up(m, r) * up(n, c) * (r + c + k - 2) - 1
    across, streamed = (n, m) if dataflow == 0 else (m, n)
    return up(k, r) * up(across, c) * (2 * r + c + streamed - 2) - 1


def test_groups_are_products_one_after_another():
    rng = np.random.default_rng(0)
    layers, rows, columns, flows, cycles = [], [], [], [], []
    for _ in range(300):
        groups = int(rng.choice([1, 2, 6, 24]))
        each_in, each_out = rng.integers(1, 20, 2).tolist()
        size, kernel = int(rng.integers(1, 20)), int(rng.choice([1, 3, 5]))
        if groups == 24:
            each_in = each_out = 1
        rows.append(rng.choice([4, 8, 32]))
        columns.append(rng.choice([3, 16, 128]))
        flows.append(rng.integers(3))
        layers.append(
            Layer(
                "x",
                "depthwise_conv2d" if each_in == 1 < groups else "conv2d",
                size,
                size + 1,
                each_out * groups,
                size,
                size + 1,
                each_in * groups,
                kernel,
                kernel,
                groups=groups,
            )
        )
        m, k = size * (size + 1), kernel**2 * each_in
        one = closed_form(flows[-1], rows[-1], columns[-1], m, k, each_out)
        cycles.append(groups * one)
    chips = accelerators.from_paths(
        {
            "array/rows": np.float32(rows),
            "array/columns": np.float32(columns),
            "array/dataflow": np.float32(flows),
        },
        "systolic",
    )
    np.testing.assert_array_equal(compute_cycles(layers, chips), cycles)


def test_a_softmax_takes_the_vector_lanes():
    """8 heads of 64 x 65 scores, on 32 columns of 1 and of 8 lanes."""
    softmax = Layer("softmax", "elementwise", 64, 65, 8, 64, 65, 8)
    product = Layer("scores", "matmul", 64, 1, 65, 64, 1, 32)
    chips = accelerators.from_paths(
        {"array/vector_lanes": np.float32([1, 8])}, "systolic"
    )
    assert compute_cycles([softmax] * 2, chips).tolist() == [1040, 130]
    assert len({*compute_cycles([product] * 2, chips).tolist()}) == 1


def test_weights_come_once_or_as_often_as_their_dataflow_says():
    """8 x 8 positions, 32 inputs, 24 channels on 16 rows and 8 columns."""
    conv = Layer("conv", "conv2d", 8, 8, 24, 8, 8, 32)
    chips = accelerators.from_paths(
        {
            "array/rows": 16,
            "array/columns": 8,
            "array/dataflow": np.float32([0, 1, 2]),
        },
        "systolic",
    )
    moved = estimate(pad([[conv]] * 3), chips, per_layer=True).layers.traffic
    by_hand = {
        "weight_bytes": 32 * 24 * np.asarray([1, 4, 8]),
        "input_bytes": 64 * 32 * np.asarray([3, 3, 1]),
        "spilled_bytes": 64 * 24 * 4 * np.asarray([1, 0, 1]),
        "output_bytes": 64 * 24 * np.asarray([1, 1, 1]),
        "register_bytes": 64 * 32 * 24 * np.asarray([5, 6, 5]),
    }
    for name, values in by_hand.items():
        np.testing.assert_allclose(getattr(moved, name)[:, 0], values)


def test_a_look_up_is_read_once_whatever_its_dataflow():
    looked_up = Layer(
        "table", "embedding", 8, 8, 16, 8, 8, 1, stored_elements=4096
    )
    chips = accelerators.from_paths(
        {"array/rows": 16, "array/dataflow": np.float32([0, 1, 2])}, "systolic"
    )
    cost = estimate(pad([[looked_up]] * 3), chips, per_layer=True)
    read = cost.layers.traffic.weight_bytes[:, 0].numpy()
    np.testing.assert_array_equal(read, [8 * 8 * 16] * 3)


def cycles_on_an_ethos_u(layer, batch_size=1, **values):
    chip = accelerators.from_paths(
        {f"mac_array/{name}": value for name, value in values.items()},
        "ethos_u",
    )
    chip = accelerators.replace(chip, {"system_sram/width_bytes": 64})
    columns = (tf.constant(f, tf.float32) for f in pad([[layer]]))
    layers = LayerTable(*columns).stack_images(batch_size)
    machine = tf.nest.map_structure(lambda f: tf.constant([[float(f)]]), chip)
    loops = loops_of(layers, batch_size)
    done = blocks.on_chip(layers, loops, machine, "latency", False)
    return float(done.cycles[0, 0])


def test_pieces_of_an_ethos_u_by_hand():
    """128 multipliers: pieces of 2 pixels and 8 channels, 0.5 cycles each."""
    # 24 x 12 pieces x 2 of channels, 2 steps of 32 inputs, 4 cycles each; the
    # last block has 2,048 outputs.
    conv = Layer("conv", "conv2d", 24, 24, 16, 24, 24, 64)
    assert cycles_on_an_ethos_u(conv) == 4 * 2 * 24 * 12 * 2 + 2048 / 2
    # 3 x 3 taps of 3 inputs are 3 steps of 4 taps, not 9 of 32 channels.
    image = Layer("image", "conv2d", 24, 24, 16, 48, 48, 3, 3, 3, 2, 2)
    assert cycles_on_an_ethos_u(image) == 4 * 3 * 24 * 12 * 2 + 2048 / 2
    # 2 x 2 pixels are one piece of 256 multipliers, which write an output in
    # half the time and have blocks of twice as many.
    assert (
        cycles_on_an_ethos_u(conv, macs=256) == 4 * 2 * 12 * 12 * 2 + 4096 / 4
    )
    # One pixel of 8 channels waits for its 256 weights, 8 a cycle.
    dense = Layer("dense", "dense", 1, 1, 64, 1, 1, 320)
    assert cycles_on_an_ethos_u(dense) == 8 * 10 * 32 + 64 / 2
    # What is written, not multiplied, is the limit: 96 outputs of 16 inputs.
    wide = Layer("wide", "conv2d", 24, 24, 96, 24, 24, 16)
    assert cycles_on_an_ethos_u(wide) == 24 * 24 * 96 / 2 + 2048 / 2


def test_vector_operations_of_an_ethos_u_by_hand():
    # 24 channels are summed as 32, an element in 3 x 0.5 cycles.
    add = Layer("add", "elementwise", 24, 24, 24, 24, 24, 24)
    assert cycles_on_an_ethos_u(add) == 24 * 24 * 32 * 1.5  # Vela says so, too
    # Of a mean of 9 taps 160 x 8 channels each wait for 3 sets of weights.
    mean = Layer("mean", "pool", 1, 1, 1280, 3, 3, 1280, 3, 3)
    assert cycles_on_an_ethos_u(mean) == 160 * 3 * 32 + 128 / 2
    # So do those of two images, worked on together; a sum is no mean.
    assert cycles_on_an_ethos_u(mean, 2) == 160 * 3 * 32 + 256 / 2
    add = Layer("add", "elementwise", 1, 1, 64, 1, 1, 64)
    assert cycles_on_an_ethos_u(add) == 64 * 1.5
    # A pooling of 9 taps takes 9 cycles a piece, of which there are 12 x 6 x 4;
    # of 4 taps less than its outputs take to be written.
    pool = Layer("pool", "pool", 12, 12, 32, 24, 24, 32, 3, 3, 2, 2)
    assert cycles_on_an_ethos_u(pool) == 12 * 6 * 4 * 9 + 2048 / 2
    pool = Layer("pool", "pool", 12, 12, 32, 24, 24, 32, 2, 2, 2, 2)
    assert cycles_on_an_ethos_u(pool) == 12 * 12 * 32 / 2 + 2048 / 2


def test_what_only_moves_data_costs_nothing_on_an_ethos_u():
    move = Layer("move", "data_movement", 8, 8, 16, 8, 8, 16)
    chip = accelerators.from_paths({}, "ethos_u")
    layers = estimate(pad([[move]]), chip, per_layer=True).layers
    assert not sum(float(field[0, 0]) for field in layers.traffic)


def test_scales_wait_for_the_dram_of_an_ethos_u65():
    """10 bytes a channel, 256 of which are asked for at a time."""
    conv = Layer("conv", "conv2d", 3, 3, 960, 3, 3, 32)
    slow = cycles_on_an_ethos_u(conv, macs=256, latency_cycles=500)
    assert slow == pytest.approx(960 * 10 / 256 * 500 + 9 * 128 / 4)
    assert cycles_on_an_ethos_u(conv, macs=256) < slow / 3


def test_groups_of_an_ethos_u_are_joined_by_an_operation():
    conv = Layer("conv", "conv2d", 24, 24, 32, 24, 24, 64, groups=2)
    half = Layer("half", "conv2d", 24, 24, 16, 24, 24, 32)
    joined = 2 * cycles_on_an_ethos_u(half) + 24 * 24 * 32
    assert cycles_on_an_ethos_u(conv) == joined


def bound_on_an_ethos_u(layer, **values):
    """What a layer waits for where neither SRAM nor flash is slow."""
    chip = accelerators.from_paths(
        {
            "system_sram/width_bytes": 64,
            "dram/bandwidth_gbs": 4096,
            **{f"mac_array/{name}": value for name, value in values.items()},
        },
        "ethos_u",
    )
    row = summary.summarize([layer], chip)["layers"][0]
    assert (
        complexity.roofline([layer], chip)["layers"][0]["bound"]
        == (row["bound"])
    )
    return row["bound"], row["busy_cycles"]


def test_what_limits_layers_of_an_ethos_u():
    conv = Layer("conv", "conv2d", 24, 24, 16, 24, 24, 64)
    bound, busy = bound_on_an_ethos_u(conv)
    assert (bound, busy["compute"]) == ("compute", 4 * 2 * 24 * 12 * 2)
    # A pixel alone waits for its weights, 8 of which are decoded a cycle; of
    # few inputs the many outputs, 2 of which are written a cycle.
    dense = Layer("dense", "dense", 1, 1, 64, 1, 1, 320)
    bound, busy = bound_on_an_ethos_u(dense)
    assert (bound, busy["weight_decoder"]) == ("weight_decoder", 320 * 64 / 8)
    wide = Layer("wide", "conv2d", 24, 24, 96, 24, 24, 16)
    bound, busy = bound_on_an_ethos_u(wide)
    assert (bound, busy["output_unit"]) == ("output_unit", 24 * 24 * 96 / 2)
    # Scales come with the weights, 10 bytes a channel.
    few = Layer("few", "conv2d", 3, 3, 960, 3, 3, 32)
    bound, busy = bound_on_an_ethos_u(few, macs=256, latency_cycles=500)
    assert bound == "weight_decoder"
    assert busy["weight_decoder"] == 960 * 10 / 256 * 500


def test_weights_of_an_ethos_u_are_read_from_sram_for_every_block():
    """Of 4,096 pixels and 16 channels 128 are a block, so 32 are read."""
    chip = accelerators.from_paths({}, "ethos_u")
    conv = Layer("conv", "conv2d", 64, 64, 16, 64, 64, 32, use_bias=False)
    cost = estimate(pad([[conv]]), chip, per_layer=True)
    sram = chip.system_sram.sram(chip.process.node_nm)
    read = 32 * 32 * 16 + 64 * 64 * 32
    written = 64 * 64 * 16 + 32 * 16  # outputs, and weights that flash sends
    by_hand = read * sram.read_pj() + written * sram.write_pj()
    at = energy_parts(chip).index("system_sram")
    assert float(cost.energy_parts_mj[at][0]) * 1e9 == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("family", "macs"),
    [
        ("ethos_u", 100),
        ("ethos_u", 1024),
        ("ethos_u", 31),
        ("ethos_u85", 64),
        ("ethos_u85", 384),
        ("ethos_u85", 4096),
    ],
)
def test_only_ethos_u_that_exist_are_priced(family, macs, tmp_path):
    path = tmp_path / "chip.yaml"
    path.write_text(f"family: {family}\nmac_array: {{macs: {macs}}}\n")
    with pytest.raises(ValueError, match=r"mac_array/macs in .* must "):
        presets.load_accelerator(path)
    chip = accelerators.from_paths({"mac_array/macs": macs}, family)
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8)
    with pytest.raises(ValueError, match=r"one of \[.*, 512.*Received: "):
        estimate(pad([[conv]]), chip)
    with pytest.raises(ValueError, match="mac_array/macs"):
        SearchSpace.load(
            "digits",
            accelerator={"family": family, "mac_array/macs": [256, macs]},
        )


@pytest.fixture(scope="module")
def evidence(families):
    return [comparison.summary() for comparison in families]


def test_ethos_u_agrees_with_vela(evidence):
    held_out = [
        said
        for said in evidence
        if said["family"] == "ethos_u" and said["role"] != family_evidence.SEEN
    ]
    assert len(held_out) == 6  # presets
    for said in held_out:
        assert said["rows"] == 17
        assert said["median_error"] < 0.06, said
        assert said["kendall_tau"] > 0.98, said


class Toy(NamedTuple):
    """A machine of one multiplier that keeps nothing."""

    dram: Dram = Dram()
    host_link: HostLink = HostLink()
    process: Process = Process(clock_ghz=1)
    runtime: Runtime = Runtime()

    macs_per_cycle = pes = port_bytes = area_mm2 = lambda self: 1.0
    leakage_mw = register_bytes = lambda self: 0.0
    write_pj = pipeline_cycles = lambda self: 0.0
    operand_cycles = repeat_cycles = lambda self, moved: 0.0 * moved

    def missing_register_bytes(self):
        return 0.0 * self.process.clock_ghz

    def room(self):
        return Room(1e6, 0.0, 0.0, self.dram.onload_share)


def toy_layers(layers, loops, machine, objective, per_layer):
    cycles = layers.macs() / machine.runtime.compute_share
    energy = 0.0 * cycles
    parts = (cycles,), (energy,), None
    return (
        OnChip(cycles, energy, energy, *parts)
        if per_layer
        else OnChip(cycles, energy)
    )


def test_a_family_of_your_own_needs_nothing_but_itself(monkeypatch, tmp_path):
    """It is registered, saved, searched exactly and priced as it says."""
    monkeypatch.setattr(families, "_FAMILIES", dict(families._FAMILIES))
    families.register(
        "toy",
        Family(
            accelerator=Toy,
            on_chip=toy_layers,
            describe=lambda mapping, tile=None: "one by one",
            memory="compute",
            memory_noun="memory",
            bounds=("compute",),
            energy_parts=("compute",),
            relief={"dram": ("dram/bandwidth_gbs",)},
            array={},
            shape=(),
            depthwise_words=lambda chip: "",
        ),
    )
    path = tmp_path / "chip.yaml"
    path.write_text("family: toy\ndram: {bandwidth_gbs: 5}\n")
    chip = presets.load_accelerator(path)
    assert chip == Toy(dram=Dram(bandwidth_gbs=5))
    # 64 positions, 32 to 64 channels: so many products, a cycle each; 2 KiB of
    # weights and 256 bytes of biases, inputs and outputs pass 5 bytes a cycle.
    conv = Layer("conv", "conv2d", 8, 8, 64, 8, 8, 32)
    cost = estimate(pad([[conv]]), chip)
    assert float(cost.dram_bytes[0]) == 64 * (32 + 64) + 32 * 64 + 4 * 64
    assert float(cost.latency_ms[0]) >= 64 * 32 * 64 / 1e6
    best = best_accelerators([conv], Budgets(), 1, family="toy")[0]
    assert families.name_of(best.accelerator) == "toy"
    assert best.accelerator.dram.bandwidth_gbs == 25
    space = SearchSpace.load("digits", accelerator={"family": "toy"})
    assert space.num_accelerators == 5


def test_accelerators_are_what_pricing_asks():
    asked = [name for name in vars(Accelerator) if not name.startswith("_")]
    for name in families.names():
        chip = accelerators.default(name)
        assert all(hasattr(chip, each) for each in asked)
