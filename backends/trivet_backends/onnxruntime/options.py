"""How a session runs: the parameters a config may set, and what they become in the engine."""

from __future__ import annotations

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
    "inter_op_thread_count", 1, "Operators run side by side if execution_mode is 1.", at_least=1
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
    "ORT_ENABLE_ALL",
    "How far the engine rewrites the graph when it opens it.",
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
)
_SESSION_ENTRIES: tuple[Parameter[Any], ...] = (PREPACKING, SPINNING, SPIN_US, STOP_SPINNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A session's settings, read and valid."""

    intra_op_threads: int  # 0: as the load allows
    inter_op_threads: int
    execution_mode: str
    graph_level: str
    memory_arena: bool
    memory_pattern: bool
    session_entries: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls, config: ModelConfig) -> Options:
        """Read a config's parameters. Raises InvalidConfig with every fault."""
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        options = cls(
            intra_op_threads=reader.value(INTRA_OP_THREADS),
            inter_op_threads=reader.value(INTER_OP_THREADS),
            execution_mode=reader.value(EXECUTION_MODE),
            graph_level=reader.value(GRAPH_LEVEL),
            memory_arena=reader.value(MEMORY_ARENA),
            memory_pattern=reader.value(MEMORY_PATTERN),
            session_entries=tuple((p.name, int(reader.value(p))) for p in _SESSION_ENTRIES),
        )
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
            session.add_session_config_entry(name, str(value))
        return session
