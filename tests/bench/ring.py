"""What it costs to leave the process: the ring alone, an instance, and the server around it.

    python -m tests.bench.ring [--seconds 1.5]

The ring: 64 bytes to another process and back, one message at a time, and 32 requests' worth in
one message, as a batch travels. The instance: identity of FP32 [1,16] in both forms of a model.py,
alone and in batches of 32. The server: calls per second of that identity, 64 in flight, against the
fake backend, which answers in process. Best of five runs but for the server, whose two rounds are
told both.
"""

from __future__ import annotations

import argparse
import mmap
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import numpy as np

from tests.bench import http2
from tests.harness import python_models
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import serving
from trivet.backend.contract import Batch, Instance, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet_backends.python.backend import PythonBackend
from trivet_backends.python.ring import Path as Way
from trivet_backends.python.ring import Receiving, Sending
from trivet_protos.generated import grpc_service_pb2 as pb

RUNS = 5
MESSAGES = 2_000
BATCH = 32
SIZE = 1 << 20
BYTES = 64
IN_FLIGHT = 64

TRITON = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            return [
                pb_utils.InferenceResponse([pb_utils.Tensor("OUT", r.inputs()[0].as_numpy())])
                for r in requests
            ]
"""
OWN = """
    class Model:
        def execute(self, inputs):
            return {"OUT": inputs["IN"]}
"""


def wait(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()


def ends(memory: memoryview, fds: list[int]) -> tuple[tuple[Sending, Receiving], ...]:
    """Both ends of a pair of rings: this process's, and the other's."""
    there, back = Way(memory[:SIZE], fds[0], fds[1]), Way(memory[SIZE:], fds[2], fds[3])
    ours = Sending(there, wait), Receiving(back, wait)
    theirs = Sending(back, wait), Receiving(there, wait)
    return ours, theirs


@contextmanager
def echo() -> Iterator[tuple[Sending, Receiving]]:
    """Another process that sends back what it gets, until it gets nothing."""
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 2 * SIZE)
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
    command = [sys.executable, "-m", "tests.bench.ring", "--echo", *map(str, (fd, *fds))]
    with subprocess.Popen(command, pass_fds=(fd, *fds)) as process:
        ours, _ = ends(memoryview(mmap.mmap(fd, 2 * SIZE)), fds)
        yield ours
        ours[0].send([b""])
        process.wait()


def serve_echo(fd: int, *fds: int) -> None:
    """The other process."""
    _, (sending, receiving) = ends(memoryview(mmap.mmap(fd, 2 * SIZE)), list(fds))
    while message := receiving.receive():
        sending.send([memoryview(message)])


def best_us(run: Callable[[], object]) -> float:
    """Microseconds of one run, the best of RUNS rounds of many."""
    rounds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(MESSAGES):
            run()
        rounds.append((time.perf_counter() - started) * 1e6 / MESSAGES)
    return min(rounds)


def ring() -> None:
    with echo() as (sending, receiving):
        for count, what in ((1, "alone"), (BATCH, f"of {BATCH} in one message")):
            message = [bytes(BYTES * count)]

            def there_and_back(message: list[bytes] = message) -> None:
                sending.send(message)
                receiving.receive()

            say(f"ring, there and back, {what}", best_us(there_and_back) / count)


@contextmanager
def instance(folder: Path, code: str) -> Iterator[Instance]:
    python_models.write(folder, code)
    config = ModelConfig(
        name="identity",
        backend="python",
        max_batch_size=BATCH,
        inputs=(TensorSpec(name="IN", datatype="FP32", dims=(-1,)),),
        outputs=(TensorSpec(name="OUT", datatype="FP32", dims=(-1,)),),
    )
    context = LoadContext(version=1, path=folder, where="identity/1", threads=1)
    artifact = PythonBackend().open(config, context)
    made = artifact.instance(config)
    yield made
    made.close()
    artifact.close()


def instances(folder: Path) -> None:
    row = Rows({"IN": np.ones((1, 16), np.float32)})
    for form, code in (("TritonPythonModel", TRITON), ("Model", OWN)):
        with instance(folder / form, code) as made:
            for count, what in ((1, "alone"), (BATCH, f"in batches of {BATCH}")):
                batch = Batch([row] * count, time.monotonic_ns)

                def execute(batch: Batch = batch, made: Instance = made) -> None:
                    made.execute(batch)

                say(f"{form}, a request {what}", best_us(execute) / count)


def server(folder: Path, seconds: float) -> None:
    """Calls per second through the socket, fake and Python in turn."""
    batching = "dynamic_batching {}"
    add_model(folder, "fake", fake_config(max_batch_size=BATCH, batching=batching))
    config = python_models.config(
        inputs={"IN": "TYPE_FP32"},
        outputs={"OUT": "TYPE_FP32"},
        max_batch_size=BATCH,
        more=batching,
    )
    for name, code in (("triton", TRITON), ("own", OWN)):
        python_models.add(folder, name, code, config)
    with serving(folder, "--allow-python-backend=true") as process:
        for _ in range(2):
            for name in ("fake", "triton", "own"):
                asked = pb.ModelInferRequest(model_name=name)
                asked.inputs.add(name="IN", datatype="FP32", shape=[1, 16])
                asked.raw_input_contents.append(bytes(64))
                message = asked.SerializeToString()
                path = "/inference.GRPCInferenceService/ModelInfer"
                calls = http2.unary(process.address, path, message, 64, IN_FLIGHT, seconds)
                print(f"{'server, ' + name:45} {calls / seconds:8.0f} calls/s", flush=True)


def say(what: str, us: float) -> None:
    print(f"{what:45} {us:8.1f} us", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=dedent(__doc__))
    parser.add_argument("--seconds", type=float, default=1.5, help="of each load on the server")
    parser.add_argument("--echo", nargs=5, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.echo:
        serve_echo(*args.echo)
        return
    with tempfile.TemporaryDirectory() as folder:
        ring()
        instances(Path(folder) / "instances")
        server(Path(folder) / "repository", args.seconds)


if __name__ == "__main__":
    main()
