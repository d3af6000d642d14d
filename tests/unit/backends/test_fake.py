"""The fake backend: what it echoes, how it misbehaves when told to, what a test can see of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.errors import EngineFailed, InstanceDied, InvalidConfig
from trivet.model.completion import completed
from trivet_backends.fake import Executed, FakeBackend
from trivet_backends.fake.backend import FakeInstance

LENGTHS = {"symbols.x": "tokens", "symbols.y": "tokens"}


def config(datatype: str = "INT64", rows: int = 8, **parameters: str) -> ModelConfig:
    return ModelConfig(
        name="m",
        backend="fake",
        max_batch_size=rows,
        inputs=(TensorSpec(name="x", datatype=datatype, dims=(-1,)),),
        outputs=(TensorSpec(name="y", datatype=datatype, dims=(-1,)),),
        parameters={**LENGTHS, **parameters},
    )


def opened(model: ModelConfig, backend: FakeBackend | None = None) -> FakeInstance:
    context = LoadContext(version=1, path=Path("nowhere"), where="m/1", threads=1)
    artifact = (backend or FakeBackend()).open(model, context)
    return artifact.instance(completed(model, artifact.signature, "m/1", Faults()))


def batch(*rows: Any, dtype: Any = np.int64) -> Batch:
    return Batch([Rows({"x": np.array(row, dtype=dtype)}) for row in rows], time.monotonic_ns)


def echoed(instance: FakeInstance, *rows: Any, dtype: Any = np.int64) -> list[Any]:
    return [answer.outputs["y"].tolist() for answer in instance.execute(batch(*rows, dtype=dtype))]


def test_it_echoes_every_request_in_its_own_shape() -> None:
    rows = [[1, 2, 3]], [[4]], [[5, 6], [7, 8]]
    assert echoed(opened(config()), *rows) == list(rows)


def test_without_symbols_the_padding_shows() -> None:
    model = config(**{"symbols.y": ""})
    assert echoed(opened(model), [[1, 2]], [[3]]) == [[[1, 2]], [[3, 0]]]


def test_symbols_reach_the_config_as_an_artifacts_would() -> None:
    context = LoadContext(version=1, path=Path("nowhere"), where="m/1", threads=1)
    told = FakeBackend().open(config(), context).signature
    (spec,) = told.inputs
    assert (spec.dims, spec.symbols) == ((-1, -1), ("batch", "tokens"))
    told = FakeBackend().open(config(rows=0), context).signature
    assert (told.outputs[0].dims, told.outputs[0].symbols) == ((-1,), ("tokens",))


def test_symbols_must_name_every_dimension() -> None:
    with pytest.raises(
        InvalidConfig, match=r'parameters\["symbols.x"\]: it names 2 dimensions of 1'
    ):
        opened(config(**{"symbols.x": "tokens,width"}))


def test_it_echoes_texts() -> None:
    assert echoed(opened(config("BYTES")), [[b"a", b""]], [[b"b"]], dtype=object) == [
        [[b"a", b""]],
        [[b"b"]],
    ]


def test_it_echoes_without_a_batch_dimension() -> None:
    backend = FakeBackend()
    assert echoed(opened(config(rows=0), backend), [1, 2, 3]) == [[1, 2, 3]]
    assert backend.batches == [Executed(rows=(1,), elements=3)]


def test_it_remembers_what_it_executed() -> None:
    backend = FakeBackend()
    instance = opened(config(), backend)
    echoed(instance, [[1, 2, 3]], [[4], [5]])
    echoed(instance, [[6]])
    assert backend.batches == [
        Executed(rows=(1, 2), elements=9),  # 3 rows padded to 3
        Executed(rows=(1,), elements=1),
    ]


def test_a_gate_holds_a_batch_that_has_started() -> None:
    gate = threading.Event()
    backend = FakeBackend(gate)
    instance = opened(config(), backend)
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(echoed, instance, [[1]])
        backend.wait_for_batches(1, timeout_s=10)
        assert not held.done()
        gate.set()
        assert held.result(timeout=10) == [[[1]]]


def test_waiting_for_batches_that_never_start_ends() -> None:
    with pytest.raises(TimeoutError, match="0 of 1 batches"):
        FakeBackend().wait_for_batches(1, timeout_s=0.01)


def test_it_fails_when_told_to() -> None:
    with pytest.raises(EngineFailed, match="told to fail"):
        echoed(opened(config(fail="1")), [[1]])


@pytest.mark.parametrize(
    ("datatype", "dtype", "poison", "bad", "good"),
    [
        ("INT64", np.int64, "666", 666, 66),
        ("FP32", np.float32, "0.5", 0.5, 0.25),
        ("BYTES", object, "rat", b"rat", b"rats"),
    ],
)
def test_a_poisoned_request_fails_its_whole_batch(
    datatype: str, dtype: Any, poison: str, bad: Any, good: Any
) -> None:
    instance = opened(config(datatype, poison=poison))
    assert echoed(instance, [[good]], [[good]], dtype=dtype) == [[[good]], [[good]]]
    with pytest.raises(EngineFailed, match=f"poisoned by {poison}"):
        echoed(instance, [[good]], [[bad]], dtype=dtype)


def test_a_deadly_value_kills_an_instance_for_good_and_is_to_blame_for_it() -> None:
    instance = opened(config(die="666"))
    assert echoed(instance, [[66]]) == [[[66]]]
    with pytest.raises(InstanceDied, match="fake: killed by 666") as first:
        echoed(instance, [[1]], [[666]])
    with pytest.raises(InstanceDied, match="fake: killed by 666") as later:
        echoed(instance, [[1]])
    assert (first.value.idle, later.value.idle) == (False, True)


def test_a_decoupled_one_dies_of_it_too() -> None:
    model = decoupled(die="666")
    instance = opened(model)
    with pytest.raises(InstanceDied):
        instance.stream(Rows({"x": np.array([[666]])}), Sent())
    with pytest.raises(InstanceDied) as later:
        instance.stream(Rows({"x": np.array([[1]])}), Sent())
    assert later.value.idle
    assert streamed(model, Sent()) == [(0, [[1, 2]], True)]


def test_it_makes_as_many_instances_as_it_is_told_to() -> None:
    model = config(instances_in_all="2")
    context = LoadContext(version=1, path=Path("nowhere"), where="m/1", threads=1)
    artifact = FakeBackend().open(model, context)
    made = [artifact.instance(model) for _ in range(2)]
    with pytest.raises(EngineFailed, match="told to make 2 instances in all"):
        artifact.instance(model)
    assert [echoed(instance, [[1]]) for instance in made] == [[[[1]]], [[[1]]]]


def test_it_takes_the_time_it_is_told_to() -> None:
    instance = opened(config(delay_us="1000", delay_us_per_token="500"))
    started = time.perf_counter()
    echoed(instance, [[1, 2, 3]], [[4]])  # 6 elements with padding
    assert time.perf_counter() - started >= 0.004


def test_it_refuses_to_open_when_told_to() -> None:
    with pytest.raises(InvalidConfig, match=r'parameters\["fail_to_open"\]: it is switched on'):
        opened(config(fail_to_open="true"))


def test_outputs_that_echo_nothing_are_refused_all_at_once() -> None:
    outputs = tuple(TensorSpec(name=n, datatype="FP32", dims=(-1,)) for n in ("y", "z"))
    inputs = (TensorSpec(name="x", datatype="INT64", dims=(-1,)),)
    with pytest.raises(InvalidConfig) as refused:
        opened(ModelConfig(name="m", inputs=inputs, outputs=outputs))
    assert [fault.where for fault in refused.value.faults] == [
        "m/config.pbtxt: output[0].data_type",
        "m/config.pbtxt: output[1]",
    ]
    with pytest.raises(InvalidConfig, match="input: there is none; name one to echo"):
        opened(ModelConfig(name="m", outputs=outputs))


class Sent:
    """A caller that takes so many answers, and then leaves."""

    def __init__(self, patience: int = 1000) -> None:
        self.answers: list[tuple[Any, Any, bool]] = []
        self._patience = patience

    def send(self, answer: Answer, *, final: bool = False) -> None:
        self.answers.append((answer.parameters["answer"], answer.outputs["y"].tolist(), final))

    def is_cancelled(self) -> bool:
        return len(self.answers) >= self._patience


def decoupled(**parameters: str) -> ModelConfig:
    return replace(config(**parameters), decoupled=True)


def streamed(model: ModelConfig, sent: Sent, rows: Any = ((1, 2),)) -> list[tuple[Any, Any, bool]]:
    opened(model).stream(Rows({"x": np.array(rows)}), sent)
    return sent.answers


def test_a_decoupled_one_answers_as_often_as_its_config_says() -> None:
    assert streamed(decoupled(), Sent()) == [(0, [[1, 2]], True)]
    assert streamed(decoupled(answers_per_request="0"), Sent()) == []
    model = decoupled(answers_per_request="2", tell_final="0")
    assert streamed(model, Sent()) == [(0, [[1, 2]], False), (1, [[1, 2]], False)]


def test_a_decoupled_one_answers_as_often_as_an_input_says() -> None:
    model = decoupled(answers_input="x")
    assert [final for _, _, final in streamed(model, Sent(), [[3]])] == [False, False, True]
    assert streamed(model, Sent(), [[0]]) == []


def test_a_decoupled_one_stops_when_its_caller_leaves_and_fails_when_told_to() -> None:
    assert len(streamed(decoupled(answers_per_request="9"), Sent(patience=4))) == 4
    sent = Sent()
    with pytest.raises(EngineFailed, match="told to fail after 2 answers"):
        streamed(decoupled(answers_per_request="9", fail_after="2"), sent)
    assert len(sent.answers) == 2


def test_what_only_a_decoupled_model_can_do_is_refused_for_others() -> None:
    with pytest.raises(InvalidConfig, match=r"answers_per_request.*for decoupled models only"):
        opened(config(answers_per_request="2"))
    with pytest.raises(InvalidConfig, match="'z' is no input of whole numbers"):
        opened(decoupled(answers_input="z"))
