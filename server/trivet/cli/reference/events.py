"""Every event that the server and its backends log: what it means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    ANY = "any"  # of a model's own lines


@dataclass(frozen=True, slots=True)
class Event:
    """cure: what the operator does; empty where nothing is wrong."""

    name: str
    level: Level
    meaning: str
    cure: str = ""


_AT_THE_START = (
    Event(
        "flag_without_effect",
        Level.WARNING,
        "a flag of Triton's that means nothing here, or one that another makes void",
        "leave it out; `instead` says what does its work here",
    ),
    Event(
        "variable_without_effect",
        Level.WARNING,
        "a variable TRIVET_... that is no flag's",
        "correct its name, or unset it",
    ),
    Event(
        "open_to_the_network",
        Level.WARNING,
        "other machines reach the port, without TLS or without being asked who they are",
        "`danger` says which: --grpc-use-ssl, --token-file, or an address of your own network",
    ),
    Event(
        "tokens_readable_by_all",
        Level.WARNING,
        "every user of the machine can read the tokens",
        "chmod o-r, or list hashes instead of tokens",
    ),
    Event(
        "no_gpu_figures",
        Level.INFO,
        "the driver did not answer, so there are no nv_gpu_... metrics",
        "none is needed without a GPU; else see `why`",
    ),
)

_MODELS = (
    Event("model_ready", Level.INFO, "a version is served from now on"),
    Event("model_unloaded", Level.INFO, "a version was closed, and its memory given back"),
    Event(
        "model_not_loaded",
        Level.ERROR,
        "a version, or with version 0 a model, cannot be served; what served before serves on",
        "do what `fault` says: it names file, fault and cure; `trivet check` shows all at once",
    ),
    Event(
        "model_left_out",
        Level.ERROR,
        "something in the repository cannot be a model, or two models have one name",
        "do what `fault` says",
    ),
    Event(
        "version_ignored",
        Level.WARNING,
        "a folder of a model was passed over, since its name is no version's",
        "name it with a number without leading zeros, or move it away",
    ),
    Event(
        "repository_away",
        Level.ERROR,
        "a repository cannot be read, or is an empty mount point; its models serve on",
        "bring it back; nothing is unloaded meanwhile",
    ),
    Event(
        "repository_look_failed",
        Level.ERROR,
        "a look at the repository failed in a way that nobody foresaw; the next one may succeed",
        "see the traceback, and report it if it comes again",
    ),
    Event(
        "warm_up_failed",
        Level.ERROR,
        "a warm-up sample raised, so its version is not served",
        "see the traceback; correct the model or the sample that is named",
    ),
    Event(
        "response_cache_off",
        Level.WARNING,
        "a model wants its answers kept, and this server has no cache",
        "start with --cache-config=local,size=BYTES",
    ),
    Event(
        "parallelism_does_not_follow_load",
        Level.WARNING,
        "the graph could not be written anew, so a lone request does not get all cores",
        "make room where temporary files go (TMPDIR), and load the model again",
    ),
    Event(
        "model_not_closed",
        Level.ERROR,
        "an engine raised while its model was closed; the model is gone, its memory may not be",
        "watch the memory; start again if it does not come back",
    ),
    Event(
        "artifact_left",
        Level.WARNING,
        "a model was unloaded while threads of it hang; what they use stays in memory",
        "start again when convenient",
    ),
)

_ENGINES = (
    Event(
        "model_failed",
        Level.ERROR,
        "model code or its engine raised; the batch was tried again one by one, and the request"
        " that is to blame was told INTERNAL",
        "see the traceback; if its inputs are right, the model is not",
    ),
    Event(
        "instance_died",
        Level.ERROR,
        "an instance's process ended, its device was lost, or it hung; another is made",
        "see `reason`; a process ended by SIGKILL most likely lacked memory",
    ),
    Event("instance_replaced", Level.WARNING, "another is in its place, warm, and takes requests"),
    Event(
        "instance_not_replaced",
        Level.ERROR,
        "making another failed; it is tried again, after 30 s at most",
        "see `reason`: want of memory, a device that is gone, a model that no longer starts",
    ),
    Event(
        "instance_not_closed",
        Level.ERROR,
        "an instance raised or hung while it was closed; the others are closed all the same",
        "see the traceback",
    ),
    Event(
        "model_output",
        Level.ANY,
        "what a python model printed, or logged itself; the level is the model's",
    ),
    Event(
        "model_process",
        Level.WARNING,
        "a python model's process did not close in time and was killed",
        "let its `finalize` be quick, or raise the parameter close_timeout_s",
    ),
    Event(
        "event_loop_blocked",
        Level.ERROR,
        "for `blocked_s` seconds nobody was answered, not even health: one piece of work kept the"
        " event loop, and `where` says which, innermost first",
        "mend what hangs, most likely a tokenizer or its text; if `event_loop_free` does not"
        " follow, the server has to be started again, as a liveness probe does",
    ),
    Event("event_loop_free", Level.INFO, "the event loop goes on, and callers are answered"),
    Event(
        "internal_error",
        Level.ERROR,
        "a fault of the server itself; the caller was told INTERNAL without details",
        "report it with the traceback",
    ),
)

_FRONTEND_PROCESSES = (
    Event(
        "frontend_process_ended",
        Level.ERROR,
        "a process that takes connections died, or did not answer for 15 s and was killed, and"
        " its callers' connections with it; another follows after `pause_s`",
        "see `why`, and what it printed before",
    ),
    Event(
        "frontend_process_not_replaced",
        Level.ERROR,
        "another could not be started; that is tried again, after longer and longer pauses",
        "do what `why` says: memory, open files, or the address that it listens on",
    ),
    Event("frontend_process_replaced", Level.INFO, "another takes connections in its place"),
    Event("frontend_process_output", Level.INFO, "what a process that takes connections printed"),
    Event(
        "frontend_tokenizer_not_loaded",
        Level.WARNING,
        "a process that takes connections could not open a tokenizer; its callers' texts are"
        " tokenized by the server's own, as without such processes",
        "see `why`; files that have changed are read when the version is loaded again",
    ),
    Event(
        "frontend_tokenizer_failed",
        Level.WARNING,
        "a process that takes connections could not tokenize the texts of a call, which was left"
        " to the server's own tokenizer",
        "report it if the call failed, too",
    ),
    Event(
        "frontend_process_does_not_end",
        Level.ERROR,
        "told to stop, it did not end within its grace, and was killed",
        "report it if it comes again",
    ),
    Event(
        "frontend_ring_damaged",
        Level.ERROR,
        "a process that takes connections read from the server what cannot be, and ended itself",
        "report it with the log before it",
    ),
)

_SECRETS = (
    Event("certificate_renewed", Level.INFO, "new connections get the new certificate"),
    Event(
        "certificate_not_renewed",
        Level.ERROR,
        "the files of the certificate changed and cannot be used; the old one serves on",
        "do what `why` says, before the old one ends",
    ),
    Event("tokens_renewed", Level.INFO, "the token file changed; its tokens hold from now on"),
    Event(
        "tokens_not_renewed",
        Level.ERROR,
        "the token file changed and cannot be used; the old tokens hold",
        "do what `why` says",
    ),
)

_TELEMETRY = (
    Event(
        "otlp_not_taken",
        Level.WARNING,
        "the collector is away or refuses; what does not get through is dropped and counted",
        "see `why` and --otlp-endpoint; requests do not wait for it",
    ),
    Event(
        "otlp_queue_full",
        Level.WARNING,
        "more spans come than leave; whole traces are dropped and counted",
        "trace less (--trace-config rate), or give the collector more room",
    ),
    Event("otlp_sent_again", Level.INFO, "the collector takes them again; `dropped` were lost"),
    Event(
        "otlp_not_sent",
        Level.WARNING,
        "the server ended before the collector had taken everything",
        "none for the past; see that the collector outlives the servers",
    ),
    Event(
        "metrics_not_pushed",
        Level.ERROR,
        "a look at the metrics failed in a way that nobody foresaw; the next may succeed",
        "see the traceback, and report it if it comes again",
    ),
    Event(
        "trace_not_written",
        Level.WARNING,
        "the trace file cannot be written; traces are lost, and requests answered",
        "make room on its disk",
    ),
    Event(
        "page_failed",
        Level.ERROR,
        "a page on the port of metrics raised; its reader was told 500",
        "report it with the traceback",
    ),
    Event(
        "page_not_told",
        Level.ERROR,
        "a look for those who watch the page failed; the next may succeed",
        "report it with the traceback",
    ),
)

_AT_THE_END = (
    Event(
        "calls_still_running",
        Level.ERROR,
        "calls did not end even when they were cancelled (h2corn, front-end processes)",
        "none is needed for the next start; if it comes often, report it",
    ),
    Event(
        "h2corn_failed",
        Level.ERROR,
        "the transport h2corn ended by itself while it served with TLS, and takes no calls",
        "see `why`; start again, and report it",
    ),
    Event(
        "pages_still_read",
        Level.ERROR,
        "an answer on the port of metrics did not end even when it was cancelled",
        "none is needed for the next start",
    ),
    Event(
        "models_still_busy",
        Level.WARNING,
        "engines did not finish in time; the end of the process ends them",
        "give --exit-timeout-secs the time of the longest request",
    ),
)

GROUPS: tuple[tuple[str, tuple[Event, ...]], ...] = (
    ("At the start", _AT_THE_START),
    ("Models", _MODELS),
    ("Requests and engines", _ENGINES),
    ("Processes that take connections", _FRONTEND_PROCESSES),
    ("Certificates and tokens", _SECRETS),
    ("Traces, metrics, page", _TELEMETRY),
    ("At the end", _AT_THE_END),
)

EVENTS = tuple(event for _, events in GROUPS for event in events)
