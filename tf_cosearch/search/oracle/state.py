"""What the JSON files of a search hold; `files.read_json` checks them."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Value = int | float | str | bool
"""Of a hyperparameter."""


class _Named(TypedDict):
    name: str


class HyperparameterConfig(_Named, total=False):
    """What KerasTuner writes of a hyperparameter, as far as all have it."""

    conditions: list[dict[str, Any]]
    default: Value | None
    values: list[Value]


class HyperparameterState(TypedDict):
    """A hyperparameter of KerasTuner, for example a `Choice`."""

    class_name: str
    config: HyperparameterConfig


class HyperparametersState(TypedDict):
    """KerasTuner's hyperparameters: what there is, and what was chosen."""

    space: list[HyperparameterState]
    values: dict[str, Value]


class ObservationState(TypedDict):
    """What a metric was in each execution, at a step of the training."""

    value: list[float]
    step: int


class MetricState(TypedDict):
    """All that was reported of a metric."""

    direction: Literal["min", "max"]
    observations: list[ObservationState]


class MetricsState(TypedDict):
    """The metrics of a trial by name."""

    metrics: dict[str, MetricState]


class OriginState(TypedDict):
    """Who proposed a trial.

    Attributes:
        by: The class of the algorithm.
        how: In words.
        parents: Ids of the trials that its design was made of.
    """

    by: str
    how: str
    parents: list[str]


class _TrialOfKerasTuner(TypedDict):
    trial_id: str
    hyperparameters: HyperparametersState
    metrics: MetricsState
    score: float | None
    best_step: int | None
    status: Literal[
        "IDLE", "RUNNING", "INVALID", "STOPPED", "COMPLETED", "FAILED"
    ]
    message: str | None


class TrialState(_TrialOfKerasTuner, total=False):
    """What `trial.json` holds: what KerasTuner writes, and who proposed it."""

    origin: OriginState


class _TrainingBegun(TypedDict):
    fingerprint: str
    costs: dict[str, float]
    history: dict[str, list[float]]
    float_epochs: int


class ExecutionState(_TrainingBegun, total=False):
    """What `execution_0.json` holds.

    Attributes:
        fingerprint: Of the settings of the training.
        costs: What the design costs.
        history: Metric -> one value per epoch.
        float_epochs: How many of these are of the float phase.
        metrics: What the training reported, once it has ended.
        attempts: How often it was begun and neither ended nor came further.
        planned: Epochs of each phase, `float` and `qat`; none if they are not
            known before.
        epoch_seconds: What each epoch took, with what went before it.
        executions: How many trainings the trial has.
    """

    metrics: dict[str, float]
    attempts: int
    planned: dict[str, int]
    epoch_seconds: list[float]
    executions: int


class _Identity(TypedDict):
    space: dict[str, Any]
    data: dict[str, Any] | None
    training: dict[str, Any] | None
    versions: dict[str, str] | None


class IdentityState(_Identity, total=False):
    """What `Identity` holds; without `evaluator` of an earlier version."""

    evaluator: dict[str, Any] | None


class SearchState(TypedDict, total=False):
    """What of `oracle.json` says which search it is of.

    Attributes:
        identity: What trials have in common; none in earlier versions.
        space_fingerprint: What these have instead.
        search_id: Tells it from others, also from one before in its folder.
        settings: How it goes about it, which may change from run to run; for
            readers, as nothing is restored of it.
    """

    identity: IdentityState
    space_fingerprint: str
    search_id: str
    settings: dict[str, Any]


class _OfKerasTuner(TypedDict):
    ongoing_trials: dict[str, str]
    hyperparameters: HyperparametersState
    start_order: list[str]
    end_order: list[str]
    run_times: dict[str, int]
    retry_queue: list[str]
    seed: int
    seed_state: int
    tried_so_far: list[str]
    id_to_hash: dict[str, str | None]
    display: dict[str, Any]


class OracleState(_OfKerasTuner, SearchState, total=False):
    """What `oracle.json` holds, with what KerasTuner writes.

    Attributes:
        has_workers: Whether only workers may still be at a trial when this is
            read again.
        held: Genes that one side is held to, see `Scope`.
        searched_seconds: How long the search has run.
    """

    has_workers: bool
    searched_seconds: float
    held: dict[str, list[int]]
