"""What a plug-in must pass: suites for pytest to subclass, ours and yours.

    class TestMyBlock(testing.BlockSuite):
        name = "my_block"

    class TestMyAlgorithm(testing.OracleSuite):
        algorithm = MyAlgorithm

pytest collects a subclass with every test of its suite.
"""

from tf_cosearch.benchmark.toys import ToySpace, place, run_trials, toy_estimate
from tf_cosearch.testing.blocks import BlockSuite
from tf_cosearch.testing.components import ComponentSuite
from tf_cosearch.testing.evaluators import EvaluatorSuite
from tf_cosearch.testing.families import FamilySuite
from tf_cosearch.testing.metrics import MetricSuite
from tf_cosearch.testing.operations import OperationSuite
from tf_cosearch.testing.oracles import OracleSuite
from tf_cosearch.testing.tasks import TaskSuite

__all__ = [
    "BlockSuite",
    "ComponentSuite",
    "EvaluatorSuite",
    "FamilySuite",
    "MetricSuite",
    "OperationSuite",
    "OracleSuite",
    "TaskSuite",
    "ToySpace",
    "place",
    "run_trials",
    "toy_estimate",
]
