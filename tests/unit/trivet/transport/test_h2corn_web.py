"""What becomes of a request by its head, and how an answer is framed for browsers."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from tests.harness.grpc_web import frames_of
from trivet.errors import NotFound
from trivet.transport.h2corn.compression import DEFLATE, IDENTITY
from trivet.transport.h2corn.frames import framed
from trivet.transport.h2corn.web import Reply, WebCall, judged
from trivet.transport.h2corn.web_answer import WebAnswer, trailer_frame

WEB, TEXT = b"application/grpc-web", b"application/grpc-web-text"
SITE = "https://a.test"
PREFLIGHT = {b"origin": b"https://a.test", b"access-control-request-method": b"POST"}


def call(kind: bytes = WEB, origin: bytes | None = None, **more: bytes) -> WebCall | Reply:
    headers = {name.replace("_", "-").encode(): value for name, value in more.items()}
    if origin is not None:
        headers[b"origin"] = origin
    return judged("POST", {b"content-type": kind, **headers}, {SITE})


@pytest.mark.parametrize(
    ("kind", "accept", "text", "answer_text"),
    [
        (WEB, b"", False, False),
        (WEB + b"+proto", b"*/*", False, False),
        (b"Application/gRPC-Web; charset=x", b"", False, False),
        (TEXT, b"", True, True),
        (TEXT + b"+proto", b"*/*", True, True),
        (WEB, b"application/grpc-web-text", False, True),
        (TEXT, b"application/grpc-web", True, False),
        (TEXT, b"application/grpc-web, application/grpc-web-text+proto;q=1", True, True),
    ],
)
def test_text_is_answered_to_text_or_as_is_asked(
    kind: bytes, accept: bytes, text: bool, answer_text: bool
) -> None:
    web = call(kind, accept=accept)
    assert isinstance(web, WebCall)
    assert (web.text, web.answer_text) == (text, answer_text)
    assert web.content_type == (TEXT if answer_text else WEB) + b"+proto"


@pytest.mark.parametrize(
    ("accepted", "reads"),
    [
        (b"", False),
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, GZIP;q=0.8", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"x-gzip", False),
    ],
)
def test_who_reads_gzip_says_so(accepted: bytes, reads: bool) -> None:
    web = call(accept_encoding=accepted)
    assert isinstance(web, WebCall)
    assert web.gzip is reads


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/grpc", 415),  # over HTTP/1.1, or it were no question
        (b"application/grpc-web+json", 415),
        (b"application/json", 415),
        (b"", 415),
        # What a form can send, and a script without asking first.
        (b"text/plain", 415),
        (b"multipart/form-data; boundary=application/grpc-web", 415),
        (b"application/x-www-form-urlencoded", 415),
    ],
)
def test_nothing_but_grpc_web_is_taken(kind: bytes, status: int) -> None:
    reply = call(kind)
    assert isinstance(reply, Reply)
    assert reply.status == status


def test_a_body_compressed_as_a_whole_is_refused() -> None:
    reply = call(content_encoding=b"gzip")
    assert isinstance(reply, Reply)
    assert (reply.status, reply.headers) == (415, [(b"accept-encoding", b"identity")])
    assert isinstance(call(content_encoding=b"identity"), WebCall)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    reply = judged(method, {b"content-type": WEB}, {SITE})
    assert isinstance(reply, Reply)
    assert (reply.status, reply.headers) == (405, [(b"allow", b"POST")])


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("origin", [b"https://evil.test", b"null", b"http://a.test"])
def test_other_origins_are_refused_whatever_they_ask(method: str, origin: bytes) -> None:
    for kind in (WEB, b"application/grpc", b"text/plain"):
        headers = {**PREFLIGHT, b"origin": origin, b"content-type": kind}
        reply = judged(method, headers, {SITE})
        assert isinstance(reply, Reply)
        assert (reply.status, reply.headers) == (403, [(b"vary", b"origin")])
        assert "--grpc-web-allow-origin" in reply.text


def test_without_origins_no_page_may_call_and_who_is_no_page_may() -> None:
    headers = {b"content-type": WEB}
    assert isinstance(judged("POST", headers, ()), WebCall)
    reply = judged("POST", {**headers, b"origin": SITE.encode()}, ())
    assert isinstance(reply, Reply)
    assert reply.status == 403


def test_a_preflight_of_an_allowed_origin_gets_its_permission() -> None:
    reply = judged("OPTIONS", PREFLIGHT, {SITE})
    assert isinstance(reply, Reply)
    assert (reply.status, reply.text) == (204, "")
    assert (b"access-control-allow-origin", b"https://a.test") in reply.headers


def test_a_refusal_can_be_read_by_pages_that_may_call() -> None:
    reply = call(b"text/plain", origin=SITE.encode())
    assert isinstance(reply, Reply)
    assert (b"access-control-allow-origin", b"https://a.test") in reply.headers


PLAIN = WebCall(text=False, answer_text=False, origin=None, gzip=True)


class Sending:
    """An answer, and what was sent of it."""

    def __init__(
        self,
        web: WebCall = PLAIN,
        encoding: bytes = IDENTITY,
        *,
        compresses: bool = False,
    ) -> None:
        self.events: list[Any] = []
        self.answer = WebAnswer(self._send, encoding, web, gzip=compresses)

    async def _send(self, event: Any) -> None:
        self.events.append(event)

    @property
    def headers(self) -> dict[bytes, bytes]:
        assert not self.events[-1]["more_body"]
        return dict(self.events[0]["headers"])

    @property
    def bodies(self) -> list[bytes]:
        return [event["body"] for event in self.events[1:]]


def test_trailers_are_lines_behind_a_flag_of_their_own() -> None:
    frame = trailer_frame([(b"grpc-status", b"0"), (b"hint-bin", b"AAE")])
    assert frame == b"\x80\0\0\0\x1fgrpc-status: 0\r\nhint-bin: AAE\r\n"


async def test_one_message_and_its_end_are_one_body() -> None:
    sent = Sending()
    await sent.answer.only(b"hello", (("hint-bin", b"\0\1"),))
    (body,) = sent.bodies
    assert list(frames_of(body)) == [(0, b"hello"), (0x80, b"grpc-status: 0\r\nhint-bin: AAE\r\n")]
    assert "trailers" not in sent.events[0]


async def test_each_frame_is_text_of_its_own() -> None:
    sent = Sending(WebCall(text=True, answer_text=True, origin=None, gzip=False))
    await sent.answer.write(b"a")
    await sent.answer.write(b"ab")
    await sent.answer.finish(())
    assert sent.bodies == [b"AAAAAAFh", b"AAAAAAJhYg==", b"gAAAABBncnBjLXN0YXR1czogMA0K"]
    assert sent.headers[b"content-type"] == b"application/grpc-web-text+proto"


async def test_a_refusal_before_any_message_is_headers_alone() -> None:
    sent = Sending(WebCall(text=False, answer_text=False, origin=b"https://a.test", gzip=False))
    await sent.answer.refuse(NotFound("none: é"), (("hint", "x"),))
    assert sent.bodies == [b""]
    assert sent.headers[b"grpc-status"] == b"5"
    assert sent.headers[b"grpc-message"] == b"none: %C3%A9"
    assert sent.headers[b"access-control-expose-headers"].endswith(b", hint")


async def test_a_refusal_after_a_message_is_the_last_frame() -> None:
    sent = Sending()
    await sent.answer.write(b"a")
    await sent.answer.refuse(NotFound("no more"))
    await sent.answer.refuse(NotFound("said already"))
    end = b"grpc-status: 5\r\ngrpc-message: no more\r\n"
    assert list(frames_of(b"".join(sent.bodies))) == [(0, b"a"), (0x80, end)]


async def test_a_body_is_compressed_as_a_whole_for_who_reads_that() -> None:
    sent = Sending(compresses=True)
    await sent.answer.write(b"x" * 1000)
    first = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(b"".join(sent.bodies))
    assert first == framed(b"x" * 1000)  # read as soon as it is sent
    await sent.answer.finish(())
    assert sent.headers[b"content-encoding"] == b"gzip"
    body = b"".join(sent.bodies)
    assert len(body) < 200
    assert gzip.decompress(body) == framed(b"x" * 1000) + trailer_frame([(b"grpc-status", b"0")])


async def test_messages_are_compressed_instead_for_a_script_that_undoes_it() -> None:
    sent = Sending(encoding=DEFLATE, compresses=True)
    await sent.answer.only(b"x" * 1000, ())
    (flag, packed), end = frames_of(sent.bodies[0])
    assert (flag, zlib.decompress(packed), end[0]) == (1, b"x" * 1000, 0x80)
    assert sent.headers[b"grpc-encoding"] == b"deflate"
    assert b"content-encoding" not in sent.headers
