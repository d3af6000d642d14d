"""sequence_batching: strategy, control inputs and states of a model that remembers; and back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from trivet.config import (
    Control,
    ControlKind,
    DirectStrategy,
    OldestStrategy,
    SequencePolicy,
    SequenceState,
)
from trivet.config_file.datatypes import data_type, wire_name
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

_Message = pb.ModelSequenceBatching

_KINDS = {
    _Message.Control.CONTROL_SEQUENCE_START: ControlKind.START,
    _Message.Control.CONTROL_SEQUENCE_READY: ControlKind.READY,
    _Message.Control.CONTROL_SEQUENCE_END: ControlKind.END,
    _Message.Control.CONTROL_SEQUENCE_CORRID: ControlKind.CORRID,
}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_CORRID_DATATYPES = ("UINT64", "INT64", "UINT32", "INT32", "BYTES")


def sequence_policy(message: pb.ModelConfig, where: str, faults: Faults) -> SequencePolicy | None:
    """How sequences are kept together; None for a model whose requests stand alone."""
    if not message.HasField("sequence_batching"):
        return None
    written, at = message.sequence_batching, f"{where}: sequence_batching"
    _check_company(message, at, faults)
    controls = _controls(written, f"{at}.control_input", faults)
    states = tuple(
        _state(state, f"{at}.state[{index}]", faults) for index, state in enumerate(written.state)
    )
    _check_names(message, controls, states, at, faults)
    return SequencePolicy(
        strategy=_strategy(message, at, faults),
        max_idle_us=written.max_sequence_idle_microseconds or SequencePolicy().max_idle_us,
        controls=controls,
        states=states,
    )


def sequence_to_proto(policy: SequencePolicy) -> pb.ModelSequenceBatching:
    """The policy as config.pbtxt would say it."""
    message = _Message(
        max_sequence_idle_microseconds=policy.max_idle_us,
        control_input=map(_control_to_proto, policy.controls),
        state=map(_state_to_proto, policy.states),
    )
    match policy.strategy:
        case DirectStrategy() as direct:
            message.direct.max_queue_delay_microseconds = direct.max_queue_delay_us
            message.direct.minimum_slot_utilization = direct.minimum_slot_utilization
            message.direct.SetInParent()
        case OldestStrategy() as oldest:
            message.oldest.max_candidate_sequences = oldest.max_candidate_sequences
            message.oldest.preferred_batch_size.extend(oldest.preferred_batch_sizes)
            message.oldest.max_queue_delay_microseconds = oldest.max_queue_delay_us
            message.oldest.preserve_ordering = oldest.preserve_ordering
    return message


def _check_company(message: pb.ModelConfig, at: str, faults: Faults) -> None:
    """What would take answers of one sequence for those of another, or leaves them unanswered."""
    if message.response_cache.enable:
        what = "the answers of a model that remembers cannot be cached"
        faults.add(at, what, "remove response_cache")
    if message.model_transaction_policy.decoupled:
        what = "sequences of a decoupled model are not served by this version of trivet"
        faults.add(at, what, "set model_transaction_policy.decoupled to false")
    if message.batch_input or message.batch_output:
        what = "batch_input and batch_output of sequences are not served by this version of trivet"
        faults.add(at, what, "remove them")
    if any(spec.allow_ragged_batch for spec in message.input):
        what = "ragged inputs of sequences are not served by this version of trivet"
        faults.add(at, what, "remove allow_ragged_batch; only equal shapes share a batch")


def _strategy(message: pb.ModelConfig, at: str, faults: Faults) -> DirectStrategy | OldestStrategy:
    written = message.sequence_batching
    if written.WhichOneof("strategy_choice") != "oldest":
        share = written.direct.minimum_slot_utilization
        if not 0 <= share <= 1:
            what = f"is {share:g}, must be 0 to 1"
            faults.add(f"{at}.direct.minimum_slot_utilization", what, "write a share of the rows")
        return DirectStrategy(
            max_queue_delay_us=written.direct.max_queue_delay_microseconds,
            minimum_slot_utilization=share,
        )
    oldest, largest = written.oldest, max(1, message.max_batch_size)
    if oldest.max_candidate_sequences < 1:
        what = f"is {oldest.max_candidate_sequences}, must be 1 or more"
        cure = "say how many sequences may be under way on each instance"
        faults.add(f"{at}.oldest.max_candidate_sequences", what, cure)
    for index, size in enumerate(oldest.preferred_batch_size):
        if not 1 <= size <= largest:
            what = f"is {size}, must be 1 to max_batch_size ({largest})"
            cure = "lower it, or raise max_batch_size"
            faults.add(f"{at}.oldest.preferred_batch_size[{index}]", what, cure)
    return OldestStrategy(
        max_candidate_sequences=oldest.max_candidate_sequences,
        preferred_batch_sizes=tuple(sorted(set(oldest.preferred_batch_size))),
        max_queue_delay_us=oldest.max_queue_delay_microseconds,
        preserve_ordering=oldest.preserve_ordering,
    )


def _controls(written: pb.ModelSequenceBatching, where: str, faults: Faults) -> tuple[Control, ...]:
    controls: list[Control] = []
    for index, message in enumerate(written.control_input):
        at = f"{where}[{index}]"
        if not message.name:
            faults.add(f"{at}.name", "is missing", "name the input as the model names it")
        if len(message.control) != 1:
            what = f"an input carries one control, and {len(message.control)} are written"
            faults.add(f"{at}.control", what, "write one control { kind: ... }")
            continue
        control = _control(message.name, message.control[0], f"{at}.control[0]", faults)
        if any(other.kind is control.kind for other in controls):
            kind = f"CONTROL_SEQUENCE_{control.kind.name}"
            faults.add(at, f"{kind} has an input already", "keep one of them")
        controls.append(control)
    return tuple(controls)


def _control(
    name: str, message: pb.ModelSequenceBatching.Control, at: str, faults: Faults
) -> Control:
    kind = _KINDS[message.kind]
    values = {
        "INT32": tuple(message.int32_false_true),
        "FP32": tuple(message.fp32_false_true),
        "BOOL": tuple(map(int, message.bool_false_true)),
    }
    told = [datatype for datatype, pair in values.items() if pair]
    if kind is ControlKind.CORRID:
        datatype = wire_name(message.data_type)
        if told:
            faults.add(at, "an id is neither false nor true", "remove the *_false_true values")
        if datatype not in _CORRID_DATATYPES:
            known = ", ".join(map(data_type, _CORRID_DATATYPES))
            faults.add(f"{at}.data_type", "must be a type of ids", f"write one of {known}")
        return Control(name=name, kind=kind, datatype=datatype)
    if message.data_type:
        what = "is for CONTROL_SEQUENCE_CORRID only"
        faults.add(f"{at}.data_type", what, "remove it; the *_false_true field tells the type")
    if len(told) != 1 or len(values[told[0]]) != 2:
        what = f"CONTROL_SEQUENCE_{kind.name} needs the two values that say no and yes"
        faults.add(at, what, "write one such as int32_false_true: [ 0, 1 ]")
        return Control(name=name, kind=kind, datatype="INT32")
    no, yes = values[told[0]]
    return Control(name=name, kind=kind, datatype=told[0], false_true=(no, yes))


def _state(message: pb.ModelSequenceBatching.State, at: str, faults: Faults) -> SequenceState:
    for field in ("input_name", "output_name"):
        if not getattr(message, field):
            faults.add(f"{at}.{field}", "is missing", "name the tensor as the model names it")
    datatype, dims = wire_name(message.data_type), tuple(message.dims)
    if not datatype:
        faults.add(f"{at}.data_type", "is missing", "write one, e.g. data_type: TYPE_FP32")
    if wrong := [dim for dim in dims if dim == 0 or dim < -1]:
        what = f"a dimension cannot be {wrong[0]}"
        faults.add(f"{at}.dims", what, "write its size, or -1 where it varies")
    if len(message.initial_state) > 1:
        faults.add(f"{at}.initial_state", "a state begins in one way", "keep one of them")
    # Where nothing is said of the beginning, Triton begins with zeros, one for each -1.
    initial_dims, name, filename = tuple(1 if dim == -1 else dim for dim in dims), "", ""
    if message.initial_state:
        initial = message.initial_state[0]
        _check_initial(initial, datatype, dims, f"{at}.initial_state[0]", faults)
        initial_dims, name, filename = tuple(initial.dims), initial.name, initial.data_file
    return SequenceState(
        input_name=message.input_name,
        output_name=message.output_name,
        datatype=datatype,
        dims=dims,
        initial_dims=initial_dims,
        initial_name=name,
        initial_file=filename,
    )


def _check_initial(
    message: pb.ModelSequenceBatching.InitialState,
    datatype: str,
    dims: tuple[int, ...],
    at: str,
    faults: Faults,
) -> None:
    if wire_name(message.data_type) != datatype:
        faults.add(f"{at}.data_type", "differs from the state's", "write the state's data_type")
    pairs = zip(message.dims, dims, strict=False)
    alike = all(own > 0 and theirs in (-1, own) for own, theirs in pairs)
    if len(message.dims) != len(dims) or not alike:
        what = f"is {list(message.dims)}, and the state has {list(dims)}"
        faults.add(f"{at}.dims", what, "write the state's dims, with a size for each -1")
    choice = message.WhichOneof("state_data")
    if choice is None:
        cure = 'write zero_data: true or data_file: "..."'
        faults.add(at, "nothing says what it holds", cure)
    name = message.data_file
    if choice == "data_file" and (not name or PurePosixPath(name).name != name or name == ".."):
        what = f"'{name}' is no plain file name"
        faults.add(f"{at}.data_file", what, "name a file of the model's folder initial_state")


def _check_names(
    message: pb.ModelConfig,
    controls: Collection[Control],
    states: Collection[SequenceState],
    at: str,
    faults: Faults,
) -> None:
    """Each input is filled by one: the client, a control, or a state."""
    seen = {spec.name for spec in message.input}
    for place, name in (
        *(("control_input", control.name) for control in controls),
        *(("state", state.input_name) for state in states),
    ):
        if name and name in seen:
            what = f"there is another input '{name}'"
            faults.add(f"{at}.{place}", what, "let one of them fill it; remove the other")
        seen.add(name)
    outputs = [state.output_name for state in states if state.output_name]
    if len(set(outputs)) < len(outputs):
        faults.add(f"{at}.state", "two states come from one output", "give each its own")


def _control_to_proto(control: Control) -> pb.ModelSequenceBatching.ControlInput:
    message = _Message.Control(kind=_NUMBERS[control.kind])
    no, yes = control.false_true
    match control.datatype:
        case _ if control.kind is ControlKind.CORRID:
            message.data_type = getattr(pb, data_type(control.datatype))
        case "INT32":
            message.int32_false_true.extend((int(no), int(yes)))
        case "FP32":
            message.fp32_false_true.extend((no, yes))
        case _:
            message.bool_false_true.extend((bool(no), bool(yes)))
    return _Message.ControlInput(name=control.name, control=[message])


def _state_to_proto(state: SequenceState) -> pb.ModelSequenceBatching.State:
    initial = _Message.InitialState(
        data_type=data_type(state.datatype), dims=state.initial_dims, name=state.initial_name
    )
    if state.initial_file:
        initial.data_file = state.initial_file
    else:
        initial.zero_data = True
    return _Message.State(
        input_name=state.input_name,
        output_name=state.output_name,
        data_type=data_type(state.datatype),
        dims=state.dims,
        initial_state=[initial],
    )
