import csv
import json

import pytest

from tf_cosearch.tasks.keyword_spotting import KeywordSpotting
from tf_cosearch.tasks.speech import speech_commands, tones
from tf_cosearch.training import evaluate


@pytest.mark.slow
def test_a_folder_of_words_becomes_a_file_that_hears_them(call, tmp_path):
    words, runs = tmp_path / "words", tmp_path / "runs"
    tones.write(words, clips=80)
    result = call(
        "search",
        "--space=keywords",
        f"--data=wav:{words}",
        "--start_from=ds_cnn",
        "--oracle=random",
        "--max_trials=2",
        "--epochs=8",
        "--area_mm2=50",
        f"--output_dir={runs}",
    )
    assert result.code == 0, result.err
    with (runs / "trials.csv").open() as file:
        first, _ = csv.DictReader(file)
    assert (first["stem/kernel_size"], first["stem/filters"]) == ("10x4", "64")
    design = json.loads((runs / "design/design.json").read_text())
    assert design["network"]["task"]["name"] == "keyword_spotting"
    assert design["network"]["classes"] == 7
    # Speakers that nobody has heard, of another seed.
    others = tmp_path / "others"
    tones.write(others, clips=10, seed=1)
    splits, _ = speech_commands.load(others, KeywordSpotting())
    right = evaluate.accuracy(runs / "design/model.tflite", [splits["train"]])
    assert right > 0.3  # of seven classes
    for tool in ("debug_numerics", "monitor"):  # which ask the design
        told = call(tool, f"--design={runs / 'design'}", f"--data=wav:{words}")
        assert told.code == 0, told.err


def test_words_without_their_task_are_told_of_it(call, tmp_path):
    result = call(
        "search", "--space=digits", "--data=tones", f"--output_dir={tmp_path}"
    )
    assert "--task=keyword_spotting" in result.message
