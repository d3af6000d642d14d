"""After messages of 300 MB, taken and refused, the server is about as small as before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.harness.repositories import add_model
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceStub

LARGE = 75_000_000  # elements of 4 bytes
KEPT_MB = 60  # of 300, after a good one and a bad one
PATIENCE_S = 20.0
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(params=Transport)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    if request.param is Transport.H2CORN:
        pytest.importorskip("h2corn")
    add_model(tmp_path, "echo")
    flags = (f"--transport={request.param}", f"--grpc-max-message-bytes={512 << 20}")
    with serving(tmp_path, *flags, log=tmp_path / "log") as process:
        yield process


def resident_mb(server: ServerProcess) -> float:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the server is gone")


def request(elements: int, claimed: int) -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name="echo")
    asked.inputs.add(name="IN", datatype="FP32", shape=[1, claimed])
    asked.raw_input_contents.append(bytes(4 * elements))
    return asked


@pytest.mark.slow
def test_memory_goes_back_down(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.address, UNLIMITED) as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.ModelInfer(request(3, 3))
        before = resident_mb(server)
        assert stub.ModelInfer(request(LARGE, LARGE)).outputs[0].shape == [1, LARGE]
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            stub.ModelInfer(request(LARGE, LARGE + 1))
        ends = time.monotonic() + PATIENCE_S
        while (after := resident_mb(server)) > before + KEPT_MB and time.monotonic() < ends:
            time.sleep(0.05)
        stub.ModelInfer(request(3, 3))
    assert after <= before + KEPT_MB
