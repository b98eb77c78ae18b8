import pytest

from tf_cosearch import accelerators, configuration
from tf_cosearch.accelerators import families, presets
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu

# TOPS: NAHAS's baseline and arXiv 2102.10423, table 1; 4 TOPS of Coral, which
# Pixels are assumed after; ZigZag's 1024 multiply-accumulates a cycle.
PEAKS = {
    "coral_dev": 4.1,
    "coral_pcie": 4.1,
    "coral_pcie_float": 4.1,
    "coral_usb": 4.1,
    "edge_tpu": 26.2,
    "edge_tpu_v1": 26.2,
    "edge_tpu_v2": 8.73,
    "edge_tpu_v3": 8.73,
    # 2 x multipliers x clock
    "ethos_u55_32": 0.032,
    "ethos_u55_64": 0.064,
    "ethos_u55_128": 0.128,
    "ethos_u55_256": 0.256,
    "ethos_u65_256": 0.512,
    "ethos_u65_512": 1.024,
    "ethos_u85_128": 0.256,
    "ethos_u85_256": 0.512,
    "ethos_u85_512": 1.024,
    "ethos_u85_1024": 2.048,
    "ethos_u85_2048": 4.096,
    "pixel4_edge_tpu": 4.1,
    "pixel6_edge_tpu": 8.2,
    "systolic_128x128": 22.9,  # 2 x 128 x 128 x 0.7 GHz
    "systolic_32x32": 2.05,
    "zigzag_edge_tpu_like": 2.05,
}


@pytest.mark.parametrize("name", configuration.names("accelerators"))
def test_peak_tops_follow_from_the_parameters(name):
    chip = presets.load_accelerator(name)
    assert accelerators.peak_tops(chip) == pytest.approx(PEAKS[name], abs=0.05)


@pytest.mark.parametrize("name", configuration.names("accelerators"))
def test_presets_say_what_their_hosts_are_assumed_to_be(name):
    chip = presets.load_accelerator(name)
    if families.name_of(chip).startswith("ethos_u"):
        clock_ghz = chip.process.clock_ghz
        assert chip.runtime.cpu_gmacs == pytest.approx(2 * clock_ghz)
        assert chip.runtime.cpu_gelements == pytest.approx(clock_ghz / 12.5)
        words = "Cortex-M55"
    elif name == "coral_dev":
        # Elements as much slower than a desktop's as products are.
        runtime = chip.runtime
        assert runtime.cpu_gmacs == pytest.approx(0.569 / 0.164, rel=0.01)
        ratio = runtime.cpu_gelements / runtime.cpu_gmacs
        assert ratio == pytest.approx(0.4 / 10.7, rel=0.01)
        words = "as much slower"
    elif name.startswith("pixel"):
        words = "processor"
    else:
        return
    assert words in " ".join(presets.load_description(name).split())


def test_the_baseline_is_the_default_and_part_of_the_search_space():
    chip = presets.load_accelerator("edge_tpu")
    assert chip == EdgeTpu()
    for path, held in accelerators.parameters().items():
        if held.choices:
            assert accelerators.to_paths(chip)[path] in held.choices


def test_the_search_space_is_the_published_one():
    searched = {
        path.split("/")[1]: parameter.choices
        for path, parameter in accelerators.parameters().items()
    }
    assert (
        searched.items()
        >= {
            "columns": (1, 2, 4, 6, 8),
            "rows": (1, 2, 4, 6, 8),
            "lanes": (1, 2, 4, 8),
            "simd_units": (16, 32, 64, 128),
            "capacity_kib": (8, 16, 32, 64, 128),
            "capacity_mib": (0.5, 1, 2, 3, 4),
            "bandwidth_gbs": (5, 10, 15, 20, 25),
        }.items()
    )


def test_saved_accelerators_load_again(tmp_path):
    chip = presets.load_accelerator("edge_tpu_v2")
    presets.save_accelerator(chip, tmp_path / "chip.yaml", "a test")
    assert presets.load_accelerator(tmp_path / "chip.yaml") == chip


def test_what_an_accelerator_is_in_words(tmp_path):
    path = tmp_path / "chip.yaml"
    chip = presets.load_accelerator("edge_tpu_v2")
    presets.save_accelerator(chip, path, "a test", calibration="a fit")
    assert presets.load_accelerator(path) == chip
    assert presets.load_description(path) == "a test"
    assert "calibration: a fit" in path.read_text()
    assert "NAHAS" in presets.load_description("edge_tpu")


def bad(tmp_path, text):
    path = tmp_path / "chip.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pe_aray: {rows: 4}", "Did you mean 'pe_array'"),
        ("pe_array: {row: 4}", "Did you mean 'rows'"),
        ("pe_array: {rows: 0}", "pe_array/rows .* must lie in 1 to 1024 PEs"),
        ("pe_array: {rows: 2.5}", "whole number of PEs"),
        ("pe_array: {rows: many}", "must be a number"),
        ("pe_array: {rows: .nan}", "must be a number"),
        ("pe_array: {rows: true}", "must be a number"),
        ("pe_array: 4", "must be a mapping"),
        ("process: {node_nm: 7}", "must lie in 22 to 45 nm"),
        ("family: tpu", r"family in .*: 'tpu'\. .*Known: edge_tpu"),
        ("family: [edge_tpu]", r"Unknown family in .*: \['edge_tpu'\]"),
        ("calibration: 3", "calibration in .* must be a text. Received: 3"),
        ("description: [a]", r"must be a text. Received: \['a'\]"),
        (
            "{family: ethos_u85, mac_array: {macs: 4096}}",
            "must be 128, 256, 512, 1024 or 2048 multipliers. Received: 4096",
        ),
        ("[1, 2]", "must hold a mapping"),
        ("pe_array: {rows: 4", "must be YAML"),
        ("", "must hold a mapping"),
    ],
)
def test_bad_presets_say_what_is_wrong(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        presets.load_accelerator(bad(tmp_path, text))


def test_unknown_and_missing_presets():
    with pytest.raises(ValueError, match="Did you mean 'edge_tpu_v1'"):
        presets.load_accelerator("edge_tpu_1")
    with pytest.raises(FileNotFoundError, match=r"Received: no\.yaml"):
        presets.load_accelerator("no.yaml")
