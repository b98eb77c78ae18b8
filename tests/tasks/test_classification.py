import sys

import numpy as np
import pytest

import tf_cosearch as cs
from tf_cosearch import testing
from tf_cosearch.tasks.task import Task


class TestClassification(testing.TaskSuite):
    task = cs.tasks.CLASSIFICATION
    wrong = (
        np.full(32, 4),
        np.full(32, -1),
        np.full(32, 0.5),
        np.zeros((32, 3)),
        np.zeros(31, int),
    )

    def data(self):
        rng = np.random.default_rng(0)
        x = rng.random((32, *self.image), np.float32)
        return x, np.arange(32) % self.classes

    def perfect(self, targets):
        return 20 * np.eye(self.classes)[targets]


def test_what_is_no_task_is_refused_by_name():
    with pytest.raises(ValueError, match="Did you mean 'classification'"):
        cs.SearchSpace.load("digits", task="clasification")
    with pytest.raises(ValueError, match="key in the task classification"):
        cs.tasks.make({"name": "classification", "depth": 3})
    with pytest.raises(ValueError, match="must be a name"):
        cs.tasks.make(3)
    with pytest.raises(TypeError, match="subclass of `Task`"):
        cs.task(int)


def test_a_task_without_its_decorator_is_refused():
    class Parted(cs.tasks.Classification):
        pass

    class Lone(Task):
        pass

    Lone.__abstractmethods__ = frozenset()
    for kind in (Parted, Lone):
        for given in (kind(), kind):
            with pytest.raises(ValueError, match=r"A task must be.*Received"):
                cs.SearchSpace.load("digits", task=given)
        with pytest.raises(ValueError, match=f"{kind.__name__} of .*is not"):
            cs.tasks.make(kind())


def test_a_task_of_a_user_is_found_by_its_name():
    @cs.task
    class TopHalf(cs.tasks.Classification):
        kept: int = 2

        def head(self, ops, stages, **size):
            x = ops.max_pool(stages[-1], self.kept, name="half")
            return super().head(ops, [x], **size)

    try:
        assert cs.tasks.make({"name": "top_half", "kept": 3}) == TopHalf(3)
        space = cs.SearchSpace.load("digits", task="top_half")
        [genome] = space.canonical(np.zeros((1, len(space.parameters)), int))
        network = space.decode(genome).network
        assert network.layers()[-3].name == "half"
        plain = cs.SearchSpace.load("digits")
        assert plain.fingerprint != space.fingerprint
        assert space.with_task(TopHalf()) is space
        assert plain.with_task("top_half").fingerprint == space.fingerprint

        with pytest.raises(ValueError, match="already registered"):

            @cs.task
            class Classification(Task):
                pass

    finally:
        sys.modules["tf_cosearch.tasks.task"]._TASKS.pop("top_half")
