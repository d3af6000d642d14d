"""TLS, mutual TLS, renewed certificates, Unix sockets, compression and limits, on real sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
import trustme

from tests.harness.relay import relayed
from tests.harness.transports import chosen
from trivet.errors import InvalidConfig
from trivet.frontend.method import Answers, BidiStream, Call, Methods, Unary
from trivet.transport.options import Compression, Keepalive, Options, Tls, Transport, Web, exposure
from trivet.transport.serving import serving

Status = grpc.StatusCode


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


ECHO: Methods = {"/t.T/Echo": Unary(echo), "/t.T/Stream": BidiStream(echo_stream)}
Echo = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
Streaming = grpc.aio.StreamStreamMultiCallable[bytes, bytes]
Settings = Sequence[tuple[str, int | str]]
# A new channel is a new connection.
FRESH = [("grpc.use_local_subchannel_pool", 1)]
_RETRY = """{"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""
RETRYING: Settings = [("grpc.service_config", _RETRY)]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, certificate: trustme.LeafCert, authority: trustme.CA) -> Tls:
    """The certificate's files, as a server is given them."""
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    (folder / "cert.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (folder / "root.pem").write_bytes(authority.cert_pem.bytes())
    return Tls(certificate=folder / "cert.pem", key=folder / "key.pem", root=folder / "root.pem")


def options(tls: Tls | None = None, **changes: object) -> Options:
    changes = {"transport": chosen(), **changes}
    return Options(port=0, tls=tls, closing_s=0, grace_s=1, **changes)  # type: ignore[arg-type]


async def ask(
    address: str,
    credentials: grpc.ChannelCredentials | None = None,
    message: bytes = b"hello",
    compression: grpc.Compression | None = None,
    settings: Settings = (),
) -> bytes:
    """One call over a connection of its own."""
    limits = [("grpc.max_receive_message_length", -1)]
    with_all = [*FRESH, *limits, *settings]
    channel = (
        grpc.aio.secure_channel(address, credentials, with_all)
        if credentials
        else grpc.aio.insecure_channel(address, with_all)
    )
    async with channel:
        return await echoing(channel)(message, timeout=10, compression=compression)


def echoing(channel: grpc.aio.Channel, method: str = "Echo") -> Echo:
    """The method without messages of protobuf: bytes in, bytes out."""
    return channel.unary_unary(f"/t.T/{method}")


def streaming(channel: grpc.aio.Channel) -> Streaming:
    return channel.stream_stream("/t.T/Stream")


async def served_certificate(port: int) -> str:
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))


async def test_tls_is_spoken_to_those_who_trust_its_root(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    async with serving(ECHO, options(tls)) as port:
        address = f"127.0.0.1:{port}"
        trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        assert await ask(address, trusting) == b"hello"
        for credentials in (grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes()), None):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(address, credentials)
            assert refused.value.code() == Status.UNAVAILABLE
        assert await ask(address, trusting) == b"hello"


async def test_mutual_tls_takes_only_clients_of_its_own_root(
    tmp_path: Path, authority: trustme.CA
) -> None:
    files = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    tls = Tls(certificate=files.certificate, key=files.key, root=files.root, clients_must_show=True)
    async with serving(ECHO, options(tls)) as port:
        address = f"127.0.0.1:{port}"

        def showing(issuer: trustme.CA) -> grpc.ChannelCredentials:
            client = issuer.issue_cert("client@example.org")
            chain = b"".join(blob.bytes() for blob in client.cert_chain_pems)
            return grpc.ssl_channel_credentials(
                authority.cert_pem.bytes(), client.private_key_pem.bytes(), chain
            )

        assert await ask(address, showing(authority)) == b"hello"
        nothing = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        for credentials in (nothing, showing(trustme.CA())):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(address, credentials)
            assert refused.value.code() == Status.UNAVAILABLE


async def served_certificate_but(port: int, former: str) -> str:
    """The next one: h2corn looks at the files once a second, grpcio for each connection."""
    while (served := await served_certificate(port)) == former:
        await asyncio.sleep(0.02)
    return served


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_calls_go_on(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tls = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    async with (
        serving(ECHO, options(tls)) as port,
        grpc.aio.secure_channel(f"127.0.0.1:{port}", trusting, FRESH) as old,
    ):
        stream = streaming(old)()
        await stream.write(b"before")
        assert await stream.read() == b"before"
        first = await served_certificate(port)
        assert await served_certificate(port) == first

        write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
        second = await served_certificate_but(port, first)
        assert "certificate_renewed" in caplog.text

        async def told(why: str) -> None:
            while not any(why in str(vars(record).get("why")) for record in caplog.records):
                assert await served_certificate(port) == second
                await asyncio.sleep(0.02)

        tls.certificate.write_text("no certificate")
        await told("cert.pem: is no pair")
        tls.key.unlink()
        await told("key.pem: no such file")

        write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
        assert await served_certificate_but(port, second) != first
        await stream.write(b"after")
        assert await stream.read() == b"after"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is Status.OK
        assert await echoing(old)(b"anew") == b"anew"


async def test_renewals_lose_no_call_of_callers_who_try_again(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of h2corn's connections that are told to go, 1 in 80 loses what is on its way just then."""
    monkeypatch.setattr("trivet.transport.h2corn.renewal.LOOK_S", 0.02)
    tls = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    over = asyncio.Event()

    async def ask_again(channel: grpc.aio.Channel) -> None:
        while not over.is_set():
            assert await echoing(channel)(b"again", timeout=30) == b"again"

    async def come_anew(address: str) -> None:
        while not over.is_set():
            assert await ask(address, trusting, settings=RETRYING) == b"hello"

    async with serving(ECHO, options(tls)) as port, AsyncExitStack() as stack:
        address, served = f"127.0.0.1:{port}", await served_certificate(port)
        async with asyncio.TaskGroup() as callers:
            for _ in range(4):
                channel = grpc.aio.secure_channel(address, trusting, [*FRESH, *RETRYING])
                callers.create_task(ask_again(await stack.enter_async_context(channel)))
                callers.create_task(come_anew(address))
            for _ in range(5):
                write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
                served = await served_certificate_but(port, served)
            over.set()


async def test_the_stop_cuts_off_what_lasts_longer_than_its_grace_with_tls_too(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    async with AsyncExitStack() as stack:
        async with serving(ECHO, options(tls)) as port:
            channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", trusting, FRESH)
            stream = streaming(await stack.enter_async_context(channel))()
            await stream.write(b"x")
            assert await stream.read() == b"x"
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await stream.read()
        assert cut.value.code() in (Status.UNAVAILABLE, Status.CANCELLED)


async def test_files_that_are_no_certificates_end_the_start_with_their_name(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = write(tmp_path, authority.issue_cert("127.0.0.1"), authority)
    (tmp_path / "other.pem").write_bytes(trustme.CA().private_key_pem.bytes())
    (tmp_path / "text.pem").write_text("text")
    for broken, fault in (
        (Tls(certificate=tmp_path / "none", key=tls.key), "none: no such file"),
        (Tls(certificate=tls.certificate, key=tmp_path / "other.pem"), "key values mismatch"),
        (Tls(certificate=tmp_path / "text.pem", key=tls.key), "text.pem: is no pair with"),
        (
            Tls(certificate=tls.certificate, key=tls.key, root=tmp_path / "text.pem"),
            "text.pem: holds no root certificate",
        ),
    ):
        with pytest.raises(InvalidConfig) as refused:
            async with serving(ECHO, options(broken)):
                pass
        assert fault in refused.value.message


async def test_a_unix_socket_is_served_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "trivet.sock"
    address = f"unix:{path}"
    async with serving(ECHO, options(host=address)) as port:
        assert port == 0
        assert await ask(address) == b"hello"
        assert path.stat().st_mode & 0o022 == 0  # to connect is to write
        with pytest.raises(InvalidConfig, match="another server listens there"):
            async with serving(ECHO, options(host=address)):
                pass
        assert await ask(address) == b"hello"
    assert not path.exists()


async def test_what_a_dead_server_left_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "trivet.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(ECHO, options(host=f"unix:{path}")):
        assert await ask(f"unix:{path}") == b"hello"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("file", "is there already and no socket"),
        ("none/trivet.sock", "its folder does not exist"),
        ("x" * 108, "is longer than 107 bytes"),
    ],
)
async def test_a_path_that_can_be_no_socket_is_left_alone(
    tmp_path: Path, name: str, fault: str
) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InvalidConfig, match=fault):
        async with serving(ECHO, options(host=f"unix:{tmp_path / name}")):
            pass
    assert (tmp_path / "file").read_text() == "precious"


async def test_a_relative_socket_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="no absolute path"):
        async with serving(ECHO, options(host="unix:trivet.sock")):
            pass


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate, None])
async def test_requests_may_come_compressed(algorithm: grpc.Compression | None) -> None:
    async with serving(ECHO, options()) as port:
        answer = await ask(f"127.0.0.1:{port}", message=b"x" * 100_000, compression=algorithm)
        assert answer == b"x" * 100_000


async def test_a_message_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    async with serving(ECHO, options(max_message_bytes=10_000)) as port:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(
                f"127.0.0.1:{port}",
                message=b"x" * 1_000_000,  # about a kilobyte on the wire
                compression=grpc.Compression.Gzip,
            )
        assert refused.value.code() == Status.RESOURCE_EXHAUSTED
        assert await ask(f"127.0.0.1:{port}") == b"hello"


IDENTITY_ONLY = [("grpc.compression_enabled_algorithms_bitset", 1)]


@pytest.mark.parametrize("level", Compression)
@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_are_compressed_for_those_who_can_read_it(
    level: Compression, streamed: bool
) -> None:
    message = b"x" * 200_000

    async def received(port: int, settings: Settings) -> int:
        async with relayed(port) as relay:
            limits = [*FRESH, *settings]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{relay.port}", limits) as channel:
                if streamed:
                    method = streaming(channel)
                    answers = [answer async for answer in method(iter([message]))]
                    assert answers == [message]
                else:
                    assert await echoing(channel)(message) == message
            return relay.received

    async with serving(ECHO, options(compression=level)) as port:
        assert await received(port, IDENTITY_ONLY) > 200_000
        if level is Compression.NONE:
            assert await received(port, []) > 200_000
        else:
            assert await received(port, []) < 20_000


async def test_one_connection_has_so_many_calls_under_way_and_the_rest_waits() -> None:
    entered, go = asyncio.Semaphore(0), asyncio.Event()
    inside = most = 0

    async def hold(message: bytes, call: Call) -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        entered.release()
        await go.wait()
        inside -= 1
        return message

    async with (
        serving({"/t.T/Hold": Unary(hold)}, options(max_concurrent_streams=2)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", FRESH) as channel,
    ):
        # The first answer tells the client the limit.
        go.set()
        await echoing(channel, "Hold")(b"")
        go.clear()
        await entered.acquire()
        calls = [echoing(channel, "Hold")(b"%d" % number) for number in range(6)]
        for _ in range(2):
            await entered.acquire()
        go.set()
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(6)]
        assert most == 2


@pytest.mark.parametrize("transport", [Transport.GRPCIO], indirect=True)  # h2corn refuses the flag
async def test_an_old_connection_is_asked_to_leave_and_loses_no_call() -> None:
    aged = Keepalive(max_connection_age_ms=50)
    async with (
        serving(ECHO, options(keepalive=aged)) as port,
        relayed(port) as relay,
        grpc.aio.insecure_channel(f"127.0.0.1:{relay.port}", FRESH) as channel,
    ):
        while relay.connections < 3:
            assert await echoing(channel)(b"x", timeout=10) == b"x"


async def test_two_servers_share_a_port_if_both_say_so() -> None:
    async with serving(ECHO, options(reuse_port=True)) as port:
        second = Options(port=port, reuse_port=True, closing_s=0)
        async with serving(ECHO, second) as shared:
            assert shared == port
            assert await ask(f"127.0.0.1:{port}") == b"hello"


@pytest.mark.parametrize(
    ("host", "tls", "mutual", "tokens", "told"),
    [
        ("127.0.0.1", False, False, False, 0),
        ("127.8.8.8", False, False, False, 0),
        ("::1", False, False, False, 0),
        ("localhost", False, False, False, 0),
        ("unix:/run/trivet.sock", False, False, False, 0),
        ("0.0.0.0", False, False, False, 2),
        ("::", False, False, False, 2),
        ("server.example.org", False, False, False, 2),
        ("0.0.0.0", False, False, True, 1),
        ("0.0.0.0", True, False, False, 1),
        ("0.0.0.0", True, False, True, 0),
        ("0.0.0.0", True, True, False, 0),
    ],
)
def test_what_is_open_to_the_network_is_told(
    host: str, tls: bool, mutual: bool, tokens: bool, told: int
) -> None:
    file = Path(os.devnull)
    secured = Tls(certificate=file, key=file, root=file, clients_must_show=mutual) if tls else None
    assert len(exposure(Options(host=host, tls=secured), tokens=tokens)) == told


@pytest.mark.parametrize(
    ("origins", "tokens", "told"),
    [((), False, 0), (("https://a.test",), False, 0), (("*",), True, 0), (("*",), False, 1)],
)
def test_pages_of_any_site_are_told_of_also_on_this_machine(
    origins: tuple[str, ...], tokens: bool, told: int
) -> None:
    dangers = exposure(Options(web=Web(origins=frozenset(origins))), tokens=tokens)
    assert len(dangers) == told
    assert all("--token-file" in danger for danger in dangers)
