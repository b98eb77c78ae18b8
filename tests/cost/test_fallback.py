"""What an accelerator cannot run goes to the host, with what it reads."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tflite_files

from tf_cosearch import accelerators
from tf_cosearch.accelerators import families, power, presets
from tf_cosearch.cost import fallback
from tf_cosearch.cost.explain import complexity, summary
from tf_cosearch.designs import cost_table
from tf_cosearch.evaluators import analytic, evaluator
from tf_cosearch.networks import tape
from tf_cosearch.networks.importers import keras_import, tflite_import
from tf_cosearch.networks.workload import Layer
from tf_cosearch.numerics import quantizing


def conv(name="conv", **fields):
    return Layer(
        name, "conv2d", 8, 8, 16, 8, 8, 4, operator="CONV_2D", **fields
    )


def swish(name="swish"):
    return Layer(name, "elementwise", 8, 8, 16, 8, 8, 16, operator="HARD_SWISH")


def on_cpu(family, *layers):
    return fallback.on_cpu(layers, accelerators.default(family))


def test_a_compiler_of_one_piece_leaves_all_that_comes_after():
    rows = [swish(), conv(), conv(), swish(), conv()]
    assert on_cpu("edge_tpu", *rows) == [True, False, False, True, True]
    assert on_cpu("ethos_u", *rows) == [False] * 5  # which has it
    cast = Layer("cast", "elementwise", 8, 8, 16, 8, 8, 16, operator="CAST")
    rows = [cast, conv(), cast, conv()]
    assert on_cpu("ethos_u", *rows) == [True, False, True, False]


def resize(before, after, operator="RESIZE_BILINEAR"):
    sizes = after, after, 8, before, before, 8
    return Layer("up", "data_movement", *sizes, operator=operator)


@pytest.mark.parametrize(
    ("family", "layer", "runs"),
    [
        ("edge_tpu", resize(16, 64), True),
        ("edge_tpu", resize(16, 65), False),
        ("edge_tpu", resize(1, 65), True),  # the same everywhere
        ("ethos_u", resize(16, 64), True),
        ("ethos_u", resize(17, 65), True),  # corners on corners
        ("ethos_u", resize(16, 48), False),
        ("ethos_u", resize(16, 256), False),
        ("ethos_u85", resize(16, 256), True),
        ("ethos_u85", resize(16, 48), False),
        ("ethos_u85", resize(16, 48, "RESIZE_NEAREST_NEIGHBOR"), True),
        ("systolic", resize(16, 256), True),
        (
            "edge_tpu",
            Layer(
                "s", "elementwise", 1, 1, 16000, 1, 1, 16000, operator="SOFTMAX"
            ),
            True,
        ),
        (
            "edge_tpu",
            Layer(
                "s", "elementwise", 1, 1, 16001, 1, 1, 16001, operator="SOFTMAX"
            ),
            False,
        ),
        (
            "ethos_u",
            Layer("top", "pool", 8, 8, 1, 8, 8, 127, operator="ARG_MAX"),
            True,
        ),
        (
            "ethos_u",
            Layer("top", "pool", 8, 8, 1, 8, 8, 128, operator="ARG_MAX"),
            False,
        ),
        (
            "ethos_u85",
            Layer("top", "pool", 8, 8, 1, 8, 8, 128, operator="ARG_MAX"),
            True,
        ),
    ],
)
def test_what_families_run(family, layer, runs):
    assert on_cpu(family, conv(), layer) == [False, not runs]


@pytest.mark.parametrize("family", families.names())
def test_every_family_leaves_boxes_to_the_host_and_takes_what_has_no_name(
    family,
):
    boxes = Layer(
        "boxes",
        "data_movement",
        1,
        1,
        40,
        1,
        1,
        400,
        operator="TFLite_Detection_PostProcess",
    )
    unnamed = Layer("any", "elementwise", 8, 8, 16, 8, 8, 16)
    assert on_cpu(family, conv(), unnamed, boxes) == [False, False, True]


def test_what_passes_to_the_host_and_back():
    first = conv("first", network_in_elements=256, output_bits=16)
    cast = Layer(
        "cast",
        "elementwise",
        8,
        8,
        16,
        8,
        8,
        16,
        activation_bits=16,
        output_bits=32,
        operator="CAST",
    )
    last = Layer(
        "last",
        "dense",
        1,
        1,
        10,
        1,
        1,
        1024,
        network_out_elements=10,
        operator="FULLY_CONNECTED",
    )
    sent, back = fallback.on_chip([first, cast, last], [False, True, False])
    # 1,024 elements of 16 bits leave; as many of 32 bits are more than the
    # 1,024 of 8 that the last row reads.
    assert (sent.network_in_elements, sent.network_out_elements) == (256, 1024)
    assert (back.network_in_elements, back.network_out_elements) == (1024, 10)
    # It reads what comes back, so it is not worked on with the first.
    follows = dataclasses.replace(last, continues=True)
    [_, back] = fallback.on_chip([first, cast, follows], [False, True, False])
    assert not back.continues
    # What the host reads from the image it has already.
    seen = Layer(
        "cast",
        "elementwise",
        8,
        8,
        16,
        8,
        8,
        16,
        side_elements=256,
        network_in_elements=256,
        operator="CAST",
    )
    [sent] = fallback.on_chip([conv(), seen], [False, True])
    assert sent.network_out_elements == 8 * 8 * 16
    # Of two rows in a row on the host the second reads what the first wrote.
    grown = dataclasses.replace(resize(64, 64, "DEQUANTIZE"), continues=True)
    [sent] = fallback.on_chip([conv(), cast, grown], [False, True, True])
    assert sent.network_out_elements == 8 * 8 * 16 * 16 // 8
    # A table that says nothing of its ends begins with an image all the same.
    [sent, _] = fallback.on_chip([conv(), cast, conv()], [False, True, False])
    assert sent.network_in_elements == 8 * 8 * 4


def dequantize(name, elements, **fields):
    size = 1, 1, elements
    return Layer(
        name,
        "elementwise",
        *size,
        *size,
        output_bits=32,
        operator="DEQUANTIZE",
        **fields,
    )


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("sizes", [(24, 600), (600, 24)])
def test_all_rows_on_the_host_are_sent_what_they_read(sizes, is_recorded):
    heads = [dequantize(f"head_{size}", size) for size in sizes]
    rows = [conv(), *heads]
    if is_recorded:
        record = tape.Tape()
        y = record.input(8, 8, 4)
        scores = [
            record.add(
                f"conv_{n}", "dense", [y], (1, 1, n), operator="FULLY_CONNECTED"
            )
            for n in sizes
        ]
        floats = [
            record.add(
                each.name,
                "elementwise",
                [score],
                score.extents,
                output_bits=32,
                operator="DEQUANTIZE",
            )
            for each, score in zip(heads, scores, strict=True)
        ]
        rows = record.layers(floats)
    falls = [row.operator == "DEQUANTIZE" for row in rows]
    *_, sent = fallback.on_chip(rows, falls)
    assert sent.network_out_elements == 624


def test_what_two_rows_on_the_host_read_is_sent_once():
    # x * relu6(x): the product reads x, which is held, and what is new.
    record = tape.Tape()
    x = record.add("conv", "conv2d", [record.input(8, 8, 4)], (8, 8, 16))
    gate = record.add("gate", "elementwise", [x], (8, 8, 16))
    y = record.add("mul", "elementwise", [gate, x], (8, 8, 16))
    rows = record.layers([record.add("end", "elementwise", [y], (8, 8, 16))])
    [sent] = fallback.on_chip(rows, [False, True, True, True])
    assert sent.network_out_elements == 1024
    sent, back = fallback.on_chip(rows, [False, True, True, False])
    assert (sent.network_out_elements, back.network_in_elements) == (1024, 1024)


def test_all_that_rows_on_the_host_wrote_comes_back():
    # Casts of two tensors, of which each is read by a row of the chip.
    record = tape.Tape()
    image = record.input(8, 8, 4)
    x = record.add("conv", "conv2d", [image], (8, 8, 16))
    a = record.add("a", "elementwise", [x], (8, 8, 16), output_bits=32)
    b = record.add("b", "elementwise", [x], (8, 8, 16), output_bits=16)
    y = record.add("y", "elementwise", [a], (8, 8, 16), output_bits=16)
    z = record.add("z", "elementwise", [y], (8, 8, 16))
    end = record.add("end", "elementwise", [b, z], (8, 8, 16))
    rows = record.layers([end])
    falls = [False, True, True, False, False, False]
    sent, *back = fallback.on_chip(rows, falls)
    assert sent.network_out_elements == 1024  # both read the same
    # 1,024 of 32 bits are read at once; of 1,024 of 16 bits all are to come.
    assert [row.network_in_elements for row in back] == [1024, 0, 1024]
    assert [row.continues for row in back] == [False, True, False]


def test_no_more_comes_back_than_is_read():
    # The cast is an answer, but rows do not say so: the first may read it.
    record = tape.Tape()
    x = record.add("conv", "conv2d", [record.input(8, 8, 4)], (8, 8, 16))
    a = record.add("a", "elementwise", [x], (8, 8, 16), output_bits=32)
    y = record.add("y", "pool", [x], (1, 1, 16), k_h=8, k_w=8, groups=16)
    z = record.add("z", "elementwise", [y], (1, 1, 16))
    end = record.add("end", "elementwise", [y, z], (1, 1, 16))
    falls = [False, True, False, False, False]
    _, *back = fallback.on_chip(record.layers([a, end]), falls)
    assert [row.network_in_elements for row in back] == [1024, 0, 0]


def test_the_host_takes_its_time_and_the_chip_idles():
    chip = presets.load_accelerator("coral_usb")
    chip = accelerators.replace(
        chip, {"runtime/cpu_gmacs": 2, "runtime/cpu_gelements": 0.5}
    )
    rows = [conv(), swish(), conv("after", continues=True)]
    costs = summary.summarize(rows, chip, batch_size=2)
    alone = summary.summarize([conv()], chip, batch_size=2)
    ms = 2 * (8 * 8 * 16 / 0.5e6 + 8 * 8 * 16 * 4 / 2e6)
    assert costs["cpu_ms"] == pytest.approx(ms)
    assert costs["latency_ms"] == pytest.approx(alone["latency_ms"] + ms)
    idle_mj = ms * float(power.idle_mw(chip)) / 1e3
    assert costs["energy_mj"] == pytest.approx(alone["energy_mj"] + idle_mj)
    assert sum(costs["energy_parts_mj"].values()) == pytest.approx(
        costs["energy_mj"]
    )
    work = 8 * 8 * 16 / 0.5e6, 8 * 8 * 16 * 4 / 2e6
    for row, one_ms in zip(costs["layers"][1:], work, strict=True):
        assert row["bound"] == row["runs_on"] == "cpu"
        assert row["latency_ms"] == pytest.approx(2 * one_ms)
        one_mj = one_ms * float(power.idle_mw(chip)) / 1e3
        assert row["energy_mj"] == pytest.approx(2 * one_mj)
    assert [row["runs_on"] for row in costs["layers"]] == [
        "accelerator",
        "cpu",
        "cpu",
    ]
    assert costs["macs"] == 3 * alone["macs"] - alone["macs"]
    peak = float(chip.macs_per_cycle()) * chip.process.clock_ghz * 1e6
    used = alone["macs"] / (costs["latency_ms"] * peak)
    assert costs["utilization"] == pytest.approx(used)


@pytest.mark.parametrize(
    "rows",
    [
        [conv(), conv("two"), swish(), conv("after", continues=True)],
        [swish()],
        [conv()],
    ],
)
def test_all_that_price_one_network_count_the_host(rows):
    chip = presets.load_accelerator("coral_usb")
    design = evaluator.BuiltDesign(rows, chip, pathlib.Path("none"))
    told = analytic.Analytic().measure(design)
    costs = summary.summarize(rows, chip)
    for name in ("latency_ms", "energy_mj", "area_mm2"):
        assert told[name].value == pytest.approx(costs[name], rel=1e-5), name
    cost = fallback.estimate_all(rows, chip)
    for name in ("utilization", "macs", "params", "dram_bytes"):
        value = float(getattr(cost, name)[0])
        assert value == pytest.approx(costs[name], rel=1e-5), name


def test_a_file_in_integers_is_priced_with_its_host(monkeypatch):
    rows = [conv(), swish()]
    monkeypatch.setattr(quantizing, "from_tflite", lambda *_, **__: rows)
    chip = presets.load_accelerator("coral_usb")
    costs = quantizing.costs(b"", chip)
    expected = summary.summarize(rows, chip)
    for name in ("latency_ms", "energy_mj"):
        assert costs[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "elements"),
    [
        (Layer("top", "pool", 8, 8, 1, 8, 8, 16), 8 * 8 * 16),  # reads all
        (
            Layer("mean", "pool", 8, 8, 4, 8, 8, 4, 3, 3, groups=4),
            8 * 8 * 4 * 9,
        ),
        (resize(8, 64), 64 * 64 * 8),
        (Layer("steps", "elementwise", 1, 1, 4, 1, 1, 4, repeats=3), 12),
    ],
)
def test_elements_that_the_host_works_on(layer, elements):
    ms = fallback.cpu_ms(layer, accelerators.default())
    assert ms == pytest.approx(elements / 0.4e6)


def test_tables_name_what_is_left_to_the_host():
    chip = accelerators.default()
    told = {"accelerator": "edge_tpu", "uncosted": []}
    costs = {**summary.summarize([conv(), swish()], chip), **told}
    share = f"{costs['cpu_ms'] / costs['latency_ms']:.0%}"
    last = cost_table.table(costs, per_layer=True).splitlines()[-1]
    assert last == (
        "left to the host, as by Coral's compiler: 1 of 2 layers, "
        f"{share} of the latency: HARD_SWISH"
    )
    by_layer = cost_table.rows(costs, by_layer=True)
    assert [row["runs_on"] for row in by_layer] == ["accelerator", "cpu"]
    assert by_layer[0].keys() == by_layer[1].keys()
    [total] = cost_table.rows(costs, by_layer=False)
    assert total["cpu_operators"] == "HARD_SWISH"
    points = complexity.roofline([conv(), swish()], chip)["layers"]
    assert points[1]["advice"] == "cpu: HARD_SWISH is left to the host"
    assert points[1]["changes"] == []
    costs = {**summary.summarize([conv()], chip), **told}
    assert "left to the host" not in cost_table.table(costs)
    assert costs["cpu_ms"] == 0
    boxes = dataclasses.replace(swish(), operator="NON_MAX_SUPPRESSION_V5")
    for family, words in (("ethos_u", ", as by Vela:"), ("systolic", ":")):
        chip = accelerators.default(family)
        costs = {**summary.summarize([boxes], chip), **told}
        assert f"left to the host{words} 1 of" in cost_table.table(costs)


def test_a_host_may_run_all_of_a_network():
    costs = summary.summarize([swish()], accelerators.default())
    assert costs["cpu_ms"] == pytest.approx(8 * 8 * 16 / 0.4e6)
    assert costs["latency_ms"] == pytest.approx(costs["cpu_ms"], rel=0.01)
    assert [row["runs_on"] for row in costs["layers"]] == ["cpu"]
    assert np.isfinite(costs["utilization"])


def test_files_say_what_their_operations_are_called(tmp_path):
    file = tflite_files.File()
    graph = tflite_files.Graph(file)
    image = graph.input([1, 8, 8, 4])
    y = graph.add("HARD_SWISH", [image], [[1, 8, 8, 4]])
    graph.add("EXP", [y], [[1, 8, 8, 4]])
    path = tmp_path / "model.tflite"
    path.write_bytes(file.content())
    rows = tflite_import.from_tflite(path)
    assert [row.operator for row in rows] == ["HARD_SWISH", "EXP"]


def test_keras_layers_say_what_they_become():
    import keras

    image = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(4, 1, activation="hard_swish")(image)
    y = keras.layers.Resizing(64, 64)(y)
    y = keras.ops.argmax(y, axis=-1)
    rows = keras_import.from_keras(keras.Model(image, y))
    assert [row.operator for row in rows] == [
        "",
        "HARD_SWISH",
        "RESIZE_BILINEAR",
        "ARG_MAX",
    ]
