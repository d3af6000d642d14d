"""A model's configuration as values: complete and valid, whoever wrote it and however.

The vocabulary is Triton's config.pbtxt. `config_file` reads that format into these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum

Dims = tuple[int, ...]  # -1 is a dimension that varies


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output.

    datatype: the wire's name, e.g. "FP32", "INT64", "BYTES".
    dims: without the batch dimension when the model batches.
    symbols: a name per dimension that varies, where the artifact tells one ("tokens"), else "".
    reshape: the dims that the engine takes or gives in place of `dims`; None: the same.
    ragged: of an input; requests of any shapes share a batch, joined flat without padding.
    """

    name: str
    datatype: str
    dims: Dims
    symbols: tuple[str, ...] = ()
    optional: bool = False
    label_filename: str = ""
    reshape: Dims | None = None
    ragged: bool = False

    @property
    def reshaped(self) -> TensorSpec:
        """The other side's view: `dims` and `reshape` exchanged, symbols in their order."""
        if self.reshape is None:
            return self
        named = zip(self.symbols, self.dims, strict=False)
        symbols = iter([symbol for symbol, dim in named if dim == -1])
        return replace(
            self,
            dims=self.reshape,
            reshape=self.dims,
            symbols=tuple(next(symbols, "") if dim == -1 else "" for dim in self.reshape),
        )


class BatchInputKind(Enum):
    """What a batch input tells of the requests of a batch; the values are config.pbtxt's."""

    ELEMENT_COUNT = "BATCH_ELEMENT_COUNT"
    ACCUMULATED_ELEMENT_COUNT = "BATCH_ACCUMULATED_ELEMENT_COUNT"
    ACCUMULATED_ELEMENT_COUNT_WITH_ZERO = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
    MAX_ELEMENT_COUNT_AS_SHAPE = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
    ITEM_SHAPE = "BATCH_ITEM_SHAPE"
    ITEM_SHAPE_FLATTEN = "BATCH_ITEM_SHAPE_FLATTEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInput:
    """Inputs of the engine that the server makes of each batch; no client sends or sees them."""

    kind: BatchInputKind
    targets: tuple[str, ...]  # the engine's inputs that get the values
    datatype: str  # "INT32" or "FP32"
    source: str  # the input whose sizes they tell


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """Outputs of a whole batch, flat; each request gets the part that its source's shape tells."""

    targets: tuple[str, ...]
    source: str  # an input


class BatchOrder(Enum):
    """Which waiting requests may share a batch with the oldest one."""

    EQUAL_SHAPES = "equal_shapes"  # Triton's meaning: the next in line, as long as shapes are equal
    ARRIVAL = "arrival"  # the next in line, padded to the longest
    LENGTH = "length"  # those nearest in length within a window, padded to the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When waiting requests leave as a batch, and which."""

    order: BatchOrder = BatchOrder.EQUAL_SHAPES
    max_batch_size: int = 1  # rows
    max_queue_delay_us: int = 0  # microseconds an incomplete batch may wait for company
    preferred_batch_sizes: tuple[int, ...] = ()  # rows; an incomplete batch waits for one of them
    max_batch_tokens: int = 0  # rows x longest row; 0: no such limit
    max_padding_percent: int = 100  # of a batch's tokens; by length only
    # Waiting requests, from the oldest, among which companions are looked for. 512 mixed texts in
    # batches of 256 tokens: 64 of them leave 7 % padding, 256 leave 3 %, and cost 0.1 ms a batch.
    window: int = 256
    preserve_ordering: bool = False  # answers leave in the order the requests came


class TimeoutAction(Enum):
    """What becomes of a request that has waited its timeout."""

    REJECT = "reject"  # it is answered: unavailable
    DELAY = "delay"  # it waits on, behind the others of its level


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How many requests may wait and for how long, and what happens to one that may no longer."""

    max_size: int = 0  # requests; 0: any number
    timeout_us: int = 0  # microseconds in the queue; 0: any time
    timeout_action: TimeoutAction = TimeoutAction.REJECT
    allow_timeout_override: bool = False  # a request may ask for a shorter timeout of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Priorities:
    """Levels of priority. 1 is served first; a level without a policy has the model's."""

    levels: int = 0  # 0: all requests are equal
    default_level: int = 0  # of requests that name none; 0 if there are no levels
    policies: Mapping[int, QueuePolicy] = field(default_factory=dict)  # by level


class Platform(Enum):
    """Who answers: a backend's instances, or a pipeline of other models."""

    BACKEND = "backend"
    ENSEMBLE = "ensemble"


class LabelTask(StrEnum):
    """A pipeline that compares vectors of its one step's model; its parameter `task` names it."""

    ZERO_SHOT = "zero_shot"  # labels stand for themselves
    FEW_SHOT = "few_shot"  # each has examples


class InstanceKind(Enum):
    """Where the instances of a group run."""

    AUTO = "auto"  # the backend decides
    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceNeed:
    """What an instance takes of a resource while it runs, where the server limits it.

    is_global: there is one pool of it for all devices, instead of one on each.
    """

    name: str
    count: int
    is_global: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """How many copies of the model run, and where.

    count: of each GPU that the group has, or of the CPU.
    gpus: device numbers; empty for a GPU group means every GPU there is.
    priority: among instances that wait for resources; 2 gets half the turns of 1.
    profiles: of a TensorRT engine, those its instances may use; none means the first.
    """

    count: int = 1
    kind: InstanceKind = InstanceKind.AUTO
    gpus: tuple[int, ...] = ()
    resources: tuple[ResourceNeed, ...] = ()
    priority: int = 1
    profiles: tuple[int, ...] = ()

    @property
    def devices(self) -> tuple[int | None, ...]:
        """Where its instances run, `count` on each: GPUs by number; None is the CPU."""
        return self.gpus or (None,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What an engine hands the parts of a model that it can run faster. parameters: its own."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPolicy:
    """Which numbered versions are served: the latest N, or the ones named, or all (both empty)."""

    latest: int = 0
    specific: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a pipeline: the model it calls and how tensors are named on both sides."""

    model: str
    version: int | None  # None: the latest ready one
    input_map: Mapping[str, str]  # the model's input name -> the pipeline's tensor name
    output_map: Mapping[str, str]  # the model's output name -> the pipeline's tensor name


class ControlKind(Enum):
    """What an input that the scheduler fills tells the model of a request's sequence."""

    START = "start"  # it begins with this request
    READY = "ready"  # there is a request in this row at all
    END = "end"  # it ends with this request
    CORRID = "corrid"  # which one it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An input of one element that the scheduler fills.

    false_true: the values that say no and yes; (0, 0) for CORRID, which has neither.
    """

    name: str
    kind: ControlKind
    datatype: str
    false_true: tuple[float, float] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceState:
    """An output that comes back as an input with the next request of its sequence.

    initial_dims, initial_file: what a new sequence begins with; a file of raw bytes in the model's
    folder initial_state, or zeros where none is named. initial_name: what the file calls it.
    """

    input_name: str
    output_name: str
    datatype: str
    dims: Dims
    initial_dims: Dims
    initial_name: str = ""
    initial_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectStrategy:
    """Each sequence has a row of its own on one instance until it ends."""

    max_queue_delay_us: int = 0  # microseconds to wait for company
    minimum_slot_utilization: float = 0.0  # share of the rows, 0 to 1, with which no one waits


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestStrategy:
    """Requests of different sequences share a batch in the order they came, in any row."""

    max_candidate_sequences: int  # under way at a time, for each instance
    preferred_batch_sizes: tuple[int, ...] = ()  # requests
    max_queue_delay_us: int = 0  # microseconds to wait for company
    preserve_ordering: bool = False  # one instance answers in the order it was asked either way


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencePolicy:
    """How requests that depend on one another are kept together and in order."""

    strategy: DirectStrategy | OldestStrategy = field(default_factory=DirectStrategy)
    max_idle_us: int = 1_000_000  # microseconds without a request after which one is given up
    controls: tuple[Control, ...] = ()
    states: tuple[SequenceState, ...] = ()


class WarmUpData(Enum):
    """What the values of a warm-up request's input are."""

    ZERO = "zero"
    RANDOM = "random"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpInput:
    """One input of a warm-up request.

    dims: of one row, without the batch dimension. file: below the model's folder warmup.
    """

    datatype: str
    dims: Dims
    data: WarmUpData
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """A batch that every instance runs before the model is ready."""

    name: str = ""
    batch_size: int = 1  # requests of one row each, all alike
    count: int = 1  # runs
    inputs: Mapping[str, WarmUpInput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything the server needs to know to serve one model."""

    name: str
    platform: str = ""  # as written, e.g. "ensemble" or "onnxruntime_onnx"; shown to clients
    backend: str = ""
    max_batch_size: int = 0  # 0: the model does not batch; tensors carry no batch dimension
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    version_policy: VersionPolicy = field(default_factory=lambda: VersionPolicy(latest=1))
    instance_groups: tuple[InstanceGroup, ...] = ()  # none: as many as suit the backend
    dynamic_batching: BatchPolicy | None = None  # None: every request runs alone
    sequence_batching: SequencePolicy | None = None  # excludes dynamic_batching
    queue_policy: QueuePolicy = field(default_factory=QueuePolicy)
    priorities: Priorities = field(default_factory=Priorities)
    steps: tuple[Step, ...] = ()  # of a pipeline
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_model_filename: str = ""
    decoupled: bool = False
    response_cache: bool = False  # where the server has one
    warm_ups: tuple[WarmUp, ...] = ()  # none: a sample is made up
    warm_up_lengths: tuple[int, ...] = ()  # tokens
    cpu_affinity: tuple[int, ...] = ()  # cores the instances are kept to; empty: any
    execution_timeout_s: float | None = None  # None: the server's; 0: never
    load_timeout_s: float | None = None  # the same
    batch_inputs: tuple[BatchInput, ...] = ()
    batch_outputs: tuple[BatchOutput, ...] = ()
    gpu_accelerators: tuple[Accelerator, ...] = ()  # for instances on a GPU; the first is preferred
    cpu_accelerators: tuple[Accelerator, ...] = ()  # for those on the CPU
    max_inflight_requests: int = 0  # from arrival to answer; 0: any
    graph_level: int = 0  # -1: basic rewrites of the graph, 0: all, 1: extended, 2: none

    @property
    def is_pipeline(self) -> bool:
        return self.platform == Platform.ENSEMBLE.value

    @property
    def label_task(self) -> LabelTask | None:
        """Of a pipeline that labels texts, what its labels are told by."""
        asked = self.parameters.get("task") if self.is_pipeline else None
        return LabelTask(asked) if asked in tuple(LabelTask) else None

    @property
    def instance_count(self) -> int:
        """How many instances the config asks for; 0: as many as suit the backend."""
        return sum(group.count * len(group.devices) for group in self.instance_groups)

    @property
    def reshaped(self) -> ModelConfig:
        """What clients see as the engine sees it, and the other way round; else the same."""
        return replace(
            self,
            inputs=tuple(spec.reshaped for spec in self.inputs),
            outputs=tuple(spec.reshaped for spec in self.outputs),
        )

    def pad(self, input_name: str) -> int:
        """What fills a shorter request's rows of this input up to the longest of the batch."""
        return int(self.parameters.get(f"pad.{input_name}", "0"))

    def input(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        return next((spec for spec in self.outputs if spec.name == name), None)
