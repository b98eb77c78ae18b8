import itertools
import json
import os

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.benchmark import landscapes, table_landscapes
from tf_cosearch.search.accuracy_table import AccuracyTable


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Accuracies that are made of digits, three of each network."""
    path = tmp_path_factory.mktemp("table") / "macro.json"
    content = {
        "".join(map(str, digits)): {
            "test_acc": [70 + sum(digits) + training for training in range(3)]
        }
        for digits in itertools.product(range(3), repeat=8)
    }
    path.write_text(json.dumps(content))
    return path


def test_accuracies_are_the_means_of_a_table(table):
    place = table_landscapes.of(table)["table_latency"]
    for digits in ((0,) * 8, (2,) * 8, (1, 0, 2, 1, 0, 2, 0, 0)):
        genome = np.zeros(len(place.space.parameters), int)
        genome[:8] = digits
        evaluation = place.evaluate(place.space.values(genome))
        expected = 0.71 + 0.01 * sum(digits)
        assert evaluation.accuracy == pytest.approx(expected)
    # A layer that hands its input on may stand anywhere in its stage.
    genome[:8] = (1, 0, 2, 0, 1, 2, 0, 0)
    assert place.evaluate(place.space.values(genome)).accuracy == (
        pytest.approx(0.71 + 0.06)
    )


@pytest.mark.slow
def test_budgets_leave_few_designs(table):
    rng = np.random.default_rng(0)
    for place in table_landscapes.of(table).values():
        genomes = place.space.sample(rng, 400)
        costs = place._pricer.price(genomes)
        share = np.mean(place.budgets.is_feasible(costs))
        assert 0.02 <= share <= 0.08


def test_a_table_tells_its_landscapes_from_others(table, tmp_path):
    copied = tmp_path / "copied.json"
    copied.write_text(table.read_text())
    content = json.loads(table.read_text())
    content["00000000"]["test_acc"][0] += 1
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(content))
    first, same, other = (
        {n: place.fingerprint for n, place in table_landscapes.of(path).items()}
        for path in (table, copied, changed)
    )
    assert first == same
    assert len({*first.values(), *other.values()}) == 6


@pytest.fixture
def none_tabled():
    """No table has been read, and none will have been."""
    before = {**landscapes.TABLED}
    landscapes.TABLED.clear()
    yield
    landscapes.TABLED.clear()
    landscapes.TABLED.update(before)


@pytest.mark.usefixtures("none_tabled")
def test_landscapes_of_a_table_are_known_once_it_is_read(table):
    with pytest.raises(ValueError, match="Unknown landscape"):
        landscapes.get("table_energy")
    names = table_landscapes.take(table)
    assert names == list(landscapes.TABLED)
    assert landscapes.get("table_energy").table == str(table)
    with pytest.raises(FileNotFoundError):
        table_landscapes.take(table.parent / "none.json")


@pytest.mark.usefixtures("none_tabled")
def test_a_table_is_read_once_until_it_changes(table, tmp_path, monkeypatch):
    read = []

    class Counted(AccuracyTable):
        def __init__(self, path, space):
            read.append(path)
            super().__init__(path, space)

    monkeypatch.setattr(table_landscapes, "AccuracyTable", Counted)
    path = tmp_path / "macro.json"
    path.write_text(table.read_text())
    genome = np.zeros(
        len(cs.SearchSpace.load("nas_bench_macro").parameters), int
    )
    accuracies = [
        landscapes.get(name).accuracy(genome)
        for name in table_landscapes.take(path)
    ]
    assert (accuracies, read) == (3 * [pytest.approx(0.71)], [path])
    content = json.loads(table.read_text())
    content["00000000"]["test_acc"] = [80]
    path.write_text(json.dumps(content))
    os.utime(path, ns=(1, 1))
    place = table_landscapes.of(path)["table_energy"]
    assert place.accuracy(genome) == pytest.approx(0.8)
