"""The ASGI application: what is sent for what is received, without a socket."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import unquote

import pytest

from trivet.errors import Code, NotFound
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.transport.h2corn.app import App
from trivet.transport.h2corn.frames import framed
from trivet.transport.options import Compression, Options

GRPC = (b"content-type", b"application/grpc")


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


async def refuse(message: bytes, call: Call) -> bytes:
    call.set_trailers((("hint-bin", b"\0\1"),))
    raise NotFound("no such é")


async def refuse_late(message: bytes, call: Call) -> Answers:
    yield b"first"
    raise NotFound("no more")


async def wait(message: bytes, call: Call) -> bytes:
    await asyncio.Event().wait()
    return b""


METHODS: Methods = {
    "/t.T/Echo": Unary(echo),
    "/t.T/Stream": BidiStream(echo_stream),
    "/t.T/Refuse": Unary(refuse),
    "/t.T/Late": ServerStream(refuse_late),
    "/t.T/Wait": Unary(wait),
}


class Sent:
    """What the application sent, put together."""

    def __init__(self, events: list[Any]) -> None:
        start, *rest = events
        self.status: int = start["status"]
        self.headers = dict(start["headers"])
        self.body = b"".join(event.get("body", b"") for event in rest)
        trailers = [event for event in rest if event["type"] == "http.response.trailers"]
        self.told = dict(trailers[0]["headers"]) if trailers else self.headers
        self.is_trailers_only = not trailers
        assert len(trailers) == (1 if start.get("trailers") else 0)

    @property
    def code(self) -> int:
        return int(self.told[b"grpc-status"])

    @property
    def text(self) -> str:
        text: bytes = self.told.get(b"grpc-message", b"")
        return text.decode()


def scope_of(path: str, method: str, headers: Sequence[tuple[bytes, bytes]]) -> Any:
    raw_path, _, query = path.encode().partition(b"?")
    asked = {"raw_path": raw_path, "path": unquote(raw_path.decode()), "query_string": query}
    of_http = {"type": "http", "http_version": "2", "method": method}
    return {**of_http, **asked, "headers": list(headers)}


async def ask(
    path: str,
    *chunks: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (GRPC,),
    method: str = "POST",
    options: Options | None = None,
    te: bool = True,
) -> Sent:
    """Call the application; the body comes in these chunks, and ends. te: take trailers."""
    events: list[Any] = []
    body = iter(chunks)

    async def receive() -> Any:
        chunk = next(body, None)
        if chunk is None:
            return {"type": "http.request"}
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(event: Any) -> None:
        events.append(event)

    with_te = (*headers, (b"te", b"trailers")) if te else headers
    await App(METHODS, options or Options())(scope_of(path, method, with_te), receive, send)
    return Sent(events)


async def test_a_call_is_answered_and_its_status_follows() -> None:
    sent = await ask("/t.T/Echo", framed(b"hello"))
    assert (sent.status, sent.body, sent.code) == (200, framed(b"hello"), 0)
    assert sent.headers[b"content-type"] == b"application/grpc"
    assert sent.told == {b"grpc-status": b"0"}


@pytest.mark.parametrize("path", ["/t.T/Echo?x=y", "/t.T/Ech%6f", "/t.T/Echo%00", "/t.T/echo", "*"])
async def test_a_method_is_named_by_its_path_to_the_letter(path: str) -> None:
    sent = await ask(path, framed(b"hello"))
    assert (sent.code, sent.is_trailers_only) == (Code.UNIMPLEMENTED, True)
    assert path.replace("%", "%25") in sent.text


async def test_who_takes_no_trailers_is_told_without_them() -> None:
    sent = await ask("/t.T/Echo", framed(b"hello"), te=False)
    assert (sent.code, sent.is_trailers_only) == (Code.INTERNAL, True)
    assert "te: trailers" in sent.text


@pytest.mark.parametrize("timeout", [b"0m", b"1n"])
async def test_a_call_that_is_late_when_it_comes_is_not_answered(timeout: bytes) -> None:
    sent = await ask("/t.T/Echo", framed(b"hello"), headers=(GRPC, (b"grpc-timeout", timeout)))
    assert (sent.code, sent.text) == (Code.DEADLINE_EXCEEDED, "Deadline Exceeded")


async def test_messages_share_chunks_and_are_cut_by_them() -> None:
    body = framed(b"one") + framed(b"") + framed(b"three")
    for size in (1, 4, 7, len(body)):
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        sent = await ask("/t.T/Stream", *chunks)
        assert (sent.body, sent.code) == (body, 0)


@pytest.mark.parametrize(
    ("method", "kind", "status"),
    [
        ("GET", b"application/grpc", 405),
        ("POST", b"application/json", 415),
        ("POST", b"application/grpc+json", 415),
        ("POST", b"application/grpc-web", 415),
        ("POST", b"", 415),
    ],
)
async def test_what_is_no_call_is_answered_as_http(method: str, kind: bytes, status: int) -> None:
    sent = await ask("/t.T/Echo", headers=((b"content-type", kind),), method=method)
    assert sent.status == status


@pytest.mark.parametrize("kind", [b"application/grpc+proto", b"Application/grpc; charset=x"])
async def test_other_spellings_of_grpc_are_taken(kind: bytes) -> None:
    sent = await ask("/t.T/Echo", framed(b"x"), headers=((b"content-type", kind),))
    assert sent.code == 0


@pytest.mark.parametrize(
    ("path", "headers", "code", "text"),
    [
        ("/t.T/None", (), 12, "unknown method /t.T/None"),
        ("/t.T/Echo", ((b"grpc-encoding", b"snappy"),), 12, "'snappy' is not known here"),
        ("/t.T/Echo", ((b"grpc-timeout", b"soon"),), 13, "grpc-timeout"),
        ("/t.T/Echo", ((b"k", b"v" * 17_000),), 8, "metadata size exceeds hard limit"),
        ("/t.T/Refuse", (), 5, "no such %C3%A9"),
    ],
)
async def test_a_refusal_is_headers_alone(
    path: str, headers: tuple[tuple[bytes, bytes], ...], code: int, text: str
) -> None:
    sent = await ask(path, framed(b"x"), headers=(GRPC, *headers))
    assert sent.is_trailers_only
    assert (sent.status, sent.code, sent.body) == (200, code, b"")
    assert text in sent.text
    assert sent.headers[b"grpc-accept-encoding"] == b"identity, deflate, gzip"


async def test_what_a_method_set_is_told_beside_its_refusal() -> None:
    assert (await ask("/t.T/Refuse", framed(b"x"))).told[b"hint-bin"] == b"AAE"


async def test_a_refusal_after_an_answer_follows_it() -> None:
    sent = await ask("/t.T/Late", framed(b"x"))
    assert not sent.is_trailers_only
    assert (sent.body, sent.code, sent.text) == (framed(b"first"), 5, "no more")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "ended without a message"),
        (framed(b"hello")[:7], "ended 7 bytes into a message"),
        (b"\2\0\0\0\1x", "flag of a message is 2"),
        (framed(b"x", compressed=True), "grpc-encoding does not say how"),
    ],
)
async def test_a_body_that_is_no_message_is_told(body: bytes, text: str) -> None:
    sent = await ask("/t.T/Echo", body)
    assert sent.code == 13
    assert text in sent.text


@pytest.mark.parametrize(
    ("name", "packed"),
    [(b"gzip", gzip.compress(b"x" * 99)), (b"deflate", zlib.compress(b"x" * 99))],
)
async def test_a_compressed_message_is_taken_within_the_limit(name: bytes, packed: bytes) -> None:
    headers = (GRPC, (b"grpc-encoding", name))
    body = framed(packed, compressed=True)
    assert (await ask("/t.T/Echo", body, headers=headers)).body == framed(b"x" * 99)
    large = await ask("/t.T/Echo", body, headers=headers, options=Options(max_message_bytes=98))
    assert (large.code, large.text) == (8, "Decompressed message larger than max")
    broken = await ask("/t.T/Echo", framed(packed[:-9], compressed=True), headers=headers)
    assert (broken.code, broken.text) == (13, f"a message is no {name.decode()} data")
    for twice in (packed + packed, packed + b"more"):
        followed = await ask("/t.T/Echo", framed(twice, compressed=True), headers=headers)
        assert (followed.code, followed.text) == (13, f"a message is no {name.decode()} data")
    nothing = await ask("/t.T/Echo", framed(b"", compressed=True), headers=headers)
    assert (nothing.code, nothing.body) == (0, framed(b""))


@pytest.mark.parametrize(
    ("level", "accepted", "encoding"),
    [
        (Compression.LOW, b"identity, deflate, gzip", b"gzip"),
        (Compression.HIGH, b"identity, deflate, gzip", b"deflate"),
        (Compression.HIGH, b"gzip", b"gzip"),
        (Compression.HIGH, b"br", None),
        (Compression.NONE, b"gzip", None),
    ],
)
async def test_answers_are_compressed_as_the_caller_accepts(
    level: Compression, accepted: bytes, encoding: bytes | None
) -> None:
    headers = (GRPC, (b"grpc-accept-encoding", accepted))
    message = framed(b"x" * 1000)
    sent = await ask("/t.T/Echo", message, headers=headers, options=Options(compression=level))
    assert sent.headers.get(b"grpc-encoding") == encoding
    payload = sent.body[5:]
    if encoding is not None:
        payload = gzip.decompress(payload) if encoding == b"gzip" else zlib.decompress(payload)
    assert payload == b"x" * 1000
    small = await ask(
        "/t.T/Echo", framed(b"x"), headers=headers, options=Options(compression=level)
    )
    assert small.body == framed(b"x")  # what does not shrink is sent as it is


async def test_a_deadline_ends_the_method_and_is_told() -> None:
    sent = await ask("/t.T/Wait", framed(b"x"), headers=(GRPC, (b"grpc-timeout", b"10m")))
    assert (sent.code, sent.text) == (4, "Deadline Exceeded")


async def test_a_caller_that_is_gone_ends_the_call_without_a_word() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        pytest.fail("told nobody")

    scope = scope_of("/t.T/Echo", "POST", [GRPC, (b"te", b"trailers")])
    calling = asyncio.create_task(App(METHODS, Options())(scope, receive, send))
    await asyncio.wait([calling])
    assert calling.cancelled() or calling.exception() is None
