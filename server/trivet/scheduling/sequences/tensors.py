"""The tensors of a sequence that no client sends: controls, and states from request to request.

The artifact has them beside the client's own, so a model has two configs: the client's, which
metadata and validation go by, and the engine's, with these inputs and outputs added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from trivet.backend.contract import Rows
from trivet.config import (
    Control,
    ControlKind,
    ModelConfig,
    OldestStrategy,
    SequencePolicy,
    TensorSpec,
)
from trivet.errors import EngineFailed, Fault, InvalidConfig, InvalidInput
from trivet.request import Tensors
from trivet.scheduling.sequences.turns import SequenceId, Tracked, Turn
from trivet_protos import wire

FOLDER = "initial_state"
_ID_BITS = (1 << 64) - 1  # a negative id is the number of the same 64 bits


def engine_config(config: ModelConfig) -> ModelConfig:
    """The config as the backend needs it. config: as written.

    Outputs are added only where some are written: none means all that the artifact has.
    """
    policy = config.sequence_batching
    if policy is None:
        return config
    added = [
        TensorSpec(name=control.name, datatype=control.datatype, dims=(1,))
        for control in policy.controls
    ]
    added += [
        TensorSpec(name=state.input_name, datatype=state.datatype, dims=state.dims)
        for state in policy.states
    ]
    written = {spec.name for spec in config.outputs}
    states = tuple(
        TensorSpec(name=state.output_name, datatype=state.datatype, dims=state.dims)
        for state in policy.states
        if written and state.output_name not in written
    )
    return replace(config, inputs=(*config.inputs, *added), outputs=config.outputs + states)


def client_config(engine: ModelConfig, written: ModelConfig) -> ModelConfig:
    """The config as clients see it: what the scheduler fills, and keeps, is left out.

    engine: complete. written: as the file has it; a state that it names among the outputs is
    answered as well. Raises InvalidConfig for a state whose output the model does not have.
    """
    policy = engine.sequence_batching
    if policy is None:
        return engine
    _check_outputs(policy, engine)
    filled = policy.filled_inputs
    kept = {state.output_name for state in policy.states}
    kept -= {spec.name for spec in written.outputs}
    return replace(
        engine,
        inputs=tuple(spec for spec in engine.inputs if spec.name not in filled),
        outputs=tuple(spec for spec in engine.outputs if spec.name not in kept),
        dynamic_batching=None,
    )


def initial_states(config: ModelConfig, folder: Path) -> dict[str, np.ndarray]:
    """What each state input holds when a sequence begins, [1, ...] where the model batches.

    folder: of the model. Raises InvalidConfig for a file that is missing or of another size.
    """
    policy = config.sequence_batching
    states, faults = {}, []
    for state in policy.states if policy else ():
        shape = (1, *state.initial_dims) if config.max_batch_size else state.initial_dims
        if not state.initial_file:
            states[state.input_name] = _zeros(state.datatype, shape)
            continue
        where = f"{config.name}/{FOLDER}/{state.initial_file}"
        try:
            raw = (folder / FOLDER / state.initial_file).read_bytes()
            states[state.input_name] = wire.decode_raw(raw, state.datatype, shape)
        except OSError:
            cure = f"put it into the model's folder {FOLDER}, or write zero_data: true"
            faults.append(Fault(where, "there is no such file that can be read", cure))
        except wire.WireError as error:
            what = f"does not hold {prod(shape)} values of {state.datatype}: {error}"
            faults.append(Fault(where, what, "write them as raw bytes, little-endian"))
    if faults:
        raise InvalidConfig(faults)
    return states


@dataclass(frozen=True, slots=True)
class SequenceTensors:
    """Adds to a request's inputs what its sequence brings, and takes from the answer what it keeps.

    config: the client's.
    """

    config: ModelConfig
    policy: SequencePolicy
    initial: Mapping[str, np.ndarray]

    def check_id(self, number: SequenceId) -> None:
        """Raises InvalidInput for an id that the model's CORRID input cannot hold."""
        for control in self.policy.controls:
            if control.kind is ControlKind.CORRID:
                sent = "STRING" if isinstance(number, str) else "UINT64"
                if (sent == "STRING") != (control.datatype == "BYTES"):
                    takes = "STRING" if control.datatype == "BYTES" else control.datatype
                    raise InvalidInput(
                        f"sequence batching control '{control.name}' data-type is '{sent}', but"
                        f" model '{self.config.name}' expects '{takes}'; send sequence_id as one"
                    )

    def inputs(self, turn: Turn, state: Tensors) -> Tensors:
        """All inputs of one request. state: what the sequence kept; {} for a new one."""
        flags = {
            ControlKind.START: turn.starts,
            ControlKind.READY: True,
            ControlKind.END: turn.ends,
        }
        controls = {
            control.name: self._element(
                control.datatype,
                turn.id
                if control.kind is ControlKind.CORRID
                else control.false_true[flags[control.kind]],
            )
            for control in self.policy.controls
        }
        return {**turn.request.inputs, **self.state(turn, state), **controls}

    def state(self, turn: Turn, kept: Tensors) -> Tensors:
        """The state a request gets: a sequence that starts begins anew, whatever was kept."""
        return self.initial if turn.starts else {**self.initial, **kept}

    def rows(
        self, places: Sequence[int], sequences: Sequence[Tracked]
    ) -> list[tuple[Rows, Tracked | None]]:
        """The rows of a batch of the requests that run, each with the sequence it is of.

        places: of each sequence. Direct: every sequence in its own row, and rows that are not ready
        in between.
        """
        own: dict[int, tuple[Rows, Tracked | None]] = {
            place: (self._row(sequence), sequence)
            for place, sequence in zip(places, sequences, strict=True)
        }
        if isinstance(self.policy.strategy, OldestStrategy):
            return list(own.values())
        nothing = (Rows(self.nothing(own[places[0]][0].inputs)), None)
        return [own.get(place, nothing) for place in range(max(places) + 1)]

    def _row(self, sequence: Tracked) -> Rows:
        turn = sequence.turn
        request, inputs = turn.request, self.inputs(turn, sequence.state)
        return Rows(inputs, request.parameters, request.id, request.outputs, turn.reply.done)

    def nothing(self, like: Tensors) -> Tensors:
        """The inputs of a row without a request: zeros of another row's shapes, not ready."""
        zeros = {name: np.zeros_like(array) for name, array in like.items()}
        for name, array in like.items():
            if array.dtype == object:
                zeros[name] = np.full(array.shape, b"", dtype=object)
        controls = {
            control.name: self._element(control.datatype, _nobody(control))
            for control in self.policy.controls
        }
        return {**zeros, **controls}

    def kept(self, outputs: Tensors) -> dict[str, np.ndarray]:
        """The state for the next request. Raises EngineFailed if the model gave none.

        A copy: what an engine gives may be a view of the whole batch, or its own buffer.
        """
        kept = {}
        for state in self.policy.states:
            if state.output_name not in outputs:
                raise EngineFailed(f"the model gave no output '{state.output_name}' (a state)")
            kept[state.input_name] = np.array(outputs[state.output_name])
        return kept

    def answered(self, outputs: Tensors) -> Tensors:
        """The outputs that are the client's."""
        return {
            spec.name: outputs[spec.name] for spec in self.config.outputs if spec.name in outputs
        }

    def _element(self, datatype: str, value: float | str) -> np.ndarray:
        shape = (1, 1) if self.config.max_batch_size else (1,)
        if isinstance(value, str):
            return np.full(shape, value.encode(), dtype=object)
        if datatype in ("FP32", "BOOL"):
            return np.full(shape, value, dtype=wire.numpy_dtype(datatype))
        # As many of the id's low bytes as the input holds: so does Triton.
        bits = np.full(shape, int(value) & _ID_BITS, dtype=np.uint64)
        return bits.astype(wire.numpy_dtype(datatype))


def measure_shape(config: ModelConfig) -> Callable[[Tensors], object]:
    """inputs -> what must be equal for requests that share a batch. config: the client's."""
    if not config.max_batch_size:
        return lambda inputs: None
    return lambda inputs: {name: array.shape[1:] for name, array in inputs.items()}


def _nobody(control: Control) -> float | str:
    if control.kind is ControlKind.CORRID:
        return "" if control.datatype == "BYTES" else 0
    return control.false_true[0]


def _zeros(datatype: str, shape: tuple[int, ...]) -> np.ndarray:
    if datatype == "BYTES":
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype=wire.numpy_dtype(datatype))


def _check_outputs(policy: SequencePolicy, engine: ModelConfig) -> None:
    faults = []
    for index, state in enumerate(policy.states):
        spec = engine.output(state.output_name)
        where = f"{engine.name}/config.pbtxt: sequence_batching.state[{index}]"
        if spec is None:
            known = ", ".join(f"'{other.name}'" for other in engine.outputs)
            what = f"the model has no output '{state.output_name}'"
            faults.append(Fault(f"{where}.output_name", what, f"name one of {known}"))
        elif spec.datatype != state.datatype:
            what = f"says {state.datatype}, but output '{spec.name}' is {spec.datatype}"
            faults.append(Fault(f"{where}.data_type", what, "write the output's data_type"))
    if faults:
        raise InvalidConfig(faults)
