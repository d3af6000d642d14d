"""The samples in other languages, as a stranger builds and runs them, against the examples.

What is built is kept until a source of it changes: C++ takes half a minute, Go a few seconds.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from tests.harness.server import ServerProcess
from trivet_protos.generated import reflection_v1alpha_pb2 as reflection
from trivet_protos.generated.reflection_v1alpha_pb2_grpc import (
    ServerReflectionServicer,
    add_ServerReflectionServicer_to_server,
)

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos" / "trivet_protos"
REFLECTION = ROOT / "clients" / "reflection" / "call.py"
DEBIAN_GO = Path("/usr/share/gocode/src/google.golang.org")

FILL_MASK = "trivet.v1.TextService/FillMask"
MODEL_INFER = "inference.GRPCInferenceService/ModelInfer"
MASKED = {"texts": ["He opened the [MASK] and walked into the room."], "top_k": 3}
TENSORS = {
    "model_name": "embed",
    "inputs": [
        {
            "name": "TEXT",
            "datatype": "BYTES",
            "shape": [1, 1],
            "contents": {"bytes_contents": [base64.b64encode(b"one text").decode()]},
        }
    ],
}


@dataclass(frozen=True)
class Compiled:
    """A sample with a Makefile, and what its toolchain consists of."""

    folder: str
    source: str
    programs: tuple[str, ...]
    packages: tuple[str, ...] = ()  # of pkg-config
    folders: tuple[Path, ...] = ()

    def missing(self) -> str:
        """Why this sample cannot be built here, by name; empty if it can."""
        lacking = [name for name in self.programs if shutil.which(name) is None]
        lacking += [str(folder) for folder in self.folders if not folder.is_dir()]
        if not lacking:  # pkg-config itself is one of the programs
            lacking = [name for name in self.packages if not _has_package(name)]
        return f"{', '.join(lacking)} not installed" if lacking else ""


SAMPLES = (
    Compiled(
        "go",
        "example.go",
        ("make", "protoc", "go", "protoc-gen-go", "protoc-gen-go-grpc"),
        folders=(DEBIAN_GO / "grpc", DEBIAN_GO / "protobuf"),
    ),
    Compiled(
        "cpp",
        "example.cc",
        ("make", "protoc", "g++", "grpc_cpp_plugin", "pkg-config"),
        packages=("grpc++", "protobuf"),
    ),
)


def _has_package(name: str) -> bool:
    return subprocess.run(["pkg-config", "--exists", name], check=False).returncode == 0


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.folder)
def program(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Path:
    """A sample, built outside the sources; skipped where its toolchain is missing."""
    sample: Compiled = request.param
    if reason := sample.missing():
        pytest.skip(reason)
    cache = pytestconfig.cache
    assert cache is not None
    source = ROOT / "clients" / sample.folder
    read = (source / sample.source, source / "Makefile", *sorted(PROTOS.rglob("*.proto")))
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in read)).hexdigest()[:16]
    out = cache.mkdir(f"{sample.folder}-sample-{digest}")
    # Without optimisation it is there in half the time.
    command = ["make", "-j2", "-C", str(source), f"OUT={out}", "CXXFLAGS=-O0"]
    made = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert made.returncode == 0, made.stderr
    return out / "example"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=60
    )


@pytest.mark.timeout(600)  # the first run compiles
def test_a_compiled_sample_fills_masks_streams_and_infers(
    program: Path, demo_server: ServerProcess
) -> None:
    ended = run(program, demo_server.address)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "He opened the [MASK] and walked into the room."
    assert lines[1].split()[1:] == ["%", "door"]
    streamed = sorted(lines[4:7])  # they come as they are ready
    assert streamed[0] == "  text 0: 384 numbers, 5 tokens"
    assert streamed[1].startswith("  text 1: refused, ")
    assert streamed[2] == "  text 2: 384 numbers, 8 tokens"
    assert re.fullmatch(r"embed version 1: EMBEDDING FP32 .*384.*, length 1\.000", lines[7])
    assert len(lines) == 8


@pytest.mark.timeout(600)
def test_a_compiled_sample_says_in_one_line_that_no_server_answers(program: Path) -> None:
    ended = run(program, "127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.upper().startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert ended.stderr.count("\n") == 1


def by_reflection(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, REFLECTION, *arguments)


def test_reflection_names_services_and_methods(demo_server: ServerProcess) -> None:
    services = by_reflection(demo_server.address).stdout.split()
    assert {"trivet.v1.TextService", "inference.GRPCInferenceService"} <= set(services)
    methods = by_reflection(demo_server.address, "inference.GRPCInferenceService").stdout.split()
    assert MODEL_INFER in methods


def test_reflection_calls_with_text_and_with_tensors(demo_server: ServerProcess) -> None:
    ended = by_reflection(demo_server.address, FILL_MASK, json.dumps(MASKED))
    assert ended.returncode == 0, ended.stderr
    assert _first_token(json.loads(ended.stdout)) == "door"
    ended = by_reflection(demo_server.address, MODEL_INFER, json.dumps(TENSORS))
    assert ended.returncode == 0, ended.stderr
    _check_vector(json.loads(ended.stdout), "rawOutputContents")


def test_reflection_sends_a_stream(demo_server: ServerProcess) -> None:
    requests = [json.dumps({"id": id_, "text": "one text"}) for id_ in ("a", "b", "c")]
    ended = by_reflection(demo_server.address, "trivet.v1.TextService/EmbedStream", *requests)
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert sorted(answer["id"] for answer in answers) == ["a", "b", "c"]
    assert {len(answer["result"]["embedding"]) for answer in answers} == {384}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.such.Service"], "not known here"),
        (["trivet.v1.TextService/Nothing"], "trivet.v1.TextService has no method Nothing"),
        ([FILL_MASK, '{"texts": 3}'], "Failed to parse texts field"),
        ([FILL_MASK], "INVALID_ARGUMENT: "),
    ],
)
def test_reflection_says_what_was_wrong(
    demo_server: ServerProcess, arguments: list[str], message: str
) -> None:
    ended = by_reflection(demo_server.address, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{demo_server.address}: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_reflection_says_in_one_line_that_no_server_answers() -> None:
    ended = by_reflection("127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith("127.0.0.1:1: UNAVAILABLE: ")
    assert ended.stderr.count("\n") == 1


class OldReflection(ServerReflectionServicer):
    """Answers v1alpha alone, as servers did for years."""

    async def ServerReflectionInfo(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async for _ in request_iterator:
            response = reflection.ServerReflectionResponse()
            response.list_services_response.service.add(name="only.Here")
            yield response


async def test_reflection_falls_back_to_its_old_name() -> None:
    server = grpc.aio.server()
    add_ServerReflectionServicer_to_server(OldReflection(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        ended = await asyncio.to_thread(by_reflection, f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
    assert ended.stdout == "only.Here\n", ended.stderr


@pytest.mark.skipif(shutil.which("grpcurl") is None, reason="grpcurl not installed")
def test_grpcurl_needs_no_files(demo_server: ServerProcess) -> None:
    def grpcurl(method: str, request: object) -> Any:
        data = json.dumps(request)
        ended = run("grpcurl", "-plaintext", "-d", data, demo_server.address, method)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    assert (
        "trivet.v1.TextService" in run("grpcurl", "-plaintext", demo_server.address, "list").stdout
    )
    assert _first_token(grpcurl(FILL_MASK, MASKED)) == "door"
    answer = grpcurl(MODEL_INFER, TENSORS)
    _check_vector(answer, next(key for key in answer if key.lower().startswith("raw")))


def _first_token(response: Any) -> str:
    token: str = response["results"][0]["masks"][0]["candidates"][0]["token"]
    return token


def _check_vector(response: Any, raw_field: str) -> None:
    (output,), (raw,) = response["outputs"], response[raw_field]
    assert output == {"name": "EMBEDDING", "datatype": "FP32", "shape": ["1", "384"]}
    assert len(base64.b64decode(raw)) == 4 * 384
