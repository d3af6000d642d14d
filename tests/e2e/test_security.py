"""`trivet serve` told to be careful: TLS, tokens, restricted groups, a start line of Triton's."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import trustme
from tritonclient.utils import InferenceServerException

from tests.harness.command import trivet
from tests.harness.repositories import add_model
from tests.harness.server import serving
from trivet_client import Client, Tls
from trivet_client.errors import Unauthenticated, Unavailable

pytestmark = pytest.mark.usefixtures("on_transport")

INFER = "infer-token-0123456789"
CONTROL = "control-token-0123456789"
ROW = np.array([[1.0, 2.0]], np.float32)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    add_model(tmp_path / "models", "echo")
    return tmp_path / "models"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"infer {INFER}\ncontrol {CONTROL}\n")
    path.chmod(0o600)
    (tmp_path / "token").write_text(f"{INFER}\n")
    return path


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    return authority


def issue(folder: Path, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def tensor() -> triton.InferInput:
    return triton.InferInput("IN", [1, 2], "FP32").set_data_from_numpy(ROW)


def test_a_server_with_tls_and_tokens_serves_those_it_knows(
    tmp_path: Path, repository: Path, tokens: Path, authority: trustme.CA
) -> None:
    certificate, key = issue(tmp_path, "server", authority.issue_cert("127.0.0.1"))
    root, log = tmp_path / "root.pem", tmp_path / "log"
    flags = [
        "--grpc-use-ssl=true",
        *("--grpc-server-cert", str(certificate)),
        f"--grpc-server-key={key}",
        f"--token-file={tokens}",
        "--grpc-infer-response-compression-level=low",
    ]
    with serving(repository, *flags, log=log) as server:
        with triton.InferenceServerClient(
            server.address, ssl=True, root_certificates=str(root)
        ) as client:
            assert client.is_server_live()
            headers = {"authorization": f"Bearer {INFER}"}
            answer = client.infer("echo", [tensor()], headers=headers)
            np.testing.assert_array_equal(answer.as_numpy("OUT"), ROW)
            with pytest.raises(InferenceServerException, match="needs a token"):
                client.infer("echo", [tensor()])

        shell = ["infer", "echo", "--input", "IN=[[1, 2]]", "--url", server.address]
        known = ["--root-cert", str(root), "--token-from", str(tmp_path / "token")]
        assert "[1, 2]" in trivet(*shell, *known, "--output-json").out.replace(".0", "")
        stub = trivet("stub", "echo", "--url", server.address, *known)
        assert (stub.status, "class" in stub.out) == (0, True)
        unknown = trivet(*shell, "--root-cert", str(root))
        assert (unknown.status, "needs a token" in unknown.err) == (1, True)

        # Renewed while it serves: the new one is shown, and the old one's root is of no use.
        other = trustme.CA()
        issue(tmp_path, "server", other.issue_cert("127.0.0.1"))
        other.cert_pem.write_to_path(tmp_path / "new-root.pem")
        new = Tls(root=tmp_path / "new-root.pem")
        with Client(server.address, tls=new, token=INFER) as client:
            client.wait_ready()  # h2corn looks at the files once a second
            np.testing.assert_array_equal(client.infer("echo", {"IN": ROW}).outputs["OUT"], ROW)
        assert server.stop() == 0
    logged = log.read_text()
    assert "certificate_renewed" in logged
    assert "0123456789" not in logged


def test_mutual_tls_turns_strangers_away(
    tmp_path: Path, repository: Path, authority: trustme.CA
) -> None:
    certificate, key = issue(tmp_path, "server", authority.issue_cert("127.0.0.1"))
    own, own_key = issue(tmp_path, "client", authority.issue_cert("client@example.org"))
    root = tmp_path / "root.pem"
    flags = [
        "--grpc-use-ssl-mutual=1",
        f"--grpc-server-cert={certificate}",
        f"--grpc-server-key={key}",
        f"--grpc-root-cert={root}",
    ]
    with serving(repository, *flags) as server:
        with Client(server.address, tls=Tls(root=root, certificate=own, key=own_key)) as client:
            assert client.server_live()
        with Client(server.address, tls=Tls(root=root)) as client, pytest.raises(Unavailable):
            client.server_live()


def test_a_unix_socket_is_served(tmp_path: Path, repository: Path, tokens: Path) -> None:
    address = f"unix:{tmp_path / 'trivet.sock'}"
    with serving(repository, f"--grpc-address={address}", f"--token-file={tokens}") as server:
        assert server.address == address
        with Client(address, token=INFER) as client:
            np.testing.assert_array_equal(client.infer("echo", {"IN": ROW}).outputs["OUT"], ROW)
        with Client(address) as client, pytest.raises(Unauthenticated):
            client.infer("echo", {"IN": ROW})


def test_a_start_line_of_tritons_serves_and_says_what_it_does_not_do(
    tmp_path: Path, repository: Path
) -> None:
    log = tmp_path / "log"
    line = (
        "--id=production --http-port 8000 --allow-metrics=true --metrics-port=0"
        " --backend-directory=/opt/tritonserver/backends --pinned-memory-pool-byte-size 0"
        " --grpc-address=0.0.0.0 --grpc-infer-allocation-pool-size=16 --strict-readiness=1"
        " --grpc-restricted-protocol=model-repository,statistics:admin-key=very-secret"
    )
    with serving(repository, *line.split(), log=log) as server:
        port = server.address.rpartition(":")[2]
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            assert client.get_server_metadata().name == "production"
            with pytest.raises(InferenceServerException, match="This protocol is restricted"):
                client.get_inference_statistics()
            headers = {"triton-grpc-protocol-admin-key": "very-secret"}
            assert client.get_inference_statistics(headers=headers).model_stats
    logged = log.read_text()
    for flag in ("--http-port", "--backend-directory"):
        assert f"flag_without_effect flag={flag} " in logged
    assert "flag=--strict-readiness" not in logged
    assert logged.count("open_to_the_network") == 2
    assert "--grpc-use-ssl" in logged
    assert "--token-file" in logged
    assert "very-secret" not in logged


def test_by_default_only_this_machine_is_served(tmp_path: Path, repository: Path) -> None:
    log = tmp_path / "log"
    with serving(repository, log=log) as server:
        assert server.address.startswith("127.0.0.1:")
        with grpc.insecure_channel(server.address) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
    assert "open_to_the_network" not in log.read_text()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--grpc-use-ssl=true"], "--grpc-server-cert: --grpc-use-ssl needs it"),
        (["--token-file=none"], "none: no such file or directory"),
        (["--token-file=bad"], "bad: line 1: begins with something else than roles"),
        (["--model-namespacing=true"], "--model-namespacing: models of one name"),
        (["--grpc-address=unix:relative"], "unix:relative: is no absolute path"),
        (
            ["--grpc-restricted-protocol=health:a=b", "--grpc-restricted-protocol=health:c=d"],
            "--grpc-restricted-protocol: names the group 'health' more than once",
        ),
    ],
)
def test_what_cannot_be_meant_ends_the_start_in_one_line_each(
    tmp_path: Path, repository: Path, flags: list[str], line: str
) -> None:
    (tmp_path / "bad").write_text("everything 0123456789abcdefgh\n")
    ended = trivet("serve", "--model-repository", repository, "--grpc-port=0", *flags, cwd=tmp_path)
    assert ended.status == 2
    assert ended.errors[0].startswith(line)
    assert "Traceback" not in ended.err
    assert "0123456789" not in ended.err
