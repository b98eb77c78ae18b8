"""What a task must do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

from tf_cosearch import tasks
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.networks.workload import Layer, LayerTable, to_array
from tf_cosearch.testing.requirement import require

_STAGES = {
    "stem": {"filters": 8, "stride": 2},
    "defaults": {"block": ["conv_bn", "depthwise_separable"]},
    "stages": [
        {"filters": [8, 16], "repeats": [1, 2]},
        {"filters": 24, "stride": 2},
    ],
}


_OF_ORDER = ("held_elements", "continues")
"""Fields of a row that depend on which ones are before it."""


_CANNOT_SHARE = "Layers that share weights must be of "
"""How a supernet refuses layers that it does not know."""


class TaskSuite:
    """Tests of a task.

    Attributes:
        task: The task.
        classes: Numbers that its networks put out.
        image: Height, width and channels of what they read.
        content: A space of networks for it, without what stands above.
        wrong: Targets of as many examples as `data` that it must refuse, one
            or more.
    """

    task: tasks.Task
    classes: int = 4
    image: tuple[int, int, int] = (16, 12, 1)
    content: ClassVar[dict[str, Any]] = _STAGES
    wrong: Sequence[Any] = ()

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Some valid inputs and targets, 32 or more, not all alike."""
        raise NotImplementedError

    def perfect(self, targets: np.ndarray) -> np.ndarray:
        """Outputs of a network that knows these targets.

        Args:
            targets: What `task.targets` made of those of `data`.
        """
        raise NotImplementedError

    def space(self) -> Template:
        """Networks of the task."""
        return Template(
            self.content, "suite", self.image, self.classes, self.task
        )

    def networks(self) -> list[Network]:
        """A few of the space, the least and the largest among them."""
        space = self.space()
        counts = [range(len(p.choices)) for p in space.parameters]
        genes = sorted({*map(space.canonical, itertools.product(*counts))})
        return [space.decode(each) for each in genes[:: max(1, len(genes) - 1)]]

    def targets(self) -> np.ndarray:
        """Those of `data` as loss and metrics take them."""
        import tensorflow as tf

        y = tf.convert_to_tensor(self.data()[1])
        return np.asarray(self.task.targets(y, self.classes))

    def test_rows_equal_those_of_the_built_model(self) -> None:
        """Cost and network must not disagree."""
        for network in self.networks():
            rows, read = network.layers(), from_keras(network.build(keras))
            equal = [row.op for row in rows] == [row.op for row in read]
            require(
                equal and np.array_equal(to_array(rows), to_array(read)),
                f"{self.task}: rows {rows}, model {read}",
            )

    def test_rows_of_a_space_are_those_of_its_networks(self) -> None:
        """Whatever is remembered of stages; and no more than are padded to."""
        space = self.space()
        counts = [range(len(p.choices)) for p in space.parameters]
        for genes in itertools.product(*counts):
            rows = to_array(space.decode(genes).layers())
            require(
                np.array_equal(space.rows(genes), rows),
                f"{self.task}: other rows of {genes}",
            )
            require(
                len(rows) <= space.padded_layers(len(rows)),
                f"{self.task}: {len(rows)} rows of {genes}",
            )

    def test_shared_weights_answer_as_a_network_alone(self) -> None:
        """If the layers of its head can share weights at all."""
        from tf_cosearch.supernet.evaluation import Evaluator
        from tf_cosearch.supernet.options import Sharing
        from tf_cosearch.supernet.weights import SharedWeights
        from tf_cosearch.training import inputs

        x, y = self.data()
        try:
            weights = SharedWeights(self.space(), Sharing())
        except ValueError as error:
            if not str(error).startswith(_CANNOT_SHARE):
                raise
            pytest.skip(str(error))
        prepared = inputs.prepare(
            x,
            y,
            input_shape=self.image,
            classes=self.classes,
            validation_data=(x, y),
            task=self.task,
        )
        evaluator = Evaluator(weights, prepared)
        images = next(prepared.validation_batches())[0][:4]
        for network in self.networks():
            alone = evaluator.model(network)(images, training=False)
            shared = evaluator.logits(network, images)
            np.testing.assert_allclose(shared, alone, atol=1e-3)
        score = evaluator.accuracy(network)
        require(0 <= score <= 1, f"{self.task}: an accuracy of {score}")

    def test_a_training_ends_in_an_int8_file_that_is_measured(self) -> None:
        """Of one epoch, on the data of the suite."""
        import tensorflow as tf

        from tf_cosearch.training import evaluate, fit, inputs, recipes

        x, y = self.data()
        network = self.networks()[0]
        prepared = inputs.prepare(
            x,
            y,
            input_shape=self.image,
            classes=self.classes,
            validation_data=(x, y),
            task=self.task,
        )
        trained = fit.train(
            recipes.Template(network.build, network.precision, self.task),
            prepared,
            epochs=1,
            quantization=self.task.quantizations[0],
        )
        for name, value in trained.metrics().items():
            if name.startswith("accuracy"):
                require(0 <= value <= 1, f"{self.task}: {name} is {value}")
        batch = np.asarray(self.task.inputs(tf.convert_to_tensor(x)))
        answers = evaluate.Runner(trained.tflite).dequantized(batch)
        score = self.task.score([(answers, self.targets())], self.classes)
        np.testing.assert_allclose(
            trained.accuracy_int8, score["accuracy"], atol=1e-5
        )
        rows = from_tflite(trained.tflite)
        require(
            _unordered(rows) == _unordered(network.layers()),
            f"{self.task}: rows {network.layers()}, file {rows}",
        )
        require(
            "val_accuracy" in trained.history,
            f"{self.task}: no accuracy after an epoch",
        )

    def test_perfect_answers_score_1_and_none_is_beyond(self) -> None:
        """Metric of a training and score of a file are one number."""
        targets = self.targets()
        perfect = np.asarray(self.perfect(targets), np.float32)
        rng = np.random.default_rng(0)
        others = rng.normal(size=perfect.shape).astype(np.float32)
        for outputs in (perfect, others):
            half = len(outputs) // 2
            batches = [
                (outputs[:half], targets[:half]),
                (outputs[half:], targets[half:]),
            ]
            score = self.task.score(batches, self.classes)["accuracy"]
            metric = self.task.metrics(self.classes)[0]
            require(metric.name == "accuracy", f"it is {metric.name!r}")
            for each, wanted in batches:
                metric.update_state(wanted, each)
            np.testing.assert_allclose(float(metric.result()), score, atol=1e-5)
            require(0 <= score <= 1, f"{self.task}: a score of {score}")
            if outputs is perfect:
                np.testing.assert_allclose(score, 1, atol=0.01)
        require(score < 0.9, f"{self.task}: random answers score {score}")

    def test_the_loss_is_less_for_better_answers(self) -> None:
        """Of a training, and of a supernet, whose mean it is."""
        targets = self.targets()
        perfect = np.asarray(self.perfect(targets), np.float32)
        better, worse = (
            float(np.mean(self.task.loss()(targets, outputs)))
            for outputs in (perfect, -perfect)
        )
        require(better < worse, f"{self.task}: a loss of {better}, {worse}")
        double = self.task.loss()(
            targets, -perfect, sample_weight=np.full(len(targets), 2.0)
        )
        np.testing.assert_allclose(float(double), 2 * worse, rtol=1e-4)
        shared = np.mean(self.task.losses(targets, perfect))
        np.testing.assert_allclose(shared, better, rtol=1e-4, atol=1e-6)

    def test_examples_of_weight_0_are_not_learned(self) -> None:
        """Each other one alone loses what it does in a batch of its own."""
        import tensorflow as tf

        from tf_cosearch.training import inputs

        x, y = (part[:4] for part in self.data())
        weight = np.asarray([0, 1, 0, 1], np.float32)
        data = tf.data.Dataset.from_tensor_slices((x, y, weight)).batch(4)
        [batch] = inputs.batches(data, classes=self.classes, task=self.task)
        _, targets, weights = batch
        outputs = self.perfect(np.asarray(targets))
        rng = np.random.default_rng(0)
        outputs = rng.normal(size=np.shape(outputs)).astype(np.float32)
        with tf.GradientTape() as tape:
            watched = tf.Variable(outputs)
            loss = self.task.loss()(targets, watched, sample_weight=weights)
        slopes = np.abs(tape.gradient(loss, watched)).reshape(4, -1).sum(1)
        require(
            np.array_equal(slopes > 0, weight > 0),
            f"{self.task}: slopes of {slopes} for weights of {weight}",
        )
        alone = float(np.mean(self.task.loss()(targets[1::2], outputs[1::2])))
        np.testing.assert_allclose(float(loss), alone / 2, rtol=1e-4)

    def test_what_a_teacher_answers_is_learned(self) -> None:
        """A network that answers the same loses the least."""
        perfect = np.asarray(self.perfect(self.targets()), np.float32)
        taught = self.task.answers(perfect)
        same = float(np.mean(self.task.losses(taught, perfect)))
        other = float(np.mean(self.task.losses(taught, -perfect)))
        require(same < other, f"{self.task}: {same} as its teacher, {other}")

    def test_wrong_targets_are_refused(self) -> None:
        """With what was received."""
        from tf_cosearch.training import inputs

        require(len(self.wrong) > 0, f"{self.task}: nothing wrong is tried")
        x, y = self.data()
        inputs.check(x, y, self.image, self.classes, "data", self.task)
        for wrong in self.wrong:
            with pytest.raises(ValueError, match="Received: "):
                inputs.check(
                    x, wrong, self.image, self.classes, "data", self.task
                )

    def test_parts_of_a_data_set_are_drawn_evenly(self) -> None:
        """Each example has a whole number, its stratum."""
        y = self.data()[1]
        strata = np.asarray(self.task.strata(y))
        require(
            strata.shape == (len(y),) and strata.dtype.kind in "iu",
            f"{self.task}: strata of {strata.shape}, {strata.dtype}",
        )
        require(
            self.task.count([y], "data") <= self.classes,
            f"{self.task} counts {self.task.count([y], 'data')} of its data",
        )

    def test_its_options_are_plain_values(self) -> None:
        """So that a design says what it is for, and a run which task it has."""
        config = json.loads(json.dumps(self.task.get_config()))
        require(tasks.make(config) == self.task, f"{config} is another task")
        network = self.networks()[0]
        config = json.loads(json.dumps(network.get_config()))
        require(Network.from_config(config) == network, f"{config} is another")


def _unordered(rows: Sequence[Layer]) -> list[list[float]]:
    """Rows as a file may have them in another order."""
    columns = [
        index
        for index, name in enumerate(LayerTable._fields)
        if name not in _OF_ORDER
    ]
    return sorted(to_array(rows)[:, columns].tolist())
