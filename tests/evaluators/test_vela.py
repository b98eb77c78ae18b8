import importlib.metadata
import importlib.util

import pytest
from devices import needs_vela

import tf_cosearch as cs
from tf_cosearch import configuration, evaluators
from tf_cosearch.evaluators import program, vela
from tf_cosearch.evaluators.evaluator import BuiltDesign, RefusedError

PRESETS = [
    name
    for name in configuration.names("accelerators")
    if name.startswith("ethos_u")
]


def built(path, accelerator="edge_tpu"):
    return BuiltDesign([], cs.load_accelerator(accelerator), path)


@needs_vela
def test_a_file_is_compiled(int8_file):
    options = {"accelerator": "ethos-u55-128"}
    costs = evaluators.make("vela", options)(built(int8_file)).costs
    # The default system of a U55 has a clock of 500 MHz.
    assert costs["cycles"].value > 100
    assert costs["latency_ms"].value == pytest.approx(
        costs["cycles"].value / 500e3
    )
    assert 0 < costs["peak_memory_kib"].value < 64
    assert 0 < costs["model_kib"].value < 64
    assert costs["cpu_operators"].value == 0


@pytest.mark.parametrize(
    "preset",
    [n for n in configuration.names("accelerators") if n.startswith("ethos_u")],
)
def test_an_ethos_u_is_compiled_for_as_it_is(preset):
    accelerator = cs.load_accelerator(preset)
    assert vela.configuration(accelerator) == preset.replace("_", "-")


@needs_vela
def test_a_file_is_compiled_for_the_accelerator_of_its_design(int8_file):
    judge = evaluators.make("vela", {})
    cycles = [
        judge(built(int8_file, preset)).costs["cycles"].value
        for preset in ("ethos_u55_32", "ethos_u55_256")
    ]
    assert cycles[0] > cycles[1]


@pytest.fixture
def installed(monkeypatch):
    """Vela is, as far as one can tell before it runs."""
    find, version = importlib.util.find_spec, importlib.metadata.version
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: name == "ethosu" or find(name, *rest),
    )
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "5.2.0" if name == vela.PACKAGE else version(name),
    )


@pytest.mark.parametrize("family", ["edge_tpu", "systolic"])
def test_a_search_of_no_ethos_u_is_refused(installed, family, tmp_path):
    space = cs.SearchSpace.load(
        "digits",
        input_shape=(8, 8, 1),
        classes=10,
        accelerator={"family": family},
    )
    said = f"family {family}, and no option `accelerator`"
    with pytest.raises(ValueError, match=said):
        cs.CoSearchTuner(space, evaluator="vela", directory=tmp_path)
    cs.CoSearchTuner(
        space,
        evaluator="vela",
        evaluator_options={"accelerator": "ethos-u55-64"},
        directory=tmp_path,
    )


def test_a_search_of_an_ethos_u_is_not(installed, tmp_path):
    space = cs.SearchSpace.load(
        "digits",
        input_shape=(8, 8, 1),
        classes=10,
        accelerator="ethos_u85_256",
    )
    cs.CoSearchTuner(space, evaluator="vela", directory=tmp_path)


def test_a_file_alone_is_not_compiled_for_another_chip(installed, int8_file):
    with pytest.raises(RefusedError, match="told an Ethos-U"):
        evaluators.make("vela", {})(built(int8_file))


@needs_vela
def test_fewer_units_take_longer(int8_file):
    cycles = [
        evaluators.make("vela", {"accelerator": name})(built(int8_file))
        .costs["cycles"]
        .value
        for name in ("ethos-u55-32", "ethos-u55-256")
    ]
    assert cycles[0] > cycles[1]


@needs_vela
def test_a_file_that_vela_does_not_take_is_refused(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"nonsense")
    with pytest.raises(RefusedError, match="Vela must compile the file"):
        evaluators.make("vela", {})(built(path, "ethos_u55_128"))


@needs_vela
def test_a_system_that_vela_does_not_know_is_no_fault_of_the_file(int8_file):
    with pytest.raises(program.ExitError, match="CliOptionError"):
        evaluators.make("vela", {"system": "None_Such"})(
            built(int8_file, "ethos_u55_128")
        )


@needs_vela
@pytest.mark.parametrize("option", ["accelerator", "system", "memory_mode"])
def test_options_are_names(option):
    with pytest.raises(ValueError, match=f"`{option}` must be a name"):
        evaluators.make("vela", {option: "--help"[1:] + " /"})


@needs_vela
def test_its_version_is_part_of_it():
    described = evaluators.make("vela", {"memory_mode": "Sram_Only"}).describe()
    assert described["version"].count(".") == 2
    assert described["memory_mode"] == "Sram_Only"


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tf_cosearch\[vela\]'"):
        evaluators.make("vela", {})


@pytest.mark.parametrize(
    ("code", "log", "error"),
    [
        (1, "RuntimeError: Compilation failed: No networks", RefusedError),
        (1, f"RuntimeError: Compilation failed: {'o' * 999}\nx", RefusedError),
        (1, "ethosu.vela.errors.InputFileError: 'Error'", RefusedError),
        (1, "ethosu.vela.errors.AllocationError: 'Error'", RefusedError),
        (-9, "RuntimeError: Compilation failed: No", program.ExitError),
        (1, "RuntimeError: Compilation failed: std::bad_alloc", RuntimeError),
        (1, "MemoryError", program.ExitError),
        (1, "OSError: [Errno 28] No space left", program.ExitError),
        (1, "ModuleNotFoundError: No module named 'numpy'", RuntimeError),
        (1, "ethosu.vela.errors.CliOptionError: 'Error'", RuntimeError),
        (2, "vela: error: argument --system-config", program.ExitError),
        (1, "", program.ExitError),
    ],
)
def test_only_what_vela_says_of_a_file_is_a_refusal(
    tmp_path, monkeypatch, code, log, error
):
    def ends(*arguments):
        raise program.ExitError("ended", code, f"Traceback:\n{log}\n")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(program, "run", ends)
    file = tmp_path / "model.tflite"
    file.write_bytes(b"file")
    judge = evaluators.make("vela", {"accelerator": "ethos-u55-128"})
    with pytest.raises(error):
        judge.measure(built(file))
