"""Networks over several chips, against all ways there are to cut them."""

import itertools
import math
import random

import keras
import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import accelerators
from tf_cosearch.accelerators import power
from tf_cosearch.cost import pipeline, stages
from tf_cosearch.networks import published, workload
from tf_cosearch.networks.tape import Tape

BIG = accelerators.default()
SMALL = accelerators.from_paths(
    {
        "pe_array/columns": 1,
        "pe_array/rows": 2,
        "pe_memory/capacity_mib": 0.02,
        "dram/bandwidth_gbs": 1.0,
        "runtime/inference_us": 2.0,
    }
)
GRID = accelerators.from_paths({"scratchpad/capacity_kib": 64}, "systolic")
LINK = cs.Link(bandwidth_gbs=2.0, byte_pj=50.0)


def random_network(seed):
    """Convolutions, of which some read one from before, and what is alive.

    Returns the rows, and the bytes that are alive before each.
    """
    rng = random.Random(seed)
    channels = [rng.choice([8, 16, 32]) for _ in range(8)]
    layers, alive = [], []
    for place, (given, made) in enumerate(itertools.pairwise(channels)):
        held = rng.choice([0, 0, 512])
        layers.append(
            cs.Layer(
                f"conv{place}",
                "conv2d",
                *(8, 8, made),
                *(8, 8, given),
                *(rng.choice([(1, 1), (3, 3)])),
                held_elements=held,
                network_in_elements=64 * given * (place == 0),
                network_out_elements=64 * made * (place == 6),
            )
        )
        alive.append(64 * given + held)
    return layers, alive


def stage_cost(layers, begin, end, chip):
    """What a network of these rows costs, with no other ends than it had."""
    rows = workload.to_array(layers)[begin:end]
    cost = cs.estimate(workload.pad([rows]), chip)
    return float(cost.latency_ms[0]), float(cost.energy_mj[0])


def every_cut(layers, alive, chips):
    """Period, latency and energy of all pipelines, by cuts."""
    known = {}
    for places in itertools.combinations(range(1, len(layers)), len(chips) - 1):
        spans = list(itertools.pairwise([0, *places, len(layers)]))
        times, energies = [], []
        for chip, span in zip(chips, spans, strict=True):
            if (chip, span) not in known:
                known[chip, span] = stage_cost(layers, *span, chip)
            ms, mj = known[chip, span]
            crossing = [alive[at] for at in span if 0 < at < len(layers)]
            times.append((ms + sum(crossing) / 2e6, ms))
            energies.append(mj)
        period = max(time for time, _ in times)
        energy = sum(energies) + 50e-9 * sum(alive[at] for at in places)
        for chip, (_, ms), (begin, _) in zip(chips, times, spans, strict=True):
            energy += float(power.idle_mw(chip)) * (period - ms) / 1e3
            received = alive[begin] if begin else 0
            energy += float(chip.write_pj()) * received / 1e9
        yield period, sum(time for time, _ in times), energy, spans


@pytest.mark.parametrize(
    ("seed", "chips"),
    [
        (0, [SMALL]),
        (1, [SMALL] * 3),
        (2, [SMALL, BIG, SMALL]),
        (3, [GRID, SMALL, BIG, GRID]),
        (4, [BIG] * 7),
    ],
)
def test_no_way_to_cut_is_better(seed, chips):
    layers, alive = random_network(seed)
    found = cs.partition(layers, chips, LINK)
    period, latency, energy, spans = min(every_cut(layers, alive, chips))
    assert found.period_ms == pytest.approx(period, rel=1e-6)
    assert found.latency_ms == pytest.approx(latency, rel=1e-6)
    names = [[row.name for row in layers[slice(*span)]] for span in spans]
    assert [list(stage.layers) for stage in found.stages] == names
    assert found.energy_mj == pytest.approx(energy, rel=1e-6)
    assert found.throughput_fps == pytest.approx(1e3 / period, rel=1e-6)
    assert found.utilization == pytest.approx(
        latency / (len(chips) * period), rel=1e-6
    )
    assert found.area_mm2 == pytest.approx(
        sum(float(chip.area_mm2()) for chip in chips)
    )


def test_one_chip_costs_what_is_estimated():
    layers, _ = random_network(5)
    found = cs.partition(layers, [SMALL], LINK)
    cost = cs.estimate(cs.pad([layers]), SMALL)
    assert found.latency_ms == pytest.approx(float(cost.latency_ms[0]))
    assert found.energy_mj == pytest.approx(float(cost.energy_mj[0]))
    assert found.utilization == 1


def test_weights_stay_where_they_fit_on_several_chips():
    """Two layers of 24 KiB, on chips of 40 KiB."""
    layers = [cs.Layer(n, "dense", 1, 1, 154, 1, 1, 154) for n in "ab"]
    alone, both = pipeline.partitions(layers, [SMALL] * 2, LINK)
    assert alone.stages[0].weight_residency < 0.9
    assert [stage.weight_residency for stage in both.stages] == [1, 1]
    assert both.throughput_fps > 2 * alone.throughput_fps
    assert [stage.params for stage in both.stages] == [154 * 155] * 2


def test_of_equal_periods_the_one_of_least_latency_is_taken():
    """The last row is so long that others may be cut anywhere."""
    layers = [
        cs.Layer("a", "dense", 1, 1, 1000, 1, 1, 10),
        cs.Layer("b", "dense", 1, 1, 10, 1, 1, 1000),
        cs.Layer("c", "dense", 1, 1, 10, 1, 1, 10),
        cs.Layer("long", "dense", 1, 1, 100_000, 1, 1, 10),
    ]
    found = cs.partition(layers, [BIG] * 3, cs.Link(1.0))
    # 10 bytes cross behind b and behind c, 1000 behind a.
    assert [stage.layers for stage in found.stages] == [
        ("a", "b"),
        ("c",),
        ("long",),
    ]


def test_a_product_and_an_image_that_come_late():
    """What is alive: both operands of a product, no image before it is read."""
    layers = [
        cs.Layer("key", "dense", 4, 1, 8, 4, 1, 8, network_in_elements=32),
        cs.Layer(
            *("query", "dense", 4, 1, 8, 4, 1, 8),
            held_elements=32,
            network_in_elements=32,
        ),
        cs.Layer("scores", "matmul", 4, 1, 4, 4, 1, 8),
    ]
    assert stages.crossing_bytes(layers).tolist() == [0, 32, 64, 0]


@pytest.mark.parametrize("seed", range(4))
def test_what_crosses_are_the_parts_of_tensors_that_are_alive(seed):
    """Parts one by one: a channel of 16 positions is alive from when it is
    made, or read if it comes from outside, until it is read last."""
    rng = random.Random(seed)
    tape = Tape()
    made = [tape.input(4, 4, 8, bits=16), tape.input(4, 4, 8)]
    reads, writes = [], []

    def row(op, parts, channels, operand=(), **bounds):
        inputs = [each._replace(channels=4) for each, _ in parts]
        inputs = [
            each if half is None else view
            for view, (each, half) in zip(inputs, parts, strict=True)
        ]
        op = op, inputs, (4, 4, channels)
        made.append(tape.add(f"row{len(reads)}", *op, **bounds))
        reads.append(
            {
                (each.number, channel)
                for each, half in parts
                for channel in range(8)
                if half is None or channel // 4 == half
            }
        )
        writes.append({(made[-1].number, c) for c in range(channels)})

    for _ in range(12):
        x, y = rng.choice(made[-4:]), rng.choice(made[-4:])
        kind = rng.choice(["conv", "add", "same", "halves", "itself"])
        if kind == "conv":
            row("conv2d", [(x, None)], 8, output_bits=rng.choice([8, 16]))
        elif kind in ("add", "same"):
            parts = [(x, None), (x if kind == "same" else y, None)]
            row("elementwise", parts, 8)
        elif kind == "itself":
            row("matmul", [(x, None)] * 2, 8)
        else:
            for half in range(2):
                row("conv2d", [(x, half)], 8)
    wanted, there = [], set()
    bits = {each.number: each.bits for each in made}
    for place, (read, written) in enumerate(zip(reads, writes, strict=True)):
        alive = there & set().union(*reads[place:])
        wanted.append(sum(16 * bits[number] / 8 for number, _ in alive))
        touched = {number for number, _ in read}
        outside = {(n, c) for n in touched & {0, 1} for c in range(8)}
        there |= written | outside
    assert stages.crossing_bytes(tape.layers()).tolist() == [*wanted, 0]
    assert len(reads) >= 12


def test_a_recurrence_is_not_cut_and_what_follows_reads_its_last_step():
    layers = keras.layers
    y = image = keras.Input((100, 32))
    y = layers.LSTM(64, name="lstm")(y)
    y = layers.Dense(5)(y)
    rows = cs.from_keras(keras.Model(image, y))
    names = [row.name for row in rows]
    assert names[:4] == [f"lstm/{n}" for n in ("input", "state", "gates")] + [
        "lstm/cell"
    ]
    # All steps of four gates; within a step there is no cut; a last state.
    crossing = stages.crossing_bytes(rows).tolist()
    assert crossing == [0, 100 * 256, math.inf, math.inf, 64, 0]


def test_a_clip_crosses_whole():
    image = keras.Input((6, 16, 16, 4))
    y = keras.layers.Conv3D(4, 3, name="first")(image)
    y = keras.layers.Conv3D(2, 3, name="second")(y)
    rows = cs.from_keras(keras.Model(image, y))
    assert stages.crossing_bytes(rows).tolist() == [0, 4 * 14 * 14 * 4, 0]


def test_vectors_that_are_multiplied_by_themselves_cross_once():
    """27 vectors of 16 numbers; the dense one is read again behind."""
    rows = published.load("dlrm")
    names = [row.name for row in rows]
    crossing = stages.crossing_bytes(rows)
    assert crossing[names.index("interaction")] == 28 * 16


def test_rows_that_repeat_and_say_nothing_are_not_cut():
    rows = [cs.Layer("a", "dense", 1, 1, 8, 1, 1, 8, repeats=n) for n in (1, 3)]
    assert stages.crossing_bytes([*rows, rows[0]]).tolist() == [
        *(0, math.inf, 8, 0)
    ]


def test_bits_of_what_crosses():
    rows = [
        cs.Layer("a", "dense", 1, 1, 8, 1, 1, 8),
        cs.Layer("b", "dense", 1, 1, 8, 1, 1, 8, activation_bits=16),
    ]
    assert stages.crossing_bytes(rows).tolist() == [0, 16, 0]


def test_a_layer_that_is_called_twice_is_stored_on_both_chips():
    first = cs.Layer("a", "dense", 1, 1, 64, 1, 1, 64)
    again = cs.Layer("b", "dense", 1, 1, 64, 1, 1, 64, reuses_weights=True)
    already = stages.stored_already([first, again, again])
    assert already[0].tolist() == [0, 1, 1]
    assert already[1, 1:].tolist() == [0, 1]
    assert already[2, 2] == 0
    other = cs.Layer("c", "dense", 1, 1, 64, 1, 1, 64)
    # Rows do not say whose weights they use; those of both may be needed.
    already = stages.stored_already([first, other, again, again, again])
    assert already[0].tolist() == [0, 0, 1, 1, 1]
    assert already[1, 1:].tolist() == [0, 0, 1, 1]
    assert already[2, 2:].tolist() == [0, 0, 1]
    # A form that no other row has.
    alone = cs.Layer("d", "dense", 1, 1, 2, 1, 1, 64, reuses_weights=True)
    assert stages.stored_already([first, alone, alone])[1, 1:].tolist() == [
        0,
        1,
    ]


def test_a_run_that_fits_no_chip_is_given_to_another():
    tiny = accelerators.from_paths(
        {"pe_memory/capacity_mib": 0.005, "pe_array/columns": 1}
    )
    layers = [
        cs.Layer("narrow", "conv2d", 64, 64, 4, 64, 64, 4),
        cs.Layer("wide", "conv2d", 64, 64, 8, 64, 64, 400, 3, 3),
    ]
    assert math.isinf(stages.price(layers, tiny).latency_ms[0, 2])
    found = cs.partition(layers, [tiny, BIG], LINK)
    assert [stage.layers for stage in found.stages] == [("narrow",), ("wide",)]
    with pytest.raises(ValueError, match="2 chips that lack it"):
        cs.partition(layers, [BIG, tiny], LINK)


@pytest.mark.parametrize(
    ("chips", "link", "error", "message"),
    [
        ([BIG] * 8, LINK, ValueError, "no more chips.*8 chips for 7 layers"),
        ([], LINK, ValueError, "must have chips"),
        (["edge_tpu"], LINK, TypeError, "Accelerator of numbers.*'edge_tpu'"),
        (
            [accelerators.from_paths({"pe_array/rows": np.ones(2)})],
            *(LINK, TypeError, "an Accelerator of numbers"),
        ),
        (
            [accelerators.from_paths({"dram/bandwidth_gbs": np.ones(2)})],
            *(LINK, TypeError, "an Accelerator of numbers"),
        ),
        ([BIG], cs.Link(0.0), ValueError, "bandwidth above 0 GB/s"),
        ([BIG] * 2, cs.Link("0.5"), ValueError, "bandwidth_gbs='0.5'"),
        ([BIG] * 2, cs.Link(True), ValueError, "bandwidth_gbs=True"),
        ([BIG] * 2, 0.5, TypeError, "must be a Link. Received: 0.5"),
        (BIG, LINK, TypeError, r"sequence of chips.*\[accelerator\] \* 2"),
        ([BIG] * 2, cs.Link(0.0), ValueError, "bandwidth above 0 GB/s"),
        ([BIG] * 2, cs.Link(math.nan), ValueError, "bandwidth_gbs=nan"),
        ([BIG] * 2, cs.Link(1.0, -1.0), ValueError, "byte_pj=-1.0"),
    ],
)
def test_what_cannot_be_cut(chips, link, error, message):
    layers, _ = random_network(0)
    with pytest.raises(error, match=message):
        cs.partition(layers, chips, link)


def test_a_network_must_have_layers_that_chips_run():
    with pytest.raises(ValueError, match="must have layers"):
        cs.partition([], [BIG], LINK)
    with pytest.raises(TypeError, match="Received: LayerTable"):
        cs.partition(cs.pad([random_network(0)[0]]), [BIG], LINK)
    layers, _ = random_network(0)
    top = cs.Layer("top", "pool", 1, 1, 1, 1, 1, 8, operator="ARG_MAX")
    with pytest.raises(ValueError, match=r"top \(ARG_MAX\).*host"):
        cs.partition([*layers, top], [BIG] * 2, LINK)


@pytest.mark.slow
def test_rows_of_a_loop_are_on_one_chip():
    rows = [
        cs.Layer(n, "dense", 1, 1, 8, 1, 1, 8, repeats=2, alive_elements=alive)
        for n, alive in zip("abcd", (8, 8, math.inf, 8), strict=True)
    ]
    found = cs.partition(rows, [BIG] * 3, LINK)
    assert [stage.layers for stage in found.stages] == [
        *(("a",), ("b", "c"), ("d",))
    ]
    with pytest.raises(ValueError, match=r"not within a loop.*or fewer"):
        cs.partition(rows, [BIG] * 4, LINK)


@pytest.mark.slow
def test_what_chips_store_of_a_layer_that_is_called_twice():
    first = cs.Layer("a", "dense", 1, 1, 64, 1, 1, 64)
    again = cs.Layer("b", "dense", 1, 1, 64, 1, 1, 64, reuses_weights=True)
    params = stages.price([first, again, again], SMALL).params
    assert params[0, 3] == params[1, 3] == first.params
    assert params[0, 1] == params[2, 3] == first.params


@pytest.mark.slow
def test_inception_v4_on_usb_accelerators():
    """Its weights do not fit on one, and nearly fit on four."""
    from tf_cosearch.networks import published

    chip = cs.load_accelerator("coral_usb")
    layers = published.load("inception_v4")
    found = pipeline.partitions(layers, [chip] * 4, cs.Link.of(chip))
    speed = [each.throughput_fps for each in found]
    stay = [
        np.mean([stage.weight_residency for stage in each.stages])
        for each in found
    ]
    assert stay == sorted(stay)
    assert stay[0] < 0.2
    assert stay[3] > 0.6
    # More than twice as fast by two, as less comes over USB each time.
    assert speed[1] > 2 * speed[0]
    assert speed[3] > 7 * speed[0]
    assert all(0.95 < each.utilization <= 1 for each in found)
