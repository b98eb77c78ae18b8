import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.accelerators.families.edge_tpu import mapping
from tf_cosearch.cost.calibrate import devices, validation
from tf_cosearch.cost.costs import bounds
from tf_cosearch.networks.importers import layers_csv
from tf_cosearch.networks.loops import loops_of
from tf_cosearch.networks.workload import pad


@pytest.fixture(scope="module")
def rows(compared):
    return validation.rows(*compared)


@pytest.fixture(scope="module")
def summary(compared):
    return validation.summarize(*compared)


@pytest.fixture(scope="module")
def mean(summary):
    return lambda device, kind: summary["devices"][device][kind]["mean"]


@pytest.fixture(scope="module")
def zigzag(compared):
    return compared[1]


def test_devices_are_predicted_within_ten_percent(mean):
    for device in devices.DEVICES:
        assert mean(device, "left_out") <= 0.10
    assert mean("all", "left_out") <= 0.10
    assert mean("pixel6", "left_out") <= 0.045


@pytest.mark.parametrize("device", [*devices.DEVICES, "all"])
def test_the_plain_baseline_is_beaten(device, mean):
    assert mean(device, "left_out") < mean(device, "baseline")


def test_depthwise_networks_are_slow_where_they_are(summary):
    order = summary["order"]
    assert order["ours"]
    assert order["left_out"]


def test_errors_are_those_of_the_rows(rows, summary, mean):
    of_devices = [row for row in rows if row["unit"] == "ms"]
    assert len(of_devices) == 18 + 82
    for kind in ("ours", "left_out", "baseline"):
        errors = [abs(row[kind] / row["reference"] - 1) for row in of_devices]
        assert mean("all", kind) == pytest.approx(np.mean(errors))
        assert summary["devices"]["all"][kind]["median"] == pytest.approx(
            np.median(errors)
        )
    for row in of_devices:
        assert row["ours_error"] == pytest.approx(
            row["ours"] / row["reference"] - 1
        )
        assert row["reason"] is None


def test_shipped_presets_fit_better_than_left_out(compared, mean):
    for device, *_ in compared[0]:
        assert mean(device, "ours") < mean(device, "left_out")


def test_shipped_presets_are_what_the_measurements_make(compared):
    """`make presets` changes nothing but the last digit."""
    fitted = dict(devices.DEVICES)
    for device, preset, *_, again in compared[0]:
        assert fitted.pop(device) == preset
        shipped = presets.load_accelerator(preset)
        assert accelerators.to_paths(again) == pytest.approx(
            accelerators.to_paths(shipped), rel=0.01
        )
    assert not fitted


def test_presets_of_one_chip_have_one_bus():
    """What is fitted to one host of it is copied to the others by hand."""
    chips = {
        name: presets.load_accelerator(name)
        for name in devices.DEVICES
        if name.startswith("coral")
    }
    bus = chips["coral_pcie_float"].interconnect.width_bytes
    for name, chip in chips.items():
        assert chip.interconnect.ring_width_bytes == pytest.approx(
            bus, rel=0.01
        )
        width = 64 if name == "coral_pcie" else bus
        assert chip.interconnect.width_bytes == pytest.approx(width, rel=0.01)


def test_zigzag_is_met(zigzag, summary):
    assert len(zigzag.names) == 30
    found = summary["zigzag"]
    assert found["median_error"] <= 0.10
    assert found["kendall_tau"] >= 0.9
    pairs = itertools.combinations(
        zip(zigzag.ours, zigzag.theirs, strict=True), 2
    )
    signs = np.sign([np.subtract(one, other) for one, other in pairs])
    tau = np.mean(signs.prod(1)) / np.sqrt(np.prod(np.mean(signs**2, 0)))
    assert found["kendall_tau"] == pytest.approx(tau)


def test_every_notable_difference_from_zigzag_has_its_reason(zigzag, summary):
    error = zigzag.ours / zigzag.theirs - 1
    for name, difference, reason in zip(
        zigzag.names, error, zigzag.reasons, strict=True
    ):
        assert bool(reason) == (abs(difference) > validation.NOTABLE), name
        assert not reason or reason in validation.REASONS, name
    counted = summary["zigzag"]["reasons"]
    assert sum(counted.values()) == sum(map(bool, zigzag.reasons))


def test_the_reasons_are_right(zigzag):
    """Their array works 16 x 16 positions where a layer has 14 x 14."""
    theirs = dict(zip(zigzag.names, zigzag.theirs, strict=True))
    reasons = dict(zip(zigzag.names, zigzag.reasons, strict=True))
    ours = dict(zip(zigzag.names, zigzag.ours, strict=True))
    name = "mobilenet_v1 conv_dw_7"  # 14 x 14, 512 channels, 3 x 3
    assert "pads" in reasons[name]
    image = 14 * 14 * 512 / 8  # cycles on the DRAM port
    assert theirs[name] == pytest.approx(image + 16 * 9 * 512, rel=1e-3)
    assert ours[name] == pytest.approx(image + 14 * 14 / 16 * 9 * 512, rel=0.02)
    name = "mobilenet_v1 conv_pw_4"  # 28 x 28, 128 to 256 channels
    assert "port" in reasons[name]
    image, answer, weights = 28 * 28 * 16, 28 * 28 * 32, 128 * 32
    assert theirs[name] == pytest.approx(image + answer, rel=1e-3)
    assert ours[name] == pytest.approx(image + answer + weights, rel=5e-3)


def test_depthwise_is_zigzags_where_it_is_unrolled_alike():
    """All of the difference is in how 14 x 14 and 7 x 7 outputs are dealt.

    Theirs goes to 4 x 4 PEs always, which pads it; ours deals channels there
    where that is faster, as an array with buses to all PEs can. Dealt as
    theirs, every depthwise layer takes the cycles that they say on the array;
    with the image before, 6 % less at most, which stays unexplained.
    """
    path = configuration.shipped(
        "measurements", f"{validation.ZIGZAG}_layers.csv"
    )
    layers = layers_csv.read_layers_csv(path)
    _, numbered = layers_csv.read_rows(path)
    chip = presets.load_accelerator(validation.ZIGZAG)
    found = 0
    for layer, (_, row) in zip(layers, numbered, strict=True):
        if layer.op != "depthwise_conv2d":
            continue
        table = pad([[layer]])
        machine = tf.nest.map_structure(
            lambda value: tf.constant([[value]], tf.float32), chip
        )
        space = mapping.spread(
            table,
            loops_of(table),
            machine,
            ("columns", "rows", "out_c", "out_c"),
        )
        cycles = float(space.compute_cycles[0, 0])
        assert cycles == float(row["ideal_temporal_cycles"])
        image = layer.touched_elements / 8
        assert cycles + image == pytest.approx(
            float(row["latency_cycles"]), rel=0.06
        )
        found += 1
    assert found == 4


def test_the_template_is_zigzags():
    chip = presets.load_accelerator(validation.ZIGZAG)
    assert chip.pe_array.macs_per_cycle() == 8 * 8 * 4 * 4
    assert chip.pe_memory.capacity_bytes(16) == 2 * 2**20
    assert 16 * chip.pe_memory.width_bytes * 8 == 2048
    assert 16 * chip.register_file.capacity_kib == 32
    assert chip.dram.cycles(8, chip.process.clock_ghz) == 1
    assert chip.pe_memory.weight_bytes(16) == 0
    assert bounds(chip)[0] == "compute"  # what reasons are told by
    assert set(accelerators.parameters()) == set(accelerators.to_paths(chip))
