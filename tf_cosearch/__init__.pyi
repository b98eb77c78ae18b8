"""The names of the package; `__init__.py` imports each when it is used."""

from . import tasks as tasks
from .accelerators import Accelerator as Accelerator
from .accelerators.chip_link import Link as Link
from .accelerators.presets import load_accelerator as load_accelerator
from .cost.costs import Cost as Cost
from .cost.model import estimate as estimate
from .cost.pipeline import Pipeline as Pipeline
from .cost.pipeline import partition as partition
from .designs.export import Design as Design
from .designs.export import load_design as load_design
from .engines.ray_engine import RayEngine as RayEngine
from .evaluators.evaluator import Evaluator as Evaluator
from .evaluators.evaluator import Quantity as Quantity
from .metrics import metric as metric
from .networks.blocks import block as block
from .networks.importers.keras_import import from_keras as from_keras
from .networks.importers.tflite_import import from_tflite as from_tflite
from .networks.layer_ops import Operation as Operation
from .networks.layer_ops import operation as operation
from .networks.network import Network as Network
from .networks.spaces.template import load_network as load_network
from .networks.workload import Layer as Layer
from .networks.workload import LayerTable as LayerTable
from .networks.workload import pad as pad
from .numerics.monitor import AccuracyMonitor as AccuracyMonitor
from .search import algorithms as algorithms
from .search.algorithms.algorithm import Algorithm as Algorithm
from .search.budgets import Budgets as Budgets
from .search.exact import best_accelerators as best_accelerators
from .search.hypermodel import CoSearchHyperModel as CoSearchHyperModel
from .search.objectives import AbsoluteDeviation as AbsoluteDeviation
from .search.objectives import WeightedProduct as WeightedProduct
from .search.oracle.oracle import CoSearchOracle as CoSearchOracle
from .search.space import Candidate as Candidate
from .search.space import SearchSpace as SearchSpace
from .supernet.options import SupernetOptions as SupernetOptions
from .tasks import Task as Task
from .tasks import task as task
from .trackers.tracker import Tracker as Tracker
from .trackers.tracker import TrialRecord as TrialRecord
from .tuner import CoSearchTuner as CoSearchTuner

__version__: str
