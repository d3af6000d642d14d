"""What a repository costs that changes, and one that does not: memory after reloads, CPU of a look.

`python -m tests.bench.reloads` measures and prints both alone.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.bench.results import Row, at_most
from tests.bench.setting import Setting, say
from tests.bench.subjects import EXAMPLES
from tests.harness.repositories import add_model
from tests.harness.server import ServerProcess, serving
from trivet.config_file import Faults
from trivet.repository.layout import Reader
from trivet_client import Client
from trivet_protos.generated import grpc_service_pb2 as pb

MODEL = "minilm"  # 90 MB in FP32
FIRST, LAST = 2, 20  # reloads
MODELS = 1_000
LOOKS = 20


def rows(setting: Setting) -> list[Row]:
    ratio = _memory_ratio(setting.scratch)
    seconds = _seconds_of_a_look(setting.scratch)
    say(f"memory after {LAST} reloads {ratio:.3f} of {FIRST}; a look {seconds * 1e3:.1f} ms")
    return [
        Row(f"memory after {LAST} reloads of 90 MB, relative to {FIRST}", [ratio], at_most(1.15)),
        Row(f"CPU of one poll of {MODELS:,} models, ms", [seconds * 1e3]),
    ]


def _memory_ratio(scratch: Path) -> float:
    """Resident memory after the last reload, relative to that after the first few."""
    with _reloading(scratch) as (server, reload):
        after = {}
        for number in range(1, LAST + 1):
            reload(number)
            after[number] = server.rss_mb
        say(", ".join(f"{megabytes:.0f}" for megabytes in after.values()) + " MB")
        return after[LAST] / after[FIRST]


@contextmanager
def _reloading(scratch: Path) -> Iterator[tuple[ServerProcess, Reload]]:
    repository = scratch / "reloads"
    newest = max((p for p in (EXAMPLES / MODEL).iterdir() if p.name.isdigit()), key=_number)
    shutil.copytree(newest, repository / MODEL / "1")
    config = (EXAMPLES / MODEL / "config.pbtxt").read_text()
    (repository / MODEL / "config.pbtxt").write_text(config)
    flags = ["--model-control-mode=explicit", f"--load-model={MODEL}"]
    with (
        serving(repository, *flags, log=scratch / "reloads.log") as server,
        Client(server.address) as client,
    ):
        yield server, Reload(server, client, repository / MODEL / "config.pbtxt", config)


class Reload:
    """Changes the config, loads the model anew, asks it, and waits until the old load is gone."""

    def __init__(self, server: ServerProcess, client: Client, path: Path, config: str) -> None:
        self._server = server
        self._client = client
        self._path = path
        self._config = config

    def __call__(self, number: int) -> None:
        # The parameter is of no consequence; another value makes it another config.
        self._path.write_text(re.sub(r'"256"', f'"{256 + number}"', self._config))
        _load(self._server.address)
        ids = np.ones((1, 64), np.int64)
        names = ("input_ids", "attention_mask", "token_type_ids")
        self._client.infer(MODEL, dict.fromkeys(names, ids))
        time.sleep(0.3)  # the old load closes behind the answer; its threads end meanwhile


def _load(address: str) -> None:
    import grpc

    from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceStub

    with grpc.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=MODEL))


def _seconds_of_a_look(scratch: Path) -> float:
    """CPU seconds of a look at models that did not change, each of a config and three files."""
    repository = scratch / "thousand"
    for number in range(MODELS):
        folder = add_model(repository, f"model_{number:04}")
        for name in ("model.onnx", "tokenizer.json", "build.json"):
            (folder / "1" / name).write_bytes(name.encode() * 100)
    reader = Reader([repository])
    reader.read(Faults())
    began = time.process_time()
    for _ in range(LOOKS):
        reader.read(Faults())
    return (time.process_time() - began) / LOOKS


def _number(path: Path) -> int:
    return int(path.name)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        say(f"memory: {_memory_ratio(Path(scratch)):.3f} of that after {FIRST} reloads")
        say(f"a look: {_seconds_of_a_look(Path(scratch)) * 1e3:.1f} ms of CPU")


if __name__ == "__main__":
    main()
