"""All networks are calibrated by the same images, whatever their size."""

import tracemalloc

import numpy as np
import pytest

from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet import evaluation
from tf_cosearch.supernet.evaluation import BatchReading, Calibration, Evaluator
from tf_cosearch.supernet.options import Sharing
from tf_cosearch.supernet.weights import SharedWeights
from tf_cosearch.training import inputs

IMAGES = 70

NETWORKS = Template(
    {
        "stem": {"filters": [8, 12]},
        "stages": [{"block": "conv_bn", "filters": 8, "stride": 2}],
    },
    "tiny",
    (8, 8, 1),
    3,
)
NETWORK = NETWORKS.decode((1,))


@pytest.fixture(scope="module")
def evaluator():
    rng = np.random.default_rng(0)
    # Batches of others in the end than in the beginning.
    x = np.linspace(0, 1, IMAGES)[:, None, None, None]
    x = (x + rng.random((IMAGES, 8, 8, 1))).astype(np.float32)
    y = np.arange(IMAGES) % 3
    data = inputs.prepare(
        x, y, input_shape=(8, 8, 1), classes=3, validation_data=(x, y)
    )
    return Evaluator(SharedWeights(NETWORKS, Sharing()), data)


@pytest.fixture
def small(monkeypatch):
    """Room for no more than 32 images."""
    monkeypatch.setattr(evaluation, "BATCH_BYTES", 1)


class Stem(BatchReading):
    """Notes what the first normalisation reads."""

    def call(self, layer, x):
        y = super().call(layer, x)
        if layer.name == "stem_conv":
            self.output = y.value.numpy()
        return y


def test_one_batch_is_as_it_was(evaluator):
    """To the bit: its own moments and ranges."""
    once = Calibration(evaluator._weights)
    moments = {}
    real = once.observe

    def observe(layer, mean, variance, count):
        moments[layer.name] = mean, variance * (count - 1) / count
        real(layer, mean, variance, count)

    once.observe = observe
    once.see(NETWORK, evaluator._images)
    seen = evaluator.calibrate(NETWORK)
    assert seen.averages.keys() == moments.keys()
    for name, pair in seen.averages.items():
        np.testing.assert_array_equal(pair, moments[name])
    assert seen.ranges == once.ranges


def test_moments_of_several_batches_are_those_of_all_images(evaluator, small):
    stem = Stem(evaluator._weights)
    stem.logits(NETWORK, evaluator._images)
    mean, variance = evaluator.calibrate(NETWORK).averages["stem_conv_bn"]
    axes = (0, 1, 2)
    np.testing.assert_allclose(mean, stem.output.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(variance, stem.output.var(axes), rtol=1e-4)
    # They differ from batch to batch.
    first = stem.output[:24]
    assert abs(first.mean(axes) / mean.numpy() - 1).max() > 0.02


def test_ranges_are_of_all_batches(evaluator, small, monkeypatch):
    alone = []
    for images in np.array_split(evaluator._images, 3):
        each = Calibration(evaluator._weights)
        each.see(NETWORK, images)
        alone.append(each.ranges)
    seen = evaluator.calibrate(NETWORK).ranges
    for name, pair in seen.items():
        lows, highs = zip(*(ranges[name] for ranges in alone), strict=True)
        assert pair == (min(lows), max(highs))
    assert seen["image"][1] > alone[0]["image"][1]


@pytest.mark.parametrize("room", [1, 2**27])
def test_the_same_images_whatever_the_size(evaluator, monkeypatch, room):
    monkeypatch.setattr(evaluation, "BATCH_BYTES", room)
    read = []
    real = BatchReading.logits

    def logits(self, network, images):
        read.append(images)
        return real(self, network, images)

    monkeypatch.setattr(BatchReading, "logits", logits)
    evaluator.calibrate(NETWORK)
    np.testing.assert_array_equal(np.concatenate(read), evaluator._images)
    sizes = [*map(len, read)]
    assert sizes == ([24, 23, 23] if room == 1 else [70])
    read.clear()
    accuracy = evaluator.rough_accuracy(NETWORK)
    np.testing.assert_array_equal(np.concatenate(read), evaluator._x)
    answers = [
        np.argmax(real(BatchReading(evaluator._weights), NETWORK, x), -1)
        for x in read
    ]
    assert accuracy == np.mean(np.concatenate(answers) == evaluator._y)


@pytest.mark.parametrize("count", [9, 1500])
def test_validation_images_are_spread_over_all(count):
    x = np.zeros((count, 8, 8, 1), np.float32)
    x[:, 0, 0, 0] = np.arange(count)
    pair = x, np.arange(count) % 3
    data = inputs.prepare(
        x[:48],
        pair[1][:48],
        input_shape=(8, 8, 1),
        classes=3,
        validation_data=pair,
    )
    images, labels = evaluation.validation_rows(data)
    rows = np.linspace(0, count - 1, min(count, 1024)).astype(int)
    np.testing.assert_array_equal(images[:, 0, 0, 0], rows)
    np.testing.assert_array_equal(labels, rows % 3)


def test_validation_images_are_never_all_in_memory():
    def batches():
        for _ in range(100):
            yield np.zeros((40, 32, 32, 1), np.float32), np.zeros(40, int)

    class Data:
        validation_batches = staticmethod(batches)

    tracemalloc.start()
    images, _ = evaluation.validation_rows(Data())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(images) == 1024
    assert most < 2.5 * images.nbytes < 0.7 * 100 * 40 * 32 * 32 * 4
