"""What the playground says when a model is not asked, or does not answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from trivet.errors import Code, QueueFull
from trivet.frontend.json_calls import MAX_ANSWER_BYTES, JsonCalls
from trivet.frontend.method import Call, Methods, Unary, UnaryHandler
from trivet.frontend.text_tasks.embed import EMBED
from trivet.status import playground
from trivet.status.router import Receive
from trivet_protos.generated import text_pb2 as pb

METHOD = "/trivet.v1.TextService/Embed"
HEADERS = [(b"authorization", b"Bearer secret"), (b"traceparent", b"00-1-2-01")]


async def whole() -> dict[str, Any]:
    return {"type": "http.request", "body": b'{"texts": ["a"]}', "more_body": False}


async def ask(
    methods: Methods, draining: asyncio.Event | None = None, receive: Receive = whole
) -> tuple[int, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"method": "POST", "headers": HEADERS, "client": ("127.0.0.1", 9)}
    handler = playground.asking(EMBED, JsonCalls(methods), draining or asyncio.Event())
    await handler(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def answering(handler: UnaryHandler) -> Methods:
    return {METHOD: Unary(handler)}


async def never(message: bytes, call: Call) -> bytes:
    return await asyncio.get_running_loop().create_future()


async def test_the_method_gets_the_message_and_what_came_beside_it() -> None:
    async def method(message: bytes, call: Call) -> bytes:
        assert list(pb.EmbedRequest.FromString(message).texts) == ["a"]
        assert call.metadata["authorization"] == "Bearer secret"
        assert call.metadata["traceparent"] == "00-1-2-01"
        assert call.peer == "http:127.0.0.1:9"
        assert call.time_left_s is not None
        assert 0 < call.time_left_s <= playground.ANSWER_S
        call.set_trailers([("a", "b")])
        answer = pb.EmbedResponse(model_name="m", model_version=3)
        answer.results.add(embedding=[0.5, float("nan")])
        return answer.SerializeToString()

    status, told = await ask(answering(method))
    assert status == 200
    assert (told["model_name"], told["model_version"]) == ("m", "3")
    assert told["results"][0]["embedding"] == [0.5, "NaN"]


async def test_none_is_taken_while_the_server_takes_leave_or_has_no_methods_yet() -> None:
    draining = asyncio.Event()
    draining.set()
    for told in (await ask(answering(never), draining), await ask({})):
        assert told[0] == 503
        assert told[1]["code"] == "UNAVAILABLE"


async def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground, "ANSWER_S", 0.01)
    status, told = await ask(answering(never))
    assert (status, told["code"]) == (504, Code.DEADLINE_EXCEEDED.name)


async def test_one_who_does_not_send_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground, "ANSWER_S", 0.01)
    status, told = await ask(answering(never), receive=asyncio.get_running_loop().create_future)
    assert (status, told["code"]) == (504, Code.DEADLINE_EXCEEDED.name)


async def test_a_full_queue_says_so_and_a_bug_keeps_its_words_to_the_log() -> None:
    async def full(message: bytes, call: Call) -> bytes:
        raise QueueFull("embed", 7)

    async def broken(message: bytes, call: Call) -> bytes:
        raise KeyError("secret")

    assert (await ask(answering(full)))[0] == 503
    status, told = await ask(answering(broken))
    assert (status, told["code"]) == (500, "INTERNAL")
    assert "secret" not in told["message"]


async def test_an_answer_that_is_long_to_write_is_refused() -> None:
    async def wide(message: bytes, call: Call) -> bytes:
        answer = pb.EmbedResponse()
        answer.results.add(embedding=[0.0] * (MAX_ANSWER_BYTES // 4 + 1))
        return answer.SerializeToString()

    status, told = await ask(answering(wide))
    assert (status, told["code"]) == (429, "RESOURCE_EXHAUSTED")
    assert "over gRPC" in told["message"]
