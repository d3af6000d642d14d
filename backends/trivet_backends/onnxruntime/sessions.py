"""Opening a graph: one session of a fixed width, or one for every lane over the same weights.

On a GPU, and where an accelerator takes part, there is one session.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.backend.contract import Gpus, LoadContext
from trivet.backend.cores import Cores
from trivet.backend.exhaustion import is_exhaustion
from trivet.backend.gpus import visible_gpus
from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet_backends.checks import not_installed
from trivet_backends.onnxruntime.faults import plain_text
from trivet_backends.onnxruntime.lanes import Lane, Lanes, widths
from trivet_backends.onnxruntime.mapped import mapping, room_for_a_graph, writing
from trivet_backends.onnxruntime.options import Options
from trivet_backends.onnxruntime.providers import (
    Provider,
    forgotten_gpu,
    left_out,
    providers,
    usable_gpus,
)

if TYPE_CHECKING:
    import onnxruntime

    Opened = tuple[onnxruntime.InferenceSession, Lanes]

log = logging.getLogger(__name__)

_CPU = "CPUExecutionProvider"


def gpus_here() -> Gpus:
    """Those that the engine as it is installed can use."""
    try:
        import onnxruntime as ort
    except ImportError:
        cure = "pip install 'trivet[gpu]', or write KIND_CPU"
        return Gpus(lacking="backend 'onnxruntime' is not installed", cure=cure)
    return usable_gpus(ort.get_available_providers(), visible_gpus())


def chosen_providers(config: ModelConfig, options: Options, context: LoadContext) -> list[Provider]:
    """Those that run the model before the CPU's own. Raises InvalidConfig."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise not_installed(context, "onnxruntime", "onnxruntime") from error
    faults: list[Fault] = [] if context.gpu is not None else forgotten_gpu(config, gpus_here())
    found = providers(config, context.gpu, ort.get_available_providers(), options.cuda, faults)
    if faults:
        raise InvalidConfig(faults)
    return found


def open_sessions(
    path: Path, options: Options, context: LoadContext, instances: int, asked: Sequence[Provider]
) -> Opened:
    """A session that tells of the graph, and those to run it on. asked: `chosen_providers`.

    Raises InvalidConfig: no graph that the engine can run, a provider that does not start.
    """
    if asked:
        return _accelerated(path, options, context, asked)
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


def _accelerated(
    path: Path, options: Options, context: LoadContext, asked: Sequence[Provider]
) -> Opened:
    """One session for all instances of the device; batches on a GPU take no share of the cores."""
    threads = options.intra_op_threads or context.threads
    session = _session(path, options.for_session(threads), context, asked)
    if faults := left_out(asked, session.get_providers(), f"{context.where}/{path.name}"):
        raise InvalidConfig(faults)
    cores = context.cores if context.gpu is None else Cores(1)
    return session, Lanes([Lane(threads, session)], cores)


def _following_load(path: Path, options: Options, context: LoadContext, lanes: list[int]) -> Opened:
    with room_for_a_graph() as graph:
        first = _session(path, writing(options.for_session(lanes[0]), graph), context)
        opened = [
            Lane(width, _session(graph, mapping(options.for_session(width)), context))
            for width in lanes
        ]
    return first, Lanes(opened, context.cores)


def _session(
    path: Path,
    options: onnxruntime.SessionOptions,
    context: LoadContext,
    asked: Sequence[Provider] = (),
) -> onnxruntime.InferenceSession:
    import onnxruntime as ort

    named = [(provider.name, dict(provider.options)) for provider in asked]
    try:
        # Without the fallback of its own, with which it tries again on the CPU.
        return ort.InferenceSession(path, options, [*named, _CPU], enable_fallback=False)
    except Exception as error:  # the engine's exceptions share no base but this
        where = f"{context.where}/{path.name}"
        what = f"ONNX Runtime {ort.__version__} cannot open it: {plain_text(error, context.path)}"
        cure = (
            "make room, serve fewer models, or fewer instances of this one"
            if is_exhaustion(error)
            else "check that it is a whole ONNX file that this version of the engine knows"
        )
        raise InvalidConfig([Fault(where, what, cure)]) from error
