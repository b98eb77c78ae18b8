"""Power that flows whatever is computed, by hand and against what is known."""

import dataclasses

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators import power, presets
from tf_cosearch.cost.costs import energy_parts
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks import published
from tf_cosearch.networks.workload import Layer, pad

CORAL = ("coral_usb", "coral_dev", "coral_pcie", "coral_pcie_float")
CONV = Layer("conv", "conv2d", 56, 56, 256, 56, 56, 256, 3, 3)


def parts_of(chip, layers):
    cost = estimate(pad([layers]), chip, per_layer=True)
    parts = [float(part[0]) for part in cost.energy_parts_mj]
    assert sum(parts) == pytest.approx(float(cost.energy_mj[0]), rel=1e-5)
    return dict(zip(energy_parts(chip), parts, strict=True)), cost


def test_registers_are_clocked_all_the_time():
    """8 multipliers of 4 bytes each, 2 sums of 4 bytes: 40 bytes, 320 bits."""
    one = ("columns", "rows", "lanes")
    values = {f"pe_array/{name}": 1 for name in one}
    values |= {"pe_array/simd_units": 2, "pe_array/dot_width": 4}
    values |= {"process/node_nm": 40, "process/clock_ghz": 0.5}
    gated = accelerators.from_paths(values)
    chip = accelerators.replace(gated, {"process/clocked_share": 0.25})
    idle = power.idle_power(chip)
    assert float(idle.clock_mw) == pytest.approx(320 * 7.936518e-3 * 0.5 / 4)
    parts, cost = parts_of(chip, [CONV])
    microseconds = 1e3 * float(cost.latency_ms[0])
    assert parts["clock"] == pytest.approx(
        float(idle.clock_mw) * microseconds / 1e6
    )
    assert parts_of(gated, [CONV])[0]["clock"] == 0


@pytest.mark.parametrize(
    ("family", "register_bytes"),
    # Two operands each; a product each but in a systolic array, whose sums are
    # in each unit; sums of 4, of 8, and of one product.
    [
        ("edge_tpu", 5),
        ("ethos_u", 4.5),
        ("ethos_u85", 4.5),
        ("systolic", 6),
    ],
)
def test_registers_of_a_multiplier(family, register_bytes):
    chip = accelerators.default(family)
    assert chip.register_bytes() / chip.macs_per_cycle() == register_bytes


@pytest.mark.parametrize(("int4_products", "registers"), [(2, 7), (4, 9)])
def test_registers_of_a_split_multiplier(int4_products, registers):
    """Of 2: two inputs, a byte of weights, two products of 12 bits, a sum."""
    values = {
        "pe_array/int4_products": int4_products,
        "process/clocked_share": 1,
    }
    chip = accelerators.from_paths(values)
    assert chip.register_bytes() / chip.macs_per_cycle() == registers
    plain = accelerators.replace(chip, {"pe_array/int4_products": 1})
    clock_mw, before = (
        float(power.idle_power(each).clock_mw) for each in (chip, plain)
    )
    assert clock_mw / before == pytest.approx(registers / 5)


def test_clocks_are_not_counted_twice_in_a_systolic_array():
    """Of a bit that is written 8.9995 fJ, 7.936518 are its clock's."""
    values = {"process/node_nm": 40}
    gated = accelerators.from_paths(values, "systolic")
    clocked = accelerators.replace(gated, {"process/clocked_share": 1})
    registers = [
        parts_of(chip, [CONV])[0]["registers"] for chip in (gated, clocked)
    ]
    assert registers[1] / registers[0] == pytest.approx(1 - 7.936518 / 8.9995)


def test_what_crosses_the_link_takes_energy():
    """An image of 150,528 bytes, 1,000 scores, two operations of 100 bytes."""
    image = Layer("pool", "pool", 1, 1, 3, 224, 224, 3, 224, 224)
    dense = Layer("dense", "dense", 1, 1, 1000, 1, 1, 3)
    link = {
        "host_link/input_gbs": 0.5,
        "host_link/instruction_bytes": 100,
        "host_link/byte_pj": 80,
    }
    parts, _ = parts_of(accelerators.from_paths(link), [image, dense])
    crossing = 224 * 224 * 3 + 1000 + 2 * 100
    assert parts["host_link"] == pytest.approx(80 * crossing / 1e9)
    kept_up = accelerators.from_paths({**link, "host_link/idle_mw": 300})
    parts, cost = parts_of(kept_up, [image, dense])
    kept_mj = 300 * float(cost.latency_ms[0]) / 1e3
    assert parts["host_link"] == pytest.approx(80 * crossing / 1e9 + kept_mj)
    # It is written into the memories as one that comes from the DRAM is.
    half = [dataclasses.replace(image, network_in_elements=3 * 112 * 224)]
    written = crossing - 1000 - 2 * 100 - 3 * 112 * 224
    chip = accelerators.from_paths(link)
    more, less = (parts_of(chip, rows)[0] for rows in ([image], half))
    assert more["pe_memory"] - less["pe_memory"] == pytest.approx(
        written * float(chip.write_pj()) / 1e9, rel=1e-3
    )
    # Where there is no link nothing crosses it, and nothing keeps it up.
    alone = accelerators.replace(kept_up, {"host_link/input_gbs": 0})
    assert parts_of(alone, [image, dense])[0]["host_link"] == 0


def test_dram_takes_energy_by_the_byte_and_by_time():
    dear = accelerators.from_paths({"dram/byte_pj": 100, "dram/idle_mw": 50})
    parts, cost = parts_of(dear, [CONV])
    moved_mj = 100 * float(cost.dram_bytes[0]) / 1e9
    idle_mj = 50 * float(cost.latency_ms[0]) / 1e3
    assert parts["dram"] == pytest.approx(moved_mj + idle_mj)


def test_starting_an_inference_takes_idle_power_too():
    chip = presets.load_accelerator("coral_usb")
    later_us = chip.runtime.inference_us + 10_000
    slow = accelerators.replace(chip, {"runtime/inference_us": later_us})
    (parts, _), (more, _) = parts_of(chip, [CONV]), parts_of(slow, [CONV])
    grown = sum(more.values()) - sum(parts.values())
    assert grown == pytest.approx(10 * float(power.idle_mw(chip)) / 1e3)
    assert more["mac"] == parts["mac"]


@pytest.mark.parametrize("name", CORAL)
def test_coral_takes_two_watts_at_its_peak(name):
    """coral.ai/docs/edgetpu/faq: 4 TOPS, using only 2 watts of power."""
    chip = presets.load_accelerator(name)
    cost = estimate(pad([[CONV] * 8]), chip)
    idle_mw = float(power.idle_mw(chip))
    busy_mj = (
        float(cost.energy_mj[0]) - idle_mw * float(cost.latency_ms[0]) / 1e3
    )
    mac_pj = 1e9 * busy_mj / float(cost.macs[0])
    peak_mw = idle_mw + mac_pj * chip.macs_per_cycle() * chip.process.clock_ghz
    assert peak_mw == pytest.approx(2000, rel=0.03)
    assert 0.3 < idle_mw / peak_mw < 0.6


def test_networks_are_as_efficient_as_published():
    """37 % of 2 TOPS/W, the mean of 24 networks (arXiv 2109.14320).

    These are those that Coral's vendor measured; its chip is on PCIe, as the
    study's had no link as slow as USB.
    """
    chip = presets.load_accelerator("coral_pcie")
    names = ["mobilenet_v1", "inception_v1", "resnet50_v1", "vgg16"]
    names.append("efficientnet_edgetpu_s")
    cost = estimate(pad([published.load(name) for name in names]), chip)
    tops_per_watt = 2 * cost.macs.numpy() / cost.energy_mj.numpy() / 1e9
    assert 0.3 < np.mean(tops_per_watt / 2) < 0.45
