import csv
import io
import json
import math
import re

import keras
import numpy as np
import planted_faults as faults
import pytest
import tf_keras

from tf_cosearch.numerics import debugger, depth_picture, diagnosis, matching
from tf_cosearch.numerics.layer_errors import LayerErrors
from tf_cosearch.numerics.playback import Quantization
from tf_cosearch.training import evaluate, mixed_precision

DEPTH = [
    "image",
    "stem",
    "expand",
    "depthwise",
    "swish",
    "swish_2",  # which multiplies by its sigmoid
    "squeeze",
    "restore",
    "restore_2",
    "excite",
    "left",
    "right",
    "join",
    "add",
    "pool",
    "logits",
]
CONV, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"


@pytest.fixture(scope="module")
def healthy(pair, pictures):
    return debugger.compare(*pair, pictures)


def by_name(reports):
    return {report.name: report for report in reports}


def close(reports, others):
    """Whether both say the same numbers of the same layers."""
    pairs = zip(reports, others, strict=True)
    return all(
        one.name == other.name
        and math.isclose(
            one.errors.own_sqnr_db, other.errors.own_sqnr_db, abs_tol=0.01
        )
        and math.isclose(one.errors.sqnr_db, other.errors.sqnr_db, abs_tol=0.01)
        for one, other in pairs
    )


def test_all_layers_of_a_good_file_are_good(healthy):
    assert [report.name for report in healthy] == DEPTH
    for report in healthy:
        assert report.errors.own_sqnr_db > 30, report.name
        assert not report.diagnosis.is_fault
        assert report.errors.saturated_share < 0.01


def test_errors_are_those_of_both_networks(pair, pictures, healthy):
    """By interpreters that run the files as a whole."""
    from tf_cosearch.training import evaluate

    wanted, got = (
        evaluate.Runner(content).dequantized(pictures) for content in pair
    )
    step = healthy[-1].errors.quantization.scale[0]
    off = np.abs(wanted - got)
    assert abs(healthy[-1].errors.mean - off.mean()) < step
    assert abs(healthy[-1].errors.largest - off.max()) < 3 * step


@pytest.mark.parametrize(
    ("plant", "where", "layer", "cause"),
    [
        (faults.scale_output, (CONV, 0, 16), "stem", "a wrong scale"),
        (faults.scale_output, (CONV, 1, 1 / 8), "expand", "a wrong scale"),
        (faults.scale_output, ("MEAN", 0, 1 / 8), "squeeze", "a wrong scale"),
        (
            faults.scale_output,
            ("ADD", 0, 16),
            "add",
            "a range that is too wide",
        ),
        (faults.scale_output, ("ADD", 0, 1 / 8), "add", "saturation"),
        (faults.scale_output, ("MUL", 0, 1 / 8), "swish_2", "saturation"),
        (faults.scale_output, (DENSE, 0, 1 / 8), "logits", "saturation"),
        (faults.scale_weights, (CONV, 0, 3), "stem", "scale of weights"),
        (faults.scale_weights, (DENSE, 0, 0.3), "logits", "scale of weights"),
        (faults.scale_weights, (CONV, 1, 100, 2), "expand", "channel 2"),
        (
            faults.scale_weights,
            (DEPTHWISE, 0, 100, 5),
            "depthwise",
            "channel 5",
        ),
        (faults.scale_weights, (CONV, 3, 0.01, 3), "left", "channel 3"),
        (faults.zero_channel, (DEPTHWISE, 0, 1), "depthwise", "channel 1"),
        (faults.shift_bias, (CONV, 0, 1, 3), "stem", "bias: that of channel 1"),
        (faults.shift_bias, (DENSE, 0, 2, 3), "logits", "a wrong bias"),
    ],
)
def test_a_fault_is_found_where_it_is(
    pair, pictures, plant, where, layer, cause
):
    ill = plant(pair[1], *where)
    worst = debugger.worst_first(debugger.compare(pair[0], ill, pictures))[0]
    assert (worst.name, cause in worst.diagnosis.cause) == (layer, True)
    assert worst.diagnosis.advice


def test_a_channel_that_is_blown_up_hurts_the_others(blown_pair, pictures):
    """The tensor has little noise for its signal, and its channels much."""
    worst = debugger.worst_first(debugger.compare(*blown_pair, pictures))[0]
    assert worst.name == "depthwise"
    assert worst.diagnosis.cause.startswith(
        "a range set by outliers: channel 3 reaches"
    )
    assert worst.weights.spread > 50
    assert worst.weights.sqnr_db > 40  # as each channel has a scale
    assert worst.errors.sqnr_db - worst.errors.own_sqnr_db > 20


def test_channels_far_apart_need_scales_of_their_own(blown_pair, pictures):
    ill = faults.one_scale(blown_pair[1], DEPTHWISE, 0)
    reports = debugger.compare(blown_pair[0], ill, pictures)
    depthwise = by_name(reports)["depthwise"]
    assert debugger.worst_first(reports)[0] is depthwise
    assert depthwise.diagnosis.cause.startswith(
        "weight ranges of channels too far apart: channel 3"
    )
    assert depthwise.weights.is_per_tensor


def test_input_channels_far_apart_round_to_nothing(pictures):
    """Of a network that a converter has rounded as it should."""
    from tf_cosearch.training import qat, session

    apart = np.array([1, 300, 0.001, 300, 1, 30, 100, 1])
    rng = np.random.default_rng(0)
    with session.private():
        model = tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 1)),
                tf_keras.layers.Conv2D(8, 3, activation="relu", name="before"),
                tf_keras.layers.Conv2D(6, 1, name="after"),
            ]
        )
        first, second = model.layers
        first.set_weights([rng.normal(size=(3, 3, 1, 8)) * apart, np.ones(8)])
        kernel = rng.normal(size=(1, 1, 8, 6)) / apart[:, None]
        second.set_weights([kernel, np.zeros(6)])
        files = qat.to_float_tflite(model), qat.to_tflite(model, pictures)
    worst = by_name(debugger.compare(*files, pictures))["after"]
    assert worst.errors.own_sqnr_db < 10
    assert worst.weights.lost_inputs == 7
    assert worst.diagnosis.cause == (
        "weights of 7 input channels round to little or nothing: they reach "
        f"{worst.weights.smallest_input:.2g} times as far as those of another, "
        "and share its scale"
    )
    ranges = np.abs(kernel).max((0, 1, 3))
    usual = np.median(np.delete(ranges, 2)) / ranges[2]
    assert abs(worst.weights.smallest_input - usual) < 1e-6
    assert "Equalize" in worst.diagnosis.advice
    assert not worst.diagnosis.is_fault


def test_layers_of_keras_3_have_their_own_names(pictures):
    """That TensorFlow calls by those of others."""
    from tf_cosearch.training import qat, session

    layers = keras.layers
    with session.private():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(2, 3, use_bias=False, name="conv2d"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(name="re_lu"),
                layers.Dropout(0.5, name="dropout"),
                layers.Conv2D(2, 3, activation="relu", name="conv2d_1"),
                layers.Flatten(name="flatten"),
                layers.Dense(3, name="dense"),
                layers.Dense(3, name="dense_1"),
            ]
        )
        files = qat.to_float_tflite(model), qat.to_tflite(model, pictures)
        wanted = np.asarray(model(pictures))
    got = evaluate.Runner(files[0]).dequantized(pictures)
    assert np.abs(got - wanted).max() < 1e-5
    names = [each.name for each in debugger.compare(*files, pictures)]
    assert names == ["image", "conv2d", "conv2d_1", "dense", "dense_1"]
    assert {*names[1:]} <= mixed_precision.names(files[1])


def test_what_saturates_is_never_none_of_the_numbers():
    """Few numbers may be most of the error; none of them is no saturation."""
    quantization = Quantization(
        {
            "dtype": np.int8,
            "quantization_parameters": {
                "scales": [1.0],
                "zero_points": [0],
                "quantized_dimension": 0,
            },
        }
    )
    wanted = np.zeros((50_000, 1))
    wanted[0] = 1e5
    for at_end, said in (
        (127, "saturation: 20 in a million of the numbers"),
        (126, "a range set by outliers"),
    ):
        stored = np.zeros((50_000, 1), np.int8)
        stored[0] = at_end
        errors = LayerErrors(quantization, 1)
        errors.add(stored, wanted, wanted)
        found = diagnosis.diagnose("ADD", errors, None, None)
        assert found.cause.startswith(said)


def test_what_comes_after_a_fault_is_accumulation(pair, pictures, healthy):
    ill = faults.scale_weights(pair[1], CONV, 0, 0.01, 2)
    found = by_name(debugger.compare(pair[0], ill, pictures))["expand"]
    assert found.errors.sqnr_db < 20
    before = by_name(healthy)["expand"].errors.own_sqnr_db
    assert abs(found.errors.own_sqnr_db - before) < 3
    assert "accumulation" in found.diagnosis.cause


def test_other_images_than_in_calibration_saturate_the_image(pair, pictures):
    reports = debugger.compare(*pair, 4 * pictures)
    worst = debugger.worst_first(reports)[0]
    assert (worst.name, worst.kind) == ("image", "INPUT")
    assert "saturation" in worst.diagnosis.cause
    assert "as for training" in worst.diagnosis.advice
    beyond = np.abs(4 * pictures) > 127.5 * worst.errors.quantization.scale[0]
    assert abs(worst.errors.saturated_share - beyond.mean()) < 0.02


def test_dead_channels_are_counted(pair, pictures):
    ill = faults.zero_channel(pair[1], DEPTHWISE, 0, 1)
    before, after = (
        by_name(debugger.compare(pair[0], content, pictures))[
            "depthwise"
        ].described()
        for content in (pair[1], ill)
    )
    assert after["dead_channels"] == before["dead_channels"] + 1
    assert after["dead_by_rounding"] == before["dead_by_rounding"] + 1


@pytest.mark.parametrize("side", [0, 1])
def test_an_activation_may_be_an_operator_of_its_own(
    pair, pictures, healthy, side
):
    """In one of the files, where the other has it in the convolution."""
    files = list(pair)
    files[side] = faults.unfuse(pair[side], 1)
    reports = debugger.compare(*files, pictures)
    assert len(reports) == len(healthy)
    for one, other in zip(reports, healthy, strict=True):
        tolerance = 1.0 if one.name == "expand" else 0.1
        assert math.isclose(
            one.errors.sqnr_db, other.errors.sqnr_db, abs_tol=tolerance
        )


def test_branches_that_look_alike_are_told_apart(pair, pictures, healthy):
    place = DEPTH.index("left") - 1
    swapped = faults.swap(pair[1], place, place + 1)
    reports = debugger.compare(pair[0], swapped, pictures)
    order = lambda each: each.name  # noqa: E731
    assert close(sorted(reports, key=order), sorted(healthy, key=order))


def test_images_go_one_by_one_where_a_file_takes_one(
    pair, pictures, healthy, monkeypatch
):
    monkeypatch.setattr(debugger, "_can_take", lambda *given: False)
    assert close(debugger.compare(*pair, pictures), healthy)


def test_all_is_written_worst_first(healthy, tmp_path):
    content = json.loads(debugger.written(healthy, "json", 3))["layers"]
    assert len(content) == len(healthy)
    own = [float(layer["own_sqnr_db"]) for layer in content]
    assert own == sorted(own)
    rows = list(
        csv.DictReader(io.StringIO(debugger.written(healthy, "csv", 3)))
    )
    assert [row["layer"] for row in rows] == [each["layer"] for each in content]
    table = debugger.written(healthy, "table", 3).splitlines()
    assert table[1].startswith(content[0]["layer"])
    assert table[4] == "and 13 layers of less noise."
    picture = tmp_path / "noise.png"
    depth_picture.plot(healthy, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "Received: shape (2, 8, 8, 3)"),
        (np.zeros((0, 8, 8, 1), np.float32), "an empty batch"),
        (np.full((2, 8, 8, 1), np.nan, np.float32), "NaN or infinity in 2"),
    ],
)
def test_images_that_say_nothing_are_refused(pair, images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        debugger.compare(*pair, images)


def test_two_networks_are_refused(pair, pictures):
    narrow = faults.drop_last(pair[1])
    with pytest.raises(ValueError, match=r"goes on to .* where the quantized"):
        debugger.compare(pair[0], narrow, pictures)
    other = faults.drop_last(pair[0])
    with pytest.raises(ValueError, match="FULLY_CONNECTED 'Identity"):
        debugger.compare(other, pair[1], pictures)
    with pytest.raises(ValueError, match="must be one network"):
        debugger.compare(
            faults.rename(pair[0], "DEPTHWISE_CONV_2D", "CONV_2D"),
            pair[1],
            pictures,
        )


def test_images_of_another_shape_are_refused(pair):
    """That have as many numbers."""
    floats, quantized = (matching.read(each, "a file") for each in pair)
    entry = floats.inputs[0]
    shape = (1, 4, 16, 1)
    floats.tensors[entry] = floats.tensors[entry]._replace(shape=shape)
    with pytest.raises(
        ValueError, match=re.escape("of [4, 16, 1] and of [8, 8, 1]")
    ):
        matching.match(floats, quantized)


@pytest.mark.parametrize("side", [0, 1])
def test_damaged_files_are_refused(pair, pictures, side):
    files = list(pair)
    files[side] = files[side][: len(files[side]) // 2]
    with pytest.raises(ValueError, match=r"must be a whole \.tflite file"):
        debugger.compare(*files, pictures)


def test_no_noise_and_nothing_but_noise_are_told_apart(healthy):
    """In a file that a program reads, and in one for people."""
    quiet = LayerErrors(healthy[0].errors.quantization, 1)
    quiet.add(np.zeros((2, 1), np.int8), *2 * [np.zeros((2, 1))])
    zero = quiet.quantization.integers(np.zeros((2, 1)), np.int8)
    exact = LayerErrors(quiet.quantization, 1)
    exact.add(zero, *2 * [np.zeros((2, 1))])
    first, second = (
        healthy[0]._replace(errors=errors) for errors in (exact, quiet)
    )
    assert zero[0, 0] != 0
    said = json.loads(debugger.written([first, second], "json", 2))["layers"]
    assert [each["sqnr_db"] for each in said] == ["-inf", "inf"]
    lines = debugger.written([first, second], "csv", 2).splitlines()
    assert [line.split(",")[4] for line in lines[1:]] == ["-inf", "inf"]
    lines = debugger.written([first, second], "table", 2).splitlines()
    assert "no signal" in lines[1]
    assert "exact" in lines[2]


def test_statistics_by_hand():
    """A channel that fits, and one whose number is beyond 127 steps of 1."""
    quantization = Quantization(
        {
            "dtype": np.int8,
            "quantization_parameters": {
                "scales": [1.0],
                "zero_points": [0],
                "quantized_dimension": 0,
            },
        }
    )
    errors = LayerErrors(quantization, 2)
    wanted = np.array([[10.25, 130.0], [-10.0, 127.0]])
    errors.add(np.array([[10, 127], [-10, 127]], np.int8), wanted, wanted)
    signal, noise = (wanted**2).sum(), 0.25**2 + 9
    assert math.isclose(errors.sqnr_db, 10 * math.log10(signal / noise))
    assert errors.largest == 3
    assert errors.mean == 3.25 / 4
    assert errors.saturated_share == 1 / 4
    assert errors.used_share == 137 / 255
    assert errors.dead().tolist() == [False, True]
    assert errors.dead_in_float().tolist() == [False, False]
    assert errors.widest_channel == (1, 130 / 70.125)
