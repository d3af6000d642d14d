"""trivet.v1.TextService over pipelines that know nothing but their text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, Served, echo_model, run_server
from trivet.config import ModelConfig, Step, TensorSpec
from trivet.errors import InvalidInput, QueueFull
from trivet.request import InferRequest, InferResponse, Stages
from trivet_protos.generated import text_pb2 as pb
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

Status = grpc.StatusCode
WIDTH = 4
TEXT = TensorSpec(name="TEXT", datatype="BYTES", dims=(1,))
TOKENIZING = Stages(
    queue_ns=1_000, compute_input_ns=2_000, compute_infer_ns=3_000, compute_output_ns=4_000
)
COMPUTING = Stages(
    queue_ns=10_000, compute_input_ns=20_000, compute_infer_ns=30_000, compute_output_ns=40_000
)


def pipeline(name: str, *outputs: TensorSpec) -> ModelConfig:
    steps = [
        Step(model=member, version=None, input_map={}, output_map={})
        for member in ("tokens", "encoder")
    ]
    return ModelConfig(
        name=name,
        platform="ensemble",
        max_batch_size=8,
        inputs=(TEXT,),
        outputs=outputs,
        steps=tuple(steps),
    )


EMBED = pipeline("embed", TensorSpec(name="EMBEDDING", datatype="FP32", dims=(WIDTH,)))
FILL_MASK = pipeline(
    "fill_mask",
    TensorSpec(name="TOKEN", datatype="BYTES", dims=(-1, -1)),
    TensorSpec(name="TOKEN_ID", datatype="INT64", dims=(-1, -1)),
    TensorSpec(name="PROBABILITY", datatype="FP32", dims=(-1, -1)),
    TensorSpec(name="MASK_POSITION", datatype="INT64", dims=(-1,)),
)


def text_of(request: InferRequest) -> str:
    (element,) = request.inputs["TEXT"].ravel().tolist()
    return str(element.decode())


def vector_of(text: str) -> np.ndarray:
    return np.array([[len(text), *text.encode()[-3:].ljust(3)]], np.float32)


def answered(request: InferRequest, **outputs: np.ndarray) -> InferResponse:
    text = text_of(request)
    return InferResponse(
        model=request.model,
        version=1,
        outputs=outputs,
        parameters={"tokens": len(text.split()) + 2, "truncated": "truncate" in text},
        stages=Stages(queue_ns=11_000),
        steps={"tokens": TOKENIZING, "encoder": COMPUTING},
    )


async def embed(request: InferRequest) -> InferResponse:
    if "poison" in text_of(request):
        raise InvalidInput("this text is poison; send another")
    return answered(request, EMBEDDING=vector_of(text_of(request)))


async def fill_mask(request: InferRequest) -> InferResponse:
    top_k = int(request.parameters["top_k"])
    if top_k > 100:
        raise InvalidInput(f"top_k must be 1 to 100, got {top_k}; ask for fewer")
    words = text_of(request).split()
    positions = [place + 1 for place, word in enumerate(words) if word == "[MASK]"]
    shape = (1, len(positions), top_k)
    ids = np.arange(len(positions) * top_k).reshape(shape)
    tokens = np.array([f"é{n}".encode() for n in range(ids.size)], object).reshape(shape)
    return answered(
        request,
        TOKEN=tokens,
        TOKEN_ID=ids,
        PROBABILITY=(1 / (1 + ids)).astype(np.float32),
        MASK_POSITION=np.array([positions], np.int64).reshape(1, -1),
    )


def models() -> list[ScriptedModel]:
    return [
        ScriptedModel(EMBED, embed, version=3),
        ScriptedModel(FILL_MASK, fill_mask),
        echo_model("tokens", backend="tokenizers"),
        echo_model("encoder", backend="onnxruntime"),
    ]


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with run_server(*models()) as served:
        yield served


@pytest.fixture
def stub(server: Served) -> TextServiceAsyncStub:
    return TextServiceAsyncStub(server.channel)


async def test_embed_answers_every_text_with_its_own_vector(stub: TextServiceAsyncStub) -> None:
    texts = ["a", "two words", "ünicode"]
    answer = await stub.Embed(pb.EmbedRequest(texts=texts))
    assert (answer.model_name, answer.model_version) == ("embed", 3)
    assert [list(result.embedding) for result in answer.results] == [
        vector_of(text)[0].tolist() for text in texts
    ]


async def test_each_answer_tells_what_it_cost(stub: TextServiceAsyncStub) -> None:
    answer = await stub.Embed(pb.EmbedRequest(texts=["one", "please truncate this"]))
    assert [result.cost for result in answer.results] == [
        pb.Cost(tokens=3, truncated=False, queue_us=11, tokenize_us=9, compute_us=90, windows=1),
        pb.Cost(tokens=5, truncated=True, queue_us=11, tokenize_us=9, compute_us=90, windows=1),
    ]


async def test_a_model_without_steps_counts_as_computing() -> None:
    config = ModelConfig(
        name="embed", backend="fake", max_batch_size=8, inputs=EMBED.inputs, outputs=EMBED.outputs
    )

    async def plain(request: InferRequest) -> InferResponse:
        vector = vector_of(text_of(request))
        return InferResponse(
            model="embed", version=1, outputs={"EMBEDDING": vector}, stages=COMPUTING
        )

    async with run_server(ScriptedModel(config, plain)) as served:
        answer = await TextServiceAsyncStub(served.channel).Embed(pb.EmbedRequest(texts=["x"]))
    assert answer.results[0].cost == pb.Cost(queue_us=10, compute_us=90, windows=1)


async def test_fill_mask_answers_candidates_per_mask(stub: TextServiceAsyncStub) -> None:
    request = pb.FillMaskRequest(texts=["a [MASK] b [MASK]", "[MASK]", "none"], top_k=2)
    answer = await stub.FillMask(request)
    assert (answer.model_name, answer.model_version) == ("fill_mask", 1)
    two, one, none = answer.results
    assert [mask.position for mask in two.masks] == [2, 4]
    assert [mask.position for mask in one.masks] == [1]
    assert list(none.masks) == []
    assert two.masks[1].candidates == [
        pb.Candidate(token="é2", token_id=2, probability=float(np.float32(1 / 3))),
        pb.Candidate(token="é3", token_id=3, probability=0.25),
    ]
    assert two.cost.tokens == 6


async def test_top_k_is_five_where_none_is_asked(stub: TextServiceAsyncStub) -> None:
    answer = await stub.FillMask(pb.FillMaskRequest(texts=["[MASK]"]))
    assert len(answer.results[0].masks[0].candidates) == 5


@pytest.mark.parametrize("truncate", [True, False])
async def test_parameters_reach_the_pipeline(truncate: bool) -> None:
    seen: list[InferRequest] = []

    async def remember(request: InferRequest) -> InferResponse:
        seen.append(request)
        return await embed(request)

    async with run_server(ScriptedModel(EMBED, remember), *models()[2:]) as served:
        stub = TextServiceAsyncStub(served.channel)
        await stub.Embed(pb.EmbedRequest(texts=["x"], truncate=truncate))
    assert seen[0].parameters == {"truncate": truncate}
    assert seen[0].inputs["TEXT"].shape == (1, 1)


async def test_a_thousand_texts_are_asked_together_and_each_gets_its_own_answer() -> None:
    together = asyncio.Barrier(1000)

    async def meet(request: InferRequest) -> InferResponse:
        await together.wait()  # passes only if all thousand are in flight at once
        return await embed(request)

    texts = [f"text number {number:04}" for number in range(1000)]
    async with run_server(ScriptedModel(EMBED, meet), *models()[2:]) as served:
        answer = await TextServiceAsyncStub(served.channel).Embed(pb.EmbedRequest(texts=texts))
    assert [list(result.embedding) for result in answer.results] == [
        vector_of(text)[0].tolist() for text in texts
    ]


async def test_a_call_holds_at_most_1024_texts_in_flight() -> None:
    in_flight, most = 0, 0

    async def count(request: InferRequest) -> InferResponse:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1
        return await embed(request)

    async with run_server(ScriptedModel(EMBED, count), *models()[2:]) as served:
        request = pb.EmbedRequest(texts=["t"] * 5000)
        answer = await TextServiceAsyncStub(served.channel).Embed(request)
    assert len(answer.results) == 5000
    assert most == 1024


async def test_a_text_that_fails_is_named_and_fails_the_call(stub: TextServiceAsyncStub) -> None:
    texts = ["a", "b", "c", "poison", "e", "poison"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Embed(pb.EmbedRequest(texts=texts))
    assert refused.value.code() == Status.INVALID_ARGUMENT
    assert refused.value.details() == "texts[3]: this text is poison; send another"


async def test_the_first_failure_cancels_the_other_texts() -> None:
    cancelled: list[str] = []

    async def wait_for_the_end(request: InferRequest) -> InferResponse:
        if "full" in text_of(request):
            raise QueueFull("encoder", 2)
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.append(text_of(request))
            raise

    async with run_server(ScriptedModel(EMBED, wait_for_the_end), *models()[2:]) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            request = pb.EmbedRequest(texts=["a", "b", "full", "c"])
            await TextServiceAsyncStub(served.channel).Embed(request)
    assert refused.value.code() == Status.UNAVAILABLE
    assert (refused.value.details() or "").startswith("texts[2]: model 'encoder': exceeds maximum")
    assert sorted(cancelled) == ["a", "b", "c"]


async def test_a_client_that_leaves_cancels_its_texts(quiet: Callable[[], None]) -> None:
    asked: asyncio.Queue[str] = asyncio.Queue()
    cancelled: asyncio.Queue[str] = asyncio.Queue()

    async def wait_for_the_end(request: InferRequest) -> InferResponse:
        asked.put_nowait(text_of(request))
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.put_nowait(text_of(request))
            raise

    async with run_server(ScriptedModel(EMBED, wait_for_the_end), *models()[2:]) as served:
        call = TextServiceAsyncStub(served.channel).Embed(pb.EmbedRequest(texts=["a", "b", "c"]))
        assert {await asked.get() for _ in range(3)} == {"a", "b", "c"}
        call.cancel()
        assert {await cancelled.get() for _ in range(3)} == {"a", "b", "c"}
    quiet()


async def test_a_bug_in_one_text_is_internal_and_withheld() -> None:
    async def fail(request: InferRequest) -> InferResponse:
        raise RuntimeError("/secret")

    async with run_server(ScriptedModel(EMBED, fail), *models()[2:]) as served:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await TextServiceAsyncStub(served.channel).Embed(pb.EmbedRequest(texts=["a", "b"]))
    assert refused.value.code() == Status.INTERNAL
    assert refused.value.details() == (
        "texts[0]: model 'embed': internal error; the server's log has the details"
    )


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (pb.EmbedRequest(), Status.INVALID_ARGUMENT, "texts is empty; send at least one"),
        (pb.EmbedRequest(model="nobody", texts=["a"]), Status.NOT_FOUND, "'nobody' is not found"),
        (pb.EmbedRequest(version=9, texts=["a"]), Status.NOT_FOUND, "version 9 is not found"),
        (pb.EmbedRequest(version=-1, texts=["a"]), Status.INVALID_ARGUMENT, "positive integer"),
        (
            pb.EmbedRequest(model="fill_mask", texts=["a"]),
            Status.INVALID_ARGUMENT,
            "'fill_mask' cannot do Embed: it lacks an output EMBEDDING of 1 dimension; name",
        ),
        (
            pb.EmbedRequest(model="encoder", texts=["a"]),
            Status.INVALID_ARGUMENT,
            "'encoder' cannot do Embed: it lacks an input TEXT, an output EMBEDDING",
        ),
        (
            pb.FillMaskRequest(model="embed", texts=["a"]),
            Status.INVALID_ARGUMENT,
            "lacks an output MASK_POSITION of 1 dimension, an output TOKEN of 2 dimensions,",
        ),
        (pb.FillMaskRequest(), Status.INVALID_ARGUMENT, "FillMask: texts is empty"),
        (
            pb.FillMaskRequest(texts=["[MASK]"], top_k=101),
            Status.INVALID_ARGUMENT,
            "texts[0]: top_k must be 1 to 100, got 101; ask for fewer",
        ),
    ],
)
async def test_what_cannot_be_served_is_told(
    stub: TextServiceAsyncStub,
    request_: pb.EmbedRequest | pb.FillMaskRequest,
    status: grpc.StatusCode,
    text: str,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        if isinstance(request_, pb.EmbedRequest):
            await stub.Embed(request_)
        else:
            await stub.FillMask(request_)
    assert refused.value.code() == status
    assert text in (refused.value.details() or "")


async def test_text_that_is_no_utf8_is_an_invalid_argument(server: Served) -> None:
    path = "/trivet.v1.TextService/Embed"
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"\x1a\x02\xff\xfe")
    assert refused.value.code() == Status.INVALID_ARGUMENT
    assert "UTF-8" in (refused.value.details() or "")


async def test_a_stream_answers_as_texts_are_ready_with_their_ids() -> None:
    gates = {text: asyncio.Event() for text in ("slow", "fast")}

    async def gated(request: InferRequest) -> InferResponse:
        await gates[text_of(request)].wait()
        return await embed(request)

    async with run_server(ScriptedModel(EMBED, gated), *models()[2:]) as served:
        stream = TextServiceAsyncStub(served.channel).EmbedStream()
        await stream.write(pb.EmbedStreamRequest(id="1", text="slow"))
        await stream.write(pb.EmbedStreamRequest(id="2", text="fast"))
        gates["fast"].set()
        first = await stream.read()
        gates["slow"].set()
        second = await stream.read()
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    assert isinstance(first, pb.EmbedStreamResponse) and isinstance(second, pb.EmbedStreamResponse)
    assert (first.id, second.id) == ("2", "1")
    assert (first.model_name, first.model_version) == ("embed", 1)
    assert list(first.result.embedding) == vector_of("fast")[0].tolist()
    assert list(second.result.embedding) == vector_of("slow")[0].tolist()
    assert first.result.cost.tokens == 3


async def test_a_text_that_fails_leaves_its_stream_open(stub: TextServiceAsyncStub) -> None:
    async def requests() -> AsyncIterator[pb.EmbedStreamRequest]:
        yield pb.EmbedStreamRequest(id="good", text="a")
        yield pb.EmbedStreamRequest(id="bad", text="poison")
        yield pb.EmbedStreamRequest(id="unknown", text="a", model="nobody")
        yield pb.EmbedStreamRequest(id="unfit", text="a", model="encoder")
        yield pb.EmbedStreamRequest(id="last", text="b")

    answers = {answer.id: answer async for answer in stub.EmbedStream(requests())}
    assert answers["good"].WhichOneof("outcome") == "result"
    assert answers["last"].WhichOneof("outcome") == "result"
    assert answers["bad"].error == pb.Error(code=3, message="this text is poison; send another")
    assert answers["bad"].model_version == 3
    assert answers["unknown"].error.code == 5
    assert (answers["unknown"].model_name, answers["unknown"].model_version) == ("nobody", 0)
    assert answers["unfit"].error.code == 3
    assert "cannot do Embed" in answers["unfit"].error.message


async def test_fill_mask_streams_too(server: Served, stub: TextServiceAsyncStub) -> None:
    async def requests() -> AsyncIterator[pb.FillMaskStreamRequest]:
        yield pb.FillMaskStreamRequest(id="1", text="a [MASK]", top_k=3)
        yield pb.FillMaskStreamRequest(id="2", text="no mask")
        yield pb.FillMaskStreamRequest(id="3", text="[MASK]", top_k=1000)

    answers = {answer.id: answer async for answer in stub.FillMaskStream(requests())}
    assert len(answers["1"].result.masks[0].candidates) == 3
    assert answers["2"].WhichOneof("outcome") == "result"
    assert answers["3"].error.message == "top_k must be 1 to 100, got 1000; ask for fewer"


@pytest.mark.parametrize("method", ["EmbedStream", "FillMaskStream"])
async def test_bytes_that_are_no_message_leave_the_stream_open(server: Served, method: str) -> None:
    path = f"/trivet.v1.TextService/{method}"
    call: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = server.channel.stream_stream(path)
    stream = call()
    await stream.write(b"\xff\xff")
    answer = pb.EmbedStreamResponse.FromString(await stream.read())  # type: ignore[arg-type]
    assert answer.error.code == 3
    await stream.done_writing()
    assert await stream.code() == Status.OK
