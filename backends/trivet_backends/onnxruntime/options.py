"""How a session runs: the parameters a config may set, and what they become in the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trivet.config import ModelConfig
from trivet_backends.parameters import Parameter, Reader, one_of, switch, whole

if TYPE_CHECKING:
    import onnxruntime

_ERRORS_ONLY = 3  # the engine's scale: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal

INTRA_OP_THREADS = whole(
    "intra_op_thread_count", 0, "Threads that share one operator; 0: as the load allows."
)
INTER_OP_THREADS = whole(
    "inter_op_thread_count", 0, "Operators run side by side if execution_mode is 1; 0: one."
)
EXECUTION_MODE = one_of(
    "execution_mode",
    {"0": "ORT_SEQUENTIAL", "1": "ORT_PARALLEL"},
    "ORT_SEQUENTIAL",
    "Operators one after another (0), or side by side where the graph branches (1).",
)
GRAPH_LEVEL = one_of(
    "graph_optimization_level",
    {
        "none": "ORT_DISABLE_ALL",
        "basic": "ORT_ENABLE_BASIC",
        "extended": "ORT_ENABLE_EXTENDED",
        "all": "ORT_ENABLE_ALL",
    },
    "",
    "How far the engine rewrites the graph when it opens it; without it, optimization.graph.level "
    "says so, as in Triton: -1 basic, 0 all, 1 extended, 2 none.",
)
# MiniLM FP32 (90 MB) on 2 cores: one run of 8 x 512 tokens leaves 401 MB resident without the
# memory pattern and 620 MB with it, since a pattern plans memory for shapes that come again and
# ours vary. Neither it nor the arena changes speed by 2 % (150 mixed shapes); the arena spares
# the peak of 619 MB seen without it.
MEMORY_ARENA = switch("enable_mem_arena", True, "Keep freed memory for the next run.")
MEMORY_PATTERN = switch("enable_mem_pattern", False, "Plan memory per input shape.")
PREPACKING = switch(
    "session.disable_prepacking",
    False,
    "Do not keep a second, faster layout of the weights: less memory, slower.",
)
# Threads that wait for the next operator spin a moment before they sleep. On 2 cores, MiniLM:
#                                     never   20 us   endless (the engine's default)
#   20 tokens alone, ms               2.6     2.1     2.1
#   mixed rows one by one, tokens/s   8,200   9,700   -
#   20 tokens, ms                     3.3     3.4     4.2    beside a Python thread that is half
#   8 x 32, tokens/s                  11,000  10,350  9,550  busy, as the server's loop is
# So: 20 us, and none once a run is over. Cores that spin are missing in the front end.
SPINNING = switch("session.intra_op.allow_spinning", True, "Let idle threads spin before sleeping.")
SPIN_US = whole("session.intra_op.spin_duration_us", 20, "Microseconds an idle thread spins.")
STOP_SPINNING = switch("session.force_spinning_stop", True, "Stop spinning when a run is over.")
ON_DEVICE = switch(
    "session.use_device_allocator_for_initializers",
    False,
    "Keep weights out of the arena, whose memory comes in large pieces.",
)


def _arenas(text: str) -> str:
    if not re.fullmatch(r"(cpu:0|gpu:[0-9]+)(;(cpu:0|gpu:[0-9]+))*", text):
        raise ValueError(text)
    return text


SHRINKAGE: Parameter[str] = Parameter(
    name="memory.enable_memory_arena_shrinkage",
    read=_arenas,
    expects='devices, e.g. "cpu:0;gpu:0"',
    default="",
    meaning="Arenas that give free memory back to the system after every run.",
)
SHARED = switch(
    "share_session_between_instances",
    True,
    "Makes no difference: the instances on a device share their sessions always.",
)

# Of the CUDA provider. Triton's older way to say them; its newer one is the accelerator "cuda".
CONV_ALGORITHM = one_of(
    "cudnn_conv_algo_search",
    {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"},
    "",
    "How cuDNN's algorithm is chosen: 0 tries all, 1 guesses, 2 takes the usual one.",
)
GPU_MEMORY = whole("gpu_mem_limit", 0, "Bytes of the GPU's arena; 0: no limit.")
ARENA_GROWTH = one_of(
    "arena_extend_strategy",
    {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"},
    "",
    "How the GPU's arena grows: 0 to powers of two, 1 by what is needed.",
)
COPY_IN_STREAM = one_of(
    "do_copy_in_default_stream",
    {"0": "0", "false": "0", "1": "1", "true": "1"},
    "",
    "Copy in the stream that computes (1), or in others (0).",
)
_OF_CUDA = (CONV_ALGORITHM, ARENA_GROWTH, COPY_IN_STREAM)

PARAMETERS: tuple[Parameter[Any], ...] = (
    INTRA_OP_THREADS,
    INTER_OP_THREADS,
    EXECUTION_MODE,
    GRAPH_LEVEL,
    MEMORY_ARENA,
    MEMORY_PATTERN,
    PREPACKING,
    SPINNING,
    SPIN_US,
    STOP_SPINNING,
    ON_DEVICE,
    SHRINKAGE,
    SHARED,
    *_OF_CUDA,
    GPU_MEMORY,
)
_SESSION_ENTRIES: tuple[Parameter[Any], ...] = (
    PREPACKING,
    SPINNING,
    SPIN_US,
    STOP_SPINNING,
    ON_DEVICE,
)
_SESSION = "session."
_LEVELS = {
    -1: "ORT_ENABLE_BASIC",
    0: "ORT_ENABLE_ALL",
    1: "ORT_ENABLE_EXTENDED",
    2: "ORT_DISABLE_ALL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A session's settings, read and valid."""

    intra_op_threads: int  # 0: as the load allows
    inter_op_threads: int
    execution_mode: str
    graph_level: str
    memory_arena: bool
    memory_pattern: bool
    session_entries: tuple[tuple[str, str], ...]
    shrinkage: str  # arenas that shrink after every run
    cuda: Mapping[str, str]  # of the CUDA provider

    @classmethod
    def read(cls, config: ModelConfig) -> Options:
        """Read a config's parameters. Raises InvalidConfig with every fault."""
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        options = cls(
            intra_op_threads=reader.value(INTRA_OP_THREADS),
            inter_op_threads=reader.value(INTER_OP_THREADS) or 1,
            execution_mode=reader.value(EXECUTION_MODE),
            graph_level=reader.value(GRAPH_LEVEL) or _LEVELS[config.graph_level],
            memory_arena=reader.value(MEMORY_ARENA),
            memory_pattern=reader.value(MEMORY_PATTERN),
            session_entries=_session_entries(config, reader),
            shrinkage=reader.value(SHRINKAGE),
            cuda=_cuda_options(reader),
        )
        reader.value(SHARED)  # must be no nonsense all the same
        reader.done()
        return options

    def for_session(self, threads: int) -> onnxruntime.SessionOptions:
        """The engine's own form of these options, for a session of so many threads."""
        import onnxruntime as ort

        session = ort.SessionOptions()
        session.log_severity_level = _ERRORS_ONLY
        session.intra_op_num_threads = threads
        session.inter_op_num_threads = self.inter_op_threads
        session.execution_mode = getattr(ort.ExecutionMode, self.execution_mode)
        session.graph_optimization_level = getattr(ort.GraphOptimizationLevel, self.graph_level)
        session.enable_cpu_mem_arena = self.memory_arena
        session.enable_mem_pattern = self.memory_pattern
        for name, value in self.session_entries:
            session.add_session_config_entry(name, value)
        return session

    def for_run(self, gpu: int | None) -> onnxruntime.RunOptions | None:
        """The engine's own form of what is said of every run on a GPU or the CPU, if anything is.

        Arenas that are not there are left out: the engine would fail every run for them.
        """
        there = {"cpu:0"} if self.memory_arena else set()
        there |= {f"gpu:{gpu}"}
        arenas = [arena for arena in self.shrinkage.split(";") if arena in there]
        if not arenas:
            return None
        import onnxruntime as ort

        run = ort.RunOptions()
        run.log_severity_level = _ERRORS_ONLY
        run.add_run_config_entry(SHRINKAGE.name, ";".join(arenas))
        return run


def _session_entries(config: ModelConfig, reader: Reader) -> tuple[tuple[str, str], ...]:
    """Ours, with values that were read; and the engine's others, as they are written."""
    own = {entry.name: str(int(reader.value(entry))) for entry in _SESSION_ENTRIES}
    others = {name: value for name, value in config.parameters.items() if name.startswith(_SESSION)}
    return tuple({**others, **own}.items())


def _cuda_options(reader: Reader) -> Mapping[str, str]:
    """Those that are written; without them, the provider's own defaults hold."""
    options = {parameter.name: reader.value(parameter) for parameter in _OF_CUDA}
    limit = reader.value(GPU_MEMORY)
    options[GPU_MEMORY.name] = str(limit) if limit else ""
    return {name: value for name, value in options.items() if value}
