"""Advice must be true: every change named is made, and the answer looked at."""

import re

import numpy as np
import pytest

from tf_cosearch import accelerators
from tf_cosearch.accelerators import families, presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.cost.costs import bounds
from tf_cosearch.cost.explain import advice, summary, waste
from tf_cosearch.cost.model import estimate
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer, pad

CHIPS = {
    "edge_tpu": {},
    "edge_tpu_v2": {},
    "narrow memory": {"pe_memory/width_bytes": 4},
    "narrow path": {"interconnect/activation_width_bytes": 0.5},
    "little memory": {"pe_memory/capacity_mib": 0.1, "dram/bandwidth_gbs": 2},
}


def changed(chip, change):
    return accelerators.from_paths(accelerators.to_paths(chip) | change)


@pytest.fixture(scope="module", params=CHIPS)
def case(request):
    known = request.param if "edge" in request.param else "edge_tpu"
    chip = changed(presets.load_accelerator(known), CHIPS[request.param])
    layers = load_network("mobilenet_v2").layers()
    rows = summary.summarize(layers, chip)["layers"]
    return layers, chip, rows, advice.advise(layers, chip)


def test_every_bound_has_an_answer():
    for name in families.names():
        chip = accelerators.default(name)
        assert {"compute", *families.get(name).relief} == set(bounds(chip))


def test_the_advice_names_the_bound(case):
    _, _, rows, answers = case
    for row, answer in zip(rows, answers, strict=True):
        assert re.match(rf"{row['bound']}( at|:)", answer.advice)


def test_changes_do_what_the_advice_says(case):
    layers, chip, rows, answers = case
    tried = {}
    made = 0
    for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
        speedups = re.findall(r"([\d.]+)x as fast", answer.advice)
        assert len(speedups) in (len(answer.changes), bool(answer.changes))
        for number, change in enumerate(answer.changes):
            key = tuple(change.items())
            if key not in tried:
                better = changed(chip, change)
                tried[key] = summary.summarize(layers, better)["layers"]
            after = tried[key][index]
            speedup = row["latency_ms"] / after["latency_ms"]
            said = float(speedups[min(number, len(speedups) - 1)])
            assert speedup == pytest.approx(said, rel=0.006)
            assert row["bound"] == "compute" or after["bound"] != row["bound"]
            assert after["bound"] in answer.advice
            made += 1
    assert made > len(layers) / 2


def test_the_change_is_the_smallest_that_is_tried(case):
    layers, chip, rows, answers = case
    index = next(i for i, row in enumerate(rows) if row["bound"] != "compute")
    change = answers[index].changes[0]
    ((path, value),) = change.items()
    before = accelerators.to_paths(chip)[path]
    step = 0.1 if value / before < 10.05 else 1
    less = changed(chip, {path: value - (step + 0.05) * before})
    after = summary.summarize(layers, less)["layers"][index]
    assert after["bound"] == rows[index]["bound"]


def test_bandwidth_or_memory_for_weights_that_stream():
    dense = Layer("dense", "dense", 1, 1, 1024, 1, 1, 4096)
    layers = [dense, Layer("next", "dense", 1, 1, 8, 1, 1, 1024)]
    chip = accelerators.from_paths({"pe_memory/capacity_mib": 0.2})
    answer = advice.advise(layers, chip)[0]
    assert [list(change) for change in answer.changes] == [
        ["dram/bandwidth_gbs"],
        ["pe_memory/capacity_mib"],
    ]
    needed = re.search(r"([\d.]+) KiB more PE memory", answer.advice)
    more = answer.changes[1]["pe_memory/capacity_mib"] - 0.2
    assert float(needed[1]) == pytest.approx(more * 16 * 1024, rel=1e-3)


def test_memory_does_not_keep_the_image():
    image = Layer("stem", "conv2d", 64, 64, 8, 64, 64, 4)
    answer = advice.advise([image], EdgeTpu())[0]
    assert "more PE memory does not help" in answer.advice
    assert [list(change) for change in answer.changes] == [
        ["dram/bandwidth_gbs"]
    ]


def test_depthwise_is_told_about_the_reduction():
    first = Layer("in", "conv2d", 64, 64, 256, 64, 64, 4)
    depthwise = Layer(
        "dw", "depthwise_conv2d", 64, 64, 256, 64, 64, 256, 3, 3, groups=256
    )
    last = Layer("out", "conv2d", 64, 64, 4, 64, 64, 256)
    answer = advice.advise([first, depthwise, last], EdgeTpu())[1]
    assert "depthwise feeds 4 of 64 SIMD units" in answer.advice
    assert answer.changes[0]["pe_array/dot_width"] < 4


@pytest.mark.parametrize(
    ("layer", "dimension"),
    [
        (Layer("few", "conv2d", 56, 56, 24, 56, 56, 144), "out_c"),
        (Layer("rgb", "conv2d", 112, 112, 64, 224, 224, 3, 3, 3, 2, 2), "in_c"),
        (Layer("small", "conv2d", 5, 64, 1024, 5, 64, 4), "out_h"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_room_is_free_and_ends_where_it_is_said_to(layer, dimension):
    """The size named takes no more time than the layer, the next one does."""
    chip = EdgeTpu()
    words = waste.find_waste([layer], chip, np.array([0.3]), [0])[0]
    noun = {"out_c": "output channels", "in_c": "input channels"}.get(
        dimension, "rows"
    )
    found = re.search(rf"(\d+) {noun} take the time of (\d+)", words)
    assert int(found[1]) == getattr(layer, dimension)

    def time(size):
        change = {name: getattr(layer, name) for name in layer.__slots__}
        change[dimension] = size
        if dimension == "out_h":
            change["in_h"] = size
        fast = changed(
            chip, {"dram/bandwidth_gbs": 4096, "pe_memory/capacity_mib": 1024}
        )
        cost = estimate(pad([[Layer(**change)]]), fast, per_layer=True)
        return max(float(busy[0, 0]) for busy in cost.layers.busy_cycles[:-1])

    now, room = time(int(found[1])), int(found[2])
    assert time(room) <= now * (1 + 1e-6) < time(room + 1)


def test_a_full_array_wastes_nothing_and_can_only_grow():
    conv = Layer("c", "conv2d", 64, 64, 256, 64, 64, 256, 3, 3)
    edge = Layer("edge", "conv2d", 64, 64, 256, 64, 64, 4)
    answer = advice.advise([edge, conv, conv], EdgeTpu())[1]
    assert answer.advice.startswith("compute at 100% of the peak;")
    (change,) = answer.changes
    (path,) = change
    doubled = 2 * accelerators.to_paths(EdgeTpu())[path]
    assert change == {path: doubled}


def test_what_takes_no_time_needs_nothing():
    layers = [
        Layer("a", "dense", 1, 1, 8, 1, 1, 8),
        Layer("move", "data_movement", 1, 1, 8, 1, 1, 8),
        Layer("b", "dense", 1, 1, 8, 1, 1, 8),
    ]
    rows = summary.summarize(layers, EdgeTpu())["layers"]
    answers = advice.advise(layers, EdgeTpu())
    for row, answer in zip(rows, answers, strict=True):
        assert row["latency_ms"] or answer.advice == "nothing: it takes no time"
