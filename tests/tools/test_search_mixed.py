import csv
import json
import pathlib
import subprocess
import sys

import pytest

from tf_cosearch.training import mixed_precision

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
FLAGS = TOOLS.parent / "configs" / "searches" / "digits_mixed.flags"


@pytest.mark.slow
def test_a_search_of_bits_ends_with_a_mixed_file(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            TOOLS / "search.py",
            f"--flagfile={FLAGS}",
            f"--output_dir={tmp_path}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check(tmp_path)


def check(folder):
    """The chosen file has the bits that the search says it chose."""
    with (folder / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert len(trials) == 16
    assert {row["stage1/weight_bits"] for row in trials} == {"4", "8"}
    described = json.loads((folder / "design" / "design.json").read_text())
    file = (folder / "design" / "model.tflite").read_bytes()
    widths = {
        name.replace("/", "_"): (bits["weights"], bits["activations"])
        for name, bits in described["bits"].items()
        if "weights" in bits
    }
    assert mixed_precision.layer_bits(file) == widths
    assert {weights for weights, _ in widths.values()} == {4, 8}
    assert widths["stem_conv"] == widths["logits"] == (8, 8)
    [chosen] = [
        row for row in trials if row["trial_id"] == described["trial_id"]
    ]
    assert float(chosen["file_kib"]) == len(file) / 1024
    assert float(chosen["model_kib"]) < float(chosen["file_kib"])
