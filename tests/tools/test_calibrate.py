import numpy as np
import pytest
import yaml

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import presets
from tf_cosearch.cost.calibrate import calibration, devices
from tf_cosearch.cost.calibrate.constants import CONSTANTS

PUBLISHED = configuration.shipped("measurements", "published_latencies.csv")
OTHERS = configuration.shipped("measurements", "edge_tpu_latencies.csv")


def read(path):
    return yaml.safe_load(path.read_text())


def test_a_shipped_preset_is_what_the_script_makes(call, tmp_path):
    shipped = configuration.shipped("accelerators", "pixel4_edge_tpu.yaml")
    output = tmp_path / "new" / "pixel4_edge_tpu.yaml"
    done = call(
        "calibrate",
        f"--measurements={PUBLISHED},{OTHERS}",
        "--device=pixel4",
        "--constants=activation_width",
        f"--accelerator={shipped}",
        f"--output={output}",
    )
    assert (done.code, done.err) == (0, "")
    made, was = (
        accelerators.to_paths(presets.load_accelerator(path))
        for path in (output, shipped)
    )
    # A rounding error elsewhere may change the last of three digits.
    assert made == pytest.approx(was, rel=0.01)
    assert read(output)["description"] == read(shipped)["description"]
    assert list(read(output)) == list(read(shipped))
    lines = done.out.splitlines()
    assert lines[0].endswith("measured   fitted  error  left out  error")
    assert lines[1] == "pixel4"
    assert lines[2].startswith("  mobilenet_edgetpu_dm1.0 224 px  ")
    assert lines[5].startswith("  mean absolute error ")
    assert lines[6].startswith("activation_width 0.4")
    assert lines[7].startswith("pixel4 as it was: bandwidth ")
    assert lines[8] == f"Wrote {output}."
    error = lines[5].split()[-1]
    assert f"{error} when each network is" in read(output)["calibration"]
    assert "device pixel4: inter" in read(output)["calibration"]


def test_several_hosts_of_a_chip_are_fitted_together(call, tmp_path):
    rows = [
        "device,network,latency_ms",
        *(
            f"{device},{network},{ms * times}"
            for device, times in (("near", 1), ("far", 1.5))
            for network, ms in (
                ("dense_stack_140", 0.2),
                ("dense_stack_1660", 8.5),
                ("dense_stack_2620", 36.5),
            )
        ),
    ]
    (tmp_path / "hosts.csv").write_text("\n".join(rows))
    made = [tmp_path / "near.yaml", tmp_path / "far.yaml"]
    done = call(
        "calibrate",
        f"--measurements={tmp_path / 'hosts.csv'}",
        "--device=near,far",
        "--constants=link,inference_us",
        "--accelerator=coral_pcie_float,coral_pcie_float",
        f"--output={made[0]},{made[1]}",
    )
    assert (done.code, done.err) == (0, "")
    near, far = map(presets.load_accelerator, made)
    ratio = near.host_link.input_gbs / far.host_link.input_gbs
    assert ratio == pytest.approx(1.5, rel=0.05)
    assert near.runtime.inference_us == far.runtime.inference_us
    assert "device far: host_link" in read(made[1])["calibration"]


@pytest.fixture
def measured(tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text(
        "network,latency_ms\n"
        "mobilenet_v1,2.4\n"
        "mobilenet_v2,2.6\n"
        "efficientnet_lite0,4.1\n"
        "mobilenet_edgetpu,3.3\n"
    )
    return path


def test_constants_of_choice_on_a_chip_of_ones_own(call, tmp_path, measured):
    (tmp_path / "chip.yaml").write_text("pe_array: {rows: 2}")
    done = call(
        "calibrate",
        f"--measurements={measured}",
        f"--accelerator={tmp_path / 'chip.yaml'}",
        "--constants=inference_us",
        f"--output={tmp_path / 'made.yaml'}",
    )
    assert (done.code, done.err) == (0, "")
    made = presets.load_accelerator(tmp_path / "made.yaml")
    assert made.pe_array.rows == 2
    assert made.runtime.inference_us > 1000
    assert made.runtime.memory_share == 1


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--measurements=none.csv", "must exist"),
        ("--accelerator=coral", "Did you mean 'coral_"),
        ("--output=a.json", "with the ending .yaml"),
        ("--constants=memory", "Did you mean 'memory_share'"),
        ("--constants=", "must name what to fit"),
        ("--constants=memory_share,layer_us,bandwidth", "at least 6 different"),
        ("--device=mine", "must have the column device"),
        (f"--measurements={PUBLISHED}", "--device=NAME"),
        ("--constants=links,link", "Did you mean 'link'"),
        ("--output=a.yaml,b.yaml", "--output must name one for each device"),
        ("--device=a,a", "must name different ones. Received: a,a"),
        ("--presets=here", "--presets must stand alone"),
    ],
)
def test_wrong_flags_are_refused(call, tmp_path, measured, flag, message):
    done = call(
        "calibrate",
        f"--measurements={measured}",
        "--accelerator=edge_tpu",
        f"--output={tmp_path / 'made.yaml'}",
        flag,
    )
    assert message in done.message
    assert not (tmp_path / "made.yaml").exists()


def test_two_devices_are_not_written_to_one_file(call, tmp_path, measured):
    done = call(
        "calibrate",
        f"--measurements={measured}",
        "--device=usb,pcie",
        "--accelerator=coral_usb,coral_pcie",
        f"--output={tmp_path}/a/one.yaml,{tmp_path}/b/../a/one.yaml",
    )
    assert "--output must name different files. Received: " in done.message


def test_a_folder_for_presets_is_checked_before_fitting(
    call_here, tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "GROUPS", None)
    (tmp_path / "file").write_text("")
    done = call_here("calibrate", f"--presets={tmp_path / 'file'}")
    assert "--presets must be in a folder" in done.message


def test_without_flags_it_says_which_are_needed(call):
    done = call("calibrate", "--accelerator=edge_tpu")
    assert (
        "--measurements, --output must be given, or --presets" in done.message
    )


def test_all_presets_are_fitted_by_one_flag(call_here, tmp_path, monkeypatch):
    pixels = [group for group in devices.GROUPS if "pixel4" in group.presets]
    monkeypatch.setattr(devices, "GROUPS", pixels)
    done = call_here("calibrate", f"--presets={tmp_path}")
    assert (done.code, done.err) == (0, "")
    name = "pixel4_edge_tpu.yaml"
    shipped = configuration.shipped("accelerators", name)
    assert read(tmp_path / name) == read(shipped)


def test_presets_that_share_a_bus_take_what_was_fitted_just_now(
    call_here, tmp_path, monkeypatch
):
    """Of a made-up fit, so that what the shipped presets have is not it."""
    fitted = []

    def calibrate(measured, chips, constants):
        fitted.extend(chips)
        if "coral_pcie_float" in chips:
            values = dict.fromkeys(CONSTANTS["bus_width"].paths, 3.21)
            chips = {
                device: accelerators.replace(chip, values)
                for device, chip in chips.items()
            }
        nothing = dict.fromkeys(chips, np.ones(1))
        names = dict.fromkeys(chips, ("a",))
        return calibration.Calibration(
            dict(chips), {}, names, nothing, nothing, nothing
        )

    monkeypatch.setattr(calibration, "calibrate", calibrate)
    done = call_here("calibrate", f"--presets={tmp_path}")
    assert (done.code, done.err) == (0, "")
    assert sorted(fitted) == sorted(devices.DEVICES)
    widths = {}
    for name in ("coral_usb", "coral_dev", "coral_pcie"):
        made = presets.load_accelerator(tmp_path / f"{name}.yaml")
        bus = made.interconnect
        widths[name] = (bus.width_bytes == 3.21, bus.ring_width_bytes == 3.21)
    # The description of coral_pcie keeps the bus of the template.
    assert widths == {
        "coral_usb": (True, True),
        "coral_dev": (True, True),
        "coral_pcie": (False, True),
    }


def test_a_wrong_row_is_named(call, tmp_path, measured):
    measured.write_text(measured.read_text() + "vgg16,-296\n")
    done = call(
        "calibrate",
        f"--measurements={measured}",
        "--accelerator=edge_tpu",
        f"--output={tmp_path / 'made.yaml'}",
    )
    assert "row 5 (line 6), column latency_ms" in done.message


def test_over_fitting_is_refused(call, tmp_path):
    done = call(
        "calibrate",
        f"--measurements={PUBLISHED}",
        "--device=pixel6",
        "--accelerator=pixel6_edge_tpu",
        "--constants=inference_us,layer_us",
        f"--output={tmp_path / 'made.yaml'}",
    )
    assert "without layer_us" in done.message
    assert "--constants=inference_us;" in done.message
    assert not (tmp_path / "made.yaml").exists()
