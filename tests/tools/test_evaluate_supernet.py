"""The script that says how well a supernet ranks networks."""

import json

import numpy as np
import pytest

from tf_cosearch import text
from tf_cosearch.supernet import progress
from tf_cosearch.supernet.evaluation import Evaluator


def write_trials(path, space, sign=1):
    """A trials.csv in which more multiply-accumulates are more accurate."""
    drawn = space.sample(np.random.default_rng(0), 100)
    split = space.num_network_parameters
    _, first = np.unique(drawn[:, :split], axis=0, return_index=True)
    designs = [space.decode(drawn[row]) for row in first]
    designs.sort(key=lambda design: sign * design.network.macs)
    rows = [
        {
            "trial_id": number,
            "status": "COMPLETED",
            "accuracy_int8": 0.5 + number / 100,
            "seconds": 8.0,
            **space.values(design.genome),
        }
        for number, design in enumerate(designs)
    ]
    path.write_text(text.comma_separated(rows))
    return [design.network for design in designs]


def test_prints_and_draws(
    call_here, data_flags, supernet, space, tmp_path, monkeypatch
):
    networks = write_trials(tmp_path / "trials.csv", space)
    arguments = (
        "evaluate_supernet",
        *data_flags,
        f"--supernet={supernet}",
        f"--trained={tmp_path / 'trials.csv'}",
    )
    picture = tmp_path / "new" / "ranking.png"
    done = call_here(
        *arguments, "--format=json", "--top=2", f"--output={picture}"
    )
    assert (done.code, done.err) == (0, "")
    result = json.loads(done.out)
    assert [row["macs"] for row in result["networks"]] == [
        network.macs for network in networks
    ]
    assert result["rankings"]["macs"]["tau"] == pytest.approx(1)
    assert result["rankings"]["macs"]["regret"] == 0
    assert "accuracy_float" not in result["rankings"]  # nobody measured it
    assert result["seconds"]["training"] == 8
    assert picture.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(Evaluator, "file_accuracy", lambda *_: 0.5)
    monkeypatch.setattr(progress, "_PAUSE", -1.0)
    done = call_here(*arguments, "--quantization_gap=2")
    assert done.code == 0
    lines = done.err.splitlines()
    assert [line.split("  (")[0] for line in lines] == [
        *(f"{number}/6 networks measured" for number in range(1, 6)),
        "1/2 int8 files measured",
    ]
    assert all(line.endswith(" left)") for line in lines)
    assert "6 trained networks" in done.out
    assert "top-5 regret" in done.out
    assert "Int8 files of 2 of them" in done.out


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--top=6", "6 networks, of which the first 6"),
        ("--quantization_gap=7", "7 of 6"),
        ("--quantization_gap=1", "1 of 6"),
        ("--output=a.gif", "with the ending .png, .svg, .pdf"),
        ("--trained=nowhere", "earlier search must be given by its folder"),
        ("--supernet=nowhere", "A supernet must be a folder"),
        ("--space=digits", "must be of the same space"),
        ("--train_size=65", "data.training_examples=64, not 65"),
        ("--validation_size=9", "data.validation_examples="),
    ],
)
def test_what_it_refuses(
    call_here, data_flags, supernet, space, tmp_path, flag, words, monkeypatch
):
    monkeypatch.setattr(Evaluator, "accuracy", None)  # nothing is measured
    write_trials(tmp_path / "trials.csv", space)
    done = call_here(
        "evaluate_supernet",
        *data_flags,
        f"--supernet={supernet}",
        f"--trained={tmp_path / 'trials.csv'}",
        flag,
    )
    assert words in done.message
    assert len(list(tmp_path.iterdir())) == 1
