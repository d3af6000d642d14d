"""Whatever comes in: the right status, a text that names place and cure, and a server that goes on.

Hostile bytes are sent through the raw stubs, the rest through the clients people use.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from tests.harness.artifacts import write_graph
from tests.harness.command import trivet
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from tests.harness.texts import text_of
from trivet.transport.options import Transport
from trivet_client import AsyncClient, Client, Failure, FilledText, InferRequest
from trivet_client.errors import InvalidArgument, NotFound, ResourceExhausted
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceStub

Status = grpc.StatusCode
Change = Callable[[pb.ModelInferRequest], object]

pytestmark = pytest.mark.usefixtures("bystander")

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
POSITIONS = 512  # of both example models
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def stub(demo_server: ServerProcess) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(demo_server.address) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def client(demo_server: ServerProcess) -> Iterator[Client]:
    with Client(demo_server.address) as made:
        yield made


# Tensors.


def request(tokens: int = 3) -> pb.ModelInferRequest:
    """A good request for `minilm`: one row."""
    message = pb.ModelInferRequest(model_name="minilm", id="r-1")
    for name in TOKENS:
        message.inputs.add(name=name, datatype="INT64", shape=[1, tokens])
        message.raw_input_contents.append(np.ones(tokens, np.int64).tobytes())
    return message


def first(datatype: str, shape: list[int], content: bytes) -> Change:
    """Send the first input as something else."""

    def change(message: pb.ModelInferRequest) -> None:
        message.inputs[0].datatype = datatype
        message.inputs[0].shape[:] = shape
        message.raw_input_contents[0] = content

    return change


def drop_first(message: pb.ModelInferRequest) -> None:
    del message.inputs[0], message.raw_input_contents[0]


def drop_all(message: pb.ModelInferRequest) -> None:
    del message.inputs[:], message.raw_input_contents[:]


def repeat_first(message: pb.ModelInferRequest) -> None:
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(message.raw_input_contents[0])


def rows(message: pb.ModelInferRequest, count: int) -> None:
    for place in range(len(TOKENS)):
        message.inputs[place].shape[:] = [count, 1]
        message.raw_input_contents[place] = np.ones(count, np.int64).tobytes()


def text(*shape: int, raw: bytes) -> Change:
    """Make it a request for `embed` whose BYTES are what they are."""

    def change(message: pb.ModelInferRequest) -> None:
        message.model_name = "embed"
        del message.inputs[:], message.raw_input_contents[:]
        message.inputs.add(name="TEXT", datatype="BYTES", shape=shape)
        message.raw_input_contents.append(raw)

    return change


def element(content: bytes, claims: int | None = None) -> bytes:
    """One BYTES element; claims: the length it says it has."""
    return struct.pack("<I", len(content) if claims is None else claims) + content


INVALID: dict[str, tuple[Change, list[str]]] = {
    "wrong dtype": (
        first("INT32", [1, 3], b"\0" * 12),
        ["input 'input_ids' has data-type 'INT32', expected 'INT64'", "convert it"],
    ),
    "unknown dtype": (first("INT65", [1, 3], b"\0" * 24), ["'input_ids'", "'INT65' is unknown"]),
    "wrong rank": (
        first("INT64", [3], b"\0" * 24),
        ["shape for input 'input_ids'", "expected [-1, -1]", "got [3]"],
    ),
    "inputs of different lengths": (
        first("INT64", [1, 2], b"\0" * 16),
        ["disagree", "'input_ids' has 2", "'attention_mask' has 3", "send the same size"],
    ),
    "inputs of different rows": (
        first("INT64", [2, 3], b"\0" * 48),
        ["disagree on the batch size", "'input_ids' has 2", "the same number of rows"],
    ),
    "too many rows": (lambda m: rows(m, 65), ["batch size must be 1 to 64", "got 65", "split"]),
    "no rows": (lambda m: rows(m, 0), ["batch size must be 1 to 64", "got 0"]),
    "too few bytes": (
        first("INT64", [1, 3], b"\0" * 23),
        ["'input_ids'", "takes 24 bytes, but 23 came", "send 8 for each element"],
    ),
    "too many bytes": (
        first("INT64", [1, 3], b"\0" * 4096),
        ["'input_ids'", "takes 24 bytes, but 4096 came"],
    ),
    "wrong name": (
        lambda m: setattr(m.inputs[0], "name", "ids"),
        ["input 'input_ids' is missing", "unexpected inference input 'ids'"],
    ),
    "missing input": (drop_first, ["input 'input_ids' is missing", "expected 3 inputs"]),
    "no input": (
        drop_all,
        ["input 'input_ids' is missing"],
    ),
    "duplicate input": (repeat_first, ["input 'input_ids' came twice", "send each input once"]),
    "unknown output": (
        lambda m: m.outputs.add(name="logits"),
        ["unexpected inference output 'logits'", "it has 'embedding'"],
    ),
    "both raw and typed contents": (
        lambda m: m.inputs[1].contents.int64_contents.extend([1, 1, 1]),
        ["input 'attention_mask'", "typed contents beside raw_input_contents", "one way"],
    ),
    "negative dimension": (
        first("INT64", [-1, -3], b"\0" * 24),
        ["'input_ids'", "dimension 0 of shape [-1, -3] is negative", "the size it really has"],
    ),
    "dimensions whose product overflows": (
        first("INT64", [2**62, 2**62], b""),
        ["'input_ids'", "larger than any memory", "its real size"],
    ),
    "dimensions whose product overflows to nothing": (
        first("INT64", [2**32, 2**32], b""),
        ["'input_ids'", "larger than any memory"],
    ),
    "dimensions whose product is just too much": (
        first("INT64", [1, 2**59], b"\0" * 8),
        ["'input_ids'", "but 8 came"],
    ),
    "BYTES that claim more than came": (
        text(1, 1, raw=element(b"abc", claims=100)),
        ["input 'TEXT'", "element 0 of BYTES claims 100 bytes, but 3 are left", "real length"],
    ),
    "BYTES that claim 4 GiB": (
        text(1, 1, raw=element(b"abc", claims=2**32 - 1)),
        ["input 'TEXT'", "claims 4294967295 bytes, but 3 are left"],
    ),
    "BYTES that claim less than came": (
        text(1, 1, raw=element(b"abc", claims=1)),
        ["input 'TEXT'", "2 bytes left"],
    ),
    "BYTES that end early": (
        text(2, 1, raw=element(b"abc")),
        ["input 'TEXT'", "2 elements", "send"],
    ),
    "version in words": (
        lambda m: setattr(m, "model_version", "newest"),
        ["version 'newest' is no positive integer", "no alias of the model"],
    ),
    "text that is not UTF-8": (
        text(1, 1, raw=element(b"caf\xe9 au lait")),
        ["the text is not UTF-8", "byte 3 is 0xe9", "send UTF-8"],
    ),
    "the second text that is not UTF-8": (
        text(2, 1, raw=element(b"fine") + element(b"\xff")),
        ["row 1: the text is not UTF-8"],
    ),
    "empty text": (text(1, 1, raw=element(b"")), ["the text is empty", "send at least one word"]),
    "blank text": (
        text(1, 1, raw=element(b" \t\n")),
        ["nothing but white space", "send at least one word"],
    ),
}


@pytest.mark.parametrize("case", INVALID, ids=list(INVALID))
def test_a_wrong_tensor_is_an_invalid_argument_with_place_and_cure(
    stub: GRPCInferenceServiceStub, case: str
) -> None:
    change, fragments = INVALID[case]
    message = request()
    change(message)
    with pytest.raises(grpc.RpcError) as refused:
        stub.ModelInfer(message, timeout=30)
    assert refused.value.code() is Status.INVALID_ARGUMENT
    told = refused.value.details() or ""
    assert told.startswith("[request id: r-1] model '")
    for fragment in fragments:
        assert fragment in told
    assert stub.ModelInfer(request(), timeout=30).outputs[0].shape == [1, 384]


@pytest.mark.parametrize("case", INVALID, ids=list(INVALID))
def test_on_a_stream_it_is_answered_in_band_and_the_stream_goes_on(
    stub: GRPCInferenceServiceStub, case: str
) -> None:
    change, fragments = INVALID[case]
    wrong, good = request(), request()
    change(wrong)
    good.id = "r-2"
    answers = list(stub.ModelStreamInfer(iter([wrong, good]), timeout=30))
    assert [answer.infer_response.id for answer in answers] == ["r-1", "r-2"]
    for fragment in fragments:
        assert fragment in answers[0].error_message
    assert answers[1].error_message == ""
    assert answers[1].infer_response.outputs[0].shape == [1, 384]


# What the unmodified peer client makes of it.


def triton_inputs(**changed: triton.InferInput) -> list[triton.InferInput]:
    made = {}
    for name in TOKENS:
        made[name] = triton.InferInput(name, [1, 3], "INT64")
        made[name].set_data_from_numpy(np.ones((1, 3), np.int64))
    return list({**made, **changed}.values())


def triton_input(name: str, array: np.ndarray, datatype: str) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


ids = triton_inputs()[0]
TRITON: dict[str, tuple[dict[str, object], Status, list[str]]] = {
    "unknown model": (
        {"model_name": "bert", "inputs": triton_inputs()},
        Status.NOT_FOUND,
        ["Request for unknown model: 'bert' is not found", "trivet ls"],
    ),
    "unknown version": (
        {"model_name": "minilm", "model_version": "999", "inputs": triton_inputs()},
        Status.NOT_FOUND,
        ["Request for unknown model: 'minilm' version 999 is not found", "versions known: "],
    ),
    "wrong dtype": (
        {
            "model_name": "minilm",
            "inputs": triton_inputs(
                input_ids=triton_input("input_ids", np.ones((1, 3), np.float32), "FP32")
            ),
        },
        Status.INVALID_ARGUMENT,
        ["input 'input_ids' has data-type 'FP32', expected 'INT64'"],
    ),
    "missing input": (
        {"model_name": "minilm", "inputs": triton_inputs()[1:]},
        Status.INVALID_ARGUMENT,
        ["input 'input_ids' is missing; expected 3 inputs"],
    ),
    "duplicate input": (
        {"model_name": "minilm", "inputs": [*triton_inputs(), ids]},
        Status.INVALID_ARGUMENT,
        ["input 'input_ids' came twice"],
    ),
    "unknown output": (
        {
            "model_name": "minilm",
            "inputs": triton_inputs(),
            "outputs": [triton.InferRequestedOutput("logits")],
        },
        Status.INVALID_ARGUMENT,
        ["unexpected inference output 'logits'"],
    ),
    "text that is not UTF-8": (
        {
            "model_name": "embed",
            "inputs": [triton_input("TEXT", np.array([[b"\xff"]], object), "BYTES")],
        },
        Status.INVALID_ARGUMENT,
        ["the text is not UTF-8: byte 0 is 0xff"],
    ),
}


@pytest.mark.parametrize("case", TRITON, ids=list(TRITON))
def test_tritonclient_is_told_the_same(demo_server: ServerProcess, case: str) -> None:
    arguments, status, fragments = TRITON[case]
    with triton.InferenceServerClient(demo_server.address) as peer:
        with pytest.raises(InferenceServerException) as refused:
            peer.infer(**arguments, client_timeout=30)
        assert refused.value.status() == str(status)
        for fragment in fragments:
            assert fragment in refused.value.message()
        assert peer.infer("minilm", triton_inputs()).as_numpy("embedding").shape == (1, 384)


# Bytes that are no message.


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("inference.GRPCInferenceService/ModelInfer", b"\xff\xff\xff"),
        ("inference.GRPCInferenceService/ModelInfer", b"\x0a\x02\xff\xfe"),  # a name not UTF-8
        ("trivet.v1.TextService/Embed", b"not a message at all"),
        ("trivet.v1.TextService/Embed", b"\x1a\x02\xff\xfe"),  # a text not UTF-8
        ("trivet.v1.TextService/FillMask", b"\x1a\x02\xff\xfe"),
    ],
)
def test_bytes_that_are_no_message_are_refused(
    demo_server: ServerProcess, method: str, message: bytes
) -> None:
    with (
        grpc.insecure_channel(demo_server.address) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{method}")
        call(message, timeout=30)
    assert refused.value.code() is Status.INVALID_ARGUMENT
    told = refused.value.details() or ""
    assert f"the {len(message)} bytes received are no" in told
    assert ".proto" in told


def test_a_message_over_the_size_limit_is_refused(client: Client, bystander: Client) -> None:
    with pytest.raises(ResourceExhausted, match=r"larger than max \(\d+ vs\. 67108864\)"):
        client.embed("x" * (64 * MEBIBYTE + 1))
    with pytest.raises(ResourceExhausted, match=r"larger than max"):
        client.infer("minilm", {name: np.ones((1, 3 * MEBIBYTE), np.int64) for name in TOKENS})
    assert len(client.embed("the same connection still works").vector) == 384


# Texts.


def test_a_text_of_a_megabyte_is_refused_saying_how_long_it_was(client: Client) -> None:
    for words in ("word " * (MEBIBYTE // 5), "x" * MEBIBYTE, "é" * (MEBIBYTE // 2)):
        for ask in (client.embed, client.fill_mask):
            with pytest.raises(InvalidArgument) as refused:
                ask(words)
            assert f"has {len(words.encode())} bytes" in str(refused.value)
            assert "truncate=true" in str(refused.value)
            assert len(str(refused.value)) < 500


def test_a_text_of_a_megabyte_is_answered_when_it_may_be_cut(client: Client) -> None:
    embedding = client.embed("word " * (MEBIBYTE // 5), truncate=True)
    assert (embedding.cost.tokens, embedding.cost.truncated) == (POSITIONS, True)
    np.testing.assert_allclose(
        embedding.vector, client.embed("word " * (POSITIONS - 2)).vector, atol=1e-5
    )
    filled = client.fill_mask("the [MASK] " + "word " * (MEBIBYTE // 5), truncate=True)
    assert len(filled.masks) == 1
    assert filled.cost.truncated


@pytest.mark.parametrize("tokens", [POSITIONS + 1, 2000])
def test_a_text_longer_than_the_model_is_refused_saying_how_long_it_was(
    client: Client, tokens: int
) -> None:
    for ask in (client.embed, client.fill_mask):
        with pytest.raises(InvalidArgument) as refused:
            ask(f"[MASK] {text_of(tokens - 1)}")
        assert f"the text has {tokens} tokens and the model takes at most 512" in str(refused.value)
        assert "truncate=true" in str(refused.value)


def test_a_text_longer_than_the_model_is_cut_when_asked_and_says_so(client: Client) -> None:
    whole = text_of(POSITIONS)
    longer = f"{whole} and then some more"
    cut = client.embed(longer, truncate=True)
    assert (cut.cost.tokens, cut.cost.truncated) == (POSITIONS, True)
    exact = client.embed(whole)
    assert (exact.cost.tokens, exact.cost.truncated) == (POSITIONS, False)
    np.testing.assert_allclose(cut.vector, exact.vector, atol=1e-5)
    result = client.infer("embed", {"TEXT": np.array([[longer]])}, parameters={"truncate": True})
    assert result.parameters["truncated"] is True
    np.testing.assert_allclose(result.outputs["EMBEDDING"][0], exact.vector, atol=1e-5)


@pytest.mark.parametrize("blank", ["", "   ", "\n\t"])
def test_an_empty_text_is_refused(client: Client, blank: str) -> None:
    for ask in (client.embed, client.fill_mask):
        with pytest.raises(
            InvalidArgument, match=r"the text (is empty|has nothing but white space)"
        ):
            ask(blank)


def test_one_wrong_text_of_several_is_named_by_its_index(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"texts\[2\]: .*the text is empty"):
        client.embed(["one", "two", "", "four"])
    with pytest.raises(InvalidArgument, match=r"texts\[1\]: .*no mask token; write \[MASK\]"):
        client.fill_mask(["a [MASK].", "none here."])
    with pytest.raises(InvalidArgument, match=r"texts is empty; send at least one text"):
        client.embed([])


def test_a_wrong_text_of_a_stream_fails_alone(client: Client, known_vector: np.ndarray) -> None:
    texts = ["first [MASK].", "", "no mask", text_of(600), "last [MASK]."]
    filled = dict(client.fill_mask_stream(texts))
    assert sorted(filled) == [0, 1, 2, 3, 4]
    for index in (0, 4):
        assert isinstance(filled[index], FilledText)
    for index, fragment in ((1, "is empty"), (2, "no mask token"), (3, "has 600 tokens")):
        failure = filled[index]
        assert isinstance(failure, Failure)
        assert failure.code is Status.INVALID_ARGUMENT
        assert fragment in failure.message


def test_a_text_without_a_mask_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"no mask token; write \[MASK\] where"):
        client.fill_mask("nothing to fill in here")
    with pytest.raises(InvalidArgument, match=r"no mask token"):
        client.infer("fill_mask", {"TEXT": np.array([["nothing to fill in here"]])})
    with pytest.raises(InvalidArgument, match=r"no \[MASK\] in its first 512 tokens"):
        client.fill_mask(f"{text_of(600)} [MASK]", truncate=True)


def test_five_hundred_masks_get_five_hundred_answers(client: Client) -> None:
    filled = client.fill_mask("[MASK] " * 500, top_k=3)
    assert [mask.position for mask in filled.masks] == list(range(1, 501))
    for mask in filled.masks:
        likelihoods = [candidate.probability for candidate in mask.candidates]
        assert len(likelihoods) == 3
        assert likelihoods == sorted(likelihoods, reverse=True)
        assert 0 < sum(likelihoods) <= 1
    with pytest.raises(InvalidArgument, match="the text has 602 tokens"):
        client.fill_mask("[MASK] " * 600)


@pytest.mark.parametrize("top_k", [101, 2**31])
def test_more_candidates_than_there_are_are_refused(client: Client, top_k: int) -> None:
    with pytest.raises(InvalidArgument, match=f"'top_k' is {top_k}; .* from 1 to 100"):
        client.fill_mask("a [MASK].", top_k=top_k)


def test_a_model_that_cannot_do_a_task_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="model 'fill_mask' cannot do Embed"):
        client.embed("a", model="fill_mask")
    with pytest.raises(NotFound, match="Request for unknown model: 'nobody'"):
        client.embed("a", model="nobody")


# Numbers that are none.


@pytest.fixture(scope="module")
def scaling(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[ServerProcess]:
    """Models over FP32 whose requests wait for one another: "double" (ONNX) and "echo" (fake)."""
    repository = tmp_path_factory.mktemp("numbers")
    together = "dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: 9 }"
    config = f"""
        max_batch_size: 9
        {together}
        parameters {{ key: "max_batch_tokens" value {{ string_value: "1000" }} }}
    """
    graph = add_model(repository, "double", config) / "1" / "model.onnx"
    shape = ["batch", "tokens"]
    write_graph(
        graph,
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    add_model(repository, "echo", fake_config(max_batch_size=9, batching=together))
    with serving(repository, f"--transport={transport}") as server:
        yield server


@pytest.mark.parametrize(("model", "given", "made"), [("double", "x", "y"), ("echo", "IN", "OUT")])
async def test_nan_passes_through_and_stays_with_its_sender(
    scaling: ServerProcess, model: str, given: str, made: str
) -> None:
    odd = {2: np.nan, 5: np.inf, 7: -np.inf}
    factor = 2 if model == "double" else 1
    arrays = [np.full((1, 4), odd.get(number, number), np.float32) for number in range(9)]
    async with AsyncClient(scaling.address) as client:
        requests = [InferRequest(model=model, inputs={given: array}) for array in arrays]
        answers = {
            index: answer async for index, answer in client.infer_stream(iter_async(requests))
        }
        (statistics,) = await client.statistics(model)
    for number, array in enumerate(arrays):
        answer = answers[number]
        assert not isinstance(answer, Failure)
        np.testing.assert_array_equal(answer.outputs[made], array * factor)
    assert max(batch.batch_size for batch in statistics.batches) == 9, "they never met"


async def iter_async(requests: list[InferRequest]) -> AsyncIterator[InferRequest]:
    for item in requests:
        yield item


def test_a_number_the_engine_cannot_use_fails_its_request_alone(client: Client) -> None:
    tokens = {name: np.ones((1, 4), np.int64) for name in TOKENS}
    right = client.infer("minilm", tokens).outputs["embedding"]
    beyond = {**tokens, "input_ids": np.full((1, 4), 10**9)}
    requests = [
        InferRequest(model="minilm", inputs=beyond if n % 4 == 2 else tokens) for n in range(16)
    ]
    for index, answer in client.infer_stream(requests):
        if index % 4 == 2:
            assert isinstance(answer, Failure)
            assert "model 'minilm'" in answer.message
            assert "/" not in answer.message.replace("embeddings/word", "")  # no path of the server
        else:
            assert not isinstance(answer, Failure)
            np.testing.assert_allclose(answer.outputs["embedding"], right, atol=1e-5)


# Files and ports.

FIVE_FAULTS = """
    name: "another"
    backend: "fake"
    max_batch_size: -2
    input { name: "IN" data_type: TYPE_FP32 dims: [ 0 ] }
    output { name: "OUT" dims: [ -1 ] }
    instance_group { count: -1 }
"""
FAULTS = [
    "faulty/config.pbtxt: name: is 'another', but the folder is 'faulty'; make them equal",
    "faulty/config.pbtxt: max_batch_size: is -2, must be 0 or more; 0 means",
    "faulty/config.pbtxt: input[0].dims: a dimension cannot be 0; write its size",
    "faulty/config.pbtxt: output[0].data_type: is missing; write one",
    "faulty/config.pbtxt: instance_group[0].count: is -1, must be 1 or more; correct it",
]


def test_a_config_with_five_faults_is_told_all_five_by_check_and_by_serve(tmp_path: Path) -> None:
    add_model(tmp_path, "faulty", FIVE_FAULTS)
    add_model(tmp_path, "good")
    checked = trivet("check", tmp_path)
    assert checked.status == 1
    served = trivet("serve", "--model-repository", tmp_path, "--grpc-port", "0")
    assert served.status == 2
    for told in (checked.out.splitlines(), served.errors):
        assert [fault for fault, line in zip(FAULTS, told, strict=False) if fault in line] == FAULTS
    assert len(served.errors) == 5
    assert "Traceback" not in checked.err + served.err
    assert "serving on" not in served.out


@pytest.mark.parametrize("command", ["check", "ls", "serve"])
def test_a_repository_that_does_not_exist_is_one_clear_line(tmp_path: Path, command: str) -> None:
    nowhere = tmp_path / "nowhere"
    flag = ["--model-repository"] if command == "serve" else []
    ended = trivet(command, *flag, nowhere)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.splitlines() == [
        f"trivet: error: {nowhere}: there is no such model repository;"
        " give the folder that holds the models' folders"
    ]


def test_a_port_in_use_is_one_clear_line(demo_server: ServerProcess, tmp_path: Path) -> None:
    port = demo_server.address.rpartition(":")[2]
    ended = trivet("serve", "--model-repository", tmp_path, "--grpc-port", port)
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.splitlines() == [
        f"trivet: error: 127.0.0.1:{port}: address already in use;"
        " stop what uses it, or choose another address or port (port 0 takes a free one)"
    ]
