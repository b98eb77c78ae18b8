"""Searches that look accuracies up instead of training networks."""

import csv
import itertools
import json

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search.accuracy_table import AccuracyTable

NETWORKS = {
    "input_shape": [8, 8, 3],
    "classes": 4,
    "stem": {"filters": 8},
    "defaults": {
        "per": "block",
        "block": "nas_bench_macro",
        "operator": [0, 1, 2],
    },
    "stages": [{"filters": 16, "stride": 2, "repeats": 3}],
}
HARDWARE = {"pe_array/rows": [1, 2], "pe_array/columns": [1, 2]}
TRAININGS = 3


@pytest.fixture(scope="module")
def small():
    return cs.SearchSpace(Template(NETWORKS, "small"), HARDWARE)


def accuracies(digits):
    """Of a network by its layers that do something, as they follow."""
    first, others = digits[0], [digit for digit in digits[1:] if digit]
    base = 30 + 10 * first + sum(3 * digit for digit in others)
    return [base + training for training in range(TRAININGS)]


def own_table(space):
    return {
        "parameters": [p.name for p in space.parameters[:3]],
        "networks": [
            {
                "choices": list(digits),
                "accuracies": [a / 100 for a in accuracies(digits)],
            }
            for digits in itertools.product(range(3), repeat=3)
        ],
    }


def macro_table(space):
    """NAS-Bench-Macro's format: `params` have a factor of each norm."""
    table = {}
    for digits in itertools.product(range(3), repeat=3):
        network = space.network_space.decode(digits)
        norms = (
            sum(row.out_c for row in network.layers() if row.params)
            - network.classes
        )
        table["".join(map(str, digits))] = {
            "test_acc": accuracies(digits),
            "mean_acc": 0.0,
            "flops": network.macs,
            "params": network.params + norms,
        }
    return table


def written(folder, content):
    path = folder / "table.json"
    path.write_text(json.dumps(content))
    return path


def searched(space, folder, table, **kwargs):
    arguments = {"oracle": "random", "max_trials": 4, "seed": 0, **kwargs}
    options = {"proposals": 64} | arguments.pop("oracle_options", {})
    tuner = cs.CoSearchTuner(
        space,
        accuracy_table=table,
        directory=folder,
        project_name="run",
        oracle_options=options,
        **arguments,
    )
    tuner.search(verbose=0)
    return tuner


def rows(folder):
    with (folder / "run" / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("digits", "flops", "params"),
    [
        ((0, 2, 0, 1, 2, 1, 0, 0), 47327744, 890666),
        ((1, 1, 1, 1, 1, 2, 2, 1), 65012224, 2181386),
        ((0, 0, 0, 1, 1, 1, 1, 0), 31390208, 1118378),
    ],
)
def test_networks_of_nas_bench_macro_have_the_published_sizes(
    digits, flops, params
):
    space = cs.SearchSpace.load("nas_bench_macro").network_space
    network = space.decode(digits)
    layers = [row for row in network.layers() if row.params]
    assert network.macs == flops
    assert network.params + sum(r.out_c for r in layers[:-1]) == params
    assert np.prod([len(p.choices) for p in space.parameters]) == 6561
    assert space.count() == 3969


@pytest.mark.parametrize("table", [own_table, macro_table])
def test_both_formats_are_read(small, tmp_path, table):
    known = AccuracyTable(written(tmp_path, table(small)), small)
    assert known.trainings == TRAININGS
    # A layer that hands its input on may stand before or after another.
    for digits in ((1, 0, 2), (1, 2, 0)):
        genome = small.canonical(np.array([[*digits, 0, 1]]))[0]
        assert known.accuracies(genome) == pytest.approx((0.46, 0.47, 0.48))


def test_digits_are_operators_in_whatever_order_they_are_chosen(
    small, tmp_path
):
    keys = {"operator": [2, 0, 1], "per": "block", "block": "nas_bench_macro"}
    other = cs.SearchSpace(Template({**NETWORKS, "defaults": keys}, "small"))
    known = AccuracyTable(written(tmp_path, macro_table(small)), other)
    genome = np.zeros(len(other.parameters), int)
    genome[:3] = (2, 0, 1)  # operators 1, 2 and 0
    assert known.accuracies(genome)[0] == pytest.approx(0.46)
    keys = {"kernel_size": [1, 3], "per": "block", "block": "conv_bn"}
    kernels = cs.SearchSpace(Template({**NETWORKS, "defaults": keys}, "small"))
    with pytest.raises(ValueError, match=r"operators alone.*/kernel_size"):
        AccuracyTable(written(tmp_path, macro_table(small)), kernels)


def test_a_table_of_recommendations_needs_no_argument(tmp_path):
    """Their networks become int8 in another way than is the default."""
    stem = {"block": "dlrm", "tables": "5 3", "filters": [8, 16]}
    content = {
        "input_shape": [1, 1, 4],
        "classes": 1,
        "stem": stem,
        "stages": [{"block": "perceptron", "filters": 8}],
    }
    task = cs.tasks.make({"name": "recommendation", "tables": "5 3"})
    space = cs.SearchSpace(Template(content, "clicks", task=task))
    [parameter] = space.parameters[: space.num_network_parameters]
    entries = [
        {"choices": [choice], "accuracies": [0.5]}
        for choice in parameter.choices
    ]
    table = {"parameters": [parameter.name], "networks": entries}
    table["task"] = "recommendation"
    path = written(tmp_path, table)
    cs.CoSearchTuner(space, accuracy_table=path, directory=tmp_path)
    with pytest.raises(ValueError, match="quantization must be left out"):
        cs.CoSearchTuner(
            space,
            accuracy_table=path,
            quantization="after_training",
            directory=tmp_path,
        )


@pytest.mark.parametrize("table", [own_table, macro_table])
def test_tables_of_another_task_are_refused(small, tmp_path, table):
    path = written(tmp_path, table(small))
    other = small.with_task("segmentation")
    with pytest.raises(ValueError, match=r"must be 'segmentation'.*without"):
        AccuracyTable(path, other)
    told = cs.SearchSpace(
        Template(NETWORKS | {"task": "segmentation"}, "small"), HARDWARE
    )
    own = own_table(small)
    assert AccuracyTable(written(tmp_path, own), told).trainings == TRAININGS
    path = written(tmp_path, own | {"task": "segmentation"})
    assert AccuracyTable(path, other).trainings == TRAININGS
    with pytest.raises(ValueError, match=r"must be 'classif.*of 'segment"):
        AccuracyTable(path, small)


def test_formats_of_the_same_accuracies_are_the_same_table(small, tmp_path):
    first = AccuracyTable(written(tmp_path, own_table(small)), small)
    again = AccuracyTable(written(tmp_path, macro_table(small)), small)
    changed = macro_table(small)
    changed["000"]["test_acc"][0] += 1
    other = AccuracyTable(written(tmp_path, changed), small)
    assert first.digest == again.digest != other.digest


def test_trainings_are_drawn_without_putting_back(small, tmp_path):
    known = AccuracyTable(written(tmp_path, own_table(small)), small)
    genome = np.zeros(5, int)
    one = {known.drawn(genome, seed, 1)[0] for seed in range(20)}
    assert one == set(known.accuracies(genome))
    everything = known.drawn(genome, 5, 3)
    assert sorted(everything) == sorted(known.accuracies(genome))
    assert known.drawn(genome, 7, 2) == known.drawn(genome, 7, 2)


@pytest.mark.parametrize(
    ("executions", "expected"), [(1, {30, 31, 32}), (3, {31})]
)
def test_a_trial_is_the_mean_of_its_executions(
    small, tmp_path, executions, expected
):
    table = written(tmp_path, own_table(small))
    held = dict.fromkeys((p.name for p in small.parameters[:3]), 0)
    searched(
        small,
        tmp_path,
        table,
        executions_per_trial=executions,
        oracle_options={"searched": "accelerator", "fixed": held},
    )
    told = [100 * float(row["accuracy_table"]) for row in rows(tmp_path)]
    assert len(told) == 4
    assert {round(each, 6) for each in told} <= expected


def test_a_search_leaves_a_design_without_a_file(small, tmp_path):
    tuner = searched(small, tmp_path, written(tmp_path, own_table(small)))
    best = tuner.best_designs(1)[0]
    told = best.export(tmp_path / "design")
    assert not best.is_trained
    assert told["accuracies"] == {
        "accuracy_table": best.metrics["accuracy_table"]
    }
    assert sorted(path.name for path in (tmp_path / "design").iterdir()) == [
        "accelerator.yaml",
        "design.json",
    ]
    again = cs.load_design(tmp_path / "design")
    assert again.network == best.network
    assert again.metrics["accuracy_table"] == best.metrics["accuracy_table"]
    with pytest.raises(ValueError, match="must be for a trained design"):
        best.export(tmp_path / "tested", test_data=(np.zeros(1), np.zeros(1)))
    with pytest.raises(ValueError, match="must be trained to be loaded"):
        tuner.get_best_models()


def test_a_search_goes_on_with_its_table_alone(small, tmp_path):
    table = written(tmp_path, own_table(small))
    searched(small, tmp_path, table)
    before = rows(tmp_path)
    searched(small, tmp_path, table, max_trials=6)
    assert [row["reward"] for row in rows(tmp_path)][:4] == [
        row["reward"] for row in before
    ]
    assert len(rows(tmp_path)) == 6
    changed = own_table(small)
    changed["networks"][0]["accuracies"][0] = 0.9
    other = tmp_path / "other.json"
    other.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="data\\.accuracy_table="):
        searched(small, tmp_path, other, max_trials=8)
    with pytest.raises(ValueError, match="executions_per_trial=1, not 2"):
        searched(small, tmp_path, table, max_trials=8, executions_per_trial=2)


def test_a_search_starts_from_an_earlier_one(small, tmp_path):
    table = written(tmp_path, own_table(small))
    first = searched(small, tmp_path, table)
    later = searched(
        small, tmp_path / "later", table, warm_start=tmp_path / "run"
    )
    assert (
        sum(row["status"] == "KNOWN" for row in rows(tmp_path / "later")) == 4
    )
    reached = [
        t.best_designs(1)[0].metrics["accuracy_table"] for t in (first, later)
    ]
    assert reached[1] >= reached[0]


def without(content, digits):
    return {k: v for k, v in content.items() if k != digits}


def with_entry(content, digits, **changes):
    return {**content, digits: {**content[digits], **changes}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without(t, "111"), r"lacks 1 of 21.*\[1, 1, 1\]"),
        (lambda t: with_entry(t, "111", flops=3), "flops of 111 must be"),
        (lambda t: with_entry(t, "111", params=3), "params of 111 must be"),
        (lambda t: with_entry(t, "111", test_acc=[101.0]), "from 0 to 100"),
        (lambda t: with_entry(t, "111", test_acc=[-1]), "from 0 to 100"),
        (lambda t: with_entry(t, "111", test_acc=[np.nan]), "from 0 to 100"),
        (lambda t: with_entry(t, "111", test_acc=[]), "must have an accuracy"),
        (lambda t: with_entry(t, "111", test_acc="91"), "must be a list"),
        (lambda t: with_entry(t, "101", test_acc=[1]), "wherever it stands"),
        (lambda t: {f"{k}0": v for k, v in t.items()}, "digit for each of the"),
        (lambda t: {**t, "113": t["111"]}, "digit for each of the 3 choices"),
        (lambda t: {**t, "1x1": t["111"]}, "digit for each of the 3 choices"),
        (
            lambda t: {k: {"test_acc": [0.91]} for k in t},
            r"in percent. Received: 0.91",
        ),
        (lambda t: [t], "an object of networks"),
        (lambda t: {}, "an object of networks"),
    ],
)
def test_wrong_tables_of_digits_are_refused(small, tmp_path, change, message):
    path = written(tmp_path, change(macro_table(small)))
    with pytest.raises(ValueError, match=message):
        AccuracyTable(path, small)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": ["stage1/block1/operator"]}, "Its parameters must be"),
        ({"networks": []}, "lacks 21 of 21"),
        ({"networks": {}}, "must be a list"),
        (
            {"networks": [{"choices": [0, 0, 3], "accuracies": [0.5]}]},
            "must be one of 0, 1, 2. Received: 3",
        ),
        (
            {"networks": [{"choices": [0, 0], "accuracies": [0.5]}]},
            "must have 3 choices",
        ),
        (
            {"networks": [{"choices": [0, 0, 0], "accuracies": [50]}]},
            "from 0 to 1. Received: 50",
        ),
        ({"networks": [{"choices": [0, 0, 0]}]}, "with 'accuracies'"),
    ],
)
def test_wrong_tables_of_ours_are_refused(small, tmp_path, change, message):
    path = written(tmp_path, {**own_table(small), **change})
    with pytest.raises(ValueError, match=message):
        AccuracyTable(path, small)


def test_files_that_are_none_are_refused(small, tmp_path):
    with pytest.raises(FileNotFoundError, match="must exist"):
        AccuracyTable(tmp_path / "none.json", small)
    (tmp_path / "cut.json").write_text(json.dumps(own_table(small))[:-9])
    with pytest.raises(ValueError, match="must be JSON"):
        AccuracyTable(tmp_path / "cut.json", small)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="must be JSON"):
        AccuracyTable(tmp_path / "bytes.json", small)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"executions_per_trial": 4}, "at most what the table has.*3"),
        ({"learning_rate": 0.1}, "learning_rate must be left out"),
        ({"qat_epochs": 1}, "qat_epochs must be left out"),
        ({"quantization": "after_training"}, "quantization must be left out"),
        ({"quantization": "aware"}, "quantization must be left out"),
        ({"early_stopping": "median"}, "early_stopping must be left out"),
        ({"accuracy": "supernet"}, "accuracy must be left out"),
        ({"evaluator": "litert_cpu"}, "evaluator must be left out"),
        ({"objective": "accuracy_int8"}, "objective of a CoSearchTuner"),
        ({"budgets": cs.Budgets(accuracy_drop=2)}, "without a file"),
        ({"budgets": cs.Budgets(file_kib=2)}, "without a file"),
    ],
)
def test_what_is_of_trainings_is_refused(small, tmp_path, kwargs, message):
    table = written(tmp_path, own_table(small))
    with pytest.raises(ValueError, match=message):
        searched(small, tmp_path, table, **kwargs)
    assert not (tmp_path / "run").exists() or not rows(tmp_path)


def test_data_are_refused_beside_a_table(small, tmp_path):
    tuner = cs.CoSearchTuner(
        small,
        accuracy_table=written(tmp_path, own_table(small)),
        directory=tmp_path,
    )
    for given in (
        {"x": np.zeros((2, 8, 8, 3))},
        {"epochs": 2},
        {"validation_split": 0.1},
        {"steps_per_epoch": 3},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(given))} must be"):
            tuner.search(**given)


def test_a_model_of_ones_own_has_no_table(small, tmp_path):
    import keras

    def build(hp):
        units = hp.Int("units", 1, 2)
        layers = [keras.Input((4,)), keras.layers.Dense(units)]
        return keras.Sequential(layers)

    with pytest.raises(ValueError, match="model of your own"):
        cs.CoSearchTuner(
            hypermodel=build,
            accuracy_table=written(tmp_path, own_table(small)),
            directory=tmp_path,
        )
