"""CoSearchTuner with a user's own model, before any of it is trained."""

import keras
import keras_tuner
import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch.networks.spaces.hypermodel_space import HyperModelSpace
from tf_cosearch.networks.spaces.training_space import TrainingSpace

SHAPE = (8, 8, 1)


def build(hp):
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
    model.add(keras.layers.Dense(hp.Int("units", 8, 32, step=8)))
    model.add(keras.layers.Dense(10))
    model.compile("adam", "mse")
    return model


class WithRate(cs.CoSearchHyperModel):
    """A template's networks, trained at a rate that is chosen."""

    def build(self, hp):
        model = super().build(hp)
        rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
        model.optimizer.learning_rate = rate
        return model


class WithBatches(cs.CoSearchHyperModel):
    """... or with batches that are."""

    def fit(self, hp, model, x, *args, **kwargs):
        model.optimizer.learning_rate = hp.Float("rate", 0.1, 0.2, step=0.1)
        return model.fit(
            x, *args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs
        )


class WithMoreLayers(cs.CoSearchHyperModel):
    """... or with layers that no template has."""

    def build(self, hp):
        model = super().build(hp)
        wide = keras.layers.Dense(hp.Int("extra", 10, 40, step=10))
        y = keras.layers.Dense(10)(wide(model.output))
        more = keras.Model(model.inputs, y)
        more.compile("adam", "mse")
        return more


def digits():
    return cs.SearchSpace.load("digits", input_shape=SHAPE, classes=10)


def tuner(tmp_path, *args, **options):
    return cs.CoSearchTuner(
        *args, directory=tmp_path, project_name="p", **options
    )


def test_a_function_and_choices_of_hardware_are_all_it_needs(tmp_path, capsys):
    made = tuner(
        tmp_path,
        hypermodel=build,
        accelerator={"pe_array/rows": [2, 4]},
        budgets=cs.Budgets(area_mm2=40),
        max_trials=3,
    )
    assert isinstance(made.space.network_space, HyperModelSpace)
    assert made.space.num_networks == 4
    assert isinstance(made.hypermodel, keras_tuner.HyperModel)
    trial = made.oracle.create_trial("tuner0")
    values = trial.hyperparameters.values
    assert values["pe_array/rows"] in (2, 4)
    model = made.hypermodel.build(trial.hyperparameters)
    assert model.layers[1].units == values["units"]
    made.search_space_summary()
    shown = capsys.readouterr().out
    assert "units (Int)" in shown
    assert "pe_array/rows (Choice)" in shown


def test_a_preset_fixes_the_hardware(tmp_path):
    made = tuner(tmp_path, hypermodel=build, accelerator="edge_tpu")
    assert made.space.num_accelerators == 1


def test_hyperparameters_beside_a_space_are_searched(tmp_path):
    space = digits()
    made = tuner(tmp_path, space, "random", hypermodel=WithRate(space), seed=0)
    assert isinstance(made.space.network_space, TrainingSpace)
    names = [parameter.name for parameter in made.space.parameters]
    assert names.count("learning_rate") == 1
    split = space.num_network_parameters
    assert names[: split + 1] == [
        *(p.name for p in space.parameters[:split]),
        "learning_rate",
    ]
    assert made.space.num_networks == 33 * space.num_networks
    trial = made.oracle.create_trial("tuner0")
    chosen = trial.hyperparameters.values
    network = made.space.decode(made.space.genome(chosen)).network
    model = network.build()
    rate = float(model.optimizer.learning_rate.numpy())
    assert rate == pytest.approx(chosen["learning_rate"])
    # It costs what the template says.
    genome = made.space.genome(chosen)
    rows = made.space.networks(genome[None, : split + 1])[0]
    theirs = space.genome(chosen)[:split]
    np.testing.assert_array_equal(rows, space.networks(theirs[None])[0])
    assert [la.macs for la in network.layers()] == [
        la.macs for la in space.decode(space.genome(chosen)).network.layers()
    ]


def test_what_fit_declares_is_searched(tmp_path):
    space = digits()
    made = tuner(tmp_path, space, hypermodel=WithBatches(space))
    assert isinstance(made.space.network_space, TrainingSpace)
    names = [parameter.name for parameter in made.space.parameters]
    assert {"rate", "batch_size"} <= {*names}


def test_a_hypermodel_that_changes_networks_is_priced_by_builds():
    space = cs.SearchSpace.load(
        "digits", SHAPE, 10, accelerator={"pe_array/rows": [2, 4]}
    )
    joint = space.with_hypermodel(WithMoreLayers(space))
    assert type(joint.network_space) is HyperModelSpace
    assert joint.num_accelerators == space.num_accelerators
    genome = joint.sample(np.random.default_rng(0), 1)[0]
    values = joint.values(genome)
    layers = joint.decode(genome).network.layers()
    assert [la.out_c for la in layers[-2:]] == [values["extra"], 10]


def test_published_networks_start_a_search_beside_a_learning_rate():
    space = cs.SearchSpace.load("mobilenet_v2", (32, 32, 3), 10)
    joint = space.with_hypermodel(WithRate(space))
    values = joint.encode(cs.load_network("mobilenet_v2"))
    assert values["learning_rate"] == 1e-4
    plain = space.encode(cs.load_network("mobilenet_v2"))
    assert plain.items() <= values.items()


def test_what_cannot_be_meant_is_refused(tmp_path):
    space, other = digits(), digits()
    for args, options, kind, message in (
        ((), {}, TypeError, "hypermodel"),
        ((build,), {}, TypeError, "as `hypermodel`"),
        ((), {"hypermodel": 3}, TypeError, "function of hyperparameters"),
        ((space,), {"hypermodel": build}, ValueError, "CoSearchHyperModel ove"),
        (
            (space,),
            {"hypermodel": WithRate(other)},
            ValueError,
            "CoSearchHyperModel over",
        ),
        ((space,), {"accelerator": "edge_tpu"}, ValueError, "SearchSpace.load"),
        (
            (),
            {"hypermodel": build, "start_from": ["mobilenet_v2"]},
            ValueError,
            "must start from networks of its space",
        ),
        (
            (),
            {"hypermodel": lambda hp: hp.Int("reward", 1, 2) and build(hp)},
            ValueError,
            "columns of trials.csv.*reward",
        ),
    ):
        with pytest.raises(kind, match=message):
            tuner(tmp_path, *args, **options)
    assert not list(tmp_path.iterdir())
