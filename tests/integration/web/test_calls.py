"""gRPC-Web over HTTP/1.1, as a browser's script calls: answers, refusals, limits, deadlines."""

from __future__ import annotations

import asyncio
import base64
import gzip

import pytest

from tests.harness import http2
from tests.harness.grpc_web import BINARY, TEXT, frames_of
from tests.integration.web.asking import LIMIT, SITE, Asking, Waiting, running
from trivet.frontend.method import Methods, ServerStream, Unary
from trivet.transport.options import Compression


@pytest.mark.parametrize(
    "kind", [BINARY, TEXT, "application/grpc-web", "application/grpc-web-text"]
)
async def test_a_message_is_answered_and_its_status_follows(web: Asking, kind: str) -> None:
    told = await web.call("/t.T/Echo", b"hello", kind=kind)
    assert (told.status, told.messages, told.trailers) == (200, [b"hello"], {"grpc-status": "0"})
    assert told.headers["content-type"] == (TEXT if "text" in kind else BINARY)


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_server_stream_comes_as_frames(web: Asking, kind: str) -> None:
    told = await web.call("/t.T/Count", b"100", kind=kind)
    assert told.messages == [b"%d" % number for number in range(100)]
    assert told.code == 0


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_stream_of_messages_in_one_body_is_answered(web: Asking, kind: str) -> None:
    messages = [b"%d" % number for number in range(50)]
    told = await web.call("/t.T/Stream", *messages, kind=kind)
    assert (told.messages, told.code) == (messages, 0)
    assert (await web.call("/t.T/Stream", kind=kind)).code == 0  # none at all


async def test_text_is_read_however_it_is_cut_and_padded(web: Asking) -> None:
    frame = http2.message(b"hello")
    for at in range(len(frame)):
        body = base64.b64encode(frame[:at]) + base64.b64encode(frame[at:])
        assert (await web.call("/t.T/Echo", kind=TEXT, body=body)).messages == [b"hello"]

    def chunked() -> bytes:
        connection = web.caller.connection()
        text = base64.b64encode(frame)
        chunks = (text[at : at + 1] for at in range(len(text)))
        connection.request("POST", "/t.T/Echo", chunks, {"content-type": TEXT, "accept": BINARY})
        body = connection.getresponse().read()
        connection.close()
        return body

    (flag, content), _ = frames_of(await asyncio.to_thread(chunked))
    assert (flag, content) == (0, b"hello")


async def test_headers_come_and_go_as_metadata(web: Asking) -> None:
    told = await web.call("/t.T/Headers", b"my-word", my_word="x y")
    assert told.messages == [b"x y"]
    assert told.trailers == {"grpc-status": "0", "told": "x", "told-bin": "AP8"}
    told = await web.call("/t.T/Headers", b"my-bin", my_bin="AAE")
    assert told.messages == [b"\0\1"]


async def test_a_refusal_is_headers_with_its_details(web: Asking) -> None:
    told = await web.call("/t.T/Refuse", b"", origin=SITE)
    assert (told.status, told.body, told.code) == (200, b"", 14)
    assert told.text == "come back; %C3%A9"
    assert b"RetryInfo" in base64.b64decode(told.headers["grpc-status-details-bin"] + "==")
    assert "grpc-status-details-bin" in told.headers["access-control-expose-headers"]
    assert told.headers["access-control-allow-origin"] == SITE


async def test_a_refusal_after_a_message_is_the_last_frame(web: Asking) -> None:
    told = await web.call("/t.T/Late", b"")
    assert (told.messages, told.code, told.text) == ([b"first"], 5, "no more")


@pytest.mark.parametrize(
    ("path", "body", "more", "code", "text"),
    [
        ("/t.T/None", b"", {}, 12, "unknown method /t.T/None"),
        ("/t.T/Echo", b"", {}, 13, "ended without a message"),
        ("/t.T/Echo", http2.message(b"hello")[:7], {}, 13, "ended 7 bytes into a message"),
        ("/t.T/Echo", b"\x80\0\0\0\0", {}, 13, "flag of a message is 128"),
        ("/t.T/Echo", http2.message(b"", claimed=LIMIT + 1), {}, 8, "1001 vs. 1000"),
        ("/t.T/Echo", b"AAA", {"kind": TEXT}, 13, "in the midst of base64"),
        ("/t.T/Echo", b"not base64", {"kind": TEXT}, 13, "no base64"),
        ("/t.T/Stream", http2.message(b"x" * 700) * 2, {}, 8, "1000 bytes in all"),
        ("/t.T/Stream", http2.message(b"x") + b"\x01", {}, 13, "ended 1 bytes into"),
        ("/t.T/Echo", b"", {"grpc_timeout": "soon"}, 13, "grpc-timeout"),
        ("/t.T/Echo", b"", {"grpc_encoding": "snappy"}, 12, "'snappy' is not known here"),
        ("/t.T/Echo", b"", {"k": "v" * 17_000}, 8, "metadata size exceeds hard limit"),
    ],
)
async def test_what_is_wrong_is_told(
    web: Asking, path: str, body: bytes, more: dict[str, str], code: int, text: str
) -> None:
    told = await web.call(path, body=body, **more)
    assert (told.status, told.code) == (200, code)
    assert text in told.text
    assert (await web.call("/t.T/Echo", b"still there")).messages == [b"still there"]


async def test_a_message_of_the_limit_is_taken(web: Asking) -> None:
    for path in ("/t.T/Echo", "/t.T/Stream"):
        assert (await web.call(path, b"x" * LIMIT)).messages == [b"x" * LIMIT]
        assert (await web.call(path, b"x" * (LIMIT + 1))).code == 8


async def test_a_compressed_message_is_taken(web: Asking) -> None:
    body = http2.message(gzip.compress(b"x" * 500), compressed=True)
    told = await web.call("/t.T/Echo", body=body, grpc_encoding="gzip")
    assert told.messages == [b"x" * 500]


async def test_answers_are_compressed_as_browsers_undo_it() -> None:
    async with running(compression=Compression.LOW) as web:
        body = http2.message(b"x" * 500)
        kinds = {"content_type": BINARY, "accept_encoding": "gzip, deflate, br"}
        told = await web.ask("POST", "/t.T/Echo", body, **kinds)
        assert told.headers["content-encoding"] == "gzip"
        (_, content), end = frames_of(gzip.decompress(told.body))
        assert (content, end[0]) == (b"x" * 500, 0x80)
        plain = await web.call("/t.T/Echo", b"x" * 500)
        assert plain.messages == [b"x" * 500]
        assert "content-encoding" not in plain.headers


async def test_a_deadline_ends_the_method_and_is_told() -> None:
    waiting = Waiting()
    methods: Methods = {"/t.T/One": Unary(waiting.one), "/t.T/Many": ServerStream(waiting.many)}
    async with running(methods) as web:
        one = await web.call("/t.T/One", b"", grpc_timeout="20m")
        assert (one.messages, one.code, one.text) == ([], 4, "Deadline Exceeded")
        many = await web.call("/t.T/Many", b"", grpc_timeout="500m")
        assert (many.messages, many.code) == ([b"first"], 4)
        assert waiting.cancelled.is_set()
