import csv
import io
import json
import pathlib
import re
import subprocess
import sys
import textwrap

import keras
import pytest
import tensorflow as tf
import tflite_files
from devices import device

import tf_cosearch as cs
from tf_cosearch import metrics

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "estimate.py"


@pytest.fixture
def layers(tmp_path):
    path = tmp_path / "layers.csv"
    path.write_text(
        textwrap.dedent("""\
        H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW
        112,112,32,64,3,3,1,1,112,112
        7,7,64,64,3,3,2,64,4,4
        1,1,1024,1000,1,1,1,1,1,1
        """)
    )
    return path


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_json_keeps_its_contract(call):
    done = call("estimate", "--network=mobilenet_v2", "--format=json")
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert {
        "accelerator",
        "latency_ms",
        "energy_mj",
        "area_mm2",
        "macs",
        "params",
        "peak_tops",
        "utilization",
        "layers",
    } <= set(result)
    assert result["accelerator"] == "edge_tpu"
    assert result["peak_tops"] == pytest.approx(26.2144)
    assert 0 < result["utilization"] <= 1
    rows = result["layers"]
    assert len(rows) == len(cs.load_network("mobilenet_v2").layers())
    assert sum(row["macs"] for row in rows) == result["macs"] == 300_774_272
    assert sum(row["latency_ms"] for row in rows) == pytest.approx(
        result["latency_ms"], rel=1e-4
    )


def test_a_cost_beyond_all_numbers_is_refused(call, tmp_path):
    """JSON knows no infinity."""
    path = tmp_path / "layers.csv"
    sizes = ",".join(["16777216"] * 6 + ["1"] * 2 + ["16777216"] * 2)
    path.write_text(f"H,W,Cin,Cout,Kh,Kw,stride,groups,OH,OW\n{sizes}\n")
    done = call("estimate", f"--layers={path}", "--format=json")
    assert "must have a cost that is a number" in done.message
    assert "line2" in done.message


def test_layers_csv_is_answered_row_by_row(call, layers):
    done = call("estimate", f"--layers={layers}", "--format=csv")
    assert (done.code, done.err) == (0, "")
    answer = read(done.out)
    assert {
        "cycles",
        "latency_ms",
        "energy_mj",
        "utilization",
        "bound",
    } <= set(answer[0])
    assert [int(row["macs"]) for row in answer] == [
        112 * 112 * 64 * 32 * 9,
        4 * 4 * 64 * 9,
        1024 * 1000,
    ]
    for row in answer:
        assert float(row["cycles"]) > 0
        assert 0 < float(row["utilization"]) <= 1
        assert row["bound"] in (
            "compute",
            "pe_memory",
            "interconnect",
            "dram",
        )


def test_csv_of_a_network_has_totals_or_every_layer(call):
    arguments = ("estimate", "--network=mobilenet_v2", "--format=csv")
    totals = read(call(*arguments).out)
    assert len(totals) == 1
    assert totals[0]["params"] == "3487816"
    assert len(read(call(*arguments, "--per_layer").out)) == 64


def test_published_networks_are_estimated_at_any_size(call):
    arguments = ("estimate", "--network=squeezenet_v1.1", "--format=csv")
    [published] = read(call(*arguments).out)
    [smaller] = read(call(*arguments, "--input_px=112").out)
    assert smaller["params"] == published["params"] == "1235496"
    assert int(smaller["macs"]) < int(published["macs"]) / 3.9


def test_a_file_as_a_network_is_told_of_its_flag(call):
    message = call("estimate", "--network=my.keras").message
    assert "Use --model=my.keras." in message


def test_table_fits_a_terminal_and_names_its_units(call):
    done = call("estimate", "--network=mobilenet_v2", "--per_layer")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 100
    header = "layer operation MACs params cycles µs µJ util. bound by"
    assert lines[0].split() == header.split()
    first = lines[1].split()
    assert first[:4] == ["stem/conv", "conv2d", "10.8M", "896"]
    assert "26.2 TOPS peak" in done.out
    assert "64 layers, 300.8 M MACs, 3.488 M parameters" in done.out


def test_long_names_keep_their_end(call, layers):
    text = layers.read_text().splitlines()
    rows = [f"{line},{'x' * 90}{i}" for i, line in enumerate(text[1:])]
    layers.write_text("\n".join([f"{text[0]},name", *rows]))
    done = call("estimate", f"--layers={layers}", "--per_layer")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 100
    names = [line.split()[0] for line in lines[1:4]]
    assert [name[-2:] for name in names] == ["x0", "x1", "x2"]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_keras_files_are_estimated(call, tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]
    )
    model.save(path)
    result = json.loads(
        call("estimate", f"--model={path}", "--format=json").out
    )
    assert result["macs"] == 6 * 6 * 4 * 3 * 9


def test_a_design_is_estimated_as_the_search_did(call, finished):
    design = cs.load_design(finished / "design")
    result = json.loads(
        call(
            "estimate",
            f"--model={finished / 'design' / 'model.tflite'}",
            f"--accelerator={finished / 'design' / 'accelerator.yaml'}",
            "--format=json",
        ).out
    )
    for name in ("latency_ms", "energy_mj", "area_mm2"):
        assert result[name] == pytest.approx(design.metrics[name], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Exactly one of"),
        (("--network=mobilenet_v2", "--model=a.keras"), "Exactly one of"),
        (("--network=mobilenetv2",), "Did you mean 'mobilenet_v2'"),
        (("--network=",), "Unknown network"),
        (("--network=mobilenet_v2", "--input_px=0"), "input_px"),
        (("--layers=a.csv", "--input_px=8"), "is for --network"),
        (("--network=mobilenet_v2", "--signature=a"), "is for --model"),
        (("--model=model.pb",), "must end in .tflite, .lite"),
        (("--model=none.keras",), "must exist"),
        (("--layers=none.csv",), "must exist"),
        (("--network=mobilenet_v2", "--format=xml"), "table|json|csv"),
        (
            ("--network=mobilenet_v2", "--accelerator=edge"),
            "Did you mean 'edge_tpu'",
        ),
    ],
)
def test_wrong_flags_are_refused(call, arguments, message):
    assert message in call("estimate", *arguments).message


@pytest.mark.parametrize("suffix", [".tflite", ".keras", ".h5"])
def test_damaged_models_are_refused(call, finished, tmp_path, suffix):
    whole = (finished / "design" / "model.tflite").read_bytes()
    path = tmp_path / f"model{suffix}"
    for content in (whole[: len(whole) // 2], b"PK\x03\x04", b""):
        path.write_bytes(content)
        message = call("estimate", f"--model={path}").message
        assert f"{path} must be a whole" in message


@pytest.fixture
def unknown(tmp_path):
    """Two graphs with an operation of their own."""
    file = tflite_files.File()
    for name in ("encode", "decode"):
        graph = tflite_files.Graph(file)
        x = graph.input([1, 8, 8, 4])
        y = graph.add("OwnOperation", [x], [[1, 8, 8, 4]])
        graph.add("RFFT2D", [y], [[1, 8, 8, 4]])
        file.signatures[name] = file.graphs.index(graph)
    path = tmp_path / "model.tflite"
    path.write_bytes(file.content())
    return path


def test_what_is_not_counted_is_in_every_answer(call, unknown):
    done = call("estimate", f"--model={unknown}", "--format=json")
    result = json.loads(done.out)
    assert (result["uncosted"], done.err) == (["OwnOperation", "RFFT2D"], "")
    assert result["signature"] == "encode"
    assert result["other_signatures"] == ["decode"]
    for flags in ((), ("--per_layer",)):
        rows = read(
            call("estimate", f"--model={unknown}", "--format=csv", *flags).out
        )
        assert {row["uncosted"] for row in rows} == {"OwnOperation;RFFT2D"}
    done = call("estimate", f"--model={unknown}", "--signature=decode")
    *_, signature, last = done.out.splitlines()
    assert signature == "signature decode; --signature chooses encode instead"
    assert last.endswith(": OwnOperation, RFFT2D")


def test_nothing_is_said_of_what_is_counted(call):
    done = call("estimate", "--network=mobilenet_v2", "--format=csv")
    assert read(done.out)[0]["uncosted"] == ""


def test_open_image_sizes_are_given(call, tmp_path):
    graph = tflite_files.Graph()
    x = graph.input([-1, -1, -1, 3])
    weights = graph.weights(4, 3, 3, 3)
    graph.add(
        "CONV_2D",
        [x, weights],
        [[-1, -1, -1, 4]],
        options="Conv2DOptions",
        strideH=2,
        strideW=2,
        dilationHFactor=1,
        dilationWFactor=1,
    )
    path = tmp_path / "model.tflite"
    path.write_bytes(graph.content())
    [row] = read(
        call("estimate", f"--model={path}", "--input_px=20", "--format=csv").out
    )
    assert int(row["macs"]) == 10 * 10 * 4 * 27
    assert "(--input_px=224)" in call("estimate", f"--model={path}").message


def test_nothing_but_the_answer_is_printed(finished):
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            f"--model={finished / 'design' / 'model.tflite'}",
            "--format=json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout)["layers"]


@pytest.fixture
def tflite(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]
    )
    path = tmp_path / "my.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def test_a_file_is_measured_without_a_search(call, tflite):
    done = call("estimate", f"--model={tflite}", "--evaluator=litert_cpu")
    assert (done.code, done.err) == (0, "")
    last = done.out.splitlines()[-1]
    assert re.fullmatch(
        r"litert_cpu, in .+ s: latency \S+ .s \(noise .+, analytic .+\)", last
    )


def test_what_a_program_says_stands_beside_the_model(call, tflite, tmp_path):
    program = device(tmp_path, "print(json.dumps({'latency_ms': 7, 'v': 5}))")
    done = call(
        "estimate",
        f"--model={tflite}",
        "--evaluator=command",
        f"--evaluator_option=program={program}",
        "--evaluator_option=costs=[latency_ms, v]",
        "--format=json",
    )
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert result["measured"]["latency_ms"] == {
        "value": 7.0,
        "unit": "ms",
        "noise": 0.0,
        "analytic": result["latency_ms"],
    }
    assert result["measured"]["v"]["value"] == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network=mobilenet_v2"], "asked about a file"),
        (["--model=my.keras"], "asked about a file"),
        (["--model={}", "--format=csv"], "a table or JSON"),
        (["--model={}", "--evaluator_option=cores=2"], "Unknown option of"),
        (["--model={}", "--evaluator_option=threads=0"], "at least 1"),
        (["--model={}", "--evaluator=litert"], "Did you mean 'litert_cpu'"),
        (
            ["--model={}", "--evaluator=command"],
            "`program` must be a program",
        ),
    ],
)
def test_evaluators_are_checked(call, tflite, arguments, message):
    given = [argument.format(tflite) for argument in arguments]
    done = call("estimate", "--evaluator=litert_cpu", *given)
    assert message in done.message


def test_a_network_over_several_chips(call, layers, tmp_path):
    picture = tmp_path / "stages.png"
    flags = (
        f"--layers={layers}",
        "--accelerator=coral_usb,edge_tpu,coral_usb",
        "--chips=3",
        "--link_gbs=0.1",
    )
    done = call("estimate", *flags, "--format=json", f"--stages={picture}")
    assert (done.code, done.err) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = json.loads(done.out)
    assert result["link"] == {"bandwidth_gbs": 0.1, "byte_pj": 160}
    assert [each["chips"] for each in result["pipelines"]] == [1, 2, 3]
    last = result["pipelines"][-1]
    names = [stage["accelerator"] for stage in last["stages"]]
    assert names == ["coral_usb", "edge_tpu", "coral_usb"]
    # The second layer reads 7 x 7 x 64 elements, the third 1024.
    sent = [stage["sent_bytes"] for stage in last["stages"]]
    assert sent == [7 * 7 * 64, 1024, 0]
    assert last["period_ms"] == max(s["time_ms"] for s in last["stages"])
    rows = read(call("estimate", *flags, "--format=csv").out)
    assert [row["pipeline/chips"] for row in rows] == list("122333")
    assert [row["first"] for row in rows[-3:]] == ["line2", "line3", "line4"]
    assert float(rows[-1]["time_ms"]) == last["stages"][-1]["time_ms"]
    table = call("estimate", *flags).out
    fps = metrics.get("throughput_fps").text(last["throughput_fps"])
    assert re.search(f"^ +3 +{fps} ", table, re.MULTILINE)
    assert re.search(r"^ +2  edge_tpu +1  line3 ", table, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--chips=4"], "no more chips than layers.*4 chips for 3 layers"),
        (["--chips=0"], "0 is not a positive integer"),
        (["--chips=2", "--link_gbs=0"], "link_gbs.*must be a positive number"),
        (["--chips=2", "--link_pj=-1"], "link_pj"),
        (["--chips=2", "--per_layer"], "--per_layer must be given without"),
        (["--chips=2", "--batch_size=2"], "--batch_size must be given without"),
        (
            ["--chips=2", "--evaluator_option=a=1"],
            "--evaluator_option must be given without --chips",
        ),
        (["--link_gbs=1"], "--link_gbs must be given with --chips"),
        (["--stages=a.png"], "--stages must be given with --chips"),
        (["--chips=2", "--stages=a.txt"], "--stages"),
        (
            ["--chips=2", "--accelerator=coral_usb,edge_tpu,coral_usb"],
            "one for each chip. Received: 3 for --chips=2",
        ),
    ],
)
def test_several_chips_that_cannot_be_priced(call, layers, flags, message):
    done = call("estimate", f"--layers={layers}", *flags)
    assert done.code != 0
    assert re.search(message, done.message)
