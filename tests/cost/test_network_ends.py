"""What comes from outside the chip, and what leaves it."""

import random

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.tape import Tape
from tf_cosearch.networks.workload import Layer, pad


def several():
    """Three inputs, one of them read twice; two answers, one in the middle."""
    tape = Tape()
    image, mask = tape.input(32, 32, 3), tape.input(32, 32, 8, bits=16)
    late = tape.input(8, 8, 16)
    y = tape.add("conv", "conv2d", [image], (32, 32, 8), k_h=3, k_w=3)
    y = tape.add("mask", "elementwise", [y, mask], (32, 32, 8))
    two = {"k_h": 2, "k_w": 2, "stride_h": 2, "stride_w": 2}
    middle = tape.add("middle", "conv2d", [y], (16, 16, 4), **two)
    y = tape.add("down", "conv2d", [middle], (8, 8, 16), **two)
    y = tape.add("late", "elementwise", [y, late], (8, 8, 16))
    y = tape.add("between", "conv2d", [y], (8, 8, 16))
    y = tape.add("end", "elementwise", [y, late], (8, 8, 16), output_bits=64)
    return tape.layers([middle, y])


def test_inputs_and_answers_pass_the_interface_once_with_bits_of_their_own():
    rows = several()
    cost = estimate(pad([rows]), EdgeTpu(), per_layer=True)
    assert dict(
        zip(
            (r.name for r in rows),
            cost.layers.dram_bytes[0].numpy(),
            strict=True,
        )
    ) == {
        "conv": 32 * 32 * 3,
        "mask": 32 * 32 * 8 * 2,
        "middle": 16 * 16 * 4,
        "down": 0,
        "late": 8 * 8 * 16,
        "between": 0,
        "end": 8 * 8 * 16 * 8,
    }
    # A late input waits between its readers only, an answer for none.
    held = {row.name: row.held_elements for row in rows if row.held_elements}
    assert held == {"between": 8 * 8 * 16}


def random_graph(rng):
    """Rows that read what they find, several inputs, several answers."""
    tape = Tape()
    inputs = [
        tape.input(8, 8, rng.choice([4, 8]), rng.choice([8, 16, 32]))
        for _ in range(rng.randint(1, 4))
    ]
    tensors = list(inputs)
    for number in range(rng.randint(2, 7)):
        read = rng.sample(tensors, min(len(tensors), rng.randint(1, 3)))
        op = rng.choice(["conv2d", "elementwise"])
        tensors.append(
            tape.add(
                f"row{number}",
                op,
                read[: 1 if op == "conv2d" else 3],
                (8, 8, read[0].channels),
                output_bits=rng.choice([8, 16, 64]),
            )
        )
    outputs = rng.sample(tensors[len(inputs) :], rng.randint(1, 2))
    rows = tape.layers(outputs)
    read = {number for row in tape._rows for number in row.read}
    bits = sum(t.elements * t.bits for t in inputs if t.number in read)
    bits += sum(t.elements * t.bits for t in outputs)
    return rows, bits / 8


@pytest.mark.parametrize("capacity_mib", [0.001, 0.01, 2])
@pytest.mark.parametrize("kept", [0, 1])
def test_traffic_is_never_below_the_compulsory(capacity_mib, kept):
    rng = random.Random(3)
    graphs = [random_graph(rng) for _ in range(60)]
    chip = accelerators.from_paths(
        {
            "pe_memory/capacity_mib": capacity_mib,
            "pe_memory/activation_share": kept,
        }
    )
    rows, least = zip(*graphs, strict=True)
    found = estimate(pad(rows), chip).dram_bytes.numpy()
    assert (found >= np.asarray(least) * (1 - 1e-6)).all()
    if capacity_mib == 2 and kept:
        np.testing.assert_allclose(found, least, rtol=1e-6)


def test_other_inputs_of_a_row_come_back_from_where_they_spilled():
    """4 KiB of its first input are off the chip, 1 KiB comes from outside."""
    row = Layer(
        "add", "elementwise", 16, 16, 16, 16, 16, 16,
        side_elements=1024, network_in_elements=1024,
    )  # fmt: skip
    before = Layer("before", "conv2d", 16, 16, 16, 16, 16, 16, use_bias=False)
    after = Layer(
        "after", "pool", 1, 1, 16, 16, 16, 16, 16, 16, groups=16,
        network_out_elements=16,
    )  # fmt: skip
    cost = estimate(
        pad([[before, row, after]]),
        accelerators.from_paths(
            {
                "pe_array/columns": 1,
                "pe_array/rows": 1,
                "pe_memory/capacity_mib": 5120 / 2**20,
            }
        ),
        per_layer=True,
    )
    # 4096 + 1024 + 4096 bytes, 5120 of room: all beyond are inputs.
    assert cost.layers.dram_bytes.numpy()[0, 1] == 1024 + (9216 - 5120 - 0)


def by_hand():
    """A chip of 1 GHz whose host sends a byte in 10 cycles, takes one in 5."""
    return {
        "process/clock_ghz": 1,
        "host_link/input_gbs": 0.1,
        "host_link/output_gbs": 0.2,
        "host_link/instruction_bytes": 100,
    }


def test_what_crosses_a_link_to_the_host_overlaps_with_nothing():
    """Inputs of 1024 bytes, answers of 1024: neither passes the DRAM."""
    rows = [
        Layer("conv", "conv2d", 8, 8, 16, 8, 8, 16),
        Layer("move", "data_movement", 8, 8, 16, 8, 8, 16),
        Layer("add", "elementwise", 8, 8, 16, 8, 8, 16),
    ]
    chip = accelerators.from_paths(by_hand())
    cost = estimate(pad([rows]), chip, per_layer=True)
    free = chip._replace(host_link=chip.host_link._replace(output_gbs=0))
    alone = estimate(pad([rows]), free, per_layer=True)
    assert not cost.layers.dram_bytes.numpy().any()
    far = accelerators.from_paths(by_hand() | {"dram/bandwidth_gbs": 0.01})
    assert estimate(pad([rows]), far).latency_ms == cost.latency_ms
    fixed = cost.layers.fixed_cycles.numpy()[0]
    # A window of 16 values and its weights, or an element, by 64 bytes a
    # cycle, and the 8 of the pipeline.
    assert fixed.tolist() == [
        10 * (1024 + 100) + 32 / 64 + 8,
        1 / 64 + 8,  # what computes nothing has no instructions
        10 * 100 + 5 * 1024 + 1 / 64 + 8,
    ]
    saved = (cost.latency_ms - alone.latency_ms).numpy()
    assert saved == pytest.approx(5 * 1024 / 1e6, rel=1e-4)


def test_a_faster_link_is_never_slower_and_none_is_the_fastest():
    rows = several()
    latencies = [
        float(
            estimate(
                pad([rows]),
                accelerators.from_paths(
                    by_hand()
                    | {
                        "host_link/input_gbs": gbs,
                        "host_link/output_gbs": gbs,
                    }
                ),
            ).latency_ms[0]
        )
        for gbs in (0.01, 0.1, 1, 10)
    ]
    assert latencies == sorted(latencies, reverse=True)


def test_without_a_link_an_answer_passes_the_dram_alone():
    chip = EdgeTpu()
    one_way = chip._replace(host_link=chip.host_link._replace(output_gbs=0.1))
    table = pad([several()])
    assert (
        estimate(table, one_way).latency_ms == estimate(table, chip).latency_ms
    )
