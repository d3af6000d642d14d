"""Callers who leave, other protocols on the port, broken requests, the server's end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import trustme

from tests.harness import http2
from tests.harness.grpc_web import BINARY, TEXT, Caller
from tests.integration.web.asking import SITE, Asking, Waiting, running
from trivet.frontend.method import Call, Methods, ServerStream, Unary
from trivet.transport.options import Tls


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
