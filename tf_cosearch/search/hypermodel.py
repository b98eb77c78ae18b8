"""The joint space as a KerasTuner hypermodel, for any KerasTuner oracle."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner

from tf_cosearch.search.space import SearchSpace
from tf_cosearch.tasks import Classification


class CoSearchHyperModel(keras_tuner.HyperModel):
    """Builds the network of a design; declares the accelerator beside it.

    It uses the hyperparameters of the space and no others. To search more,
    for example a learning rate, override `build` or `fit` in a subclass, or
    call `build` from a hypermodel of your own. `CoSearchTuner(space,
    hypermodel=...)` searches those of a subclass, too.

    Use it with KerasTuner's own tuners, which train in float and know nothing
    of costs. What a design costs follows from its hyperparameters:
    `estimate(*space.batch(space.genome(hp.values)[None]))`.

    Args:
        space: The joint space.
        optimizer: As for `keras.Model.compile`.
        metrics: As for `keras.Model.compile`; by default the accuracy of
            classifiers, and none of other tasks.

    Example:
    >>> space = SearchSpace.load("digits")
    >>> hypermodel = CoSearchHyperModel(space)
    >>> hypermodel.build(space.hyperparameters()).output_shape
    (None, 10)
    """

    def __init__(
        self,
        space: SearchSpace,
        optimizer: Any = "adam",
        metrics: Any = None,
    ) -> None:
        super().__init__(name=space.name)
        self.space = space
        self._optimizer = optimizer
        self._metrics = metrics

    def declare_hyperparameters(self, hp: Any) -> None:
        """Adds every parameter of the space to `hp`.

        Raises:
            ValueError: If others are there that nothing would use.
        """
        names = {parameter.name for parameter in self.space.parameters}
        others = [entry.name for entry in hp.space if entry.name not in names]
        mine = (type(self).build, type(self).fit)
        if others and mine == (
            CoSearchHyperModel.build,
            keras_tuner.HyperModel.fit,
        ):
            raise ValueError(
                "The hyperparameters of a CoSearchHyperModel must be those of "
                f"its space. Received: {', '.join(others)}, which nothing "
                "uses. Leave them out, or use them in a subclass that "
                "overrides `build` or `fit`."
            )
        hp.merge(self.space.hyperparameters(), overwrite=False)

    def build(self, hp: Any) -> keras.Model:
        """The compiled Keras 3 model of chosen hyperparameters.

        Args:
            hp: `keras_tuner.HyperParameters`.

        Returns:
            A model from images to logits.
        """
        hp.merge(self.space.hyperparameters(), overwrite=False)
        values = {p.name: hp.get(p.name) for p in self.space.parameters}
        network = self.space.decode(self.space.genome(values)).network
        model = network.build(keras)
        is_classifier = isinstance(network.task, Classification)
        metrics = self._metrics
        if metrics is None and is_classifier:
            metrics = ["accuracy"]
        model.compile(
            optimizer=self._optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            if is_classifier
            else network.task.loss().call,
            metrics=None if metrics is None else list(metrics),
        )
        return model
