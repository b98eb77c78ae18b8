"""The training of a search at work: on which data, by which recipe."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner

from tf_cosearch.designs import export
from tf_cosearch.search.space import SearchSpace
from tf_cosearch.tasks.custom import Custom
from tf_cosearch.training import inputs

if TYPE_CHECKING:
    from tf_cosearch.training.fit import Trained
    from tf_cosearch.training.phases import Watch
    from tf_cosearch.training.recipes import Recipe


class Trainer:
    """Trains the networks of a space, all of them alike.

    Args:
        space: What is searched.
        of_recipe: `learning_rate`, `optimizer` and `loss`, as recipes take
            them.
        of_phases: `qat_epochs` and `quantization`, as `fit.train` takes them.
    """

    def __init__(
        self,
        space: SearchSpace,
        of_recipe: Mapping[str, Any],
        of_phases: Mapping[str, Any],
    ) -> None:
        self._space = space
        self._of_recipe, self._of_phases = of_recipe, of_phases
        self._data: inputs.Inputs | None = None
        self._given: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._arrays: list[Any] = []
        self._described: dict[str, Any] = {}

    @property
    def hypermodel(self) -> keras_tuner.HyperModel | None:
        """What builds and trains a user's own models; None for a template."""
        return getattr(self._space.network_space, "hypermodel", None)

    @property
    def data(self) -> inputs.Inputs:
        """What networks are trained on.

        Raises:
            FatalRuntimeError: If nothing was prepared.
        """
        if self._data is None and self._asked:
            self._prepare_data()  # as another process has sent it
        if self._data is None:
            raise keras_tuner.errors.FatalRuntimeError(
                "`search` must be called before a trial can be run."
            )
        return self._data

    def prepare(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int | None,
        callbacks: Any,
        verbose: int | str,
        others: Mapping[str, Any],
        **of_data: Any,
    ) -> None:
        """Takes what `CoSearchTuner.search` was given.

        Args:
            x: Images, or a pipeline.
            y: Labels.
            epochs: Epochs of a training; None leaves them to an overridden
                `fit` of a hypermodel, and is 1 else.
            callbacks: Callbacks of each training.
            verbose: As a `fit` of the user's own takes it.
            others: What only own models take.
            **of_data: `validation_data`, `validation_split`, `batch_size` and
                `class_weight`.

        Raises:
            TypeError: If an argument is not supported.
            ValueError: If the data do not fit the space.
        """
        from tf_cosearch.training import fit, losses, recipes, tensors

        given = {
            "x": x,
            "y": y,
            "epochs": epochs,
            **of_data,
            **others,
            "validation_split": of_data["validation_split"] or None,
            "verbose": None if verbose == 1 else verbose,
        }
        self._given = {k: v for k, v in given.items() if v is not None}
        hypermodel = self.hypermodel
        names = () if hypermodel is None else tensors.ARGUMENTS
        of_tensors = {n: others[n] for n in names if n in others}
        rest = {n: v for n, v in others.items() if n not in of_tensors}
        is_trained_by_user = hypermodel is not None and (
            recipes.is_fit_overridden(hypermodel)
        )
        epochs = 1 if epochs is None else epochs
        fit.check(
            epochs,
            callbacks=callbacks,
            also=names,
            **self._of_recipe,
            **self._of_phases,
            **({} if is_trained_by_user else rest),
        )
        networks = self._space.network_space
        classes = None if hypermodel else networks.classes
        task = None if hypermodel else networks.task
        self._asked = {"x": x, "y": y, **of_data}
        if task is not None:
            losses.of_task(task, self._of_recipe["loss"])
        else:
            self._asked |= of_tensors
        self._prepare_data()
        if isinstance(task, Custom):
            self.rehearse(callbacks)
        validation = of_data["validation_data"]
        is_pair = isinstance(validation, (tuple, list))
        self._arrays = [x, y, *(validation if is_pair else (validation,))]
        weight = of_tensors.pop("sample_weight", None)
        self._described = {
            "data": (x, y) if weight is None else (x, y, weight),
            "classes": classes,
            "task": task,
            "epochs": epochs,
            "callbacks": callbacks,
            **of_data,
            **of_tensors,
            **(rest if is_trained_by_user else {}),
            **self._of_recipe,
            **self._of_phases,
        }

    def _prepare_data(self) -> None:
        from tf_cosearch.training import tensors

        networks = self._space.network_space
        if networks.task is None:
            self._data = tensors.prepare(**self._asked)
        else:
            self._data = inputs.prepare(
                **self._asked,
                input_shape=networks.input_shape,
                classes=networks.classes,
                task=networks.task,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Another process makes pipelines of the data itself."""
        return {**vars(self), "_data": None, "_described": {}}

    def sent(self) -> dict[str, Any]:
        """What another process is to be sent, by argument; without arrays.

        Raises:
            ValueError: If they are a pipeline.
        """
        import tensorflow as tf

        if any(isinstance(array, tf.data.Dataset) for array in self._arrays):
            raise ValueError(
                "Data must be arrays with engine='ray', which sends them to "
                "each node. Received: a tf.data.Dataset, which cannot be sent. "
                "Pass NumPy arrays, or use workers, which read it themselves."
            )
        parts = {"hypermodel": self.hypermodel, **self._of_recipe}
        if not hasattr(self._arrays[0], "nbytes"):
            parts["x"] = self._arrays[0]
        return parts

    @property
    def data_bytes(self) -> int:
        """Memory of the data, as given and as TensorFlow holds them."""
        return 2 * sum(getattr(array, "nbytes", 0) for array in self._arrays)

    def conditions(self, **of_search: Any) -> dict[str, dict[str, Any]]:
        """What its trainings have in common, see `fingerprint.conditions`.

        Args:
            **of_search: Further settings that they share.
        """
        from tf_cosearch.training import fingerprint

        return fingerprint.conditions(**self._described, **of_search)

    def training_bytes(self, layers: Any) -> Any:
        """Memory that trainings of networks take, see `memory`."""
        from tf_cosearch.training import memory

        size = self.data.batch_size
        return memory.training_bytes(self._arrays, layers, size)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """How the network of some hyperparameters is trained."""
        from tf_cosearch.training import recipes

        genome = self._space.genome(values)
        network = self._space.decode(genome).network
        if self.hypermodel is None:
            return recipes.Template(
                network.build,
                network.precision,
                network.task,
                **self._of_recipe,
            )
        genes = self._space.num_network_parameters
        return recipes.Own(
            network.hypermodel,
            network.hyperparameters(),
            self._given,
            self._space.networks(genome[None, :genes])[0],
            **self._of_recipe,
        )

    def rehearse(self, callbacks: Any) -> tuple[list[str], bool]:
        """Refuses what a trial could not do, before there is one.

        Args:
            callbacks: Callbacks of each training.

        Returns:
            The metrics that a trial measures, and whether an accuracy is
            known after each epoch.

        Raises:
            TypeError, ValueError: If something could not be trained.
        """
        from tf_cosearch.training import fit

        recipe = self.recipe(self._space.hyperparameters().values)
        quantization = self._of_phases["quantization"]
        metrics = fit.rehearse(recipe, self.data, callbacks, quantization)
        return metrics, recipe.accuracy is not None

    def untrained(self, genome: Any) -> bytes:
        """An int8 file of a design that is not trained."""
        from tf_cosearch.training import fit

        return fit.untrained(self.recipe(self._space.values(genome)), self.data)

    def planned(self, epochs: int) -> dict[str, int]:
        """Epochs of each phase; none if a `fit` of the user's chooses them.

        Args:
            epochs: Of a training.
        """
        from tf_cosearch.training import fit, recipes

        hypermodel = self.hypermodel
        if hypermodel is not None and recipes.is_fit_overridden(hypermodel):
            return {}
        of_qat = self._of_phases["qat_epochs"]
        if self._of_phases["quantization"] != recipes.AWARE:
            of_qat = 0
        if of_qat is None:
            of_qat = fit.default_qat_epochs(epochs)
        return {"float": int(epochs - of_qat), "qat": int(of_qat)}

    def train(
        self,
        values: Mapping[str, Any],
        *,
        epochs: int,
        callbacks: Sequence[Any],
        seed: int,
        folder: pathlib.Path,
        number: int,
        on_epoch: Watch,
    ) -> Trained:
        """Trains the network of some hyperparameters, see `fit.train`.

        What callbacks write lies by trial, execution and phase.
        """
        from tf_cosearch.training import fit

        return fit.train(
            self.recipe(values),
            self.data,
            epochs=epochs,
            callbacks=callbacks,
            seed=seed,
            checkpoint_folder=folder,
            on_epoch=on_epoch,
            log_folder=f"{folder.name}/execution_{number}",
            **self._of_phases,
        )

    def load(self, values: Mapping[str, Any], folder: pathlib.Path) -> Any:
        """The trained model of some hyperparameters, compiled.

        Args:
            values: The hyperparameters.
            folder: Where its weights are.
        """
        from tf_cosearch.training import qat, recipes, session

        recipe = self.recipe(values)
        path = folder / export.FLOAT_WEIGHTS
        is_qat = isinstance(recipe, recipes.Template) and (
            self._of_phases["quantization"] == recipes.AWARE
        )
        with session.private():
            model = recipe.build()
            if is_qat:
                model = recipe.quantize(model)
                path = folder / export.QAT_WEIGHTS
            recipe.compile(model, is_qat, steps=1, steps_done=0, decay=True)
            if hasattr(model.optimizer, "build"):  # its state is in the file
                model.optimizer.build(model.trainable_variables)
        qat.load_weights(model, path)
        return model
