"""Models as a KerasTuner user writes them, that learn waves at once."""

# ruff: noqa: N803, N806 as Keras itself is an argument here

import keras_tuner

from tf_cosearch.networks.spaces.hypermodel_space import as_hypermodel
from tf_cosearch.training import fit, recipes, tensors

LOSS = "sparse_categorical_crossentropy"


def builder(K, functional=False, compiled=True, layers=(), **compiled_with):
    """A `build(hp)` of a small convolutional network."""

    def build(hp):
        L = K.layers
        stack = [
            L.Conv2D(
                hp.Int("filters", 8, 16, step=8),
                3,
                strides=2,
                activation="relu",
            ),
            *(make(L) for make in layers),
            L.GlobalAveragePooling2D(),
            L.Dense(3, activation="softmax"),
        ]
        images = K.Input((8, 8, 1))
        if functional:
            x = images
            for layer in stack:
                x = layer(x)
            model = K.Model(images, x)
        else:
            model = K.Sequential([images, *stack])
        if compiled:
            rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
            settings = {
                "optimizer": K.optimizers.Adam(rate),
                "loss": LOSS,
                "metrics": ["accuracy"],
                "jit_compile": False,
                **compiled_with,
            }
            model.compile(**settings)
        return model

    return build


def recipe_of(hypermodel, given=None, values=(), **training):
    """The recipe of chosen values; others are the default."""
    hypermodel = as_hypermodel(hypermodel)
    hp = keras_tuner.HyperParameters()
    hp.values = {"learning_rate": 0.03, **dict(values)}
    hypermodel.build(hp)
    return recipes.Own(hypermodel, hp, given, **training)


def train(build, waves, given=None, training=(), **settings):
    """Trains a model on waves as `search` would."""
    (x, y), validation = waves
    data = tensors.prepare(
        x,
        y,
        **{"validation_data": validation, "batch_size": 16, **(given or {})},
    )
    recipe = recipe_of(build, **dict(training))
    return fit.train(recipe, data, **{"epochs": 4, **settings})
