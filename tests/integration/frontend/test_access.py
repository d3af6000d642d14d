"""Tokens, restricted groups and certificates, as tritonclient and our own clients meet them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
import trustme
from tritonclient.utils import InferenceServerException

from tests.harness.frontend import echo_model, publish
from trivet.clock import SystemClock
from trivet.frontend import services
from trivet.frontend.access import Access, Restriction, guarded
from trivet.frontend.access_rules import Group
from trivet.frontend.access_tokens import TokenFile
from trivet.repository.registry import Registry
from trivet.transport.grpcio import serving
from trivet.transport.options import Options, Tls
from trivet_client import AsyncClient, TrivetError
from trivet_client import Tls as ClientTls
from trivet_client import errors as client_errors
from trivet_client.values import InferRequest, InferResult

INFER = "infer-token-0123456789"
OBSERVE = "observe-token-0123456789"
CONTROL = "control-token-0123456789"
ROW = np.array([[1.0, 2.0]], np.float32)


@asynccontextmanager
async def secured(
    access: Access, tls: Tls | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """A server over the model "echo"; gives its address."""
    registry, draining = Registry(), asyncio.Event()
    publish(registry, echo_model())
    table = guarded(services.methods(registry, draining=draining), access)
    options = Options(host=host, port=0, tls=tls, closing_s=0, grace_s=1)
    async with serving(table, options) as port:
        yield options.address(port)


@pytest.fixture
def tokens(tmp_path: Path) -> Access:
    path = tmp_path / "tokens"
    path.write_text(f"infer {INFER}\nobserve {OBSERVE}\ncontrol {CONTROL}\n")
    path.chmod(0o600)
    return Access(restrictions={}, tokens=TokenFile(path, SystemClock()))


def restricted(*groups: Group) -> Access:
    restriction = Restriction("admin-key", "admin-value")
    return Access(restrictions=dict.fromkeys(groups, restriction), tokens=None)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def tensor() -> triton.InferInput:
    return triton.InferInput("IN", [1, 2], "FP32").set_data_from_numpy(ROW)


async def streamed(
    client: triton.InferenceServerClient, headers: Mapping[str, str] | None
) -> object:
    """The answer to one request on a stream."""

    async def requests() -> AsyncIterator[dict[str, object]]:
        yield {"model_name": "echo", "inputs": [tensor()]}

    async for result, error in client.stream_infer(requests(), headers=headers):
        assert error is None
        return result
    raise AssertionError("the stream ended without a word")


async def refused(awaitable: object) -> tuple[str, str]:
    """Status and text of a call that must fail."""
    with pytest.raises(InferenceServerException) as caught:
        await awaitable  # type: ignore[misc]
    return str(caught.value.status()), str(caught.value.message())


async def test_tritonclient_brings_its_token_as_a_header(tokens: Access) -> None:
    async with secured(tokens) as address, triton.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_model_ready("echo")
        status, text = await refused(client.infer("echo", [tensor()]))
        assert (status, "ModelInfer needs a token" in text) == (
            "StatusCode.UNAUTHENTICATED",
            True,
        )
        answer = await client.infer("echo", [tensor()], headers=bearer(INFER))
        np.testing.assert_array_equal(answer.as_numpy("OUT"), ROW)
        wrong = bearer("no-such-token-0123456789")
        status, _ = await refused(client.infer("echo", [tensor()], headers=wrong))
        assert status == "StatusCode.UNAUTHENTICATED"
        status, text = await refused(client.infer("echo", [tensor()], headers=bearer(OBSERVE)))
        assert (status, "the role infer, this one has observe" in text) == (
            "StatusCode.PERMISSION_DENIED",
            True,
        )
        await client.get_inference_statistics(headers=bearer(OBSERVE))
        status, _ = await refused(client.load_model("echo", headers=bearer(INFER)))
        assert status == "StatusCode.PERMISSION_DENIED"


async def test_a_stream_of_tritonclient_needs_its_token_too(tokens: Access) -> None:
    async with secured(tokens) as address, triton.InferenceServerClient(address) as client:
        answer = await streamed(client, bearer(INFER))
        np.testing.assert_array_equal(answer.as_numpy("OUT"), ROW)  # type: ignore[attr-defined]
        for headers, status in (
            (None, grpc.StatusCode.UNAUTHENTICATED),
            (bearer(CONTROL), grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await streamed(client, headers)
            assert ended.value.code() is status


async def test_restricted_groups_ask_tritonclient_for_their_header() -> None:
    access = restricted(Group.MODEL_REPOSITORY, Group.STATISTICS)
    key = {"triton-grpc-protocol-admin-key": "admin-value"}
    async with secured(access) as address, triton.InferenceServerClient(address) as client:
        await client.infer("echo", [tensor()])
        for headers in (None, {"triton-grpc-protocol-admin-key": "guess"}):
            status, text = await refused(client.get_inference_statistics("echo", headers=headers))
            assert status == "StatusCode.UNAVAILABLE"
            assert text.startswith(
                "This protocol is restricted, expecting header 'triton-grpc-protocol-admin-key'"
            )
        await client.get_inference_statistics("echo", headers=key)
        await client.get_model_repository_index(headers=key)


async def test_a_restricted_stream_ends_with_unavailable() -> None:
    async with (
        secured(restricted(Group.INFERENCE)) as address,
        triton.InferenceServerClient(address) as client,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="This protocol is restricted") as ended:
            await streamed(client, None)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        await streamed(client, {"triton-grpc-protocol-admin-key": "admin-value"})


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def written(folder: Path, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """Certificate chain and key of one end."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


@pytest.fixture
def tls(tmp_path: Path, authority: trustme.CA) -> Tls:
    """A server that asks clients for a certificate of the same root."""
    certificate, key = written(tmp_path, "server", authority.issue_cert("127.0.0.1", "localhost"))
    (tmp_path / "root.pem").write_bytes(authority.cert_pem.bytes())
    return Tls(certificate=certificate, key=key, root=tmp_path / "root.pem", clients_must_show=True)


async def test_tritonclient_shows_its_certificate_and_its_token(
    tmp_path: Path, authority: trustme.CA, tls: Tls, tokens: Access
) -> None:
    certificate, key = written(tmp_path, "client", authority.issue_cert("client@example.org"))
    files = {"root_certificates": str(tls.root)}
    async with secured(tokens, tls) as address:
        async with triton.InferenceServerClient(
            address,
            ssl=True,
            private_key=str(key),
            certificate_chain=str(certificate),
            **files,
        ) as client:
            answer = await client.infer("echo", [tensor()], headers=bearer(INFER))
            np.testing.assert_array_equal(answer.as_numpy("OUT"), ROW)
            status, _ = await refused(client.infer("echo", [tensor()]))
            assert status == "StatusCode.UNAUTHENTICATED"
        async with triton.InferenceServerClient(address, ssl=True, **files) as stranger:
            status, _ = await refused(stranger.infer("echo", [tensor()], headers=bearer(INFER)))
            assert status == "StatusCode.UNAVAILABLE"


async def test_our_client_shows_its_certificate_and_its_token(
    tmp_path: Path, authority: trustme.CA, tls: Tls, tokens: Access
) -> None:
    certificate, key = written(tmp_path, "client", authority.issue_cert("client@example.org"))
    own = ClientTls(root=tls.root, certificate=certificate, key=key)
    async with secured(tokens, tls) as address:
        async with AsyncClient(address, tls=own, token=INFER) as client:
            answer = await client.infer("echo", {"IN": ROW})
            np.testing.assert_array_equal(answer.outputs["OUT"], ROW)
            requests = [InferRequest(model="echo", inputs={"IN": ROW})]
            async for _, streamed_answer in client.infer_stream(requests):
                assert isinstance(streamed_answer, InferResult)
                np.testing.assert_array_equal(streamed_answer.outputs["OUT"], ROW)
            with pytest.raises(client_errors.PermissionDenied, match="the role observe"):
                await client.statistics("echo")
        async with AsyncClient(address, tls=own) as client:
            with pytest.raises(client_errors.Unauthenticated):
                await client.infer("echo", {"IN": ROW})
        async with AsyncClient(address, tls=ClientTls(root=tls.root), token=INFER) as client:
            with pytest.raises(TrivetError) as failed:
                await client.infer("echo", {"IN": ROW})
            assert failed.value.code is grpc.StatusCode.UNAVAILABLE


async def test_clients_reach_a_unix_socket(tmp_path: Path, tokens: Access) -> None:
    async with secured(tokens, host=f"unix:{tmp_path / 'trivet.sock'}") as address:
        async with triton.InferenceServerClient(address) as client:
            answer = await client.infer("echo", [tensor()], headers=bearer(INFER))
            np.testing.assert_array_equal(answer.as_numpy("OUT"), ROW)
        async with AsyncClient(address, token=INFER) as own:
            result = await own.infer("echo", {"IN": ROW})
            np.testing.assert_array_equal(result.outputs["OUT"], ROW)


async def test_tls_over_a_unix_socket_needs_the_name_of_the_certificate(
    tmp_path: Path, authority: trustme.CA
) -> None:
    certificate, key = written(tmp_path, "server", authority.issue_cert("trivet.example.org"))
    (tmp_path / "root.pem").write_bytes(authority.cert_pem.bytes())
    host = f"unix:{tmp_path / 'trivet.sock'}"
    open_to_all = Access(restrictions={}, tokens=None)
    async with secured(open_to_all, Tls(certificate=certificate, key=key), host) as address:
        own = ClientTls(root=tmp_path / "root.pem", server_name="trivet.example.org")
        async with AsyncClient(address, tls=own) as client:
            assert await client.server_live()
