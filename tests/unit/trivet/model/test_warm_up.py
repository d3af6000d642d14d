"""The sample that every instance answers before it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch
from trivet.config import (
    BatchOrder,
    BatchPolicy,
    Control,
    ControlKind,
    Dims,
    ModelConfig,
    SequencePolicy,
    TensorSpec,
    WarmUp,
    WarmUpData,
    WarmUpInput,
)
from trivet.config_file import Faults
from trivet.errors import EngineFailed, InvalidConfig, InvalidInput, ServeError
from trivet.model.validation import Validator
from trivet.model.warm_up import SIZE, Sample, sample, samples_of, warm_up
from trivet.request import InferRequest
from trivet.testing.clock import ManualClock
from trivet_protos.wire import DATATYPES, encode_raw


class Recorder:
    """An instance that keeps the batches it got."""

    def __init__(self, *answers: Answer | ServeError) -> None:
        self._answers = answers
        self.batches: list[Batch] = []

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        self.batches.append(batch)
        return self._answers

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("max_batch_size", "dims", "shape"),
    [
        (0, (3,), (3,)),
        (0, (-1, 3), (SIZE, 3)),
        (0, (), ()),
        (4, (3,), (1, 3)),
        (4, (-1, 2, -1), (1, SIZE, 2, SIZE)),
        (4, (), (1,)),
    ],
)
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_sample_is_one_row_of_a_small_size(
    max_batch_size: int, dims: Dims, shape: tuple[int, ...], datatype: str
) -> None:
    config = ModelConfig(name="m", max_batch_size=max_batch_size)
    assert sample(TensorSpec(name="X", datatype=datatype, dims=dims), config).shape == shape


def test_numbers_are_zero_and_texts_are_words() -> None:
    config = ModelConfig(name="m")
    numbers = sample(TensorSpec(name="X", datatype="INT64", dims=(2,)), config)
    assert numbers.tolist() == [0, 0]
    texts = sample(TensorSpec(name="X", datatype="BYTES", dims=(2,)), config)
    assert texts.tolist() == [b"warm up"] * 2


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("max_batch_size", [0, 2])
def test_a_sample_is_a_request_the_model_would_take(datatype: str, max_batch_size: int) -> None:
    spec = TensorSpec(name="X", datatype=datatype, dims=(-1, 3))
    config = ModelConfig(name="m", max_batch_size=max_batch_size, inputs=(spec,))
    request = InferRequest(model="m", inputs={"X": sample(spec, config)})
    assert Validator(config).check(request) == 1


def test_one_request_with_every_input_is_executed_by_the_clock_given() -> None:
    specs = tuple(TensorSpec(name=name, datatype="FP32", dims=(-1,)) for name in "ab")
    recorder, clock = Recorder(), ManualClock()
    warm_up(recorder, ModelConfig(name="m", max_batch_size=4, inputs=specs), clock)
    (batch,) = recorder.batches
    (rows,) = batch.requests
    assert {name: array.shape for name, array in rows.inputs.items()} == {
        "a": (1, SIZE),
        "b": (1, SIZE),
    }
    assert batch.now_ns() == clock.now_ns()
    assert np.isfinite(rows.inputs["a"]).all()


def test_an_answer_that_refuses_the_sample_is_no_fault() -> None:
    recorder = Recorder(InvalidInput("the text has no mask token"))
    warm_up(recorder, ModelConfig(name="m"), ManualClock())
    assert len(recorder.batches) == 1


def test_what_the_engine_raises_is_raised() -> None:
    class Broken(Recorder):
        def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        warm_up(Broken(), ModelConfig(name="m"), ManualClock())


BATCHING = ModelConfig(
    name="m",
    max_batch_size=4,
    inputs=(
        TensorSpec(name="X", datatype="INT64", dims=(-1,)),
        TensorSpec(name="T", datatype="BYTES", dims=(2,), optional=True),
    ),
)


def given(data: WarmUpData, datatype: str = "INT64", *dims: int, file: str = "") -> WarmUpInput:
    return WarmUpInput(datatype=datatype, dims=dims or (3,), data=data, file=file)


def written(config: ModelConfig, folder: Path, **inputs: WarmUpInput) -> Sample:
    """The one sample of a config that writes these inputs. Raises InvalidConfig for faults."""
    faults = Faults()
    config = replace(config, warm_ups=(WarmUp(name="w", inputs=inputs),))
    (one,) = samples_of(config, folder, faults)
    faults.raise_if_any()
    return one


def test_a_written_sample_is_a_batch_of_equal_requests_run_count_times(tmp_path: Path) -> None:
    warm_ups = (
        WarmUp(name="w", batch_size=3, count=2, inputs={"X": given(WarmUpData.ZERO)}),
        WarmUp(inputs={"X": given(WarmUpData.RANDOM, "INT64", 500)}),
    )
    config, faults = replace(BATCHING, warm_ups=warm_ups), Faults()
    samples = samples_of(config, tmp_path, faults)
    assert not faults
    recorder = Recorder()
    warm_up(recorder, config, ManualClock(), samples)
    assert [len(batch.requests) for batch in recorder.batches] == [3, 3, 1]
    for request in recorder.batches[0].requests:
        np.testing.assert_array_equal(request.inputs["X"], np.zeros((1, 3), np.int64))
    random = recorder.batches[2].requests[0].inputs["X"]
    assert random.shape == (1, 500)
    assert set(np.unique(random)) == {0, 1}  # ids that any vocabulary has


def test_random_data_is_finite_and_the_same_at_every_load(tmp_path: Path) -> None:
    config = replace(BATCHING, inputs=(TensorSpec(name="X", datatype="FP16", dims=(-1,)),))
    one, two = (
        written(config, tmp_path, X=given(WarmUpData.RANDOM, "FP16", 1000)) for _ in range(2)
    )
    values = one.requests[0].inputs["X"]
    assert np.isfinite(values).all() and len(np.unique(values)) > 100
    np.testing.assert_array_equal(values, two.requests[0].inputs["X"])


def test_a_file_holds_a_row_as_it_travels_in_a_request(tmp_path: Path) -> None:
    (tmp_path / "warmup" / "in").mkdir(parents=True)
    row = np.arange(5, dtype=np.int64)
    (tmp_path / "warmup/in/x").write_bytes(row.tobytes())
    texts = np.array([[b"one", b"two and three"]], object)
    (tmp_path / "warmup/t").write_bytes(encode_raw(texts))
    sample = written(
        BATCHING,
        tmp_path,
        X=given(WarmUpData.FILE, "INT64", 3, file="in/x"),  # what is longer is cut
        T=given(WarmUpData.FILE, "BYTES", 2, file="t"),
    )
    inputs = sample.requests[0].inputs
    assert inputs["X"].tolist() == [[0, 1, 2]]
    assert inputs["T"].tolist() == texts.tolist()


def test_a_model_that_does_not_batch_gets_its_own_shape(tmp_path: Path) -> None:
    config = replace(BATCHING, max_batch_size=0)
    sample = written(config, tmp_path, X=given(WarmUpData.ZERO))
    assert sample.requests[0].inputs["X"].shape == (3,)


def test_what_the_scheduler_of_sequences_fills_may_be_left_out(tmp_path: Path) -> None:
    control = Control(name="START", kind=ControlKind.START, datatype="FP32", false_true=(0, 1))
    started = TensorSpec(name="START", datatype="FP32", dims=(1,))
    config = replace(
        BATCHING,
        inputs=(*BATCHING.inputs, started),
        sequence_batching=SequencePolicy(controls=(control,)),
    )
    left_out = written(config, tmp_path, X=given(WarmUpData.ZERO))
    assert left_out.requests[0].inputs["START"].tolist() == [[0]]
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "one").write_bytes(np.float32(1).tobytes())
    start = given(WarmUpData.FILE, "FP32", 1, file="one")
    told = written(config, tmp_path, X=given(WarmUpData.ZERO), START=start)
    assert told.requests[0].inputs["START"].tolist() == [[1]]


AT = r"m/config.pbtxt: model_warmup\[0\] 'w'"


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, AT + ".*input 'X' is missing"),
        ({"Z": given(WarmUpData.ZERO)}, AT + ".*unexpected inference input 'Z'"),
        ({"X": given(WarmUpData.ZERO, "INT32")}, AT + ".*data-type 'INT32', expected 'INT64'"),
        ({"X": given(WarmUpData.ZERO, "INT64", 3, 3)}, AT + ".*unexpected shape"),
        ({"X": given(WarmUpData.FILE, file="x")}, AT + r'.inputs\["X"\].*: there is no file'),
        ({"X": given(WarmUpData.FILE, file="short")}, AT + ".*24 bytes, but 5 came"),
        ({"X": given(WarmUpData.FILE, file="folder")}, AT + ".*there is no file 'folder'"),
        ({"X": given(WarmUpData.FILE, file="link")}, AT + ".*'link' is a link"),
        ({"X": given(WarmUpData.FILE, file="linked/x")}, AT + ".*'linked' is a link"),
    ],
)
def test_a_sample_that_cannot_be_had_is_a_fault(
    tmp_path: Path, inputs: dict[str, WarmUpInput], told: str
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "m" / "warmup"
    (folder / "folder").mkdir(parents=True)
    outside.mkdir()
    for path in (outside / "x", folder / "full"):
        path.write_bytes(bytes(100))
    (folder / "short").write_bytes(b"12345")
    (folder / "link").symlink_to(folder / "full")
    (folder / "linked").symlink_to(outside)
    with pytest.raises(InvalidConfig, match=told):
        written(BATCHING, tmp_path / "m", **inputs)


def test_the_folder_itself_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_bytes(bytes(100))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "warmup").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidConfig, match="'warmup' is a link"):
        written(BATCHING, tmp_path / "m", X=given(WarmUpData.FILE, file="x"))


@pytest.mark.parametrize("kind", ["raises", "raises ours", "refuses"])
def test_a_written_sample_that_fails_is_named(tmp_path: Path, kind: str) -> None:
    class Failing(Recorder):
        def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
            if kind == "raises":
                raise RuntimeError("no such kernel")
            if kind == "raises ours":
                raise EngineFailed("no such kernel")
            return [InvalidInput("no such kernel")]

    sample = written(BATCHING, tmp_path, X=given(WarmUpData.ZERO))
    config = replace(BATCHING, warm_ups=(WarmUp(),))
    with pytest.raises(InvalidConfig, match=AT + ".*no such kernel"):
        warm_up(Failing(), config, ManualClock(), [sample])


def lengths(*lengths: int, tokens: int, rows: int = 16) -> tuple[ModelConfig, Faults]:
    specs = (
        TensorSpec(name="positions", datatype="INT64", dims=(-1,), symbols=("masks",)),
        TensorSpec(name="ids", datatype="INT64", dims=(-1,), symbols=("tokens",)),
        TensorSpec(name="mask", datatype="INT64", dims=(-1,), symbols=("tokens",)),
    )
    policy = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=rows, max_batch_tokens=tokens)
    config = ModelConfig(
        name="m",
        max_batch_size=rows,
        inputs=specs,
        dynamic_batching=policy,
        warm_up_lengths=lengths,
    )
    return config, Faults()


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (256, [(1, SIZE), (16, 8), (8, 32), (2, 100), (1, 256), (1, 300)]),
        (0, [(1, SIZE), (16, 8), (16, 32), (16, 100), (16, 256), (16, 300)]),
    ],
)
def test_every_length_is_run_in_as_large_a_batch_as_it_is_served_in(
    tokens: int, expected: list[tuple[int, int]]
) -> None:
    config, faults = lengths(8, 32, 100, 256, 300, tokens=tokens)
    recorder = Recorder()
    warm_up(recorder, config, ManualClock(), samples_of(config, Path("m"), faults))
    assert not faults
    run = [
        (len(batch.requests), batch.requests[0].inputs["ids"].shape[1])
        for batch in recorder.batches
    ]
    assert run == expected
    for batch in recorder.batches:
        inputs = batch.requests[0].inputs
        assert inputs["mask"].shape == inputs["ids"].shape
        assert inputs["positions"].shape == (1, SIZE)
        Validator(config).check(InferRequest(model="m", inputs=inputs))


def test_a_length_that_fails_is_named() -> None:
    class Short(Recorder):
        def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
            if batch.requests[0].inputs["ids"].shape[1] > 512:
                raise EngineFailed("too long")
            return super().execute(batch)

    config, faults = lengths(512, 1024, tokens=256)
    told = r'm/config.pbtxt: parameters\["warm_up_lengths"\]: 1 x 1024 tokens: failed: too long'
    with pytest.raises(InvalidConfig, match=told):
        warm_up(Short(), config, ManualClock(), samples_of(config, Path("m"), faults))


def test_lengths_need_a_dimension_that_has_a_name() -> None:
    config, faults = lengths(8, tokens=256)
    specs = tuple(replace(spec, symbols=()) for spec in config.inputs)
    assert samples_of(replace(config, inputs=specs), Path("m"), faults) == ()
    assert 'parameters["warm_up_lengths"]' in str(next(iter(faults)))


def test_code_gets_no_request_that_nobody_wrote() -> None:
    config = ModelConfig(name="m", inputs=(TensorSpec(name="x", datatype="FP32", dims=(2,)),))
    recorder = Recorder(Answer({}))
    warm_up(recorder, config, ManualClock(), made_up=False)
    assert recorder.batches == []
    warm_up(recorder, config, ManualClock())
    assert len(recorder.batches) == 1
