import keras
import pytest
import tflite_files

from tf_cosearch import configuration
from tf_cosearch.cost.calibrate import measurements
from tf_cosearch.networks import published

PUBLISHED = configuration.shipped("measurements", "published_latencies.csv")


def write(folder, text):
    path = folder / "measured.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("OwnOperation", "known operations.*model.tflite with OwnOperation"),
        ("ethos-u", "Arm's Vela"),
        ("edgetpu-custom-op", "the Edge TPU compiler"),
        ("DISPATCH_OP", "LiteRT"),
    ],
)
def test_files_that_do_not_say_all_are_refused(tmp_path, op, message):
    graph = tflite_files.Graph()
    graph.add(op, [graph.input([1, 8])], [[1, 8]])
    (tmp_path / "model.tflite").write_bytes(graph.content())
    path = write(tmp_path, "model,latency_ms\nmodel.tflite,1\n")
    with pytest.raises(ValueError, match=f"row 1 .*column model: .*{message}"):
        measurements.read_measurements(path)


@pytest.mark.parametrize(
    ("device", "count"),
    [("coral_usb", 5), ("coral_dev", 5), ("pixel4", 3), ("pixel6", 5)],
)
def test_published_latencies_are_read_by_device(device, count):
    measured = measurements.read_measurements(PUBLISHED, device)
    assert len(measured) == count


def test_a_row_is_a_network_at_its_size(tmp_path):
    path = write(
        tmp_path,
        "latency_ms,network,input_px,source,by\n"
        "2.5,mobilenet_v1,,bench/1,me\n"
        " 1e-1 , mobilenet_v1 , 128 , , me\n",
    )
    own, small = measurements.read_measurements(path)
    layers = published.load("mobilenet_v1")
    assert own == ("mobilenet_v1", layers, 2.5, "bench/1")
    assert small.name == "mobilenet_v1 128 px"
    assert small.layers == published.load("mobilenet_v1", 128)
    assert (small.latency_ms, small.source) == (0.1, "")


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_model_files_are_looked_for_beside_the_csv(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)]
    )
    model.save(tmp_path / "mine.keras")
    path = write(
        tmp_path,
        "model,network,latency_ms\n"
        "mine.keras,,1\n"
        f"{tmp_path / 'mine.keras'},,2\n"
        ",mobilenet_v2,3\n",
    )
    beside, absolute, named = measurements.read_measurements(path)
    assert beside.name == "mine.keras"
    assert beside.layers == absolute.layers
    assert sum(layer.macs for layer in beside.layers) == 6 * 6 * 4 * 3 * 9
    assert named.layers == published.load("mobilenet_v2")


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("mobilenet_v1,0", "latency_ms", "positive number of milliseconds"),
        ("mobilenet_v1,-2", "latency_ms", "Received: '-2'"),
        ("mobilenet_v1,nan", "latency_ms", "positive"),
        ("mobilenet_v1,inf", "latency_ms", "positive"),
        ("mobilenet_v1,fast", "latency_ms", "positive"),
        ("mobilenet_v1,", "latency_ms", "Received: ''"),
        ("mobilenet_v1", "latency_ms", "Received: ''"),
        ("mobilnet_v1,2", "network", "Did you mean 'mobilenet_v1'"),
        (",2", "network", "must name a network or a model file"),
        ("none.tflite,2", "network", "must exist"),
        ("mobilenet_v1,2,big", "input_px", "positive whole number"),
        ("mobilenet_v1,2,0", "input_px", "positive whole number"),
        ("none.keras,2,8", "network", "must exist"),
        ("inception_v3,2,8", "network", "large enough"),
    ],
)
def test_wrong_rows_are_named(tmp_path, row, column, reason):
    header = "network,latency_ms,input_px\n"
    path = write(tmp_path, f"{header}mobilenet_v2,1,\n{row}\n")
    with pytest.raises(ValueError, match=reason) as caught:
        measurements.read_measurements(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, row 2 (line 3), column {column}: ")
    assert "Received:" in message or "Unknown" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Received: an empty file"),
        ("network,latency\n", "Received: network, latency"),
        ("latency_ms\n1\n", r"columns network \(or model\) and latency_ms"),
        ("network,latency_ms\n", "a header only"),
    ],
)
def test_incomplete_files(tmp_path, text, reason):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=reason):
        measurements.read_measurements(path)
    with pytest.raises(FileNotFoundError, match="must exist"):
        measurements.read_measurements(tmp_path / "none.csv")


def test_one_device_at_a_time(tmp_path):
    with pytest.raises(ValueError, match=r"row 6 .*--device=NAME"):
        measurements.read_measurements(PUBLISHED)
    with pytest.raises(ValueError, match="Did you mean 'pixel6'"):
        measurements.read_measurements(PUBLISHED, "pixel5")
    path = write(tmp_path, "network,latency_ms\nmobilenet_v2,1\n")
    with pytest.raises(ValueError, match="must have the column device"):
        measurements.read_measurements(path, "pixel6")
    path = write(tmp_path, "network,latency_ms,device\nmobilenet_v2,1,mine\n")
    assert len(measurements.read_measurements(path)) == 1


def test_a_decimal_comma_is_no_fewer_milliseconds(tmp_path):
    path = write(tmp_path, "network,latency_ms\nmobilenet_v1,2,4\n")
    with pytest.raises(ValueError, match=r"line 2: .* 2\. Received: 3, mob"):
        measurements.read_measurements(path)


def test_two_names_for_a_network_are_refused(tmp_path):
    """The second one was dropped."""
    path = write(tmp_path, "network,model,latency_ms\ndqn,mlp,2\ndqn,,2\n")
    with pytest.raises(ValueError, match=r"line 2\), column model: .*'mlp' be"):
        measurements.read_measurements(path)
