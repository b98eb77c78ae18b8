import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import naive_cost

from tf_cosearch import accelerators
from tf_cosearch.accelerators import Accelerator, presets
from tf_cosearch.cost import mapping, model
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.template import load_network
from tf_cosearch.networks.workload import Layer, pad
from tf_cosearch.search.space import SearchSpace


def tiny_chip(**pe_array):
    """One PE, one lane, two SIMD units; ample memory and bandwidth."""
    array = {"columns": 1, "rows": 1, "lanes": 1, "simd_units": 2, **pe_array}
    values = {f"pe_array/{name}": value for name, value in array.items()}
    return accelerators.from_paths({**values, "dram/bandwidth_gbs": 1000})


def cycles(layer, chip):
    cost = estimate(pad([[layer]]), chip, per_layer=True)
    return float(cost.layers.cycles[0, 0])


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
    # An odd channel leaves a unit idle; positions on units do better: 9 x 8.
    (Layer("odd", "conv2d", 3, 3, 1, 3, 3, 32), 5 * 8),
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
    assert cycles(layer, tiny_chip()) == expected


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
    tensor = 512 * 512 * 4
    weights = 4 * 4 + 4 * 4
    spilled = 2 * tensor - 1024**2
    assert cost.dram_bytes.numpy() == [2 * tensor + spilled + weights]


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
    assert cost.latency_ms.numpy()[0] == pytest.approx(seconds * 1e3, rel=1e-6)


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


@settings(max_examples=150, deadline=None)
@given(networks, chips)
def test_the_float64_reference_agrees(network, chip):
    cost = estimate(pad([network], 8), chip, per_layer=True)
    expected = naive_cost.estimate(network, chip)
    close = {"rtol": 1e-5, "atol": 0}
    for name in ("latency_ms", "energy_mj", "area_mm2", "dram_bytes"):
        np.testing.assert_allclose(
            getattr(cost, name).numpy()[0],
            getattr(expected, name),
            err_msg=name,
            **close,
        )
    count = len(network)
    np.testing.assert_allclose(
        cost.layers.cycles.numpy()[0, :count], expected.layer_cycles, **close
    )
    assert not cost.layers.cycles.numpy()[0, count:].any()
    assert float(cost.macs[0]) == pytest.approx(sum(r.macs for r in network))
    assert float(cost.params[0]) == sum(r.params for r in network)
    parts = sum(float(part[0]) for part in cost.energy_parts_mj)
    assert parts == pytest.approx(float(cost.energy_mj[0]), rel=1e-5)


def test_published_networks_agree_with_the_reference():
    for name in ("mobilenet_v2", "efficientnet_edgetpu_s"):
        network = load_network(name).layers()
        for preset in ("edge_tpu", "edge_tpu_v2", "edge_tpu_v3"):
            chip = presets.load_accelerator(preset)
            cost = estimate(pad([network]), chip)
            expected = naive_cost.estimate(network, chip)
            assert float(cost.latency_ms[0]) == pytest.approx(
                expected.latency_ms, rel=1e-5
            )
            assert float(cost.energy_mj[0]) == pytest.approx(
                expected.energy_mj, rel=1e-5
            )


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


def test_never_faster_than_the_peak_and_never_less_than_compulsory(batch):
    _, _, (table, chips) = batch
    cost = estimate(table, chips, per_layer=True)
    assert (cost.utilization.numpy() <= 1 + 1e-6).all()
    first_in = (table.in_h * table.in_w * table.in_c)[:, 0].numpy()
    assert (cost.dram_bytes.numpy() >= first_in).all()
    busy = np.max([b.numpy() for b in cost.layers.busy_cycles], axis=0)
    np.testing.assert_allclose(cost.layers.cycles.numpy(), busy, rtol=1e-6)


def test_fewer_bits_never_cost_more(batch):
    _, _, (table, chips) = batch
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


def test_one_trace_serves_every_batch(batch):
    space, genomes, _ = batch
    estimate(*space.batch(genomes[:3]))
    traces = model._estimate.experimental_get_tracing_count()
    for count in (1, 7, 64):
        estimate(*space.batch(genomes[:count]))
        estimate(
            pad([space.decode(genomes[0]).network.layers()]), Accelerator()
        )
    assert model._estimate.experimental_get_tracing_count() == traces == 1


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
    words = [mapping.describe(m) for m in range(mapping.NUM_MAPPINGS)]
    assert len(set(words)) == mapping.NUM_MAPPINGS >= 16
