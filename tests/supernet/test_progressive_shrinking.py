"""A space loses its poor choices between trainings of its shared weights."""

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.supernet import evaluation, progressive_shrinking, training
from tf_cosearch.supernet.evaluation import Evaluator
from tf_cosearch.supernet.paths import Sandwich
from tf_cosearch.supernet.progressive_shrinking import (
    ProgressiveShrinking,
    beyond_size,
    phases,
)
from tf_cosearch.supernet.supernet import Supernet
from tf_cosearch.training import checkpoint, fingerprint, inputs

SPACE = Template(
    {
        "stem": {"filters": [4, 8]},
        "stages": [
            {"block": "conv_bn", "filters": 8, "kernel_size": [1, 3, 5]},
            {
                "block": "conv_bn",
                "filters": [4, 8, 12, 16],
                "kernel_size": [1, 3],
            },
        ],
        "head": {"filters": [4, 6, 8]},
    },
    "tiny",
    (8, 8, 1),
    3,
)
NAMES = [parameter.name for parameter in SPACE.parameters]
OPTIONS = cs.SupernetOptions(epochs=2, shrink_stages=2)


def make_data():
    rng = np.random.default_rng(0)
    x = rng.random((64, 8, 8, 1)).astype(np.float32)
    y = np.arange(64) % 3
    prepared = inputs.prepare(
        x,
        y,
        input_shape=(8, 8, 1),
        classes=3,
        validation_data=(x[:16], y[:16]),
    )
    return prepared, fingerprint.describe_splits((x, y), (x[:16], y[:16]), 3)


DATA, TOLD = make_data()


class Told:
    """An evaluator that finds what a function of a network says."""

    def __init__(self, accuracy):
        self.accuracy = accuracy
        self.asked = []

    def rough_accuracy(self, network):
        self.asked.append(network)
        return self.accuracy(network)


def left_of(shrinking):
    return dict(zip(NAMES, shrinking.choices, strict=True))


def kernel(network, path):
    block = next(b for b in network.blocks if b.path.startswith(path))
    return dict(block.options)["kernel_size"]


def test_phases():
    options = cs.SupernetOptions(epochs=20, learning_rate=0.5, shrink_stages=2)
    assert [tuple(phase) for phase in phases(options)] == [
        (0, 20, 0.5),
        (20, 23, 0.05),
        (23, 26, 0.05),
    ]
    assert phases(OPTIONS)[-1].end == 4  # one epoch at least


def test_stages_go_from_the_last_layer_to_the_first():
    assert NAMES == [
        "stem/filters",
        "stage1/kernel_size",
        "stage2/filters",
        "stage2/kernel_size",
        "head/filters",
    ]
    shrinking = ProgressiveShrinking(SPACE, OPTIONS, 0)
    counts = []
    for _ in range(2):
        shrinking.shrink(Told(lambda network: 0.5))
        counts.append([*map(len, shrinking.choices)])
    assert counts == [[2, 3, 4, 2, 2], [2, 3, 2, 1, 2]]
    assert shrinking.remarks == [
        "Space shrunk to 1/1.5: head/filters 3 to 2",
        "Space shrunk to 1/4: stage2/filters 4 to 2, stage2/kernel_size 2 to 1",
    ]


@pytest.mark.parametrize("good", [1, 3])
def test_what_is_good_for_its_size_stays_be_it_large_or_small(good):
    """Size alone is worth more here than the kernel, and must not decide."""

    def accuracy(network):
        bonus = 0.02 * (kernel(network, "stage2") == good)
        return 0.1 * np.log(network.macs) + bonus

    shrinking = ProgressiveShrinking(SPACE, OPTIONS, 0)
    shrinking.shrink(Told(accuracy))
    shrinking.shrink(Told(accuracy))
    left = left_of(shrinking)["stage2/kernel_size"]
    assert left == [{1: 0, 3: 1}[good]]


def test_choices_are_judged_by_networks_that_are_alike_otherwise():
    shrinking = ProgressiveShrinking(SPACE, OPTIONS, 0)
    told = Told(lambda network: 0.5)
    shrinking.shrink(told)
    assert len(told.asked) <= 3 * progressive_shrinking.COMPLETIONS
    assert len(set(told.asked)) == len(told.asked)  # none is measured twice
    heads = {}
    for network in told.asked:
        rest = network.blocks[:-1]
        heads.setdefault(rest, set()).add(network.blocks[-1].filters)
    assert all(filters == {4, 6, 8} for filters in heads.values())


def test_a_parabola_over_sizes_is_no_merit():
    macs = np.array([1e3, 1e4, 1e5, 1e6])
    curve = 0.3 + 0.1 * np.log(macs) - 0.005 * np.log(macs) ** 2
    assert beyond_size(curve, macs) == pytest.approx(0, abs=1e-9)
    same = beyond_size(np.array([0.1, 0.4]), np.array([5, 5]))
    assert same == pytest.approx([-0.15, 0.15])


def test_more_stages_than_layers_are_refused():
    for stages in (4, 5):
        options = cs.SupernetOptions(shrink_stages=stages)
        if stages == 4:
            ProgressiveShrinking(SPACE, options, 0)
            continue
        with pytest.raises(ValueError, match=r"Received: 5 for.*4 layers"):
            Supernet(SPACE, options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shrink_stages": -1}, "`shrink_stages` must be an integer"),
        ({"shrink_stages": 1, "shrink_keep": 1.5}, "shrink_keep"),
        ({"shrink_keep": 0.2}, "must be for a space that shrinks"),
    ],
)
def test_options_that_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        cs.SupernetOptions(**options)


@pytest.fixture(scope="module")
def _few():
    """Judges choices by fewer networks, which takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progressive_shrinking, "COMPLETIONS", 4)
        yield


def train(folder=None, **others):
    net = Supernet(SPACE, OPTIONS, 1)
    net.train(DATA, folder, TOLD, **others)
    return net


@pytest.fixture(scope="module")
def whole(_few):
    return train()


@pytest.mark.usefixtures("_few")
def test_only_what_is_left_is_tuned(monkeypatch):
    drawn, rates = [], []
    real = training.train_step

    def step(weights, optimizer, paths, networks, batch, rate, seed):
        drawn.append(networks[0])
        rates.append(rate)
        return real(weights, optimizer, paths, networks, batch, rate, seed)

    monkeypatch.setattr(training, "train_step", step)
    net = train()
    assert len(net.losses) == net.all_epochs == 4
    heads, kernels = (
        left_of(net._shrinking)[name]
        for name in ("head/filters", "stage2/kernel_size")
    )
    steps = DATA.steps
    for network in drawn[2 * steps :]:
        assert network.blocks[-1].filters in [(4, 6, 8)[i] for i in heads]
    for network in drawn[3 * steps :]:
        assert kernel(network, "stage2") in [(1, 3)[i] for i in kernels]
    assert rates[2 * steps] == rates[3 * steps] == OPTIONS.learning_rate / 10


@pytest.mark.parametrize("epochs", [2, 4])
def test_what_is_killed_goes_on_to_the_bit(
    whole, tmp_path, monkeypatch, epochs
):
    monkeypatch.setattr(checkpoint, "SHARE", np.inf)

    class Killed(BaseException):
        pass

    def kill(epoch, loss):
        if epoch == epochs:
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path, on_epoch=kill)
    lines = []
    monkeypatch.setattr(
        "tf_cosearch.supernet.progress.Progress.remark",
        lambda self, line: lines.append(line),
    )
    net = train(tmp_path)
    # The stage is gone through again if no epoch after it was finished.
    assert lines == whole.remarks[{2: 0, 4: 1}[epochs] :]
    loaded = Supernet.load(tmp_path, SPACE, TOLD)
    for other in (net, loaded):
        assert other.choices == whole.choices
        assert other.remarks == whole.remarks
        assert other.losses == whole.losses
        for key, array in whole.weights.arrays.items():
            np.testing.assert_array_equal(array, other.weights.arrays[key])


def test_what_is_interrupted_within_a_stage_has_not_shrunk(whole, monkeypatch):
    asked = []
    real = Evaluator.rough_accuracy

    def interrupted(self, network):
        asked.append(network)
        # Within the second stage, whose last position is decided by then.
        if len(asked) == measured + 10:
            raise KeyboardInterrupt
        return real(self, network)

    net = Supernet(SPACE, OPTIONS, 1)
    told = Told(lambda network: 0.5)
    ProgressiveShrinking(SPACE, OPTIONS, 1).shrink(told)
    measured = len(told.asked)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "rough_accuracy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            net.train(DATA)
    assert (net.epochs, len(net.remarks)) == (3, 1)
    assert [*map(len, net.choices)] == [2, 3, 4, 2, 2]
    net.train(DATA)
    assert (net.choices, net.losses) == (whole.choices, whole.losses)


def test_a_rough_accuracy_is_of_images_from_everywhere(whole, monkeypatch):
    monkeypatch.setattr(evaluation, "ROUGH_IMAGES", 4)
    evaluator = Evaluator(whole.weights, DATA)
    network = SPACE.decode((0,) * len(NAMES))
    read = []
    real = evaluation.BatchReading.logits

    def logits(self, network, images):
        read.append(images)
        return real(self, network, images)

    monkeypatch.setattr(evaluation.BatchReading, "logits", logits)
    evaluator._y = np.repeat([0, 1], 8)  # sorted by class
    found = evaluator.rough_accuracy(network)
    places = [0, 5, 10, 15]
    np.testing.assert_array_equal(read[0], evaluator._x[places])
    answers = np.argmax(
        evaluation.BatchReading(whole.weights).logits(network, read[0]), -1
    )
    assert found == np.mean(answers == evaluator._y[places])


def test_a_sandwich_is_of_what_is_left():
    """Though a gene that made no difference before may do so then."""
    space = Template(
        {
            "stem": {"filters": 4},
            "stages": [
                {
                    "block": "conv_bn",
                    "filters": 8,
                    "per": "block",
                    "kernel_size": [5, 3, 1],
                    "repeats": [2, 1],
                }
            ],
        },
        "deep",
        (8, 8, 1),
        3,
    )
    assert [parameter.name for parameter in space.parameters] == [
        "stage1/repeats",
        "stage1/block1/kernel_size",
        "stage1/block2/kernel_size",
    ]
    sandwich = Sandwich(space, [[0, 1], [0], [1]])
    assert [
        [dict(block.options)["kernel_size"] for block in network.blocks[1:]]
        for network in sandwich.draw(np.random.default_rng(0))[:2]
    ] == [[5, 3], [5]]
