import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_cosearch import accelerators
from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu, mapping
from tf_cosearch.accelerators.families.edge_tpu.traffic import Traffic
from tf_cosearch.cost import kernels, model
from tf_cosearch.cost.explain import summary
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.workload import Layer, LayerTable, pad
from tf_cosearch.search.space import SearchSpace


def tiny_chip(**pe_array):
    """One PE, one lane, two SIMD units; ample memory and bandwidth."""
    array = {"columns": 1, "rows": 1, "lanes": 1, "simd_units": 2, **pe_array}
    values = {f"pe_array/{name}": value for name, value in array.items()}
    return accelerators.from_paths({**values, "dram/bandwidth_gbs": 1000})


def compute_cycles(layer, chip):
    cost = estimate(pad([[layer]]), chip, per_layer=True)
    return float(cost.layers.busy_cycles[0][0, 0])


# Hand-worked: positions x taps x ceil(channels / units) x ceil(dot / 4).
HAND_WORKED = [
    # 64 positions, 9 taps, 16 channels on 2 units, 8 products in 2 steps.
    (Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, 3, 3), 64 * 9 * 8 * 2),
    # Three input channels still take a whole step of the 4-way unit.
    (Layer("rgb", "conv2d", 8, 8, 16, 8, 8, 3, 3, 3), 64 * 9 * 8 * 1),
    # Depthwise: one product a step, a quarter of the unit.
    (
        Layer("dw", "depthwise_conv2d", 8, 8, 16, 8, 8, 16, 3, 3, groups=16),
        64 * 9 * 8,
    ),
    # Two groups of 8 input channels: half the products of the full one.
    (
        Layer("group", "conv2d", 8, 8, 16, 8, 8, 16, 3, 3, groups=2),
        64 * 9 * 8 * 2,
    ),
    # 10 classes on 2 units, 64 products in 16 steps.
    (Layer("dense", "dense", 1, 1, 10, 1, 1, 64), 5 * 16),
    # A single channel leaves a unit idle; 3 columns on units take 2 steps.
    (Layer("odd", "conv2d", 3, 3, 1, 3, 3, 32), 3 * 2 * 8),
    # Pooling: a vector operation a tap and channel.
    (Layer("pool", "pool", 1, 1, 16, 8, 8, 16, 8, 8, groups=16), 64 * 8),
    # An addition: one operation an element on 2 units.
    (
        Layer("add", "elementwise", 8, 8, 16, 8, 8, 16, side_elements=1024),
        64 * 8,
    ),
]


@pytest.mark.parametrize(
    ("layer", "expected"), HAND_WORKED, ids=lambda v: getattr(v, "name", "")
)
def test_compute_cycles_of_hand_worked_layers(layer, expected):
    assert compute_cycles(layer, tiny_chip()) == expected


def test_weights_that_fit_stay_and_others_stream():
    dense = Layer("dense", "dense", 1, 1, 1024, 1, 1, 1024, use_bias=False)
    fits = estimate(pad([[dense]]), tiny_chip())
    assert fits.dram_bytes.numpy() == [1024 + 1024]
    assert fits.weight_residency.numpy() == [1.0]
    small = accelerators.from_paths(
        {
            **accelerators.to_paths(tiny_chip()),
            "pe_memory/capacity_mib": 0.25,
        }
    )
    cost = estimate(pad([[dense]]), small)
    resident = (256 * 1024 - 2048) / 1024**2
    assert cost.weight_residency.numpy() == pytest.approx([resident])
    streamed = 1024**2 * (1 - resident)
    assert cost.dram_bytes.numpy() == pytest.approx([streamed + 2048])


def test_activations_beyond_the_memory_spill():
    image = Layer("conv", "conv2d", 512, 512, 4, 512, 512, 4, held_elements=0)
    chip = accelerators.from_paths(
        {
            **accelerators.to_paths(tiny_chip()),
            "pe_memory/capacity_mib": 1,
        }
    )
    cost = estimate(pad([[image]]), chip)
    # Image and answer pass the interface anyway; only weights come beside.
    tensor = 512 * 512 * 4
    weights = 4 * 4 + 4 * 4
    assert cost.dram_bytes.numpy() == [2 * tensor + weights]
    inner = estimate(pad([[image] * 3]), chip, per_layer=True)
    spilled = 2 * tensor - 1024**2
    assert inner.layers.dram_bytes.numpy()[0, 1] == spilled + weights


def test_dram_bound_latency_follows_bandwidth():
    dense = Layer("dense", "dense", 1, 1, 4096, 1, 1, 4096)
    chip = accelerators.from_paths(
        {
            "pe_memory/capacity_mib": 0.001,
            "dram/bandwidth_gbs": 5,
        }
    )
    cost = estimate(pad([[dense]]), chip)
    seconds = cost.dram_bytes.numpy()[0] / 5e9
    fill = 8 + 2 * 4096 / 64  # the pipeline, one window and its weights
    expected = seconds * 1e3 + fill / 0.8e6
    assert cost.latency_ms.numpy()[0] == pytest.approx(expected, rel=1e-6)


layers = st.builds(
    lambda op, h, w, groups, per_group, mult, k, s, bits, held: Layer(
        "layer",
        op,
        -(-h // s),
        -(-w // s),
        groups * mult,
        h,
        w,
        groups * (1 if op == "depthwise_conv2d" else per_group),
        k,
        k,
        s,
        s,
        groups,
        weight_bits=bits,
        activation_bits=bits,
        held_elements=held,
    ),
    st.sampled_from(["conv2d", "depthwise_conv2d", "dense", "matmul"]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from([1, 1, 2, 8, 32]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2]),
    st.sampled_from([2, 4, 8, 16]),
    st.sampled_from([0, 0, 1000, 10**6]),
) | st.builds(
    lambda op, h, c, k, side: Layer(
        "vector",
        op,
        h,
        h,
        c,
        h * k,
        h * k,
        c,
        k,
        k,
        k,
        k,
        c,
        side_elements=side,
    ),
    st.sampled_from(["pool", "elementwise", "data_movement"]),
    st.integers(1, 32),
    st.integers(1, 300),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([0, 5000]),
)
networks = st.lists(layers, min_size=1, max_size=6)
chips = st.fixed_dictionaries(
    {
        path: st.sampled_from(held.choices)
        for path, held in accelerators.parameters().items()
        if held.choices
    }
).map(accelerators.from_paths)


@pytest.fixture(scope="module")
def batch():
    space = SearchSpace.load("evolved")
    genomes = space.sample(np.random.default_rng(0), 64)
    return space, genomes, space.batch(genomes)


def flat(cost):
    return [
        np.asarray(x)
        for x in tf.nest.flatten(cost._replace(layers=None))
        if x is not None
    ]


def test_batch_equals_singles(batch):
    space, genomes, (table, chips) = batch
    together = flat(estimate(table, chips))
    for row in range(0, 64, 9):
        alone = flat(estimate(*space.batch(genomes[[row]])))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[row], rtol=1e-6)


def test_padding_changes_nothing(batch):
    space, genomes, (_, chips) = batch
    networks = [space.decode(g).network.layers() for g in genomes]
    short = flat(estimate(pad(networks), chips))
    long = flat(estimate(pad(networks, 200), chips))
    for one, other in zip(short, long, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_permuting_candidates_permutes_costs(batch):
    space, genomes, (table, chips) = batch
    order = np.random.default_rng(1).permutation(64)
    costs = flat(estimate(table, chips))
    for one, other in zip(
        costs, flat(estimate(*space.batch(genomes[order]))), strict=True
    ):
        np.testing.assert_allclose(one[order], other, rtol=1e-6)


@pytest.mark.parametrize(
    "path",
    [p for p, held in accelerators.parameters().items() if held.choices],
)
def test_more_hardware_is_never_slower(batch, path):
    _, _, (table, chips) = batch
    values = accelerators.to_paths(chips)
    before = area_before = None
    for choice in accelerators.parameters()[path].choices:
        values[path] = np.full(64, choice, np.float32)
        cost = estimate(table, accelerators.from_paths(values))
        latency = cost.latency_ms.numpy()
        if before is not None:
            assert (latency <= before * (1 + 1e-6)).all()
            assert (cost.area_mm2.numpy() >= area_before).all()
        before, area_before = latency, cost.area_mm2.numpy()


@pytest.mark.parametrize("bits", [(8, 8), (4, 8), (4, 4)])
def test_never_faster_than_the_peak_and_never_less_than_compulsory(batch, bits):
    _, _, (table, chips) = batch
    shape = tf.shape(table.weight_bits)
    table = table._replace(
        weight_bits=tf.fill(shape, np.float32(bits[0])),
        activation_bits=tf.fill(shape, np.float32(bits[1])),
    )
    chips = chips._replace(
        pe_array=chips.pe_array._replace(
            int4_products=np.resize(np.float32([1, 2, 4]), len(table.out_h))
        )
    )
    cost = estimate(table, chips, per_layer=True)
    assert (cost.utilization.numpy() <= 1 + 1e-6).all()
    by_layer = cost.layers.utilization.numpy()
    assert (by_layer <= 1 + 1e-6).all()
    # The network's is the mean over time of those of its layers.
    spent = cost.layers.cycles.numpy()
    cycles = cost.latency_ms.numpy() * chips.process.clock_ghz * 1e6
    mean = (by_layer * spent).sum(1) / cycles
    np.testing.assert_allclose(cost.utilization, mean, rtol=1e-4)
    first_in = (table.in_h * table.in_w * table.in_c)[:, 0].numpy()
    assert (cost.dram_bytes.numpy() >= first_in * bits[1] / 8).all()
    busy = np.max([b.numpy() for b in cost.layers.busy_cycles], axis=0)
    assert (cost.layers.cycles.numpy() >= busy * (1 - 1e-6)).all()
    together = busy + cost.layers.fixed_cycles.numpy()
    assert (cost.layers.cycles.numpy() <= together * (1 + 1e-6)).all()


def test_fewer_bits_never_cost_more(batch):
    _, _, (table, chips) = batch
    count = len(table.out_h)
    chips = chips._replace(
        pe_array=chips.pe_array._replace(
            int4_products=np.resize(np.float32([1, 2, 4]), count)
        )
    )
    before = None
    for bits in (16.0, 8.0, 4.0, 2.0):
        narrow = table._replace(
            weight_bits=tf.fill(tf.shape(table.weight_bits), bits),
            activation_bits=tf.fill(tf.shape(table.weight_bits), bits),
        )
        cost = estimate(narrow, chips)
        if before is not None:
            for name in ("latency_ms", "energy_mj", "dram_bytes"):
                now, then = (getattr(c, name).numpy() for c in (cost, before))
                assert (now <= then * (1 + 1e-6)).all(), name
        before = cost


def test_narrow_products_are_faster_by_as_much_as_fits():
    """64 channels of 4 bits in 16, 8 or 4 dot products a tap, by hand."""
    chip = EdgeTpu()
    times = {}
    for weights, activations in ((8, 8), (4, 8), (8, 4), (4, 4), (4, 16)):
        layer = Layer(
            *("conv", "conv2d", 8, 8, 1024, 8, 8, 64, 3, 3),
            weight_bits=weights,
            activation_bits=activations,
        )
        for products in (1, 2, 4):
            array = chip.pe_array._replace(int4_products=products)
            cost = estimate(
                pad([[layer]]), chip._replace(pe_array=array), per_layer=True
            )
            compute = cost.layers.busy_cycles[0].numpy()[0, 0]
            times[weights, activations, products] = compute
    whole = times[8, 8, 1]
    assert whole == 64 * 1024 * 9 * 64 / 16384
    faster = {bits: whole / time for bits, time in times.items()}
    assert faster == {
        **{(8, 8, products): 1 for products in (1, 2, 4)},
        (4, 8, 1): 1,
        (4, 8, 2): 2,
        (4, 8, 4): 2,
        (8, 4, 1): 1,
        (8, 4, 2): 1,
        (8, 4, 4): 2,
        (4, 4, 1): 1,
        (4, 4, 2): 2,
        (4, 4, 4): 4,
        # Factors of 16 bits take two steps, as they do without.
        (4, 16, 1): 0.5,
        (4, 16, 2): 1,
        (4, 16, 4): 1,
    }


def test_more_products_are_never_slower_and_take_area(batch):
    _, _, (table, chips) = batch
    narrow = table._replace(weight_bits=tf.fill(tf.shape(table.out_h), 4.0))
    costs = [
        estimate(
            narrow,
            chips._replace(
                pe_array=chips.pe_array._replace(int4_products=products)
            ),
        )
        for products in (1.0, 2.0, 4.0)
    ]
    for less, more in itertools.pairwise(costs):
        slower = more.latency_ms.numpy() / less.latency_ms.numpy()
        assert (slower <= 1 + 1e-6).all()
        assert (more.area_mm2.numpy() > less.area_mm2.numpy()).all()
    assert (costs[1].latency_ms.numpy() < costs[0].latency_ms.numpy()).any()


def test_one_trace_serves_every_batch(batch, monkeypatch):
    """Of the graph for small batches, and of the compiled code for large."""
    space, genomes, _ = batch
    traces = []

    def price(layers, accelerator, images):
        traces.append(layers.out_h.shape)
        macs = tf.reduce_sum(layers.macs(), -1)
        return [macs * images / accelerator.pe_array.macs_per_cycle()]

    for count in (1, 7, 64):
        table = space.batch(genomes[:count])
        kernels.run_graph(price, *table, 1)
        kernels.run_graph(price, pad([HAND_WORKED[0][:1]]), EdgeTpu(), 2)
        kernels.run_compiled(price, *table, 1)
    assert len(traces) == 2


@pytest.mark.slow
def test_compiled_code_and_graph_agree(batch):
    """Chunks with and without rest, layers padded to whole vectors or not."""
    space, _, _ = batch
    genomes = space.sample(np.random.default_rng(5), kernels.CHUNK + 300)
    table, chips = space.batch(genomes)
    together = flat(estimate(table, chips))
    for rows in (slice(0, 40), slice(kernels.CHUNK - 20, kernels.CHUNK + 20)):
        alone = flat(estimate(*space.batch(genomes[rows])))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, all_[rows], rtol=2e-6)


@pytest.mark.parametrize(
    ("kind", "depth"), [("tensors", 8), ("arrays", 13), ("slices", 8)]
)
def test_compiled_code_reads_any_table(kind, depth):
    """Whole vectors of layers or not, shared with their owner or copied."""
    conv = HAND_WORKED[0][0]
    table = pad([[conv] * 5] * 601, depth)
    if kind != "tensors":
        table = LayerTable(*(field.numpy().copy() for field in table))
    if kind == "slices":
        table = LayerTable(*(field[1:] for field in table))
    cost = estimate(table, EdgeTpu())
    alone = estimate(pad([[conv] * 5]), EdgeTpu())
    expected = float(alone.latency_ms[0])
    np.testing.assert_allclose(cost.latency_ms, expected, rtol=1e-6)


def test_compiled_code_reads_small_integers(batch):
    """As numbers, whatever it makes of them."""

    def price(layers, accelerator, images):
        sums = [tf.reduce_sum(f, -1) for f in layers if tf.is_tensor(f)]
        return [*sums, accelerator.pe_array.pes() * images]

    _, _, (table, chips) = batch
    many = [np.repeat(np.asarray(field), 5, 0) for field in table]
    hardware = {
        path: np.repeat(np.asarray(value), 5)
        for path, value in accelerators.to_paths(chips).items()
        if np.ndim(value)
    }
    chips = accelerators.from_paths(hardware)
    narrow = LayerTable(
        *(f.astype(np.uint16 if f.max() < 2**16 else np.int32) for f in many)
    )
    costs, expected = (
        kernels.run_compiled(price, table, chips, 3)
        for table in (narrow, LayerTable(*many))
    )
    assert len(costs) > 20
    for one, other in zip(costs, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_must_match():
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8)
    chips = accelerators.from_paths({"pe_array/rows": np.ones(3, np.float32)})
    with pytest.raises(
        ValueError, match="2 networks and pe_array/rows of shape"
    ):
        estimate(pad([[conv], [conv]]), chips)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_parameters_must_be_positive_and_finite(value):
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8)
    chip = accelerators.from_paths({"dram/bandwidth_gbs": value})
    with pytest.raises(ValueError, match="dram/bandwidth_gbs must be positive"):
        estimate(pad([[conv]]), chip)


def test_fused_blocks_beat_depthwise_ones_where_arithmetic_is_free():
    """The reason for fused blocks: depthwise leaves the reduction idle."""
    expand = Layer("e", "conv2d", 56, 56, 192, 56, 56, 32)
    depthwise = Layer(
        "d", "depthwise_conv2d", 56, 56, 192, 56, 56, 192, 3, 3, groups=192
    )
    fused = Layer("f", "conv2d", 56, 56, 192, 56, 56, 32, 3, 3)
    chip = presets.load_accelerator("edge_tpu")
    cost = estimate(pad([[expand, depthwise], [fused]]), chip)
    macs, utilization = cost.macs.numpy(), cost.utilization.numpy()
    assert macs[1] > 6 * macs[0]
    assert utilization[1] > 2 * utilization[0]


def test_every_mapping_has_words_of_its_own():
    words = [mapping.describe(m) for m in range(len(mapping.MAPPINGS))]
    assert len(set(words)) == len(mapping.MAPPINGS) >= 16


searched = [p for p, held in accelerators.parameters().items() if held.choices]
more_is_faster = [
    path
    for path in searched
    if path not in ("pe_array/lanes", "pe_array/simd_units")
] + ["pe_memory/width_bytes", "interconnect/width_bytes"]


@settings(max_examples=60, deadline=None)
@given(networks, chips, st.sampled_from(more_is_faster), st.data())
def test_more_pes_bandwidth_or_memory_never_hurt(network, chip, path, data):
    held = accelerators.parameters()[path]
    choices = held.choices or (1, 7, 64, 256, 1000)
    values = accelerators.to_paths(chip)
    less, more = sorted(
        data.draw(st.lists(st.sampled_from(choices), min_size=2, max_size=2))
    )
    both = accelerators.from_paths(
        {**values, path: np.asarray([less, more], np.float32)}
    )
    latency = estimate(pad([network] * 2, 8), both).latency_ms.numpy()
    assert latency[1] <= latency[0] * (1 + 1e-6)


@settings(max_examples=30, deadline=None)
@given(networks, chips, st.sampled_from(model.OBJECTIVES), st.integers(1, 4))
def test_bounds_hold_for_any_network(network, chip, objective, images):
    """Peak and compulsory traffic bound it; fewer bits cost no more."""
    table = pad([network], 8)
    cost = estimate(table, chip, True, objective, images)
    rows = cost.layers
    count = len(network)
    peak = chip.pe_array.macs_per_cycle()
    cycles = rows.cycles.numpy()[0, :count]
    assert (cycles * peak * (1 + 1e-6) >= rows.macs.numpy()[0, :count]).all()
    busy = np.max([b.numpy()[0, :count] for b in rows.busy_cycles], axis=0)
    assert (cycles >= busy * (1 - 1e-6)).all()
    for row, layer in enumerate(network):
        fields = [float(field[0, row]) for field in rows.traffic]
        moved = Traffic(*fields)
        outputs = images * layer.pixels * layer.out_c
        assert moved.output_bytes >= outputs * layer.activation_bits / 8
        bits = layer.weight_bits
        if layer.op == "matmul":
            bits = layer.activation_bits
        assert moved.weight_bytes >= layer.operand_elements * bits / 8
        least = images * layer.touched_elements * layer.activation_bits / 8
        assert moved.input_bytes >= least * (1 - 1e-6) or layer.op == "pool"
    if objective == "latency":
        narrow = table._replace(
            weight_bits=tf.minimum(table.weight_bits, 4.0),
            activation_bits=tf.minimum(table.activation_bits, 4.0),
        )
        less = estimate(narrow, chip, batch_size=images)
        assert float(less.latency_ms[0]) <= float(cost.latency_ms[0]) * 1.000001
        assert float(less.dram_bytes[0]) <= float(cost.dram_bytes[0]) * 1.000001


def test_objectives_trade_time_for_energy(batch):
    _, _, (table, chips) = batch
    costs = {
        objective: estimate(table, chips, objective=objective)
        for objective in model.OBJECTIVES
    }
    fast, frugal = costs["latency"], costs["energy"]
    assert (fast.latency_ms.numpy() <= frugal.latency_ms.numpy()).all()
    assert fast.energy_mj.numpy().sum() > frugal.energy_mj.numpy().sum()
    between = costs["energy_delay"].energy_mj.numpy().sum()
    assert frugal.energy_mj.numpy().sum() <= between
    assert between <= fast.energy_mj.numpy().sum()
    with pytest.raises(ValueError, match="objective"):
        estimate(table, chips, objective="speed")


def test_a_batch_of_images_fetches_weights_once():
    dense = Layer("dense", "dense", 1, 1, 1024, 1, 1, 1024, use_bias=False)
    chip = accelerators.from_paths({"pe_memory/weight_share": 0.0})
    one = estimate(pad([[dense]]), chip)
    four = estimate(pad([[dense]]), chip, batch_size=4)
    assert one.dram_bytes.numpy() == [1024**2 + 2 * 1024]
    assert four.dram_bytes.numpy() == [1024**2 + 4 * 2 * 1024]
    assert four.macs.numpy() == 4 * one.macs.numpy()
    assert four.params.numpy() == one.params.numpy()


@pytest.mark.parametrize("images", [0, -1, 1.5])
def test_a_batch_has_whole_images(images):
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8)
    with pytest.raises(ValueError, match="positive whole number of images"):
        estimate(pad([[conv]]), EdgeTpu(), batch_size=images)


def test_fixed_costs_add_up():
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, 3, 3)
    values = {"runtime/inference_us": 100.0, "runtime/layer_us": 10.0}
    ideal = estimate(pad([[conv] * 3]), EdgeTpu())
    real = estimate(pad([[conv] * 3]), accelerators.from_paths(values))
    added = float(real.latency_ms[0]) - float(ideal.latency_ms[0])
    assert added == pytest.approx(0.1 + 3 * 0.01, rel=1e-4)


def test_what_fits_no_mapping_says_so():
    wide = Layer("wide", "conv2d", 64, 4096, 64, 64, 4096, 64, 3, 3)
    chip = accelerators.from_paths({"pe_memory/capacity_mib": 0.01})
    cost = estimate(pad([[wide]]), chip)
    needed = 2 * (3 * 4096 * 64 + 9 * 64)
    missing = needed - 0.01 * 16 * 1024**2
    assert cost.memory_missing_bytes.numpy() == pytest.approx([missing])
    assert np.isfinite(cost.latency_ms.numpy()).all()
    told = summary.summarize([wide], chip)["unfit"]
    assert "layer wide needs" in told
    assert "KiB more PE memory" in told
    units = {"pe_array/simd_units": 128, "register_file/capacity_kib": 0.5}
    lean = accelerators.from_paths(units)
    cost = estimate(pad([[wide]]), lean)
    assert cost.register_missing_bytes.numpy() == [2 * 4 * 128 - 512]
    assert "register file" in summary.summarize([wide], lean)["unfit"]
    assert summary.summarize([wide], EdgeTpu())["unfit"] is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("out_h", 0.0, "column out_h, must be a positive whole number"),
        ("in_c", -3.0, "column in_c, must be a positive whole number"),
        ("k_w", float("nan"), "column k_w, must be a positive whole number"),
        ("stride_h", float("inf"), "column stride_h, must be a positive"),
        ("side_elements", -1.0, "column side_elements, must be a non-neg"),
        ("groups", 3.0, "column groups, must be a divisor of in_c=8"),
        (
            "out_w",
            40.0,
            "stride_w=1 and dilation_w=1 touches in_w=8",
        ),
    ],
)
@pytest.mark.parametrize("count", [4, 300])
def test_a_row_that_is_no_layer_is_named(column, value, message, count):
    conv = Layer("conv", "conv2d", 8, 8, 16, 8, 8, 8, 3, 3)
    table = pad([[conv, conv]] * count)
    changed = getattr(table, column).numpy()
    changed[3, 1] = value
    table = table._replace(**{column: tf.constant(changed)})
    with pytest.raises(ValueError, match="Row 1 of network 3") as error:
        estimate(table, EdgeTpu())
    assert message in str(error.value)
    assert "Received" in str(error.value)
