"""What a backend is: something that opens artifacts of one format and runs them.

A backend is found by its name through the entry-point group `trivet.backends`; a third party's is
no different from ours. The server calls, in this order: `Backend.open` once per version (in some
thread, it may take seconds), `Artifact.instance` once per instance, `Instance.execute` from that
instance's own thread, and in the end `Instance.close` and `Artifact.close`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from trivet.backend.cores import Cores
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import ServeError
from trivet.request import NO_PARAMETERS, InferRequest, InferResponse, Parameters, Tensors

# Asks a model of this server, as a client would; from any thread but the event loop's. The future
# has the answer, or the ServeError.
Infer = Callable[[InferRequest], "Future[InferResponse]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadContext:
    """Where an artifact lies and what it may use."""

    version: int
    path: Path  # the version's folder
    where: str  # how messages name it, e.g. "minilm/1"; never an absolute path
    threads: int  # cores each instance may use; at least 1
    cores: Cores = field(default_factory=lambda: Cores(1))  # for engines that follow the load
    gpu: int | None = None  # the device to compute on; None: the CPU
    infer: Infer | None = None  # None: there is no server around
    load_timeout_s: float = 0.0  # after which a process that loads it is ended; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What the artifact itself tells of its tensors; shapes are the engine's own, batch included.

    Empty where the artifact tells nothing: then config.pbtxt has to say everything.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    policies: Policies | None = None  # of an artifact that tells how it is to be scheduled


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """How an artifact wants to be scheduled; what the config says goes before it.

    max_batch_size: 0 for one that does not batch.
    """

    max_batch_size: int
    dynamic_batching: bool = False
    decoupled: bool = False


def _never() -> bool:
    return False


class Rows(NamedTuple):
    """One request's share of a batch: arrays of [rows, ...], and what else came with it.

    outputs: those asked for; empty means all. A request that is computed in parts, or that nobody
    sent, may lack all but its arrays.
    is_cancelled: whether its caller has left; from any thread.
    """

    inputs: Tensors
    parameters: Parameters = NO_PARAMETERS
    id: str = ""
    outputs: tuple[str, ...] = ()
    is_cancelled: Callable[[], bool] = _never


class Answer(NamedTuple):
    """One request's outputs, and what the model has to say beside them ("tokens": 12)."""

    outputs: Tensors
    parameters: Parameters = NO_PARAMETERS


@dataclass(slots=True)
class Batch:
    """What one `execute` answers. An engine with stages of its own stamps them on the way."""

    requests: Sequence[Rows]
    now_ns: Callable[[], int]
    merged_ns: int = 0  # when the engine's inputs were ready
    computed_ns: int = 0  # when the engine was done and only the answers were left to cut


class Instance(Protocol):
    """One copy of a model that can run, owned by one thread."""

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        """Answer every request of the batch, in order; called by one thread, never concurrently.

        A request at fault gets a ServeError in its place. Raising fails the whole batch, which is
        then tried once more, request by request. InstanceDied says that this instance can run
        nothing any more: another is made in its place and takes these requests, one by one.
        """

    def close(self) -> None:
        """Called once, after the last execute() has returned; calling it again does nothing.

        Of an instance that died, too, in its own thread, perhaps while another is being made.
        """


@runtime_checkable
class QuickInstance(Instance, Protocol):
    """An instance whose work may be cheaper than the way to its thread and back, 0.1 to 0.3 ms."""

    def is_quick(self, batch: Batch) -> bool:
        """Whether execute() would take less than that. Then the event loop calls it itself, in the
        thread's stead and never beside it, and everything else waits meanwhile.
        """


@runtime_checkable
class ProcessInstance(Instance, Protocol):
    """An instance whose work is done by another process, which may end or be ended at any time.

    Called by the event loop, and never after close() has been asked for.
    """

    @property
    def ended_fd(self) -> int:
        """A descriptor that can be read once the process has ended."""

    def how_it_ended(self) -> str:
        """Of one that has: "ended by itself, with status 1". Follows "its process"."""

    def end(self, why: str) -> None:
        """End it at once: an execution hangs, which then returns or raises, whatever it does.

        why: what is told of it in how_it_ended's place.
        """


class Sender(Protocol):
    """Where an instance of a decoupled model sends its answers to one request."""

    def send(self, answer: Answer, *, final: bool = False) -> None:
        """Pass an answer on at once; from any thread, before `stream` returns.

        Blocks while too many answers are unread. final: no other follows; leave it out where that
        is not known yet. Raises CallerLeft when nobody reads any more: let it through.
        """

    def is_cancelled(self) -> bool:
        """Whether the caller has left; ask between answers that take long to compute."""


@runtime_checkable
class DecoupledInstance(Instance, Protocol):
    """An instance that may give a request no answer, one or many.

    Where the model's config says `decoupled`, the server calls `stream` and never `execute`. A
    decoupled model whose instances lack `stream` gives one answer to each request.
    """

    def stream(self, request: Rows, answers: Sender) -> None:
        """Send the answers to one request while they are computed; return when it is done.

        Called by one thread, never concurrently. Raising ends the request with that error, after
        the answers sent before.
        """


class Artifact(Protocol):
    """One opened version: what its instances share, weights above all."""

    @property
    def signature(self) -> Signature:
        """What the artifact tells of its tensors."""

    def instance(self, config: ModelConfig) -> Instance:
        """Make one more instance.

        config: complete, with what `signature` told filled in; of several instance groups it has
        the one that this instance is of.
        """

    def close(self) -> None:
        """Called once, after the last instance was closed; calling it again does nothing."""


@runtime_checkable
class ElasticArtifact(Artifact, Protocol):
    """An artifact that knows how many instances suit it where the config does not say: one."""

    @property
    def instances(self) -> int:
        """At least 1."""


@runtime_checkable
class PortableArtifact(Artifact, Protocol):
    """An artifact that other processes of this machine may open, too, from the same files.

    Its instances keep nothing from one request to the next, start no threads and answer alike
    wherever they are: front-end processes compute by them before a request reaches its model.
    """

    @property
    def digest(self) -> bytes:
        """Of all that was read of the files. What was opened elsewhere is used if it has the same
        one, and the same config.
        """


class Backend(Protocol):
    """Opens artifacts of one format."""

    def open(self, config: ModelConfig, context: LoadContext) -> Artifact:
        """Open a version's artifact.

        config: as written; may lack what the artifact tells.
        Raises InvalidConfig naming file, fault and cure: artifact missing or broken, a parameter
        it does not understand, an engine that is not installed.
        """


@runtime_checkable
class UserCodeBackend(Backend, Protocol):
    """A backend that runs code out of the repository.

    The server refuses it unless its operator switches it on, and gives its instances no made-up
    requests to warm up with: code may do anything with them.
    """

    runs_user_code: Literal[True]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The GPUs that a backend can use here. lacking, cure: said where there are none."""

    numbers: tuple[int, ...] = ()
    lacking: str = ""
    cure: str = ""


@runtime_checkable
class GpuBackend(Backend, Protocol):
    """A backend that computes on GPUs, too: `open` is called once for each that a model is put on,
    with its number in the context, and makes the instances that run there.
    """

    @property
    def fields(self) -> Collection[str]:
        """Fields of config.pbtxt that it serves, of those that few backends do (`placement`)."""

    def gpus(self, config: ModelConfig) -> Gpus:
        """Those it can run this model on."""
