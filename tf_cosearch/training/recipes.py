"""How a network is built, compiled, trained and measured: two recipes.

A template's network is trained as the tuner is told, a user's own model as it
was compiled. `fit.train` follows either, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np
import tf_keras
from tf_keras.src.mixed_precision import policy

from tf_cosearch.networks.importers import keras_graph
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.precision import Precision
from tf_cosearch.networks.spaces.discovery import StandIn
from tf_cosearch.networks.workload import to_array
from tf_cosearch.tasks import CLASSIFICATION, Task
from tf_cosearch.tasks.custom import Custom
from tf_cosearch.training import (
    evaluate,
    losses,
    mixed_precision,
    optimizers,
    qat,
    rebuild,
    scores,
    tensors,
)
from tf_cosearch.training.compiled import Compiled, is_compiled
from tf_cosearch.training.inputs import Inputs, check_class_weight
from tf_cosearch.training.table_bits import Table, with_tables

AWARE = "aware"
AFTER_TRAINING = "after_training"
QUANTIZATIONS = (AWARE, AFTER_TRAINING)
"""When weights and activations become int8."""


class Recipe:
    """What `fit.train` asks about a network.

    Args:
        optimizer: See `optimizers.make`.
        loss: See `losses.make`.
        learning_rate: See `optimizers.make`.

    Attributes:
        accuracy: What Keras calls the accuracy in its logs.
        resumes: Whether a training can go on in the middle of a phase.
    """

    accuracy: str | None = scores.ACCURACY
    resumes = True

    def __init__(
        self,
        optimizer: Any = None,
        loss: Any = None,
        learning_rate: float | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._loss = loss
        self._learning_rate = learning_rate

    def build(self) -> Any:
        """A new float model."""
        raise NotImplementedError

    def prepare(self, model: Any, data: Inputs, quantization: str) -> None:
        """Refuses what could not be trained, quantized or measured.

        Args:
            model: What `build` returned, compiled.
            data: Of the training.
            quantization: Of `QUANTIZATIONS`.

        Raises:
            ValueError: If something does not fit; it is named.
        """

    def rehearse_fit(self) -> None:
        """Refuses a `fit` of the user's own that could not be called."""

    def describe(self, model: Any) -> Any:
        """What tells its training from others, for `settings.plain`."""
        return {
            "optimizer": self._optimizer,
            "loss": self._loss,
            "learning_rate": self._learning_rate,
        }

    def compile(self, model: Any, is_qat: bool, **rates: Any) -> None:
        """Compiles the float model, or its quantization-aware copy.

        Args:
            model: Of this recipe.
            is_qat: Which.
            **rates: `steps`, `steps_done` and `decay` of `optimizers.make`.
        """
        raise NotImplementedError

    def _make_optimizer(self, library: Any = tf_keras, **rates: Any) -> Any:
        return optimizers.make(
            self._optimizer,
            learning_rate=self._learning_rate,
            library=library,
            **rates,
        )

    def fit(self, model: Any, is_qat: bool, arguments: dict[str, Any]) -> None:
        """Trains the model with these arguments of Keras' `fit`."""
        model.fit(**arguments)

    def quantize(
        self, model: Any, images: np.ndarray | None = None
    ) -> tf_keras.Model:
        """A quantization-aware copy of the trained float model.

        Args:
            model: What was trained.
            images: That it is compared to the copy on, where that may differ.
        """
        raise NotImplementedError

    def to_tflite(self, model: Any, images: np.ndarray) -> bytes:
        """The int8 file of the trained float model, quantized by images."""
        return qat.to_tflite(model, images)

    def measures(self, quantization: str) -> list[str]:
        """Names of what `measure` returns."""
        kinds = ["int8", "qat", "float"]
        if quantization == AFTER_TRAINING:
            kinds.remove("qat")
        return [f"{scores.ACCURACY}_{kind}" for kind in kinds]

    def measure(
        self, data: Inputs, model: Any, qat_model: Any, tflite: bytes
    ) -> dict[str, float]:
        """What the file, the float and the aware model reach.

        Args:
            data: On its validation data.
            model: The float model.
            qat_model: The quantization-aware one, or None.
            tflite: The file.

        Returns:
            `accuracy_int8`, `accuracy_float`, `accuracy_qat` if there is such
            a model, and other metrics as `NAME_int8`.
        """
        raise NotImplementedError


class Template(Recipe):
    """The network of a template, in tf_keras.

    Args:
        build: From `tf_keras` to an uncompiled model with logits.
        precision: The bits of a layer by its name, instead of 8 everywhere.
        task: What the network is for.
        **training: For `Recipe`.
    """

    def __init__(
        self,
        build: Callable[[Any], Any],
        precision: Callable[[str], Precision] | None = None,
        task: Task = CLASSIFICATION,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self._build = build
        self._precision = precision
        self._task = task

    def build(self) -> tf_keras.Model:
        """A new float model."""
        model = self._build(tf_keras)
        qat.run_groups_natively(model)
        return model

    def prepare(self, model: Any, data: Inputs, quantization: str) -> None:
        """Tries loss and metric of a user's choice on a few examples."""
        if not isinstance(self._task, Custom):
            return
        # Not as many as there are outputs, which axes may be taken for.
        count = 3 if _outputs(model) == 2 else 2
        images, targets, *_ = next(data.validation_batches())
        outputs = model(images[:count], training=False)
        self._task.try_out(targets[:count], outputs)

    def describe(self, model: Any) -> Any:
        """Its configuration as well."""
        return {**super().describe(model), "network": model.get_config()}

    def compile(self, model: Any, is_qat: bool, **rates: Any) -> None:
        """As the tuner is told."""
        model.compile(
            self._make_optimizer(is_qat=is_qat, **rates),
            losses.of_task(self._task, self._loss),
            metrics=self._task.metrics(_outputs(model)),
            weighted_metrics=[],
        )

    def quantize(
        self, model: Any, images: np.ndarray | None = None
    ) -> tf_keras.Model:
        """A copy of the model itself."""
        return qat.quantize(model, self._precision)

    def to_tflite(self, model: Any, images: np.ndarray) -> bytes:
        """The int8 file, in which layers then get their bits."""
        tflite = super().to_tflite(model, images)
        if self._precision is None:
            return tflite
        named = mixed_precision.names(tflite)
        weights, activations, tables = {}, {}, {}
        for layer in model.layers:
            if layer.name in named:
                bits = self._precision(layer.name)
                activations[layer.name] = bits.activation_bits
                if hasattr(layer, "kernel"):
                    weights[layer.name] = bits.weight_bits
                elif hasattr(layer, "depthwise_kernel"):
                    weights[layer.name] = bits.depthwise_bits
                elif hasattr(layer, "embeddings"):
                    values = layer.embeddings.numpy()
                    tables[layer.name] = Table(values, bits.table_bits)
        tflite = mixed_precision.requantize(tflite, weights, activations)
        return with_tables(tflite, tables)

    def measure(
        self, data: Inputs, model: Any, qat_model: Any, tflite: bytes
    ) -> dict[str, float]:
        """The score of the task."""
        answers = evaluate.answers(tflite, data.validation_batches())
        scores = self._task.score(answers, _outputs(model))
        measured = {f"{name}_int8": value for name, value in scores.items()}
        if qat_model is not None:
            measured["accuracy_qat"] = _accuracy(qat_model, data)
        measured["accuracy_float"] = _accuracy(model, data)
        return measured


class Own(Recipe):
    """A user's own model, in their Keras, by their `build` and `fit`.

    Args:
        hypermodel: What builds and fits it.
        hp: Its hyperparameters, all chosen.
        given: What the user gave to `search` for `fit`, which an overridden
            one gets as it is, but for its share of `epochs`.
        rows: The layers `[L, F]` that were priced; None if none were.
        **training: For `Recipe`; only a model that is not compiled needs it.
    """

    accuracy: str | None = None

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        hp: keras_tuner.HyperParameters,
        given: Mapping[str, Any] | None = None,
        rows: np.ndarray | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self._rows = rows
        self._hypermodel = hypermodel
        self._hp = hp
        self._given = dict(given or {})
        # `session.private` puts the user's policy aside for its own.
        self._policy = policy.global_policy()
        self.resumes = not is_fit_overridden(hypermodel)
        self._is_compiled = False
        self._model: Any = None
        self._compiled: Compiled
        self._scores: scores.Scores
        self._rebuilt: rebuild.Rebuilt

    def build(self) -> Any:
        """A new model of the user's Keras, compiled if the user does so."""
        with policy.policy_scope(self._policy):
            model = self._hypermodel.build(self._hp.copy())
        _require_model(model)
        if self._rows is not None:
            _require_rows(model, self._rows)
        self._model = model
        self._is_compiled = is_compiled(model)
        given = {
            "learning_rate": self._learning_rate,
            "loss": self._loss,
            "optimizer": self._optimizer,
        }
        for name, value in given.items():
            if self._is_compiled and value is not None:
                raise ValueError(
                    f"{name} must not be given for a model that is compiled. "
                    f"Received: {name}={value!r} beside {model.name!r}. Set it "
                    "in `compile`, or leave `compile` out."
                )
        return model

    def prepare(self, model: Any, data: Inputs, quantization: str) -> None:
        """Looks at batches, and rebuilds the model if that will be needed."""
        validation = next(iter(data.validation.take(1).as_numpy_iterator()))
        for batch in (*data.samples, validation):
            _require_shape(model, batch[0])
            self._compiled = Compiled(model, batch)
        if data.class_weight is not None:
            classes = tuple(model.outputs[0].shape)[-1]
            check_class_weight(data.class_weight, max(2, classes))
        self._scores = scores.Scores(model, self._compiled)
        self.accuracy = self._scores.main
        if quantization == AWARE:
            _require_plain_step(model)
            self._make_optimizer_of(model, steps=1)
            self._rebuilt = rebuild.Rebuilt(model)
            self._rebuilt.require_equal(batch[0])
            qat.quantize(self._rebuilt.model)

    def rehearse_fit(self) -> None:
        """Shows what `fit` draws between reading data and training."""
        if self.resumes:
            return
        hp = self._hp.copy()
        hp._register = _refuse_new
        try:
            # Nor is it to be called, by a loop of the user's own.
            self._hypermodel.fit(hp, StandIn("fit"), **self._given)
        except keras_tuner.errors.FatalError as error:
            raise ValueError(str(error)) from None
        except Exception:  # there is no model
            return

    def describe(self, model: Any) -> Any:
        """Its hyperparameters, layers, loss and optimizer as well."""
        return {
            **super().describe(model),
            "hyperparameters": self._hp.values,
            "layers": [(type(each), each.name) for each in model.layers],
            "weights": [tuple(weight.shape) for weight in model.weights],
            "compiled": (model.loss, optimizers.unwrapped(model.optimizer)),
        }

    def compile(self, model: Any, is_qat: bool, **rates: Any) -> None:
        """As the user does; by the tuner's settings if the user does not."""
        if is_qat:
            optimizer = self._make_optimizer_of(self._model, **rates)
            self._compiled.compile_copy(model, optimizer)
        elif not self._is_compiled:
            is_tf_keras = isinstance(model, tf_keras.Model)
            library = tf_keras if is_tf_keras else keras
            from_logits = _gives_logits(model)
            if is_tf_keras:
                loss = losses.make(self._loss)
                if self._loss is None:
                    loss = tf_keras.losses.SparseCategoricalCrossentropy(
                        from_logits
                    )
            else:
                loss = losses.make_keras3(self._loss, from_logits)
            model.compile(
                self._make_optimizer(library, **rates),
                loss,
                metrics=[scores.ACCURACY],
            )

    def _make_optimizer_of(self, model: Any, **rates: Any) -> Any:
        """The optimizer of the quantization-aware phase."""
        if not self._is_compiled:
            return self._make_optimizer(is_qat=True, **rates)
        return optimizers.make(
            optimizers.unwrapped(model.optimizer),
            is_qat=True,
            qat_scale=1.0,  # the user's learning rate is the user's choice
            **rates,
        )

    def fit(self, model: Any, is_qat: bool, arguments: dict[str, Any]) -> None:
        """By the hypermodel, as KerasTuner calls it."""
        hp = self._hp.copy()
        hp._register = _refuse_new
        if self.resumes:
            # The pipeline shuffles; Keras 3 warns that it does not.
            self._hypermodel.fit(hp, model, shuffle=False, **arguments)
            return
        # Their own training reads their own data, from its first epoch on.
        given = {**self._given, "callbacks": arguments["callbacks"]}
        if "epochs" in given:
            given["epochs"] = arguments["epochs"] - arguments["initial_epoch"]
        if not is_qat:
            self._hypermodel.fit(hp, model, **given)
            return
        try:
            given = tensors.for_tf_keras(given)
            self._hypermodel.fit(hp, model, **given)
        except keras_tuner.errors.FatalError:
            raise
        except Exception as error:
            raise RuntimeError(
                "`fit` of a hypermodel must train the quantization-aware copy "
                f"of its model, too, which is of tf_keras. Received: {error}. "
                "Pass quantization='after_training'."
            ) from error

    def quantize(
        self, model: Any, images: np.ndarray | None = None
    ) -> tf_keras.Model:
        """One of its copy in tf_keras, which gives the same outputs."""
        self._rebuilt.carry()
        if images is not None:
            self._rebuilt.require_equal(images)
        return qat.quantize(self._rebuilt.model)

    def to_tflite(self, model: Any, images: np.ndarray) -> bytes:
        """Of the model, or of its copy in tf_keras."""
        tflite, _ = rebuild.to_int8(model, images)
        return tflite

    def measures(self, quantization: str) -> list[str]:
        """Those of every recipe, and the other compiled metrics."""
        others = [f"{name}_int8" for name in self._scores.names[1:]]
        return super().measures(quantization) + others

    def measure(
        self, data: Inputs, model: Any, qat_model: Any, tflite: bytes
    ) -> dict[str, float]:
        """By the metrics that the model was compiled with."""
        measured = self.measure_file(data.validation_batches(), tflite)
        for name, each in (("float", model), ("qat", qat_model)):
            if each is not None:
                values = self._scores.of(
                    (each.predict_on_batch(x), *others)
                    for x, *others in data.validation_batches()
                )
                measured[f"{scores.ACCURACY}_{name}"] = values[scores.ACCURACY]
        return measured

    def measure_file(
        self, batches: Iterable[Any], tflite: evaluate.TFLite
    ) -> dict[str, float]:
        """The metrics of the file alone, as `NAME_int8`."""
        runner = evaluate.Runner(tflite)
        values = self._scores.of(
            (runner.dequantized(x), *others) for x, *others in batches
        )
        return {f"{name}_int8": value for name, value in values.items()}


def is_fit_overridden(hypermodel: keras_tuner.HyperModel) -> bool:
    """Whether the training itself is the user's."""
    method = getattr(hypermodel.fit, "__func__", hypermodel.fit)
    return method is not keras_tuner.HyperModel.fit


def _refuse_new(entry: Any, overwrite: bool = False) -> None:
    """Refuses a hyperparameter that would have its default in all trials."""
    raise keras_tuner.errors.FatalValueError(
        "Hyperparameters must be known before a training. Received: "
        f"{entry.name}, which `fit` draws first. Draw it in `build` too, or in "
        "`declare_hyperparameters` of the hypermodel."
    )


def _accuracy(model: tf_keras.Model, data: Inputs) -> float:
    return model.evaluate(data.validation, verbose=0, return_dict=True)[
        "accuracy"
    ]


def _outputs(model: tf_keras.Model) -> int:
    """How many numbers it puts out, of an image or of a pixel."""
    return int(model.outputs[0].shape[-1])


def _require_model(model: Any) -> None:
    """Refuses what is no functional or sequential model of one tensor."""
    if not isinstance(model, (keras.Model, tf_keras.Model)):
        raise TypeError(
            "`build` must return a model of keras or tf_keras. Received: "
            f"{type(model).__name__}."
        )
    if isinstance(model, keras.Model) and keras.backend.backend() != (
        "tensorflow"
    ):
        raise ValueError(
            "Keras must run on TensorFlow, which converts to TFLite. Received: "
            f"the backend {keras.backend.backend()}. Set KERAS_BACKEND."
        )
    if keras_graph.graph_of(model) is None:
        raise ValueError(
            "A model must be functional, or sequential with an Input. "
            f"Received: {model.name!r} of {type(model).__name__}, whose layers "
            "cannot be read."
        )
    ends = {"inputs": model.inputs, "outputs": model.outputs}
    for name, tensors_ in ends.items():
        if len(tensors_) != 1:
            raise ValueError(
                "A model must have one input and one output. Received: "
                f"{len(tensors_)} {name} of {model.name!r}."
            )


def _require_rows(model: Any, rows: np.ndarray) -> None:
    """Refuses a network whose costs are not those it was chosen for."""
    now = to_array(from_keras(model, on_unknown=lambda kind: None))
    if not np.array_equal(now, rows):
        raise ValueError(
            "`build` must return the same network whenever it has the same "
            f"hyperparameters. Received: {model.name!r} of {len(now)} layers, "
            f"other than the {len(rows)} that were priced. Draw what differs "
            "from `hp`, not at random or from outside."
        )


def _require_shape(model: Any, x: np.ndarray) -> None:
    """Refuses data that the int8 file could not take."""
    shape = tuple(model.inputs[0].shape)[1:]
    if x.shape[1:] != shape:
        raise ValueError(
            f"Inputs must be [N, {', '.join(map(str, shape))}], what the model "
            f"takes. Received: shape {x.shape}."
        )
    kind = str(getattr(model.inputs[0].dtype, "name", model.inputs[0].dtype))
    if "float" not in kind:
        raise ValueError(
            "The input of a model must be floats, as the int8 file quantizes "
            f"it. Received: {kind}. Embed words before the model."
        )


def _require_plain_step(model: Any) -> None:
    """Refuses training steps that a copy of the layers would not have."""
    for name in ("train_step", "test_step", "compute_loss"):
        kind = next(k for k in type(model).__mro__ if name in vars(k))
        if kind.__module__.partition(".")[0] not in ("keras", "tf_keras"):
            raise ValueError(
                "Quantization-aware training must be Keras' own. Received: "
                f"{name} of {kind.__name__}. Pass "
                "quantization='after_training'."
            )


def _gives_logits(model: Any) -> bool:
    """Whether outputs are no probabilities yet."""
    layer = model.layers[-1]
    name = type(layer).__name__.lower()
    if "activation" in vars(layer) or hasattr(layer, "activation"):
        name = keras_graph.activation(layer.activation)
    if name == "sigmoid":
        raise ValueError(
            "A model that is not compiled must give logits or a softmax. "
            f"Received: a sigmoid in {layer.name!r}. Compile the model with "
            "its loss."
        )
    return name != "softmax"
