"""The states of versions and of the server, the labels of metrics, and the attributes of spans."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.repository.entry import State
from trivet.scheduling.instances import Death
from trivet.telemetry.calls import CALL, MESSAGE
from trivet.telemetry.failures import Reason


@dataclass(frozen=True, slots=True)
class VersionState:
    """cure: what to do if it lasts, or a reason stands beside it."""

    state: State
    meaning: str
    cure: str


VERSION_STATES = (
    VersionState(
        State.LOADING,
        "it is opened and warmed up; requests to it are told UNAVAILABLE",
        "wait; a load that hangs is given up after --load-timeout-secs",
    ),
    VersionState(
        State.READY,
        "it answers. A reason beside it tells what is wrong nevertheless: a new load that failed"
        " while this one serves on, instances that are being replaced, threads that hang, a"
        " repository that is away",
        "do what the reason says; nothing is lost meanwhile",
    ),
    VersionState(
        State.UNLOADING,
        "it takes nothing new; its last requests and open sequences are finished",
        "wait; whoever holds a sequence open should end it",
    ),
    VersionState(
        State.UNAVAILABLE,
        "it is not served, or has no instance left; the reason says why",
        "`unloaded` and `not loaded` are what somebody asked for; else correct the file that is"
        " named. The server looks again when it changes (poll) or is told to load it (explicit)",
    ),
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server as a whole, from outside."""

    name: str
    health: str  # grpc.health.v1, of ""
    ready: str  # /v2/health/ready and trivet_ready
    meaning: str


SERVER_STATES = (
    ServerState("starting", "NOT_SERVING", "503, 0", "models load; those that are ready answer"),
    ServerState("ready", "SERVING", "200, 1", "every model that counts has a version that answers"),
    ServerState(
        "a model missing",
        "NOT_SERVING",
        "503, 0",
        "with --exit-on-error=false or after the start: a model that is wanted is not served. The"
        " others answer, and health of each model is told by its name",
    ),
    ServerState(
        "taking leave",
        "NOT_SERVING",
        "503, 0",
        "told to stop: everything is served on for --shutdown-delay-secs",
    ),
    ServerState(
        "draining",
        "NOT_SERVING",
        "503, 0",
        "new calls are refused, accepted ones finished within --exit-timeout-secs",
    ),
)

# Of labels whose values come from a fixed table. The others name models, versions, instances,
# devices and resources there are.
LABELS = {
    "reason": tuple(reason.name for reason in Reason),
    "state": tuple(state.value for state in State),
    "how": tuple(death.value for death in Death),
    "stage": ("input", "infer", "output"),
}
WAYS = (CALL, MESSAGE)  # the kind of a request; that of trivet_otlp_... is traces or metrics

SPANS = (
    ("SERVICE/METHOD", "a call, or one message of a stream, from bytes to bytes"),
    ("infer MODEL", "each request of it to a model or pipeline"),
    ("tokenize", "a pipeline's step by the backend `tokenizers`"),
    ("step MODEL", "any other step of a pipeline"),
    ("queue", "waiting for an instance: much of it means too few instances, or overload"),
    ("batch", "in a batch, which its link shows"),
    ("compute", "the engine's own time"),
    ("batch MODEL", "a trace of its own: the batch, to which all that it answered link"),
)

ATTRIBUTES = (
    ("rpc.system", "grpc"),
    ("rpc.service", "e.g. trivet.v1.TextService"),
    ("rpc.method", "e.g. Embed"),
    ("rpc.grpc.status_code", "the number of the status"),
    ("trivet.kept_for", "why it is traced: parent, rate, error or slow"),
    ("trivet.requests_not_shown", "requests of the call beyond those that have spans"),
    ("trivet.model.name", "the model asked, or the step's"),
    ("trivet.model.version", "the version that answered"),
    ("trivet.request.id", "as the caller gave it"),
    (
        "trivet.failed_in",
        "where one ended that failed: queue (a timeout, or its caller left), or batch",
    ),
    ("trivet.batch.requests", "requests in the batch"),
    ("trivet.batch.rows", "rows of them all"),
    ("trivet.batch.tokens", "tokens of texts, where batches go by length"),
    ("trivet.batch.padding_tokens", "tokens computed beside them for nothing"),
)
