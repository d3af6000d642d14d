"""What is added to a request's inputs, kept from its answer, and hidden from clients."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivet.config import (
    Control,
    ControlKind,
    ModelConfig,
    SequencePolicy,
    SequenceState,
    TensorSpec,
)
from trivet.errors import EngineFailed, InvalidConfig, InvalidInput
from trivet.request import InferRequest
from trivet.scheduling.sequences.tensors import (
    SequenceTensors,
    client_config,
    engine_config,
    initial_states,
)
from trivet.scheduling.sequences.turns import SequenceId, Turn

X = TensorSpec(name="X", datatype="FP32", dims=(1,))
Y = TensorSpec(name="Y", datatype="FP32", dims=(1,))
STATE = SequenceState(
    input_name="A", output_name="B", datatype="INT16", dims=(-1,), initial_dims=(2,)
)


def corrid(datatype: str) -> Control:
    return Control(name="ID", kind=ControlKind.CORRID, datatype=datatype)


def config(*controls: Control, rows: int = 4, state: SequenceState = STATE) -> ModelConfig:
    return ModelConfig(
        name="m",
        max_batch_size=rows,
        inputs=(X,),
        outputs=(Y,),
        sequence_batching=SequencePolicy(controls=controls, states=(state,)),
    )


def tensors(*controls: Control, rows: int = 4) -> SequenceTensors:
    made = config(*controls, rows=rows)
    assert made.sequence_batching
    return SequenceTensors(made, made.sequence_batching, initial_states(made, Path()))


async def turn(number: SequenceId, *, starts: bool = False) -> Turn:
    request = InferRequest(model="m", inputs={"X": np.ones((1, 1), np.float32)})
    reply = asyncio.get_running_loop().create_future()
    return Turn(request, number, starts, False, None, 0, reply)


@pytest.mark.parametrize(
    ("datatype", "number", "expected"),
    [
        ("UINT64", 2**64 - 1, np.uint64(2**64 - 1)),
        ("UINT64", -1, np.uint64(2**64 - 1)),
        ("INT64", -5, np.int64(-5)),
        ("UINT32", 2**32 + 7, np.uint32(7)),
        ("INT32", 7, np.int32(7)),
        ("BYTES", "grün", "grün".encode()),
    ],
)
async def test_an_id_arrives_in_the_type_of_its_input(
    datatype: str, number: SequenceId, expected: object
) -> None:
    for rows, shape in ((4, (1, 1)), (0, (1,))):
        given = tensors(corrid(datatype), rows=rows)
        given.check_id(number)
        element = given.inputs(await turn(number), {})["ID"]
        assert element.shape == shape
        assert element.item() == expected
        assert element.dtype == (object if datatype == "BYTES" else np.asarray(expected).dtype)


@pytest.mark.parametrize(("datatype", "number"), [("BYTES", 5), ("INT32", "5")])
def test_an_id_of_another_kind_is_refused(datatype: str, number: SequenceId) -> None:
    with pytest.raises(InvalidInput, match=r"'ID' data-type is .* but model 'm' expects"):
        tensors(corrid(datatype)).check_id(number)


async def test_a_start_forgets_what_was_kept() -> None:
    given, kept = tensors(), {"A": np.array([[5, 6, 7]], np.int16)}
    assert given.inputs(await turn(1), kept)["A"].tolist() == [[5, 6, 7]]
    assert given.inputs(await turn(1, starts=True), kept)["A"].tolist() == [[0, 0]]


def test_a_row_without_a_request_is_zero_and_not_ready() -> None:
    ready = Control(name="R", kind=ControlKind.READY, datatype="INT32", false_true=(-1, 1))
    like = {
        "X": np.ones((1, 3), np.float32),
        "T": np.array([[b"secret"]], dtype=object),
        "R": np.array([[1]], np.int32),
        "ID": np.array([[9]], np.uint64),
    }
    nothing = tensors(ready, corrid("UINT64")).nothing(like)
    assert {name: array.tolist() for name, array in nothing.items()} == {
        "X": [[0, 0, 0]],
        "T": [[b""]],
        "R": [[-1]],
        "ID": [[0]],
    }


def test_what_is_kept_is_a_copy_and_must_be_there() -> None:
    output = np.array([[1, 2]], np.int16)
    kept = tensors().kept({"B": output})
    output[:] = 9
    assert kept["A"].tolist() == [[1, 2]]
    with pytest.raises(EngineFailed, match="no output 'B'"):
        tensors().kept({})


def test_the_engine_has_the_tensors_that_clients_do_not_see() -> None:
    written = config(corrid("INT64"))
    engine = engine_config(written)
    assert [spec.name for spec in engine.inputs] == ["X", "ID", "A"]
    assert [spec.name for spec in engine.outputs] == ["Y", "B"]
    assert client_config(engine, written) == written


def test_a_state_named_among_the_outputs_is_answered_too() -> None:
    written = config()
    state = TensorSpec(name="B", datatype="INT16", dims=(-1,))
    written = replace(written, outputs=(Y, state))
    engine = engine_config(written)
    assert engine.outputs == written.outputs
    assert client_config(engine, written).outputs == written.outputs


def test_outputs_that_only_the_artifact_tells_hide_the_states() -> None:
    written = replace(config(), outputs=())
    engine = engine_config(written)
    assert engine.outputs == ()
    told = replace(engine, outputs=(Y, TensorSpec(name="B", datatype="INT16", dims=(-1,))))
    assert client_config(told, written).outputs == (Y,)
    with pytest.raises(InvalidConfig, match="the model has no output 'B'"):
        client_config(replace(engine, outputs=(Y,)), written)
    wrong = replace(engine, outputs=(replace(Y, name="B"),))
    with pytest.raises(InvalidConfig, match="says INT16, but output 'B' is FP32"):
        client_config(wrong, written)


def test_initial_states_come_from_zeros_or_a_file(tmp_path: Path) -> None:
    assert initial_states(config(), tmp_path)["A"].tolist() == [[0, 0]]
    assert initial_states(config(rows=0), tmp_path)["A"].tolist() == [0, 0]
    from_file = config(state=replace(STATE, initial_file="start"))
    with pytest.raises(InvalidConfig, match="m/initial_state/start: there is no such file"):
        initial_states(from_file, tmp_path)
    (tmp_path / "initial_state").mkdir()
    file = tmp_path / "initial_state" / "start"
    file.write_bytes(np.array([3, 4], "<i2").tobytes())
    assert initial_states(from_file, tmp_path)["A"].tolist() == [[3, 4]]
    file.write_bytes(b"123")
    with pytest.raises(InvalidConfig, match="does not hold 2 values of INT16"):
        initial_states(from_file, tmp_path)
