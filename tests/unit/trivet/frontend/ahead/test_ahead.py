"""Both parts together: offered, opened, tokenized in front, and used by the very load alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.harness.text_models import add_embedding
from trivet.app import ServerConfig
from trivet.app.core import Core, core_of
from trivet.frontend.ahead.offering import Ahead, Offering
from trivet.frontend.ahead.tokenizing import MOST_BYTES, Tokenizing
from trivet.model.model import Model
from trivet.request import InferRequest
from trivet.transport.options import Options
from trivet_protos.generated import grpc_service_pb2
from trivet_protos.generated import text_pb2 as pb

EMBED = "/trivet.v1.TextService/Embed"
DETOKENIZE = "/trivet.v1.TextService/Detokenize"
INFER = "/inference.GRPCInferenceService/ModelInfer"
AS_TOLD = {"truncate": False}  # the parameters of `embed` below


@dataclass
class Both:
    """The owner's part and the front end's."""

    core: Core
    repository: Path
    offering: Offering
    front: Tokenizing

    def model(self, name: str) -> Model:
        model = self.core.registry.latest(name)
        assert model is not None
        return model

    async def beside(self, message: bytes, method: str = EMBED) -> bytes:
        """What the front end finds, once it has what it was offered."""
        prepare = self.front.preparing(method)
        assert prepare is not None
        found = prepare(message)
        return found if isinstance(found, bytes) else await found

    async def until(self, is_ahead: bool) -> None:
        message = pb.EmbedRequest(texts=["the cat"]).SerializeToString()
        async with asyncio.timeout(20):
            while bool(await self.beside(message)) is not is_ahead:
                await asyncio.sleep(0.005)

    async def ahead(self, message: bytes, method: str = EMBED) -> Ahead:
        read = self.offering.read(await self.beside(message, method))
        assert read is not None
        return read


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    add_embedding(tmp_path)
    core = core_of(ServerConfig(repositories=(tmp_path,), grpc=Options()))
    await core.control.scan()
    assert not await core.control.start()
    made = Both(core, tmp_path, Offering(core.registry), Tokenizing())
    made.offering.subscribe(made.front.told)
    made.offering.publish()
    await made.until(is_ahead=True)
    yield made
    await core.control.close()


def embed(*texts: str, **fields: object) -> bytes:
    return pb.EmbedRequest(texts=texts, **fields).SerializeToString()  # type: ignore[arg-type]


def infer(**fields: str) -> bytes:
    return grpc_service_pb2.ModelInferRequest(**fields).SerializeToString()


def words(*texts: bytes) -> dict[str, np.ndarray]:
    return {"TEXT": np.array([[text] for text in texts], dtype=object)}


async def test_what_comes_from_in_front_is_what_the_model_would_answer(both: Both) -> None:
    tokenizer = both.model("words")
    texts = ["the cat sat", "", "é door", "the cat sat"]
    ahead = await both.ahead(embed(*texts))
    for text in ("the cat sat", "é door"):
        computed = await tokenizer.infer(InferRequest("words", words(text.encode())))
        known = ahead.answer(tokenizer, words(text.encode()), AS_TOLD)
        assert known is not None
        assert known.parameters == computed.parameters
        assert known.outputs.keys() == computed.outputs.keys()
        for name, array in computed.outputs.items():
            assert known.outputs[name].dtype == array.dtype
            np.testing.assert_array_equal(known.outputs[name], array)
    # What is asked in another way is computed.
    assert ahead.answer(tokenizer, words(b"the cat sat"), {"truncate": True}) is None
    # What is refused is refused by the owner, in his words.
    assert ahead.answer(tokenizer, words(b""), AS_TOLD) is None
    assert ahead.answer(tokenizer, words(b"mat"), AS_TOLD) is None


async def test_the_model_counts_it_and_executes_nothing(both: Both) -> None:
    tokenizer, pipeline = both.model("words"), both.model("embed")
    before = tokenizer.statistics.execution_count
    known = await both.ahead(embed("the cat"))
    request = InferRequest("embed", words(b"the cat"), parameters=AS_TOLD, known=known)
    response = await pipeline.infer(request)
    computed = await pipeline.infer(request._replace(known=None))
    np.testing.assert_array_equal(response.outputs["EMBEDDING"], computed.outputs["EMBEDDING"])
    assert response.parameters == computed.parameters
    stages = response.steps["words"]
    assert stages.queue_ns == 0
    assert 0 < stages.queued_ns < computed.steps["words"].queued_ns
    assert stages.compute_ns > 0
    counted = tokenizer.statistics
    assert counted.execution_count == before + 1
    assert (counted.success.count, counted.inference_count) == (2, 2)


async def test_only_the_load_that_was_asked_answers(both: Both) -> None:
    old = both.model("words")
    ahead = await both.ahead(embed("the cat"))
    beside = await both.beside(embed("the cat"))
    both.core.registry.publish(object_like(old))
    both.offering.publish()
    new = both.model("words")
    assert new is not old
    assert ahead.answer(new, words(b"the cat"), AS_TOLD) is None  # on its way while that was loaded
    assert both.offering.read(beside) is None  # after it
    await both.until(is_ahead=True)
    assert (await both.ahead(embed("the cat"))).answer(new, words(b"the cat"), AS_TOLD) is not None


def object_like(model: Model) -> Model:
    """The same version, loaded again."""
    return Model(
        model.config,
        model.version,
        model._scheduler,
        model.statistics,
        model._clock,
        portable=model.portable,
    )


async def test_a_model_that_goes_is_not_tokenized_for(both: Both) -> None:
    retired = await both.core.registry.retire("words", 1)
    assert retired is not None
    both.offering.publish()
    assert await both.beside(embed("the cat")) == b""
    both.core.registry.publish(retired)
    both.offering.publish()
    await both.until(is_ahead=True)


async def test_files_that_have_changed_are_not_used(
    both: Both, caplog: pytest.LogCaptureFixture
) -> None:
    path = both.repository / "words" / "1" / "tokenizer.json"
    path.write_text(path.read_text().replace('"cat"', '"dog"'))
    late = Tokenizing()
    with caplog.at_level(logging.WARNING):
        end = both.offering.subscribe(late.told)
        async with asyncio.timeout(20):
            while "frontend_tokenizer_not_loaded" not in caplog.messages:
                await asyncio.sleep(0.005)
    end()
    prepare = late.preparing(EMBED)
    assert prepare is not None
    assert prepare(embed("the cat")) == b""


async def test_what_is_long_is_tokenized_in_a_thread_and_what_is_longer_by_the_owner(
    both: Both,
) -> None:
    prepare = both.front.preparing(EMBED)
    assert prepare is not None
    assert isinstance(prepare(embed("the cat " * 10)), bytes)
    many = embed(*(f"the cat sat on {n}" for n in range(500)))
    found = prepare(many)
    assert not isinstance(found, bytes)
    read = both.offering.read(await found)
    assert read is not None
    assert read.answer(both.model("words"), words(b"the cat sat on 499"), AS_TOLD) is not None
    assert prepare(embed("x" * MOST_BYTES)) == b""


async def test_a_request_of_tensors_is_tokenized_as_a_whole(both: Both) -> None:
    asked = grpc_service_pb2.ModelInferRequest(model_name="embed", model_version="1")
    asked.inputs.add(name="TEXT", datatype="BYTES", shape=[2, 1])
    asked.raw_input_contents.append(b"\3\0\0\0cat\4\0\0\0door")
    ahead = await both.ahead(asked.SerializeToString(), INFER)
    known = ahead.answer(both.model("words"), words(b"cat", b"door"), {})
    assert known is not None
    assert known.outputs["input_ids"].shape == (2, 3)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (EMBED, b"\xff\xff"),
        (EMBED, embed()),
        (EMBED, embed("a", model="nobody")),
        (EMBED, embed("a", version=9)),
        (EMBED, embed("a", version=-1)),
        (EMBED, b"\x1a\x02\xff\xfe"),  # a text that is not UTF-8
        (INFER, b""),
        (INFER, b"\x0a\x05embed\xff"),
        (INFER, b"\x0a\x05embed"),
        (INFER, infer(model_name="pooling")),
        (INFER, infer(model_name="embed", model_version="x")),
        (DETOKENIZE, pb.DetokenizeRequest(model="embed", token_lists=[{}]).SerializeToString()),
    ],
)
async def test_what_cannot_be_read_is_left_to_the_owner(
    both: Both, method: str, message: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert await both.beside(message, method) == b""
    assert caplog.messages == []


def test_methods_without_texts_are_left_alone() -> None:
    async def look() -> Callable[[bytes], object] | None:
        return Tokenizing().preparing("/inference.GRPCInferenceService/ServerLive")

    assert asyncio.run(look()) is None
