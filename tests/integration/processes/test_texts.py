"""Texts are tokenized where they arrive: the answers are the same, and the owner does not do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness.processes import children_of, kill
from tests.harness.server import ServerProcess, serving
from tests.harness.text_models import add_embedding
from tests.harness.transports import serving_on
from trivet.transport.options import Transport
from trivet_client import AsyncClient
from trivet_protos.generated import grpc_service_pb2
from trivet_protos.generated import text_pb2 as pb

CONNECTIONS = 8  # in a row that have to find it so, before both processes do
CALLERS = 8
WORDS = ("the", "cat", "sat", "on", "mat", "door")


def embed_request(*texts: str, **fields: Any) -> bytes:
    return pb.EmbedRequest(texts=texts, **fields).SerializeToString()


def raw(text: bytes) -> bytes:
    """An EmbedRequest of a text that may be no UTF-8."""
    length, octets = len(text), bytearray()
    while length > 0x7F:
        octets.append(length & 0x7F | 0x80)
        length >>= 7
    return b"\x1a" + bytes((*octets, length)) + text


def infer_request(*texts: str, model: str = "embed") -> bytes:
    asked = grpc_service_pb2.ModelInferRequest(model_name=model)
    asked.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts), 1])
    elements = [text.encode() for text in texts]
    asked.raw_input_contents.append(
        b"".join(len(each).to_bytes(4, "little") + each for each in elements)
    )
    return asked.SerializeToString()


EMBED, INFER = "/trivet.v1.TextService/Embed", "/inference.GRPCInferenceService/ModelInfer"
CALLS: Sequence[tuple[str, bytes]] = [
    *((EMBED, embed_request(" ".join(WORDS[: count + 1]))) for count in range(len(WORDS))),
    (EMBED, embed_request("é door", version=1)),
    (EMBED, embed_request("the cat " * 100, truncate=True)),
    (EMBED, embed_request("the cat " * 100)),
    (EMBED, embed_request("cat " * 250_000)),
    (EMBED, embed_request("cat " * 250_000, truncate=True)),
    (EMBED, embed_request("cat", "")),
    (EMBED, embed_request("cat", " \t ")),
    (EMBED, embed_request("\0")),
    (EMBED, embed_request("\u202e\U0001f4a1\ufffd")),
    (EMBED, embed_request()),
    (EMBED, embed_request("cat", version=7)),
    (EMBED, embed_request("cat", model="pooling")),
    (EMBED, raw(b"cat \xff")),
    (EMBED, raw(b"cat \xed\xa0\x80")),
    (EMBED, raw(b"cat \xc0\x80")),
    (INFER, infer_request("the cat", "mat")),
    (INFER, infer_request("the cat", "mat", model="words")),
    (INFER, infer_request("the cat", "")),
    (INFER, infer_request(*["mat"] * 65)),
    (INFER, infer_request("the cat", model="pooling")),
]


async def said(channel: grpc.aio.Channel, method: str, message: bytes) -> object:
    """All of an answer but how long it took."""
    try:
        answer = await channel.unary_unary(method)(message, timeout=30)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()
    if method == INFER:
        return grpc_service_pb2.ModelInferResponse.FromString(answer)
    told = pb.EmbedResponse.FromString(answer)
    for result in told.results:
        for field in ("queue_us", "tokenize_us", "compute_us"):
            result.cost.ClearField(field)
    return told


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    add_embedding(tmp_path / "models")
    flags = ("--model-control-mode", "explicit", "--load-model", "*")
    with serving(tmp_path / "models", *flags, log=tmp_path / "log") as started:
        yield started


async def executed(client: AsyncClient) -> tuple[int, int]:
    """Of the tokenizer: executions, and requests answered."""
    (told,) = await client.statistics("words")
    return told.execution_count, told.success.count


async def until_in_front(server: ServerProcess) -> None:
    """Until every process that takes connections tokenizes."""
    found = 0
    async with asyncio.timeout(30), AsyncClient(server.address) as asking:
        while found < CONNECTIONS:
            before, answered = await executed(asking)
            async with AsyncClient(server.address) as client:
                await client.embed("the cat")
            after, answered_then = await executed(asking)
            assert answered_then == answered + 1, "it is counted, wherever it was done"
            found = found + 1 if after == before else 0


async def test_answers_are_those_of_one_process_bit_for_bit(
    server: ServerProcess, tmp_path: Path, transport: Transport
) -> None:
    await until_in_front(server)
    with ExitStack() as stack:
        stack.enter_context(serving_on(transport, processes=1))
        alone = stack.enter_context(serving(tmp_path / "models", log=tmp_path / "alone.log"))
        async with (
            grpc.aio.insecure_channel(server.address) as front,
            grpc.aio.insecure_channel(alone.address) as one,
        ):
            for method, message in CALLS:
                expected = await said(one, method, message)
                assert await said(front, method, message) == expected, message[:80]
    log = (tmp_path / "log").read_text()
    assert "WARNING" not in log
    assert "ERROR" not in log


async def test_streams_are_tokenized_in_front_too(server: ServerProcess) -> None:
    await until_in_front(server)
    texts = [" ".join(np.random.default_rng(n).choice(WORDS, 1 + n % 60)) for n in range(300)]

    async def messages() -> AsyncIterator[bytes]:
        for number, text in enumerate(texts):
            yield pb.EmbedStreamRequest(id=str(number), text=text).SerializeToString()

    async with AsyncClient(server.address) as client:
        before, _ = await executed(client)
        expected = {text: await client.embed(text) for text in texts[:20]}
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = channel.stream_stream("/trivet.v1.TextService/EmbedStream")(messages())
            answers = [pb.EmbedStreamResponse.FromString(answer) async for answer in call]
        assert {int(answer.id) for answer in answers} == set(range(len(texts)))
        for answer in answers:
            assert not answer.HasField("error")
            known = expected.get(texts[int(answer.id)])
            if known is not None:
                np.testing.assert_allclose(answer.result.embedding, known.vector, rtol=1e-6)
        assert (await executed(client))[0] == before


async def test_a_reload_under_load_gives_no_wrong_answer_and_loses_none(
    server: ServerProcess, tmp_path: Path
) -> None:
    await until_in_front(server)
    vocabulary = tmp_path / "models" / "words" / "1" / "tokenizer.json"
    one = vocabulary.read_text()
    other = one.replace('"cat"', '"tmp"').replace('"door"', '"cat"').replace('"tmp"', '"door"')
    assert other != one
    async with AsyncClient(server.address) as client:

        async def vector(text: str) -> tuple[float, ...]:
            return tuple((await client.embed(text)).vector)

        kinds = [await vector("cat"), await vector("door")]
        assert kinds[0] != kinds[1]
        allowed, answers, done = {kinds[0]}, 0, asyncio.Event()

        async def ask_on() -> None:
            nonlocal answers
            async with AsyncClient(server.address) as mine:
                while not done.is_set():
                    at_first = set(allowed)
                    found = tuple((await mine.embed("cat")).vector)
                    assert found in at_first | allowed
                    answers += 1

        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(ask_on())
            async with grpc.aio.insecure_channel(server.address) as channel:
                load = channel.unary_unary("/inference.GRPCInferenceService/RepositoryModelLoad")
                asked = grpc_service_pb2.RepositoryModelLoadRequest(model_name="words")
                for turn in range(6):
                    new = kinds[(turn + 1) % 2]
                    allowed.add(new)
                    vocabulary.write_text(other if turn % 2 == 0 else one)
                    await load(asked.SerializeToString())
                    allowed.intersection_update({new})
                    seen = answers
                    async with asyncio.timeout(30):
                        while answers < seen + 5 * CALLERS:
                            await asyncio.sleep(0.005)
            done.set()
    await until_in_front(server)
    assert "ERROR" not in (tmp_path / "log").read_text()


async def test_a_process_that_takes_the_place_of_another_tokenizes_too(
    server: ServerProcess, tmp_path: Path
) -> None:
    await until_in_front(server)
    for pid in children_of(server.process.pid):
        kill(pid)
    async with asyncio.timeout(30):
        while (tmp_path / "log").read_text().count("frontend_process_replaced") < 2:
            await asyncio.sleep(0.01)
    await until_in_front(server)
