"""gRPC-Web over sockets, as a browser's script calls: HTTP/1.1, and HTTP/2 where it says so."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tests.harness import http2
from tests.harness.grpc_web import BINARY, TEXT, Caller, Told, frames_of
from tests.harness.transports import serving_on
from trivet.clock import SystemClock
from trivet.errors import NotFound, Overloaded
from trivet.frontend.access import Access, guarded
from trivet.frontend.access_tokens import TokenFile
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.transport.options import Compression, Options, Tls, Transport, Web
from trivet.transport.serving import serving

pytest.importorskip("h2corn")

SITE = "https://a.test"
LIMIT = 1000


@pytest.fixture(autouse=True)
def transport() -> Iterator[Transport]:
    """There is no gRPC-Web with grpcio."""
    with serving_on(Transport.H2CORN) as chosen:
        yield chosen


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def headers(message: bytes, call: Call) -> bytes:
    """What came in a header; and something goes back."""
    call.set_trailers((("told", "x"), ("told-bin", b"\0\xff")))
    value = call.metadata[message.decode()]
    return value.encode() if isinstance(value, str) else value


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


async def count(message: bytes, call: Call) -> Answers:
    for number in range(int(message)):
        yield b"%d" % number


async def refuse(message: bytes, call: Call) -> bytes:
    raise Overloaded("come back; é")


async def refuse_late(message: bytes, call: Call) -> Answers:
    yield b"first"
    raise NotFound("no more")


class Waiting:
    """A method that says when it has begun and when it was cancelled."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def one(self, message: bytes, call: Call) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return b""

    async def many(self, message: bytes, call: Call) -> Answers:
        yield b"first"
        yield await self.one(message, call)


METHODS: Methods = {
    "/t.T/Echo": Unary(echo),
    "/t.T/Headers": Unary(headers),
    "/t.T/Count": ServerStream(count),
    "/t.T/Stream": BidiStream(echo_stream),
    "/t.T/Refuse": Unary(refuse),
    "/t.T/Late": ServerStream(refuse_late),
}


def options(**changes: Any) -> Options:
    settings = {"web": Web(origins=frozenset({SITE})), "max_message_bytes": LIMIT, **changes}
    return Options(port=0, transport=Transport.H2CORN, grace_s=5, closing_s=0, **settings)


class Asking:
    """A caller whose questions do not keep the server, which is of this process, from answering."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.caller = Caller(port)

    async def call(self, path: str, *messages: bytes, **more: Any) -> Told:
        return await asyncio.to_thread(partial(self.caller.call, path, *messages, **more))

    async def ask(self, method: str, path: str, body: bytes = b"", **more: str) -> Told:
        return await asyncio.to_thread(partial(self.caller.ask, method, path, body, **more))


@asynccontextmanager
async def running(methods: Methods = METHODS, **changes: Any) -> AsyncIterator[Asking]:
    async with serving(methods, options(**changes)) as port:
        yield Asking(port)


@pytest.fixture
async def web() -> AsyncIterator[Asking]:
    async with running() as asking:
        yield asking


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


@pytest.mark.parametrize("path", ["/t.T/One", "/t.T/Many"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_browser_that_hangs_up_cancels_its_call(
    path: str, reset: bool, quiet: Callable[[], None]
) -> None:
    waiting = Waiting()
    methods: Methods = {"/t.T/One": Unary(waiting.one), "/t.T/Many": ServerStream(waiting.many)}
    async with running(methods) as web:
        body = http2.message(b"")
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {BINARY}\r\n"
        _, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(20):
            await waiting.begun.wait()
            if reset:
                own = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            await waiting.cancelled.wait()
    quiet()


async def test_who_waits_longer_than_a_look_at_him_is_answered() -> None:
    async def slow(message: bytes, call: Call) -> bytes:
        await asyncio.sleep(2.5)
        return message

    async with running({"/t.T/Slow": Unary(slow)}) as web:
        assert (await web.call("/t.T/Slow", b"x")).messages == [b"x"]


async def test_a_browser_that_resets_its_stream_cancels_its_call() -> None:
    waiting = Waiting()
    async with running({"/t.T/One": Unary(waiting.one)}) as web:
        peer = await http2.Peer.connect(web.port)
        head = http2.headers("/t.T/One", 1, content_type=BINARY)
        body = http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b""))
        await peer.send(head, body)
        async with asyncio.timeout(20):
            await waiting.begun.wait()
            await peer.send(http2.reset(1))
            await waiting.cancelled.wait()
        peer.close()


async def test_over_http2_it_is_the_same(web: Asking) -> None:
    peer = await http2.Peer.connect(web.port)
    body = base64.b64encode(http2.message(b"hello"))
    await peer.send(
        http2.headers("/t.T/Echo", 1, content_type=TEXT, origin=SITE),
        http2.frame(http2.DATA, 0, 1, body[:5]),
        http2.frame(http2.DATA, http2.END_STREAM, 1, body[5:]),
    )
    async with asyncio.timeout(20):
        came = await peer.ended(1)
    peer.close()
    text = b"".join(frame.payload for frame in came if frame.kind == http2.DATA)
    assert text == base64.b64encode(http2.message(b"hello")) + base64.b64encode(
        b"\x80\0\0\0\x10grpc-status: 0\r\n"
    )


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
async def test_over_tls_browsers_choose_the_protocol(tmp_path: Path, protocol: str) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    (tmp_path / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    trusting.set_alpn_protocols([protocol])
    tls = Tls(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    async with running(tls=tls) as web:
        _, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=trusting)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == protocol
        writer.close()
        if protocol == "http/1.1":
            caller = Caller(web.port, trusting)
            told = await asyncio.to_thread(caller.call, "/t.T/Echo", b"x")
            assert told.messages == [b"x"]


async def test_grpc_is_served_beside_it_and_only_over_http2(web: Asking) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{web.port}") as channel:
        assert await channel.unary_unary("/t.T/Echo")(b"x") == b"x"
    told = await web.call("/t.T/Echo", b"x", kind="application/grpc")
    assert told.status == 415
    assert b"application/grpc over HTTP/2" in told.body


PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "a,b"}


async def test_an_allowed_page_may_ask_and_read(web: Asking) -> None:
    told = await web.ask("OPTIONS", "/t.T/Echo", origin=SITE, **PREFLIGHT)
    assert (told.status, told.body) == (204, b"")
    assert told.headers["access-control-allow-origin"] == SITE
    assert told.headers["access-control-allow-methods"] == "POST"
    assert told.headers["access-control-allow-headers"] == "a,b"
    assert told.headers["vary"] == "origin"
    called = await web.call("/t.T/Echo", b"x", origin=SITE)
    assert called.messages == [b"x"]
    assert called.headers["access-control-allow-origin"] == SITE


@pytest.mark.parametrize("origin", ["https://b.test", "null", "http://127.0.0.1"])
async def test_any_other_page_is_refused_by_the_server(web: Asking, origin: str) -> None:
    asked = []

    async def note(message: bytes, call: Call) -> bytes:
        asked.append(message)
        return message

    async with running({"/t.T/Note": Unary(note)}) as web:
        for told in (
            await web.ask("OPTIONS", "/t.T/Note", origin=origin, **PREFLIGHT),
            await web.call("/t.T/Note", b"x", origin=origin),
            await web.call("/t.T/Note", b"x", origin=origin, kind="application/grpc"),
            await web.call("/t.T/Note", b"x", origin=origin, kind="text/plain"),
            # DNS rebinding: the browser takes the page for this server's own.
            await web.call("/t.T/Note", b"x", origin=origin, host=origin.rpartition("/")[2]),
        ):
            assert told.status == 403
            assert "access-control-allow-origin" not in told.headers
            assert b"--grpc-web-allow-origin" in told.body
    assert asked == []


async def test_any_page_may_call_where_that_was_said() -> None:
    async with running(web=Web(origins=frozenset({"*"}))) as web:
        told = await web.call("/t.T/Echo", b"x", origin="https://anybody.test")
        assert told.messages == [b"x"]
        assert told.headers["access-control-allow-origin"] == "https://anybody.test"
        assert "access-control-allow-credentials" not in told.headers


async def test_tokens_are_asked_of_calls_and_not_of_preflights(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("infer secret-of-sixteen-or-more\n")
    access = Access(restrictions={}, tokens=TokenFile(file, SystemClock()))
    path = "/trivet.v1.TextService/Embed"
    async with running(guarded({path: Unary(echo)}, access)) as web:
        told = await web.ask("OPTIONS", path, origin=SITE, **PREFLIGHT)
        assert told.status == 204
        refused = await web.call(path, b"x", origin=SITE)
        assert (refused.code, refused.headers["access-control-allow-origin"]) == (16, SITE)
        token = "Bearer secret-of-sixteen-or-more"
        assert (await web.call(path, b"x", origin=SITE, authorization=token)).messages == [b"x"]


async def test_a_websocket_is_refused_without_a_word_in_the_log(
    web: Asking, quiet: Callable[[], None]
) -> None:
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
        "sec-websocket-version": "13",
    }
    told = await web.ask("GET", "/t.T/Echo", **upgrade)
    assert told.status == 403
    quiet()


HEAD = f"POST /t.T/Echo HTTP/1.1\r\nhost: x\r\ncontent-type: {BINARY}\r\n".encode()
FRAME = http2.message(b"hello")
BROKEN = {
    "nothing": b"",
    "half a head": HEAD[:30],
    "no http": b"\x16\x03\x01\x02\0" + bytes(range(256)),
    "a head without an end": HEAD + b"x: " + b"y" * 100_000,
    "half a body": HEAD + b"content-length: 10\r\n\r\n" + FRAME[:7],
    "half a stream": HEAD.replace(b"Echo", b"Stream") + b"content-length: 99\r\n\r\n" + FRAME,
    "half a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\n" + FRAME,
    "two lengths": HEAD + b"content-length: 10\r\ncontent-length: 9\r\n\r\n" + FRAME,
    "a length and chunks": HEAD
    + b"content-length: 10\r\ntransfer-encoding: chunked\r\n\r\na\r\n"
    + FRAME
    + b"\r\n0\r\n\r\n",
    "several at once": (HEAD + b"content-length: 10\r\n\r\n" + FRAME) * 20,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_broken_requests_harm_nobody(
    web: Asking, content: bytes, quiet: Callable[[], None]
) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(content)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()
    async with asyncio.timeout(20):
        assert (await web.call("/t.T/Echo", b"still there")).messages == [b"still there"]
    quiet()


async def test_a_call_under_way_is_answered_when_the_server_stops() -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(message: bytes, call: Call) -> bytes:
        begun.set()
        await let_go.wait()
        return message

    async with asyncio.timeout(20):
        async with running({"/t.T/Slow": Unary(slow)}) as web:
            called = asyncio.create_task(web.call("/t.T/Slow", b"x"))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.2, let_go.set)  # while it stops
        assert (await called).messages == [b"x"]


async def test_without_it_there_is_no_http_1() -> None:
    async with running(web=None) as web:
        with pytest.raises((OSError, http.client.HTTPException)):
            await web.call("/t.T/Echo", b"x")
        peer = await http2.Peer.connect(web.port)
        await peer.send(http2.headers("/t.T/Echo", 1, content_type=BINARY))
        async with asyncio.timeout(20):
            came = await peer.ended(1)
        peer.close()
    assert b"this is a gRPC server: POST application/grpc\n" in [one.payload for one in came]
