"""A supernet held against the trials of an earlier search."""

import json

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import text
from tf_cosearch.search.oracle.options import make
from tf_cosearch.supernet import (
    ranking_picture,
    ranking_report,
    trained_networks,
)
from tf_cosearch.testing import place, run_trials


def genomes(space):
    """One of each network of the space, on different accelerators."""
    rng = np.random.default_rng(0)
    drawn = space.sample(rng, 200)
    split = space.num_network_parameters
    _, first = np.unique(drawn[:, :split], axis=0, return_index=True)
    return drawn[first]


def write(path, space, trials):
    """A trials.csv of (genome, what was measured)."""
    rows = [
        {
            "trial_id": number,
            "status": "COMPLETED",
            **measured,
            **space.values(genome),
        }
        for number, (genome, measured) in enumerate(trials)
    ]
    path.write_text(text.comma_separated(rows))
    return path


class Told:
    """An evaluator that is told what each network has."""

    def __init__(self, networks=(), accuracies=()):
        pairs = zip(networks, accuracies, strict=True)
        self.accuracies = {each.network: value for each, value in pairs}
        self.asked = []

    def accuracy(self, network):
        self.asked.append(network)
        return self.accuracies[network]


def test_trials_of_one_network_count_once(space, tmp_path):
    first, second = genomes(space)[:2]
    elsewhere = space.canonical(first)[0]
    elsewhere[-1] = 1 - min(elsewhere[-1], 1)  # another accelerator
    known = [
        (first, 0.5, 0.6, 3.0),
        (second, 0.8, 0.9, 10.0),
        (elsewhere, 0.7, 0.7, ""),
    ]
    path = write(
        tmp_path / "trials.csv",
        space,
        [
            (g, {"accuracy_int8": a, "accuracy_float": f, "seconds": s})
            for g, a, f, s in known
        ],
    )
    one, other = trained_networks.read(path, space)
    assert one.network == space.decode(first).network
    assert one.network != other.network
    assert one[1:] == (pytest.approx(0.6), pytest.approx(0.65), 3.0, 2)
    assert other[1:] == (0.8, 0.9, 10.0, 1)


def test_what_was_not_measured_is_not_known(space, tmp_path):
    trials = [(each, {"accuracy_int8": 0.5}) for each in genomes(space)[:2]]
    path = write(tmp_path / "trials.csv", space, trials)
    for each in trained_networks.read(path, space):
        assert (each.float_accuracy, each.seconds) == (None, None)


DATA = {"training_sample": "1f"}


@pytest.fixture(scope="module")
def earlier(space, tmp_path_factory):
    """The folder of a search of 12 designs, and what networks reached."""
    folder = tmp_path_factory.mktemp("earlier")
    options = {"max_trials": 12, "proposals": 16}
    oracle = place(make("random", {}, space=space, **options), folder)
    oracle.identify(DATA, {"epochs": 3})
    run_trials(oracle, 12, lambda number, genome: 0.5 + 0.01 * number)
    reached = {}
    for result in oracle.history.finished():
        network = space.decode(result.genome).network
        accuracy = result.metrics["accuracy_int8"]
        reached.setdefault(network, []).append(accuracy)
    return folder / "project", reached


def test_reads_the_folder_of_a_search(space, earlier):
    folder, reached = earlier
    found = trained_networks.read(folder, space, DATA)
    assert len(found) < 12  # so some count once
    assert {each.network: (each.accuracy, each.trials) for each in found} == {
        n: (pytest.approx(np.mean(a)), len(a)) for n, a in reached.items()
    }


def test_other_data_and_another_space_are_refused(space, earlier, tmp_path):
    folder, _ = earlier
    other = {"training_sample": "2e"}
    with pytest.raises(ValueError, match=r"data of the supernet.*1f, not 2e"):
        trained_networks.read(folder, space, other)
    digits = cs.SearchSpace.load("digits")
    with pytest.raises(ValueError, match=r"same space.*stage1/block"):
        trained_networks.read(folder, digits, DATA)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        trained_networks.read(tmp_path / "nowhere", space, DATA)
    with pytest.raises(TypeError, match="`trained` must be a path"):
        trained_networks.read(None, space, DATA)


def trained(space, accuracies, **others):
    return [
        trained_networks.TrainedNetwork(
            space.decode(genome).network,
            accuracy,
            others.get("floats", accuracies)[number],
            others.get("seconds"),
            1,
        )
        for number, (genome, accuracy) in enumerate(
            zip(genomes(space), accuracies, strict=False)
        )
    ]


def test_figures_by_hand(space):
    networks = trained(
        space, [0.5, 0.7, 0.6, 0.9], floats=[0.5, 0.6, 0.7, 0.9], seconds=8.0
    )
    evaluator = Told(networks, [0.1, 0.4, 0.3, 0.2])
    counted = []
    result = ranking_report.report(
        evaluator, networks, top=2, on_network=counted.append
    )
    assert counted == [1, 2, 3, 4]
    assert evaluator.asked == [each.network for each in networks]
    # Of 6 pairs 4 agree: those of the last network with two others do not.
    own = result["rankings"]["accuracy_supernet"]
    assert own["tau"] == pytest.approx(2 / 6)
    assert own["regret"] == pytest.approx(0.2)
    assert result["rankings"]["accuracy_float"]["tau"] == pytest.approx(4 / 6)
    for name in ("macs", "params"):
        sizes = [getattr(each.network, name) for each in networks]
        assert [row[name] for row in result["networks"]] == sizes
    assert result["seconds"]["training"] == 8
    assert 0 < result["seconds"]["supernet"] < 1
    assert json.loads(json.dumps(result))["top"] == 2


def test_the_table_says_it(space):
    networks = trained(space, [0.5, 0.7, 0.6])
    evaluator = Told(networks, [0.1, 0.3, 0.2])
    result = ranking_report.report(evaluator, networks, top=1)
    result["seconds"] = {"supernet": 0.25, "training": None}
    lines = ranking_report.table(result).splitlines()
    assert lines[0] == "3 trained networks, int8 accuracy; tau is Kendall's."
    assert lines[3].split()[:3] == ["the", "supernet", "1.00"]
    assert lines[3].endswith("0.00 points")
    assert lines[-1] == "A network took 0.25 s on the supernet (medians)."
    result["metric"] = "share of pixels"
    first = ranking_report.table(result).splitlines()[0]
    assert "int8 share of pixels;" in first
    result["seconds"]["training"] = 20.0
    end = ranking_report.table(result).splitlines()[-1]
    assert "20 s to train: 80 times as long" in end


def test_too_few_networks_are_refused_before_any_is_measured(space):
    evaluator = Told()
    with pytest.raises(ValueError, match="Received: 3 networks"):
        ranking_report.report(evaluator, trained(space, [0.5, 0.7, 0.6]))
    assert not evaluator.asked


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")],
)
def test_draws_a_picture(space, tmp_path, name, start):
    networks = trained(space, [0.5, 0.7, 0.6])
    evaluator = Told(networks, [0.1, 0.3, 0.2])
    result = ranking_report.report(evaluator, networks, top=1)
    ranking_picture.plot(result, tmp_path / name, "tiny on a few")
    content = (tmp_path / name).read_bytes()
    assert content.startswith(start)
