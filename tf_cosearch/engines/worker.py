"""The oracle as a worker sees it: the chief's, over the network."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import keras_tuner
from absl import logging
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client

from tf_cosearch.engines import chief

PATIENCE_SECONDS = 600.0
"""How long a worker waits for a chief that does not answer."""

_BEATS = 6  # heartbeats within a lease
_IDLE_SECONDS = 0.5
_CALL_SECONDS = 30.0
_PAUSE_SECONDS = 0.1
_MESSAGE_BYTES = 4000  # gRPC allows 8 KiB of metadata
# gRPC waits longer and longer before it connects again, in the end for two
# minutes: a lease would end long after the network is back.
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


def wait_for_chief(oracle: keras_tuner.Oracle, stage: int = 0) -> None:
    """Waits until the chief is at a stage, however long it works before.

    Args:
        oracle: The local oracle.
        stage: Of the search.

    Raises:
        RuntimeError: If it does not answer for an hour.
    """
    remote = RemoteOracle(oracle, chief.ABANDONED_SECONDS, stage)
    request = protos.get_service().GetSpaceRequest()
    remote.stub.call("GetSpace", request, remote.me)


class EndedByChiefError(keras_tuner.errors.FatalRuntimeError):
    """The search has ended with an error, which the chief has, too."""


class RemoteOracle(oracle_client.OracleClient):
    """Calls the chief, again and again if need be.

    A trial is reported with all it measured in one call, which may be
    repeated: the chief counts it once.

    Args:
        oracle: The local oracle, for `objective` and the like.
        patience_seconds: How long to wait for a chief that does not answer.
        stage: Of a search that has several, which this one is.

    Attributes:
        me: Metadata of calls, who it is and at which stage.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        patience_seconds: float = PATIENCE_SECONDS,
        stage: int = 0,
    ) -> None:
        super().__init__(oracle)
        self.stub: Any = _Stub(_connect(), patience_seconds)
        self.me = (("tuner-id", self.tuner_id), ("stage", str(stage)))
        self._trial: Trial | None = None
        self._seed = 0
        self._lease_seconds = 0.0
        self._lost = ""

    def create_trial(self, tuner_id: str) -> Trial:
        """Asks for a trial; takes a moment if there is none for now."""
        request = protos.get_service().CreateTrialRequest(tuner_id=tuner_id)
        response, call = self.stub.call("CreateTrial", request, self.me)
        trial = Trial.from_proto(response.trial)
        if trial.status == TrialStatus.IDLE:
            time.sleep(_IDLE_SECONDS)
        elif trial.status == TrialStatus.RUNNING:
            metadata = dict(call.trailing_metadata())
            self._trial, self._lost = trial, ""
            self._seed = int(metadata["training-seed"])
            self._lease_seconds = float(metadata["lease-seconds"])
        return trial

    def training_seed(self, trial_id: str) -> int:
        """See `DurableOracle.training_seed`."""
        return self._seed

    def update_trial(
        self, trial_id: str, metrics: dict[str, float], step: int = 0
    ) -> Trial:
        """Notes metrics, which `end_trial` reports."""
        self.check()
        trial = self._current(trial_id)
        with warnings.catch_warnings():  # about metrics that are all NaN
            warnings.simplefilter("ignore", RuntimeWarning)
            for name, value in metrics.items():
                if not trial.metrics.exists(name):
                    trial.metrics.register(name, direction="max")
                trial.metrics.update(name, value, step=step)
        return trial

    def get_trial(self, trial_id: str) -> Trial:
        """The trial that runs here."""
        return self._current(trial_id)

    def end_trial(self, trial: Trial) -> None:
        """Reports a trial, unless it has gone to another worker."""
        message = (trial.message or "").encode()[-_MESSAGE_BYTES:]
        request = protos.get_service().EndTrialRequest(trial=trial.to_proto())
        self._trial = None
        try:
            self.stub.call(
                "EndTrial",
                request,
                metadata=(
                    *self.me,
                    ("message-bin", message.decode(errors="ignore").encode()),
                ),
            )
        except TimeoutError as error:
            logging.warning("%s Its result here is dropped.", error)

    def check(self) -> None:
        """Ends the trial that runs here if it is not ours any more.

        Raises:
            TimeoutError: If the trial has gone to another worker, or the
                search has ended.
        """
        if self._lost:
            raise TimeoutError(self._lost)

    @contextlib.contextmanager
    def heartbeat(self, trial_id: str) -> Iterator[None]:
        """Keeps the lease of a trial while it runs here."""
        ended = threading.Event()

        def beat() -> None:
            request = protos.get_service().GetTrialRequest(trial_id=trial_id)
            while not ended.wait(self._lease_seconds / _BEATS):
                try:
                    self.stub.call("GetTrial", request, self.me)
                except Exception as error:  # noqa: PERF203
                    self._lost = str(error)
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()

    def _current(self, trial_id: str) -> Trial:
        if self._trial is None or self._trial.trial_id != trial_id:
            raise KeyError(trial_id)
        return self._trial


def _connect() -> Any:
    """A stub like KerasTuner's, which is soon back after a cut."""
    channel = grpc.insecure_channel(chief.address(), options=_RECONNECT)
    return protos.get_service_grpc().OracleStub(channel)


class _Stub:
    """KerasTuner's stub, with calls that outlast the chief's restart."""

    def __init__(self, stub: Any, patience_seconds: float) -> None:
        self._stub = stub
        self._patience_seconds = patience_seconds
        self._told = ""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda request, **_: self.call(name, request)[0]

    def call(
        self, name: str, request: Any, metadata: tuple[Any, ...] = ()
    ) -> tuple[Any, Any]:
        """Calls a method until there is an answer.

        Returns:
            The answer, and the call it came from.

        Raises:
            TimeoutError: If the trial has gone to another worker.
            EndedByChiefError: If the search has ended with an error.
            RuntimeError: If there is no answer for too long, or none that
                makes sense.
        """
        until = time.monotonic() + self._patience_seconds
        while True:
            remaining_seconds = max(until - time.monotonic(), _PAUSE_SECONDS)
            try:
                # Waits for a connection, and no longer than for that.
                return getattr(self._stub, name).with_call(
                    request,
                    timeout=min(remaining_seconds, _CALL_SECONDS),
                    metadata=metadata,
                    wait_for_ready=True,
                )
            except grpc.RpcError as error:
                code, details = error.code(), error.details()
            if code == chief.NOT_YET:  # it is alive
                self._tell(details)
                until = time.monotonic() + self._patience_seconds
                time.sleep(_IDLE_SECONDS)
                continue
            if code == grpc.StatusCode.FAILED_PRECONDITION:
                raise TimeoutError(details)
            if code == grpc.StatusCode.ABORTED:
                raise EndedByChiefError(
                    f"The chief ended the search: {details}"
                )
            if code not in _TRANSIENT:
                raise keras_tuner.errors.FatalRuntimeError(
                    "The chief must answer. Received: "
                    f"{code.name.lower()}, {details}."
                )
            if time.monotonic() > until:
                raise keras_tuner.errors.FatalRuntimeError(
                    "The chief must answer. Received: nothing for "
                    f"{self._patience_seconds:g} s ({details}). Start it "
                    "again, and this worker."
                )
            time.sleep(_PAUSE_SECONDS)

    def _tell(self, doing: str) -> None:
        """Says once what this process waits for, beside other workers."""
        if doing and doing != self._told:
            logging.warning("Waiting for the chief, which %s.", doing)
        self._told = doing
