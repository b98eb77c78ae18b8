"""Searches a network and the edge accelerator it runs on, together."""

from tf_cosearch import tasks
from tf_cosearch.accelerators import Accelerator
from tf_cosearch.accelerators.chip_link import Link
from tf_cosearch.accelerators.presets import load_accelerator
from tf_cosearch.cost.costs import Cost
from tf_cosearch.cost.model import estimate
from tf_cosearch.cost.pipeline import Pipeline, partition
from tf_cosearch.designs.export import Design, load_design
from tf_cosearch.evaluators.evaluator import Evaluator, Quantity
from tf_cosearch.metrics import metric
from tf_cosearch.networks.blocks import block
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.importers.tflite_import import from_tflite
from tf_cosearch.networks.layer_ops import Operation, operation
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import load_network
from tf_cosearch.networks.workload import Layer, LayerTable, pad
from tf_cosearch.numerics.monitor import AccuracyMonitor
from tf_cosearch.search import algorithms
from tf_cosearch.search.algorithms.algorithm import Algorithm
from tf_cosearch.search.budgets import Budgets
from tf_cosearch.search.exact import best_accelerators
from tf_cosearch.search.hypermodel import CoSearchHyperModel
from tf_cosearch.search.objectives import AbsoluteDeviation, WeightedProduct
from tf_cosearch.search.oracle.oracle import CoSearchOracle
from tf_cosearch.search.space import Candidate, SearchSpace
from tf_cosearch.supernet.options import SupernetOptions
from tf_cosearch.tasks import Task, task
from tf_cosearch.trackers.tracker import Tracker, TrialRecord
from tf_cosearch.tuner import CoSearchTuner

__version__ = "0.1.0"

__all__ = [
    "AbsoluteDeviation",
    "Accelerator",
    "AccuracyMonitor",
    "Algorithm",
    "Budgets",
    "Candidate",
    "CoSearchHyperModel",
    "CoSearchOracle",
    "CoSearchTuner",
    "Cost",
    "Design",
    "Evaluator",
    "Layer",
    "LayerTable",
    "Link",
    "Network",
    "Operation",
    "Pipeline",
    "Quantity",
    "SearchSpace",
    "SupernetOptions",
    "Task",
    "Tracker",
    "TrialRecord",
    "WeightedProduct",
    "algorithms",
    "best_accelerators",
    "block",
    "estimate",
    "from_keras",
    "from_tflite",
    "load_accelerator",
    "load_design",
    "load_network",
    "metric",
    "operation",
    "pad",
    "partition",
    "task",
    "tasks",
]
