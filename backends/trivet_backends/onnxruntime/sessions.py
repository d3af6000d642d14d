"""Opening a graph: one session of a fixed width, or one for every lane over the same weights."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.backend.contract import LoadContext
from trivet.errors import Fault, InvalidConfig
from trivet_backends.checks import not_installed
from trivet_backends.onnxruntime.faults import plain_text
from trivet_backends.onnxruntime.lanes import Lane, Lanes, widths
from trivet_backends.onnxruntime.mapped import mapping, room_for_a_graph, writing
from trivet_backends.onnxruntime.options import Options

if TYPE_CHECKING:
    import onnxruntime

    Opened = tuple[onnxruntime.InferenceSession, Lanes]

log = logging.getLogger(__name__)


def open_sessions(path: Path, options: Options, context: LoadContext, instances: int) -> Opened:
    """A session that tells of the graph, and those to run it on.

    Raises InvalidConfig: engine not installed, no graph that it can run.
    """
    lanes = widths(context.cores.count, instances)
    if options.intra_op_threads or len(lanes) == 1:
        return _fixed(path, options, context)
    try:
        return _following_load(path, options, context, lanes)
    except Exception as error:  # the engine's share no base but this, and the disk may be full
        opened = _fixed(path, options, context)  # or the reason why there is nothing to serve
        cause = plain_text(error, context.path)
        cure = "see that the folder for temporary files (TMPDIR) has room for the weights"
        told = {"model": context.where, "cause": cause, "cure": cure}
        log.warning("parallelism_does_not_follow_load", extra=told)
        return opened


def _fixed(path: Path, options: Options, context: LoadContext) -> Opened:
    """One session for all instances: `run` is thread-safe and releases the GIL."""
    threads = options.intra_op_threads or context.threads
    session = _session(path, options.for_session(threads), context)
    return session, Lanes([Lane(threads, session)], context.cores)


def _following_load(path: Path, options: Options, context: LoadContext, lanes: list[int]) -> Opened:
    with room_for_a_graph() as graph:
        first = _session(path, writing(options.for_session(lanes[0]), graph), context)
        opened = [
            Lane(width, _session(graph, mapping(options.for_session(width)), context))
            for width in lanes
        ]
    return first, Lanes(opened, context.cores)


def _session(
    path: Path, options: onnxruntime.SessionOptions, context: LoadContext
) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise not_installed(context, "onnxruntime", "onnxruntime") from error
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the engine's exceptions share no base but this
        where = f"{context.where}/{path.name}"
        what = f"ONNX Runtime {ort.__version__} cannot open it: {plain_text(error, context.path)}"
        cure = "check that it is a whole ONNX file that this version of the engine knows"
        raise InvalidConfig([Fault(where, what, cure)]) from error
