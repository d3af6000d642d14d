"""Promise: a request is never answered with anything but its own data, whatever its company.

Many callers at once, texts of many lengths, good requests among bad ones, by every way in; each
answer is compared with the one that its request gets alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.server import ServerProcess
from tests.harness.texts import mixed_lengths, text_of
from trivet_client import AsyncClient, Client, Embedding, Failure, FilledText, InferRequest
from trivet_client.errors import InvalidArgument

CALLERS = 32
PER_CALLER = 3
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
TOLERANCE = 1e-5

Item = TypeVar("Item")


@dataclass(frozen=True)
class Sample:
    """A text, and what every model makes of it alone."""

    text: str
    vector: np.ndarray  # of `embed`
    inputs: dict[str, np.ndarray]  # of `minilm`
    hidden: np.ndarray  # of `minilm` on these inputs
    masked: str
    filled: FilledText  # of `fill_mask` on `masked`

    @property
    def words(self) -> list[list[str]]:
        return [[candidate.token for candidate in mask.candidates] for mask in self.filled.masks]


@pytest.fixture(scope="module")
def alone(demo_server: ServerProcess) -> list[Sample]:
    """Texts of many lengths, each asked for by itself, with nobody else there."""
    lengths = sorted(set(mixed_lengths(400)))[:48]
    with Client(demo_server.address) as client:
        return [_sample(client, tokens) for tokens in lengths]


def _sample(client: Client, tokens: int) -> Sample:
    text = text_of(tokens, seed=tokens)
    words = text.split()
    masks = 1 + tokens % 3
    for number in range(min(masks, len(words))):
        words[number * len(words) // masks] = "[MASK]"
    masked = " ".join(words)
    encoded = client.infer("minilm_tokenizer", {"TEXT": np.array([[text]])}).outputs
    inputs = {name: encoded[name] for name in TOKENS}
    return Sample(
        text=text,
        vector=client.embed(text).vector,
        inputs=inputs,
        hidden=client.infer("minilm", inputs).outputs["embedding"],
        masked=masked,
        filled=client.fill_mask(masked, top_k=4),
    )


def test_the_samples_differ_so_that_a_mix_up_would_show(alone: list[Sample]) -> None:
    vectors = np.stack([sample.vector for sample in alone])
    distances = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    np.fill_diagonal(distances, 1)
    assert distances.min() > 100 * TOLERANCE
    assert len({sample.filled.masks for sample in alone}) == len(alone)
    assert len({sample.inputs["input_ids"].shape for sample in alone}) == len(alone)


def is_vector(answer: np.ndarray, sample: Sample) -> None:
    np.testing.assert_allclose(answer, sample.vector, atol=TOLERANCE)


def is_filled(answer: FilledText, sample: Sample) -> None:
    """The same masks, probabilities and words; which of two as likely comes last may differ."""
    assert [mask.position for mask in answer.masks] == [m.position for m in sample.filled.masks]
    for mask, expected in zip(answer.masks, sample.filled.masks, strict=True):
        told = [candidate.probability for candidate in mask.candidates]
        np.testing.assert_allclose(
            told, [candidate.probability for candidate in expected.candidates], atol=TOLERANCE
        )
        likely = {c.token for c in expected.candidates[:-1]}
        assert likely <= {c.token for c in mask.candidates}


def drawn(samples: Sequence[Sample], caller: int, most: int = 5) -> list[Sample]:
    rng = np.random.default_rng(caller)
    return [samples[i] for i in rng.choice(len(samples), rng.integers(1, most + 1))]


async def supply(items: Iterable[Item]) -> AsyncIterator[Item]:
    for item in items:
        yield item


# One caller each. Good and bad requests are mixed where the way in allows it.


async def embeds(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    mine = drawn(samples, caller)
    vectors = (await client.embed([sample.text for sample in mine])).vectors
    for vector, sample in zip(vectors, mine, strict=True):
        is_vector(vector, sample)


async def embeds_something_wrong(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    wrong = ("", text_of(600))[caller % 2]
    with pytest.raises(InvalidArgument, match=r"texts\[1\]"):
        await client.embed([drawn(samples, caller)[0].text, wrong])


async def embeds_on_a_stream(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    mine = drawn(samples, caller, most=8)
    texts = [text for sample in mine for text in (sample.text, "")]
    answers = {index: answer async for index, answer in client.embed_stream(supply(texts))}
    assert sorted(answers) == list(range(len(texts)))
    for index, answer in answers.items():
        if index % 2:
            assert isinstance(answer, Failure)
            assert "the text is empty" in answer.message
        else:
            assert isinstance(answer, Embedding)
            is_vector(answer.vector, mine[index // 2])


async def fills(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    mine = drawn(samples, caller, most=3)
    for filled, sample in zip(
        await client.fill_mask([sample.masked for sample in mine], top_k=4), mine, strict=True
    ):
        is_filled(filled, sample)


async def fills_on_a_stream(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    mine = drawn(samples, caller, most=4)
    texts = [text for sample in mine for text in (sample.masked, "no mask in this")]
    stream = client.fill_mask_stream(supply(texts), top_k=4)
    answers = {index: answer async for index, answer in stream}
    assert sorted(answers) == list(range(len(texts)))
    for index, answer in answers.items():
        if index % 2:
            assert isinstance(answer, Failure)
            assert "no mask token" in answer.message
        else:
            assert isinstance(answer, FilledText)
            is_filled(answer, mine[index // 2])


async def sends_tensors(client: AsyncClient, samples: list[Sample], caller: int) -> None:
    for sample in drawn(samples, caller):
        answer = await client.infer("minilm", sample.inputs)
        np.testing.assert_allclose(answer.outputs["embedding"], sample.hidden, atol=TOLERANCE)


async def sends_tensors_on_a_stream(
    client: AsyncClient, samples: list[Sample], caller: int
) -> None:
    """Every other request is one that only the engine finds out to be wrong."""
    mine = drawn(samples, caller, most=6)
    requests = [
        InferRequest(model="minilm", inputs=inputs)
        for sample in mine
        for inputs in (
            sample.inputs,
            {**sample.inputs, "input_ids": sample.inputs["input_ids"] + 10**6},
        )
    ]
    answers = [answer async for answer in client.infer_stream(supply(requests))]
    assert [index for index, _ in answers] == list(range(len(requests)))
    for index, answer in answers:
        if index % 2:
            assert isinstance(answer, Failure)
            assert "model 'minilm'" in answer.message
        else:
            assert not isinstance(answer, Failure), answer
            expected = mine[index // 2].hidden
            np.testing.assert_allclose(answer.outputs["embedding"], expected, atol=TOLERANCE)


def triton_text(text: str) -> list[triton.InferInput]:
    tensor = triton.InferInput("TEXT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode()]], object))
    return [tensor]


async def peer_embeds_on_a_stream(
    client: AsyncClient, samples: list[Sample], caller: int, *, address: str
) -> None:
    mine = drawn(samples, caller, most=6)
    requests = [
        {"model_name": "embed", "inputs": triton_text(text), "request_id": str(index)}
        for index, text in enumerate(text for s in mine for text in (s.text, ""))
    ]
    answered = 0
    async with triton_aio.InferenceServerClient(address) as peer:
        async for result, error in peer.stream_infer(supply(requests)):
            if answered % 2:
                assert isinstance(error, InferenceServerException)
                assert "the text is empty" in error.message()
            else:
                assert error is None
                assert result.get_response().id == str(answered)
                is_vector(result.as_numpy("EMBEDDING")[0], mine[answered // 2])
            answered += 1
    assert answered == len(requests)


WAYS = (
    embeds,
    embeds_something_wrong,
    embeds_on_a_stream,
    fills,
    fills_on_a_stream,
    sends_tensors,
    sends_tensors_on_a_stream,
)


async def test_every_caller_gets_the_answers_to_its_own_requests(
    demo_server: ServerProcess, alone: list[Sample]
) -> None:
    ways = (*WAYS, partial(peer_embeds_on_a_stream, address=demo_server.address))

    async def call(number: int) -> None:
        async with AsyncClient(demo_server.address) as client:
            for turn in range(PER_CALLER):
                way = ways[(number + turn * 3) % len(ways)]
                await way(client, alone, number * PER_CALLER + turn)

    async with asyncio.TaskGroup() as callers:
        for number in range(CALLERS):
            callers.create_task(call(number))


async def test_they_were_batched_together(demo_server: ServerProcess, alone: list[Sample]) -> None:
    """Without this, the test above would show nothing: alone, nobody can be mixed up."""
    near = [sample for sample in alone if sample.inputs["input_ids"].size <= 24]
    async with AsyncClient(demo_server.address) as client:
        before = await _batches(client)
        answers = await asyncio.gather(*(client.embed(s.text) for s in near * 4))
        after = await _batches(client)
    for answer, sample in zip(answers, near * 4, strict=True):
        is_vector(answer.vector, sample)
    formed = {size for size, count in after.items() if count > before.get(size, 0)}
    assert max(formed) > 1


async def _batches(client: AsyncClient) -> dict[int, int]:
    (statistics,) = await client.statistics("minilm")
    return {batch.batch_size: batch.compute_infer.count for batch in statistics.batches}


async def test_one_call_of_many_texts_answers_them_in_their_order(
    demo_server: ServerProcess, alone: list[Sample]
) -> None:
    order = np.random.default_rng(5).permutation(np.repeat(np.arange(len(alone)), 4))
    async with AsyncClient(demo_server.address) as client:
        embeddings = await client.embed([alone[i].text for i in order])
        expected = np.stack([alone[i].vector for i in order])
        np.testing.assert_allclose(embeddings.vectors, expected, atol=TOLERANCE)
        tokens = [cost.tokens for cost in embeddings.costs]
        assert tokens == [alone[i].inputs["input_ids"].size for i in order]


async def test_rows_of_one_request_are_answered_as_if_each_came_alone(
    demo_server: ServerProcess, alone: list[Sample]
) -> None:
    mine = alone[:30:3]
    async with AsyncClient(demo_server.address) as client:
        texts = np.array([[sample.text] for sample in mine], object)
        vectors = (await client.infer("embed", {"TEXT": texts})).outputs["EMBEDDING"]
        for vector, sample in zip(vectors, mine, strict=True):
            is_vector(vector, sample)
        texts = np.array([[sample.masked] for sample in mine], object)
        filled = (await client.infer("fill_mask", {"TEXT": texts})).outputs
    for row, sample in enumerate(mine):
        for number, mask in enumerate(sample.filled.masks):
            assert filled["MASK_POSITION"][row, number] == mask.position
            told = filled["PROBABILITY"][row, number, :4]
            expected = [candidate.probability for candidate in mask.candidates]
            np.testing.assert_allclose(told, expected, atol=TOLERANCE)
        padding = filled["MASK_POSITION"][row, len(sample.filled.masks) :]
        assert (padding == -1).all()


async def test_callers_who_leave_take_nobodys_answer_along(
    demo_server: ServerProcess, alone: list[Sample]
) -> None:
    async def leave(client: AsyncClient, number: int) -> None:
        call = asyncio.create_task(client.embed([s.text for s in drawn(alone, number)]))
        for _ in range(number % 7):
            await asyncio.sleep(0.002)  # anywhere between sent and answered: any moment will do
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async with AsyncClient(demo_server.address) as client:
        staying = [embeds(client, alone, number) for number in range(12)]
        leaving = [leave(client, number) for number in range(100, 128)]
        await asyncio.gather(*staying, *leaving)


async def test_an_impatient_caller_is_told_and_harms_nobody(
    demo_server: ServerProcess, alone: list[Sample]
) -> None:
    async with grpc.aio.insecure_channel(demo_server.address) as channel:
        path = "/trivet.v1.TextService/Embed"
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        longest = b"\x1a\xff\x0f" + b"word " * 409 + b"wo"  # texts[0] of 2047 bytes
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(longest, timeout=0.01)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with AsyncClient(demo_server.address) as client:
        await embeds(client, alone, 1)
