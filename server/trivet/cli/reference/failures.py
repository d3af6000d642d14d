"""What callers are told when something fails, by status of gRPC, and how processes end."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.cli.frame import FAILED, INTERRUPTED, PIPE_CLOSED, WRONG_USE
from trivet.errors import Code


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason for a status.

    errors: the names of the classes that are raised for it; none: the transport says it itself.
    """

    code: Code
    when: str
    cure: str
    errors: tuple[str, ...] = ()


FAILURES = (
    Failure(
        Code.CANCELLED,
        "the caller left",
        "none; if it was slow, see where its time goes ([spans](#spans))",
        ("CallerLeft",),
    ),
    Failure(
        Code.CANCELLED,
        "an earlier request of the sequence was cancelled, which ended the sequence",
        "start the sequence again with sequence_start",
        ("SequenceCancelled",),
    ),
    Failure(
        Code.INVALID_ARGUMENT,
        "the request is wrong; the text names the tensor, text or parameter",
        "correct the request; sending it again cannot help",
        ("InvalidInput",),
    ),
    Failure(
        Code.INVALID_ARGUMENT,
        "a file or setting is wrong: a model that is to be loaded, a flag; every fault is told",
        "do what each line says",
        ("InvalidConfig", "NotStarted"),
    ),
    Failure(
        Code.DEADLINE_EXCEEDED,
        "the caller's deadline passed; the client itself says so, too",
        "allow more time, or see `trivet_queue_seconds`: is the server full?",
        ("DeadlineExceeded",),
    ),
    Failure(
        Code.NOT_FOUND,
        "no such model, version or shared memory; or no version of it could be loaded",
        "RepositoryIndex or the status page shows what there is, and why a version is not served",
        ("NotFound",),
    ),
    Failure(
        Code.ALREADY_EXISTS,
        "a shared memory region of that name is registered",
        "unregister it first",
        ("AlreadyExists",),
    ),
    Failure(
        Code.PERMISSION_DENIED,
        "the token has not the role that the method needs",
        "ask the operator for a token with it: infer, observe, control",
        ("PermissionDenied",),
    ),
    Failure(
        Code.RESOURCE_EXHAUSTED,
        "the message is larger than --grpc-max-message-bytes, or its headers than 16 KiB",
        "send less at a time, or raise the limit",
    ),
    Failure(
        Code.RESOURCE_EXHAUSTED,
        "as many regions, pages or bytes of an answer as there may be",
        "give some back; the text says which limit",
        ("ResourceExhausted",),
    ),
    Failure(
        Code.RESOURCE_EXHAUSTED,
        "the engine had not enough memory for the request",
        "send fewer rows; as operator lower max_batch_tokens or the instances",
        ("OutOfMemory",),
    ),
    Failure(
        Code.UNIMPLEMENTED,
        "no such method, or something that this server does not offer",
        "the text says what to use instead; reflection lists the methods",
        ("Unimplemented",),
    ),
    Failure(
        Code.INTERNAL,
        "model code or its engine raised, or two instances died of the request",
        "see the log: model_failed, instance_died; a python model may choose another status",
        ("EngineFailed", "InstanceDied", "TookTooLong", "ModelFailed"),
    ),
    Failure(
        Code.INTERNAL,
        "a load asked for by a client found no model, or a config that does not parse",
        "do what the text says (Triton's clients expect this status)",
        ("NotPolled",),
    ),
    Failure(
        Code.INTERNAL,
        "a fault of the server itself; the text has no details",
        "see the log: internal_error",
        ("ServeError",),
    ),
    Failure(
        Code.UNAVAILABLE,
        "the version is being loaded or unloaded, an instance died with the sequence it kept, or"
        " none is left",
        "retry later; the status page shows why",
        ("Unavailable",),
    ),
    Failure(
        Code.UNAVAILABLE,
        "more is under way than the server or the model takes",
        "come back after the RetryInfo that is with it;"
        " [what to set](OPERATING.md#when-it-is-too-much)",
        ("Overloaded", "QueueFull"),
    ),
    Failure(
        Code.UNAVAILABLE,
        "it waited in the queue for as long as its policy, or its own timeout, allows",
        "the same",
        ("QueueTimeout",),
    ),
    Failure(
        Code.UNAVAILABLE,
        "the server takes leave",
        "ask another; behind a balancer it does so itself",
        ("Draining",),
    ),
    Failure(
        Code.UNAVAILABLE,
        "nobody listens, or the connection broke: the client says so, not the server",
        "see that the server runs, its address, and TLS on both sides or on none",
    ),
    Failure(
        Code.UNAUTHENTICATED,
        "no token, or one that is not known (any more)",
        "send `authorization: Bearer TOKEN` with one from the token file",
        ("Unauthenticated",),
    ),
)

EXITS = (
    (0, "done; of `trivet serve`: stopped by a signal"),
    (FAILED, "failed; of `trivet serve`: a second signal ended it at once"),
    (
        WRONG_USE,
        "wrong use, or a faulty file or setting: each fault is a line `trivet: error: WHERE: WHAT;"
        " CURE`. Also if a model cannot be loaded, unless --exit-on-error=false",
    ),
    (INTERRUPTED, "interrupted (Ctrl-C); a server that has begun ends with 0"),
    (PIPE_CLOSED, "who read its output is gone"),
)
