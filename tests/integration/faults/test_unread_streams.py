"""A client that never reads its stream: nobody else feels it, and the server can still stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from onnx import TensorProto, helper

from tests.harness import http2
from tests.harness.artifacts import write_graph
from tests.harness.http2 import Peer
from tests.harness.repositories import add_model
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.frontend.window import ANSWER_BYTES
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
SIZE = 1 << 20  # elements of an answer: 4 MiB, of a request of some bytes
REQUESTS = 40
ANSWERED = ANSWER_BYTES // (4 * SIZE) - 1  # at least, before the window is full of answers
SECONDS = 30

# One instance: who holds it holds up everybody.
CONFIG = """
    backend: "onnxruntime"
    input { name: "IN" data_type: TYPE_INT64 dims: [ 1 ] }
    output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }
    instance_group { count: 1 }
"""


@pytest.fixture(params=list(Transport))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    folder = add_model(tmp_path, "large", CONFIG)
    value = helper.make_tensor_value_info
    write_graph(
        folder / "1" / "model.onnx",
        [helper.make_node("ConstantOfShape", ["IN"], ["OUT"])],
        [value("IN", TensorProto.INT64, [1])],
        [value("OUT", TensorProto.FLOAT, [None])],
    )
    with (
        serving_on(request.param),
        serving(tmp_path, "--exit-timeout-secs=1") as process,
    ):
        yield process


def asked() -> bytes:
    request = pb.ModelInferRequest(model_name="large")
    request.inputs.add(name="IN", datatype="INT64", shape=[1])
    request.raw_input_contents.append(np.array([SIZE]).tobytes())
    return http2.message(request.SerializeToString())


def answered(client: triton.InferenceServerClient) -> int:
    """Requests that the model has answered so far."""
    told = client.get_inference_statistics("large").model_stats[0]
    return int(told.inference_stats.success.count)


async def test_a_stream_that_is_never_read_holds_up_nobody_and_takes_what_it_asked_for(
    server: ServerProcess,
) -> None:
    before_mb = server.rss_mb
    peer = await Peer.connect(int(server.address.rpartition(":")[2]))
    call = [http2.headers(STREAM, 1)]
    call += [http2.frame(http2.DATA, 0, 1, asked()) for _ in range(REQUESTS)]
    await peer.send(*call)  # its windows stay at 64 KiB: not one answer fits
    with triton.InferenceServerClient(server.address) as client:
        async with asyncio.timeout(SECONDS):
            while answered(client) < ANSWERED:  # its answers wait, and the instance does not
                await asyncio.sleep(0.01)
        given = triton.InferInput("IN", [1], "INT64")
        given.set_data_from_numpy(np.array([3]))
        for _ in range(20):
            told = client.infer("large", [given], client_timeout=SECONDS).as_numpy("OUT")
            assert told is not None
            assert told.tolist() == [0, 0, 0]
    answers_mb = REQUESTS * SIZE * 4 / 2**20
    assert server.rss_mb - before_mb < 2 * answers_mb + 100
    assert await asyncio.to_thread(server.stop) == 0  # --exit-timeout-secs is all it waits
    peer.close()


async def test_what_it_left_unread_is_gone_when_it_leaves(server: ServerProcess) -> None:
    port = int(server.address.rpartition(":")[2])
    with triton.InferenceServerClient(server.address) as client:
        kept_mb = []
        for _ in range(4):
            before = answered(client)
            peer = await Peer.connect(port)
            call = [http2.headers(STREAM, 1)]
            call += [http2.frame(http2.DATA, 0, 1, asked()) for _ in range(REQUESTS)]
            await peer.send(*call)
            async with asyncio.timeout(SECONDS):
                while answered(client) < before + ANSWERED:
                    await asyncio.sleep(0.01)
            peer.abort()
            kept_mb.append(server.rss_mb)
    answers_mb = REQUESTS * SIZE * 4 / 2**20
    assert kept_mb[-1] - kept_mb[0] < 1.5 * answers_mb  # of the last round, not of all
