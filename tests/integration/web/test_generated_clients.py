"""The clients that others generate, in a real browser, on a page of another site than the server.

Over HTTP/1.1, and over TLS, where browsers choose HTTP/2.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.harness.browser import browser, needs_browser, tab
from tests.harness.node_packages import ROOT, generated, installed, needs_node
from tests.integration.web.asking import Waiting, running
from trivet.errors import Code, NotFound, Overloaded
from trivet.frontend.method import Answers, Call, Methods, ServerStream, Unary
from trivet.transport.options import Tls, Web
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import health_pb2

pytestmark = [*needs_browser, needs_node]

CLIENTS = ["connect", "grpc-web", "grpc-web-text"]
PAGE = Path(__file__).parent / "page"
ODD = "come back; é → 100 %, two\nlines"

HEADERS = {"x-bin": "AP8=", "y": "a, b"}
# By name: what the page's `ask` is told after the client and the server.
CALLS: dict[str, list[Any]] = {
    "headers": ["infer", "serverMetadata", {}, {"headers": HEADERS}],
    "large": ["infer", "modelMetadata", {"name": "x" * 1_000_000}],
    "refused": ["infer", "modelReady", {}],
    "stream": ["health", "watch", {"service": "20"}],
    "refused late": ["health", "watch", {"service": "late"}],
    "late": ["health", "watch", {"service": "wait"}, {"timeoutMs": 500}],
    "unknown": ["infer", "serverLive", {}],
    "cancelled": ["health", "watch", {"service": "wait for ever"}, {"stopAfter": 1}],
}

# grpc-web gives out a stream of binary answers when it has ended, and not before.
NEVER_TOLD = {("grpc-web", "cancelled")}

Told = Mapping[str, Any]  # as page/calls.js gives it


async def told(message: bytes, call: Call) -> bytes:
    """The headers that came; a trailer of each kind goes back."""
    binary, text = call.metadata["x-bin"], call.metadata["y"]
    assert isinstance(binary, bytes)
    call.set_trailers((("told", "x"), ("told-bin", b"\0\xff")))
    return pb.ServerMetadataResponse(name=binary.hex(), version=str(text)).SerializeToString()


async def echo(message: bytes, call: Call) -> bytes:
    name = pb.ModelMetadataRequest.FromString(message).name
    return pb.ModelMetadataResponse(name=name).SerializeToString()


async def refuse(message: bytes, call: Call) -> bytes:
    raise Overloaded(ODD)


def table(waiting: Waiting) -> Methods:
    async def watch(message: bytes, call: Call) -> Answers:
        asked = health_pb2.HealthCheckRequest.FromString(message).service
        for number in range(int(asked) if asked.isdigit() else 1):
            yield health_pb2.HealthCheckResponse(status=number % 2).SerializeToString()  # type: ignore[arg-type]
        if asked == "late":
            raise NotFound(ODD)
        if asked == "wait":
            await asyncio.Event().wait()
        if asked == "wait for ever":
            await waiting.one(message, call)

    return {
        "/inference.GRPCInferenceService/ServerMetadata": Unary(told),
        "/inference.GRPCInferenceService/ModelMetadata": Unary(echo),
        "/inference.GRPCInferenceService/ModelReady": Unary(refuse),
        "/grpc.health.v1.Health/Watch": ServerStream(watch),
    }


class Files(SimpleHTTPRequestHandler):
    """The page beside the packages and the code that was generated."""

    def translate_path(self, path: str) -> str:
        if (own := PAGE / path.lstrip("/")).is_file():
            return str(own)
        return super().translate_path(path)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def files(folder: Path) -> Iterator[str]:
    handler = partial(Files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def asked(site: str, server: str) -> dict[tuple[str, str], Told]:
    """Every call by every client."""
    with browser() as chromium, tab(chromium, f"{site}/index.html", ignore_https_errors=True) as at:
        at.page.wait_for_function("() => window.ask")
        return {
            (client, name): at.page.evaluate("(call) => ask(...call)", [client, server, *call])
            for client in CLIENTS
            for name, call in CALLS.items()
            if (client, name) not in NEVER_TOLD
        }


async def answers(folder: Path, tls: Tls | None) -> dict[tuple[str, str], Told]:
    waiting = Waiting()
    with files(folder) as site:
        web = Web(origins=frozenset({site}))
        changes = {"web": web, "tls": tls, "max_message_bytes": 4_000_000}
        async with running(table(waiting), **changes) as up:
            server = f"{'http' if tls is None else 'https'}://127.0.0.1:{up.port}"
            came = await asyncio.to_thread(asked, site, server)
            async with asyncio.timeout(20):
                await waiting.cancelled.wait()
    return came


@pytest.fixture(scope="module", params=["http/1.1", "h2"])
def came(
    request: pytest.FixtureRequest,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], Told]:
    pytest.importorskip("h2corn")
    folder = installed(ROOT / "clients" / "connect", pytestconfig)
    generated(folder)
    tls = certified(tmp_path_factory.mktemp("tls")) if request.param == "h2" else None
    return asyncio.run(answers(folder, tls))


def certified(folder: Path) -> Tls:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (folder / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    return Tls(certificate=folder / "cert.pem", key=folder / "key.pem")


@pytest.mark.parametrize("client", CLIENTS)
def test_generated_clients_hear_all_that_belongs_to_a_call(
    came: Mapping[tuple[str, str], Told], client: str
) -> None:
    told = {name: told for (by, name), told in came.items() if by == client}
    headers = told["headers"]
    assert [(m["name"], m["version"]) for m in headers["messages"]] == [("00ff", "a, b")]
    assert headers["trailers"]["told"] == "x"
    assert headers["trailers"]["told-bin"] == "AP8"
    assert [len(message["name"]) for message in told["large"]["messages"]] == [1_000_000]
    refused = told["refused"]
    assert (refused["code"], refused["text"]) == (Code.UNAVAILABLE, ODD)
    if client == "connect":  # which reads them
        assert refused["details"] == "google.rpc.RetryInfo"
    else:
        assert refused["statusDetails"]
    stream = told["stream"]
    assert [message.get("status", 0) for message in stream["messages"]] == [0, 1] * 10
    assert stream["code"] == Code.OK
    late = told["refused late"]
    assert (len(late["messages"]), late["code"], late["text"]) == (1, Code.NOT_FOUND, ODD)
    assert told["late"]["code"] == Code.DEADLINE_EXCEEDED
    assert told["unknown"]["code"] == Code.UNIMPLEMENTED
    if "cancelled" in told:
        assert len(told["cancelled"]["messages"]) == 1
