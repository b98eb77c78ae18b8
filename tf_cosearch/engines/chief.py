"""The process that owns the oracle and serves it to the workers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NoReturn

import grpc
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief
from keras_tuner.src.distribute import utils as dist_utils

from tf_cosearch.engines import launch
from tf_cosearch.search.oracle.durable import DurableOracle

LEASE_SECONDS = 120.0
"""How long a worker may be silent before its trial goes to another.

A network that is cut for a minute costs nothing: a worker is heard of every 20
s, and a call made during the cut may wait for 30 s until it is repeated.
"""

ABANDONED_SECONDS = 3600.0
"""How long a chief waits for any worker at all."""

NOT_YET = grpc.StatusCode.OUT_OF_RANGE
"""What a caller is told who has to wait for the chief, which is alive."""

_OWN_WORK = -1  # the stage before all others, at which nobody trains
_THREADS = 64
_ASKING = 32  # calls that wait for a proposal; heartbeats need a thread, too


def address() -> str:
    """Where KerasTuner's variables say that the chief listens."""
    variables = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
    return ":".join(os.environ[name] for name in variables)


def serve(
    oracle: DurableOracle,
    on_trial_end: Callable[[Trial], None] = lambda trial: None,
    abandoned_seconds: float = ABANDONED_SECONDS,
    stage: int = 0,
) -> None:
    """Serves an oracle until its search is done, whoever dies meanwhile.

    Listens where KerasTuner's `KERASTUNER_ORACLE_IP` and
    `KERASTUNER_ORACLE_PORT` say. Who can reach that port can read and steer
    the search, so it should be loopback or a network of one's own.

    Args:
        oracle: With `lease_seconds`.
        on_trial_end: Called once for every trial that ends.
        abandoned_seconds: How long to wait for any worker at all.
        stage: Of a search that has several, which this one is.

    Raises:
        RuntimeError: If trials keep failing for the same reason, if no
            worker is heard of, or if the port is taken.
    """
    service = Service(oracle, on_trial_end, stage)
    with _listening(service):
        while service.failure is None and not oracle.is_done():
            if time.monotonic() - service.heard > abandoned_seconds:
                raise RuntimeError(
                    "A chief must have workers. Received: none was heard of "
                    f"for {abandoned_seconds:g} s. Start them, and this "
                    "command again: finished trials are kept."
                )
            oracle.note_time()
            time.sleep(0.2)
        service.dismiss()
    if service.failure is not None:
        raise service.failure


@contextlib.contextmanager
def busy(oracle: DurableOracle, doing: str) -> Iterator[None]:
    """Has workers wait, however long the chief works alone before a search.

    They are told why, and if that fails, that it has. Those of `launch` are
    not there yet: they follow once there is work for them. Without workers it
    is nothing.

    Args:
        oracle: What is searched.
        doing: What the chief does, `measures untrained networks` for one.
    """
    if not dist_utils.is_chief_oracle() or launch.is_launched():
        yield
        return
    service = Service(oracle, lambda trial: None, _OWN_WORK, doing)
    with _listening(service):
        try:
            yield
        except Exception as error:
            service.failure = error
            service.dismiss()
            raise


@contextlib.contextmanager
def _listening(service: Service) -> Iterator[None]:
    """Answers workers by a service meanwhile."""
    endpoint = address()
    # Without it two chiefs could share a port.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=options)
    protos.get_service_grpc().add_OracleServicer_to_server(service, server)
    try:
        server.add_insecure_port(endpoint)
    except RuntimeError:
        raise RuntimeError(
            "A chief must have a port to itself. Received: "
            f"{endpoint}, which is taken or not of this machine. Set "
            "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT."
        ) from None
    server.start()
    try:
        yield
    finally:
        # A second Ctrl-C, as of a terminal and of the launcher, interrupts
        # the main thread; a stop cut in half lets gRPC's own thread die.
        stopping = threading.Thread(target=lambda: server.stop(grace=1).wait())
        stopping.start()
        stopping.join()


class Service(oracle_chief.OracleServicer):
    """KerasTuner's service, of calls that may come twice or too late.

    A caller says who it is in the metadata `tuner-id`, which KerasTuner's
    protocol has no field for; one that does not is KerasTuner's own client.

    A search of several stages serves them one after the other. A caller says
    in `stage` which it is at: if that is over, there is nothing left for it to
    do; if it is still to come, it has to call again, and is told what the chief
    is `doing`.
    """

    def __init__(
        self,
        oracle: DurableOracle,
        on_trial_end: Callable[[Trial], None],
        stage: int = 0,
        doing: str = "",
    ) -> None:
        super().__init__(oracle)
        self._stage, self._doing = stage, doing
        self.failure: Exception | None = None
        self.heard = time.monotonic()
        self._on_trial_end = on_trial_end
        self._workers: dict[str, float] = {}
        self._asking = threading.BoundedSemaphore(_ASKING)
        self._proposing = threading.Lock()
        self._reports = 0
        self._no_report = threading.Condition()

    def dismiss(self) -> None:
        """Waits until the workers know that the search has ended.

        Those that are alive ask within the time of a lease.
        """
        seconds = self.oracle.lease_seconds or LEASE_SECONDS
        until = time.monotonic() + seconds
        while self._workers and time.monotonic() < until:
            time.sleep(0.05)
            recent = time.monotonic() - seconds / 2
            for name, heard in list(self._workers.items()):
                if heard < recent:
                    self._workers.pop(name, None)

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Gives a worker its next trial."""
        name = request.tuner_id
        if self._is_over(context):
            trial = Trial(self.oracle.get_space(), status=TrialStatus.STOPPED)
            return _created(trial)
        self._hear(name, context)
        if self._asking.acquire(blocking=False):
            try:
                trial = self._propose(name, context)
            finally:
                self._asking.release()
        else:  # It asks again.
            trial = Trial(self.oracle.get_space(), status=TrialStatus.IDLE)
        if trial.status == TrialStatus.STOPPED:
            self._workers.pop(name, None)
        elif trial.status == TrialStatus.RUNNING:
            seed = self.oracle.training_seed(trial.trial_id)
            context.set_trailing_metadata(
                (
                    ("training-seed", str(seed)),
                    ("lease-seconds", str(self.oracle.lease_seconds)),
                )
            )
        return _created(trial)

    def _propose(self, name: str, context: Any) -> Trial:
        """Lets reports go first: they take milliseconds, and teach."""
        with self._proposing:
            with self._no_report:
                self._no_report.wait_for(lambda: not self._reports)
            if not context.is_active():  # The worker has died, or asks anew.
                return Trial(self.oracle.get_space(), status=TrialStatus.IDLE)
            try:
                return self.oracle.create_trial(name)
            except Exception as error:
                self._fail(error, context)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        with self._no_report:
            self._reports += 1
        try:
            yield
        finally:
            with self._no_report:
                self._reports -= 1
                self._no_report.notify_all()

    def GetSpace(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Shows the hyperparameters, once their stage has begun."""
        self._is_over(context)
        return super().GetSpace(request, context)

    def GetTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Shows a trial; of its worker, this is the heartbeat."""
        metadata = dict(context.invocation_metadata())
        name = metadata.get("tuner-id")
        if self._is_over(context):
            _refuse(request.trial_id, context)
        if name is not None:
            self._hear(name, context)
            if not self.oracle.renew(request.trial_id, name):
                _refuse(request.trial_id, context)
        return super().GetTrial(request, context)

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes the result of a trial, once."""
        metadata = dict(context.invocation_metadata())
        name = metadata.get("tuner-id")
        if name is None:
            return super().EndTrial(request, context)
        trial = Trial.from_proto(request.trial)
        if self._is_over(context):
            _refuse(trial.trial_id, context)
        self._hear(name, context)
        trial.message = metadata.get("message-bin", b"").decode() or None
        before = len(self.oracle.end_order)
        counts = True
        try:
            with self._reporting():
                counts = self.oracle.report(trial, name)
        except Exception as error:
            # Raised once the trial is saved; the others learn of it.
            self.failure = self.failure or error
        if not counts:
            _refuse(trial.trial_id, context)
        if len(self.oracle.end_order) > before:
            self._on_trial_end(self.oracle.get_trial(trial.trial_id))
        return protos.get_service().EndTrialResponse()

    def _is_over(self, context: Any) -> bool:
        """Whether the stage that a caller is at has ended."""
        metadata = dict(context.invocation_metadata())
        stage = int(metadata.get("stage", self._stage))
        if stage > self._stage:
            self.heard = time.monotonic()
            if self._stage == _OWN_WORK:
                self._hear(metadata["tuner-id"], context)
            context.abort(NOT_YET, self._doing)
        return stage < self._stage

    def _hear(self, name: str, context: Any) -> None:
        self.heard = self._workers[name] = time.monotonic()
        if self.failure is not None:
            self._workers.pop(name, None)
            context.abort(grpc.StatusCode.ABORTED, str(self.failure))

    def _fail(self, error: Exception, context: Any) -> NoReturn:
        self.failure = self.failure or error
        context.abort(grpc.StatusCode.ABORTED, str(error))
        raise error  # `abort` has raised already


def _created(trial: Trial) -> Any:
    return protos.get_service().CreateTrialResponse(trial=trial.to_proto())


def _refuse(trial_id: str, context: Any) -> None:
    context.abort(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"A worker must be heard of to keep its trial. Received: trial "
        f"{trial_id} has been given to another one.",
    )
