"""Searches for other tasks than classification, from the command line."""

import json

import numpy as np
import pytest

import tf_cosearch as cs


@pytest.mark.slow
def test_a_search_segments_scenes_end_to_end(call_here, tmp_path, files):
    flags = (
        f"--space={files / 'tiny.yaml'}",
        "--task=segmentation",
        "--data=scenes:160",
        "--oracle=random",
        "--max_trials=2",
        "--epochs=6",
        "--batch_size=8",
        f"--output_dir={tmp_path}",
    )
    done = call_here("search", *flags)
    assert done.code == 0, done.err
    assert "int8 mean intersection over union" in done.out
    description = json.loads((tmp_path / "design" / "design.json").read_text())
    assert description["network"]["task"]["name"] == "segmentation"
    # One that says that all is background has 18 %.
    assert description["accuracies"]["accuracy_int8_test"] > 0.2

    # A design says what it is for, so that it is trained on as it was.
    done = call_here(
        "retrain",
        f"--design={tmp_path / 'design'}",
        "--data=scenes:160",
        "--epochs=1",
        f"--output_dir={tmp_path / 'longer'}",
    )
    assert done.code == 0, done.err
    assert "mean intersection over union" in done.out
    watched = call_here(
        "monitor", f"--design={tmp_path / 'design'}", "--data=digits"
    )
    assert "must classify" in watched.message

    # Another task, of as many classes, is another search.
    x = np.zeros((20, 32, 32, 1), np.float32)
    np.savez(tmp_path / "labels.npz", x_train=x, y_train=np.arange(20) % 5)
    another = call_here(
        "search",
        *(flag for flag in flags if not flag.startswith(("--task", "--data"))),
        f"--data=npz:{tmp_path / 'labels.npz'}",
    )
    assert "task=segmentation, not classification" in another.message


def test_a_task_and_data_that_do_not_fit_are_refused(call, tmp_path):
    out = f"--output_dir={tmp_path / 'out'}"
    done = call("search", "--task=segmentation", "--data=digits", out)
    assert "digits must hold masks" in done.message
    done = call("search", "--data=scenes:50", out)
    assert "Unknown data set: 'scenes'" in done.message
    done = call("search", "--task=segmentations", out)
    assert "Did you mean 'segmentation'" in done.message
    assert not (tmp_path / "out").exists()


def test_a_space_says_what_it_is_for(call, files, tmp_path):
    space = tmp_path / "mine.yaml"
    text = (files / "tiny.yaml").read_text()
    space.write_text(f"{text}\ntask: {{name: segmentation, width: 16}}\n")
    done = call(
        "search",
        f"--space={space}",
        "--data=digits",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert "digits must hold masks" in done.message
    loaded = cs.SearchSpace.load(space, (16, 16, 1), 3, task="segmentation")
    assert loaded.task.width == 16  # the same task keeps its options
    loaded = cs.SearchSpace.load(space, (16, 16, 1), 3, task="classification")
    assert loaded.task == cs.tasks.CLASSIFICATION
