"""The peer's own client, unmodified, against the real models: sync, asyncio, streams."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.server import ServerProcess
from tests.harness.texts import text_of
from trivet_client import Client

MASKED = "the capital of the [MASK] is a big [MASK]."
TOKENS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture
def peer(demo_server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(demo_server.address) as client:
        yield client


@pytest.fixture
def ours(demo_server: ServerProcess) -> Iterator[Client]:
    with Client(demo_server.address) as client:
        yield client


def tensor(name: str, array: np.ndarray, datatype: str) -> Any:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def texts(*rows: str) -> list[Any]:
    return [tensor("TEXT", np.array([[row.encode()] for row in rows], object), "BYTES")]


def tokens(ours: Client, text: str) -> dict[str, np.ndarray]:
    outputs = ours.infer("minilm_tokenizer", {"TEXT": np.array([[text]])}).outputs
    return {name: outputs[name] for name in TOKENS}


def test_embeddings_are_those_of_our_own_client(
    peer: triton.InferenceServerClient, ours: Client
) -> None:
    rows = [text_of(length) for length in (5, 40, 12)]
    result = peer.infer("embed", texts(*rows), request_id="e-1")
    vectors = result.as_numpy("EMBEDDING")
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(vectors, ours.embed(rows).vectors, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    response = result.get_response()
    assert (response.id, response.model_name) == ("e-1", "embed")
    assert int(response.model_version) >= 1
    assert response.parameters["tokens"].int64_param == 5 + 40 + 12


def test_masks_are_filled_as_for_our_own_client(
    peer: triton.InferenceServerClient, ours: Client
) -> None:
    result = peer.infer("fill_mask", texts(MASKED), parameters={"top_k": 3})
    expected = ours.fill_mask(MASKED, top_k=3)
    assert result.as_numpy("TOKEN").shape == (1, 2, 3)
    for number, mask in enumerate(expected.masks):
        words = [word.decode() for word in result.as_numpy("TOKEN")[0, number]]
        assert words == [candidate.token for candidate in mask.candidates]
        ids = result.as_numpy("TOKEN_ID")[0, number].tolist()
        assert ids == [candidate.token_id for candidate in mask.candidates]
        likelihoods = [candidate.probability for candidate in mask.candidates]
        np.testing.assert_allclose(
            result.as_numpy("PROBABILITY")[0, number], likelihoods, atol=1e-5
        )
        assert result.as_numpy("MASK_POSITION")[0, number] == mask.position


def test_tensors_go_to_a_step_of_the_pipeline(
    peer: triton.InferenceServerClient, ours: Client
) -> None:
    text = text_of(17)
    inputs = [tensor(name, array, "INT64") for name, array in tokens(ours, text).items()]
    only = [triton.InferRequestedOutput("embedding")]
    (version,) = peer.get_model_metadata("minilm").versions
    result = peer.infer("minilm", inputs, model_version=version, outputs=only)
    vector = result.as_numpy("embedding")
    np.testing.assert_allclose(vector[0], ours.embed(text).vector, atol=1e-5)


def test_the_server_describes_itself(peer: triton.InferenceServerClient) -> None:
    assert peer.is_server_live()
    assert peer.is_server_ready()
    assert peer.is_model_ready("embed")
    assert peer.is_model_ready("embed", "1")
    assert not peer.is_model_ready("embed", "2")
    assert not peer.is_model_ready("nobody")
    assert peer.get_server_metadata().name == "triton"
    metadata = peer.get_model_metadata("fill_mask", as_json=True)
    assert metadata["platform"] == "ensemble"
    assert metadata["inputs"] == [
        {"name": "TEXT", "datatype": "BYTES", "shape": ["-1", "1"]},
        {"name": "TARGET", "datatype": "BYTES", "shape": ["-1", "-1"]},
    ]
    assert [spec["name"] for spec in metadata["outputs"]] == [
        "TOKEN",
        "TOKEN_ID",
        "PROBABILITY",
        "MASK_POSITION",
    ]
    config = peer.get_model_config("minilm").config
    assert (config.backend, config.max_batch_size) == ("onnxruntime", 64)
    assert config.parameters["max_batch_tokens"].string_value == "256"
    states = {model.name: model.state for model in peer.get_model_repository_index().models}
    assert {"embed", "fill_mask", "minilm", "minilm_mlm"} <= states.keys()
    assert set(states.values()) == {"READY"}


def test_statistics_count_requests_of_the_pipeline_and_of_its_steps(
    peer: triton.InferenceServerClient,
) -> None:
    def counted(model: str) -> tuple[int, int, int]:
        (told,) = peer.get_inference_statistics(model).model_stats
        success = told.inference_stats.success.count
        return told.inference_count, told.execution_count, success

    models = ("embed", "minilm_tokenizer", "minilm")
    before = {model: counted(model) for model in models}
    peer.infer("embed", texts("one", "two"))
    for model in models:
        gained = np.subtract(counted(model), before[model]).tolist()
        assert gained == [2, 1, 1], model


def test_a_stream_answers_in_order_and_goes_on_after_an_error(
    peer: triton.InferenceServerClient, ours: Client
) -> None:
    lines = [text_of(3 + 7 * number) for number in range(12)]
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    peer.start_stream(lambda result, error: answers.put((result, error)))
    for number, line in enumerate(lines):
        text = "" if number == 4 else line
        peer.async_stream_infer("embed", texts(text), request_id=str(number))
    for number, line in enumerate(lines):
        result, error = answers.get(timeout=30)
        if number == 4:
            assert isinstance(error, InferenceServerException)
            assert "the text is empty" in error.message()
            continue
        assert error is None
        response = result.get_response()
        assert response.id == str(number)
        assert response.parameters["triton_final_response"].bool_param is True
        np.testing.assert_allclose(
            result.as_numpy("EMBEDDING")[0], ours.embed(line).vector, atol=1e-5
        )
    peer.stop_stream()


async def test_asyncio_asks_many_at_once(demo_server: ServerProcess, ours: Client) -> None:
    lines = [text_of(4 + 3 * number) for number in range(20)]
    async with triton_aio.InferenceServerClient(demo_server.address) as peer:
        assert await peer.is_server_ready()
        results = await asyncio.gather(*(peer.infer("embed", texts(line)) for line in lines))
        vectors = np.concatenate([result.as_numpy("EMBEDDING") for result in results])
        np.testing.assert_allclose(vectors, ours.embed(lines).vectors, atol=1e-5)
        with pytest.raises(InferenceServerException) as refused:
            await peer.infer("fill_mask", texts("nothing to fill"))
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "no mask token" in refused.value.message()


async def test_asyncio_streams(demo_server: ServerProcess, ours: Client) -> None:
    lines = [f"{text_of(3 + number)} [MASK]" for number in range(8)]

    async def requests() -> AsyncIterator[dict[str, object]]:
        for number, line in enumerate(lines):
            yield {"model_name": "fill_mask", "inputs": texts(line), "request_id": str(number)}

    async with triton_aio.InferenceServerClient(demo_server.address) as peer:
        answers = [answer async for answer in peer.stream_infer(requests())]
    assert [error for _, error in answers] == [None] * len(lines)
    for (result, _), line in zip(answers, lines, strict=True):
        (mask,) = ours.fill_mask(line).masks
        told = result.as_numpy("PROBABILITY")[0, 0]
        expected = [candidate.probability for candidate in mask.candidates]
        np.testing.assert_allclose(told, expected, atol=1e-5)


def test_a_deadline_of_the_client_is_kept(peer: triton.InferenceServerClient) -> None:
    many = texts(*[text_of(500, seed=number) for number in range(8)])
    with pytest.raises(InferenceServerException) as refused:
        peer.infer("embed", many, client_timeout=0.02)
    assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert peer.infer("embed", texts("one")).as_numpy("EMBEDDING").shape == (1, 384)


@pytest.mark.parametrize(
    "switched_off",
    [
        lambda peer: peer.get_system_shared_memory_status(),
        lambda peer: peer.get_cuda_shared_memory_status(),
    ],
)
def test_what_is_switched_off_says_so_plainly(
    peer: triton.InferenceServerClient, switched_off: Callable[[Any], object]
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        switched_off(peer)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    assert len(refused.value.message()) > 30
    assert peer.is_server_ready()


TOGETHER = """
import sys
import numpy as np
{imports}
address = sys.argv[1]
with Client(address) as ours, triton.InferenceServerClient(address) as peer:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"both in one process"]], object))
    theirs = peer.infer("embed", [tensor]).as_numpy("EMBEDDING")[0]
    np.testing.assert_allclose(theirs, ours.embed("both in one process").vector, atol=1e-5)
    assert ours.model_config("embed").name == peer.get_model_config("embed").config.name
print("both agree")
"""
IMPORTS = ("from trivet_client import Client", "import tritonclient.grpc as triton")


@pytest.mark.parametrize("imports", [IMPORTS, IMPORTS[::-1]], ids=["ours first", "theirs first"])
def test_both_clients_live_in_one_process(
    demo_server: ServerProcess, imports: tuple[str, ...]
) -> None:
    code = TOGETHER.format(imports="\n".join(imports))
    ended = subprocess.run(
        [sys.executable, "-c", code, demo_server.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "both agree\n"), ended.stderr


def test_the_peers_client_needs_nothing_of_ours(demo_server: ServerProcess) -> None:
    """In a process of its own, where nothing of trivet is imported."""
    code = """
import sys
import numpy as np
import tritonclient.grpc as triton
with triton.InferenceServerClient(sys.argv[1]) as peer:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"on its own"]], object))
    print(peer.infer("embed", [tensor]).as_numpy("EMBEDDING").shape)
assert not [name for name in sys.modules if name.startswith("trivet")]
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, demo_server.address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "(1, 384)\n"), ended.stderr
