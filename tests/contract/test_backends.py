"""What every backend promises, whichever engine is behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.contract.subjects import SUBJECTS, Subject, completed, context, parameters
from trivet.backend.contract import Answer, Artifact, Batch, Instance, Rows
from trivet.errors import InvalidConfig, ServeError

LENGTHS = (3, 7, 1, 5)  # neither sorted nor equal: somebody is padded, and not always the last

NUMPY_TYPES = {"INT64": np.int64, "FP32": np.float32, "BYTES": np.object_}

with_an_artifact = pytest.mark.parametrize(
    "subject", parameters(subject for subject in SUBJECTS if subject.artifact)
)


@pytest.fixture(params=parameters(SUBJECTS))
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture
def artifact(subject: Subject, tmp_path: Path) -> Iterator[Artifact]:
    subject.write(tmp_path)
    opened = subject.backend().open(subject.config, context(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def instance(subject: Subject, artifact: Artifact) -> Iterator[Instance]:
    made = artifact.instance(completed(subject.config, artifact.signature))
    yield made
    made.close()


def execute(instance: Instance, *requests: Rows) -> Sequence[Answer | ServeError]:
    return instance.execute(Batch(requests, time.monotonic_ns))


def outputs(answer: Answer | ServeError) -> Mapping[str, np.ndarray]:
    assert isinstance(answer, Answer), answer
    return answer.outputs


def assert_same(
    answer: Answer | ServeError, expected: Answer | ServeError, tolerance: float
) -> None:
    assert isinstance(answer, Answer), answer
    assert isinstance(expected, Answer), expected
    assert answer.parameters == expected.parameters
    assert_equal(answer.outputs, expected.outputs, tolerance)


def assert_equal(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], tolerance: float
) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if tolerance and array.dtype.kind == "f":
            np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def test_a_request_gets_the_same_answer_alone_and_in_a_batch(
    subject: Subject, instance: Instance
) -> None:
    requests = [subject.request(length, 1) for length in LENGTHS]
    together = execute(instance, *requests)
    assert len(together) == len(requests)
    for request, answer in zip(requests, together, strict=True):
        assert_same(answer, execute(instance, request)[0], subject.tolerance)


def test_requests_of_several_rows_get_back_their_own_rows(
    subject: Subject, instance: Instance
) -> None:
    requests = [subject.request(5, 3), subject.request(2, 1), subject.request(7, 2)]
    for request, answer in zip(requests, execute(instance, *requests), strict=True):
        rows = len(next(iter(request.inputs.values())))
        assert {len(array) for array in outputs(answer).values()} == {rows}
        assert_same(answer, execute(instance, request)[0], subject.tolerance)


def test_the_order_of_a_batch_does_not_matter(subject: Subject, instance: Instance) -> None:
    requests = [subject.request(length, 1) for length in LENGTHS]
    forwards, backwards = execute(instance, *requests), execute(instance, *reversed(requests))
    for answer, expected in zip(backwards, reversed(forwards), strict=True):
        assert_same(answer, expected, subject.tolerance)


def test_outputs_are_those_of_the_config_in_its_types_and_shapes(
    subject: Subject, instance: Instance
) -> None:
    (answer,) = execute(instance, subject.request(3, 2))
    found = outputs(answer)
    assert set(found) == {spec.name for spec in subject.outputs}
    for spec in subject.outputs:
        array = found[spec.name]
        assert array.dtype == NUMPY_TYPES[spec.datatype]
        assert array.ndim == 1 + len(spec.dims)
        for size, told in zip(array.shape[1:], spec.dims, strict=True):
            assert told in (-1, size)
        if spec.datatype == "BYTES":
            assert all(isinstance(element, bytes) for element in array.flat)


def test_only_the_outputs_that_the_config_names_are_given(subject: Subject, tmp_path: Path) -> None:
    subject.write(tmp_path)
    config = replace(subject.config, outputs=subject.outputs[:1])
    artifact = subject.backend().open(config, context(tmp_path))
    instance = artifact.instance(completed(config, artifact.signature))
    (answer,) = execute(instance, subject.request(3, 1))
    assert set(outputs(answer)) == {subject.outputs[0].name}


def test_the_signature_agrees_with_the_config(subject: Subject, artifact: Artifact) -> None:
    told, config = artifact.signature, subject.config
    for found, written in ((told.inputs, config.inputs), (told.outputs, config.outputs)):
        specs = {spec.name: spec for spec in found}
        assert set(specs) == {spec.name for spec in written}
        for spec in written:
            told_spec = specs[spec.name]
            assert told_spec.datatype == spec.datatype
            assert len(told_spec.dims) == len(told_spec.symbols) == 1 + len(spec.dims)
            assert told_spec.dims[0] == -1
            for told_size, size in zip(told_spec.dims[1:], spec.dims, strict=True):
                assert told_size in (-1, size)


def test_a_model_without_batching_gives_the_same_answers(subject: Subject, tmp_path: Path) -> None:
    subject.write(tmp_path)
    config, request = subject.config_without_batching, subject.request(4, 1)
    artifact = subject.backend().open(config, context(tmp_path))
    for told, written in zip(artifact.signature.inputs, config.inputs, strict=True):
        assert len(told.dims) == len(written.dims)
    instance = artifact.instance(completed(config, artifact.signature))
    bare = Rows(subject.without_batch(request.inputs), request.parameters)
    (found,) = execute(instance, bare)

    batching = subject.backend().open(subject.config, context(tmp_path))
    with_batch = batching.instance(completed(subject.config, batching.signature))
    (expected,) = execute(with_batch, request)
    assert_equal(outputs(found), subject.without_batch(outputs(expected)), subject.tolerance)


def test_a_bad_request_harms_no_neighbour(subject: Subject, instance: Instance) -> None:
    good = subject.request(3, 1)
    (expected,) = execute(instance, good)
    try:
        answers = execute(instance, good, subject.bad, good)
    except ServeError:  # a dense engine fails as a whole; its batch is tried again one by one
        with pytest.raises(ServeError):
            execute(instance, subject.bad)
        answers = [
            execute(instance, good)[0],
            ServeError("as just seen"),
            execute(instance, good)[0],
        ]
    assert isinstance(answers[1], ServeError)
    assert_same(answers[0], expected, subject.tolerance)
    assert_same(answers[2], expected, subject.tolerance)


def test_a_failure_tells_no_path_and_no_stack_trace(
    subject: Subject, instance: Instance, tmp_path: Path
) -> None:
    try:
        (error,) = execute(instance, subject.bad)
    except ServeError as raised:
        error = raised
    assert isinstance(error, ServeError)
    for secret in (str(tmp_path), "/onnxruntime", "src/", ".py", ".cc", ".cpp", "Traceback"):
        assert secret not in error.message
    assert error.message.strip()


def test_two_instances_of_one_artifact_answer_in_two_threads(
    subject: Subject, artifact: Artifact
) -> None:
    config = completed(subject.config, artifact.signature)
    requests = [subject.request(length, 1) for length in LENGTHS]
    first = artifact.instance(config)
    expected = [execute(first, request)[0] for request in requests]

    def work(instance: Instance) -> list[Sequence[Answer | ServeError]]:
        return [execute(instance, *requests) for _ in range(30)]

    with ThreadPoolExecutor(2) as threads:
        for answered in threads.map(work, (first, artifact.instance(config))):
            for answers in answered:
                for answer, wanted in zip(answers, expected, strict=True):
                    assert_same(answer, wanted, subject.tolerance)


def test_lengths_and_rows_never_seen_before_are_answered(
    subject: Subject, instance: Instance
) -> None:
    for length in (1, 2, 9, 31, 100):
        for rows in (1, 2):
            if length >= rows:
                (answer,) = execute(instance, subject.request(length, rows))
                assert {len(array) for array in outputs(answer).values()} == {rows}


def test_a_batch_is_stamped_on_its_way(subject: Subject, instance: Instance) -> None:
    now = iter(range(1, 100))
    batch = Batch([subject.request(3, 1), subject.request(5, 1)], lambda: next(now))
    instance.execute(batch)
    assert 0 < batch.merged_ns < batch.computed_ns


def test_closing_twice_does_nothing_and_spares_the_other_instance(
    subject: Subject, artifact: Artifact
) -> None:
    config = completed(subject.config, artifact.signature)
    first, second = artifact.instance(config), artifact.instance(config)
    first.close()
    first.close()
    assert isinstance(execute(second, subject.request(3, 1))[0], Answer)
    second.close()
    artifact.close()
    artifact.close()


@with_an_artifact
def test_a_missing_artifact_is_refused_by_name(subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as refused:
        subject.backend().open(subject.config, context(tmp_path))
    (fault,) = refused.value.faults
    assert fault.where == f"subject/1/{subject.artifact}"
    assert fault.what == "no such file"
    assert str(tmp_path) not in refused.value.message


@with_an_artifact
def test_a_broken_artifact_is_refused_by_name(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / subject.artifact).write_bytes(b"neither one nor the other\n" * 20)
    with pytest.raises(InvalidConfig) as refused:
        subject.backend().open(subject.config, context(tmp_path))
    (fault,) = refused.value.faults
    assert fault.where == f"subject/1/{subject.artifact}"
    assert str(tmp_path) not in refused.value.message


def test_nonsense_for_a_parameter_is_refused_by_name(subject: Subject, tmp_path: Path) -> None:
    subject.write(tmp_path)
    name, nonsense = subject.wrong_parameter
    config = replace(subject.config, parameters={**subject.parameters, name: nonsense})
    with pytest.raises(InvalidConfig) as refused:
        subject.backend().open(config, context(tmp_path))
    (fault,) = refused.value.faults
    assert fault.where == f'subject/config.pbtxt: parameters["{name}"]'
    assert nonsense in fault.what


def test_parameters_of_others_are_left_alone(subject: Subject, tmp_path: Path) -> None:
    subject.write(tmp_path)
    others = {"max_batch_tokens": "256", "someone's own": "yes"}
    config = replace(subject.config, parameters={**subject.parameters, **others})
    artifact = subject.backend().open(config, context(tmp_path))
    instance = artifact.instance(completed(config, artifact.signature))
    assert isinstance(execute(instance, subject.request(3, 1))[0], Answer)
