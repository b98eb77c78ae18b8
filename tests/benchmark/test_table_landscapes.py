import itertools
import json

import numpy as np
import pytest

from tf_cosearch.benchmark import landscapes, table_landscapes


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


def test_landscapes_of_a_table_are_known_once_it_is_read(table, monkeypatch):
    monkeypatch.setattr(landscapes, "TABLED", {})
    known = {**landscapes.LANDSCAPES}
    monkeypatch.setattr(landscapes, "KNOWN", known)
    with pytest.raises(ValueError, match="Unknown landscape"):
        landscapes.get("table_energy")
    names = table_landscapes.take(table)
    assert names == list(landscapes.TABLED)
    with pytest.raises(FileNotFoundError):
        table_landscapes.take(table.parent / "none.json")
