"""Int8 accuracies of networks against those of files of the same slices."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.supernet import evaluation, quantization_gap


class Files:
    """An evaluator that is told what the file of each network has."""

    def __init__(self, accuracies):
        self.accuracies = accuracies

    def file_accuracy(self, network):
        return self.accuracies[network]


def test_the_gap_by_hand():
    files = Files({"a": 0.50, "b": 0.74, "c": 0.78})
    gap = quantization_gap.measure(files, ["a", "b", "c"], [0.51, 0.80, 0.76])
    assert gap["files"] == [0.50, 0.74, 0.78]
    assert gap["mean"] == pytest.approx((0.01 + 0.06 + 0.02) / 3)
    assert gap["largest"] == pytest.approx(0.06)
    assert gap["tau"] == pytest.approx(1 / 3)  # b and c are the other way


def test_networks_from_the_worst_to_the_best():
    accuracies = [0.3, 0.1, 0.5, 0.2, 0.4]
    assert quantization_gap.spread(accuracies, 2) == [1, 2]
    assert quantization_gap.spread(accuracies, 5) == [1, 3, 0, 4, 2]


@pytest.mark.parametrize("count", [1, 4])
def test_as_many_as_there_are(count):
    with pytest.raises(ValueError, match=f"Received: {count} of 3"):
        quantization_gap.spread([0.1, 0.2, 0.3], count)


def test_files_answer_a_part_of_the_images_at_a_time(monkeypatch):
    space = cs.SearchSpace.load("digits")
    network = space.decode([0] * len(space.parameters)).network
    evaluator = object.__new__(evaluation.Evaluator)
    evaluator._x = np.zeros((700, 8, 8, 1), np.float32)
    evaluator._y = np.arange(700) % 10
    seen = []

    def answers(file, batches):
        for images, labels in batches:
            seen.append(len(images))
            yield np.eye(10)[np.minimum(labels, 8)], labels

    monkeypatch.setattr(evaluator, "tflite", lambda network: b"")
    monkeypatch.setattr(evaluation.evaluate, "answers", answers)
    assert evaluator.file_accuracy(network) == pytest.approx(0.9)
    assert sum(seen) == 700
    assert max(seen) <= evaluation.BATCH_IMAGES < 700
