"""The code that `trivet stub` writes: its text, its form and its types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet_client import TensorMetadata
from trivet_client.stub.description import Description
from trivet_client.stub.module import module, quoted
from trivet_protos.wire import DATATYPES

GOLDEN = Path(__file__).parent / "test_stub_golden.txt"


def tensor(name: str, datatype: str = "FP32", *shape: int) -> TensorMetadata:
    return TensorMetadata(name=name, datatype=datatype, shape=shape)


PLAIN = Description(
    name="fill_mask",
    version=None,
    platform="ensemble",
    inputs=(
        tensor("TEXT", "BYTES", -1, 1),
        tensor("bias", "FP32"),
        tensor("allowed ids", "INT64", -1, -1),
    ),
    outputs=(tensor("TOKEN", "BYTES", -1, -1, -1), tensor("PROBABILITY", "FP32", -1, -1, -1)),
    optional=frozenset({"bias"}),
    max_batch_size=64,
)
DECOUPLED = Description(
    name="async_generator",
    version=3,
    platform="fake",
    inputs=(tensor("IN", "FP16", -1), tensor("flag", "BOOL", 1)),
    outputs=(tensor("OUT", "UINT8", -1),),
    optional=frozenset({"flag"}),
    decoupled=True,
)
ODD = Description(
    name='3d bert\'s "odd"\n\\name',
    version=None,
    platform='"""',
    inputs=tuple(
        tensor(name, "FP64", -1)
        for name in ("class", "2x", "TEXT", "text", "größe", "__x", "self", "q\"u'o\\", "***", "np")
    ),
    outputs=tuple(
        tensor(name, "BF16", -1) for name in ("answer", "np", "int", "trivet", "", "x" * 90)
    ),
    max_batch_size=8,
)
EVERY_TYPE = Description(
    name="every-type",
    version=None,
    platform="",
    inputs=tuple(tensor(datatype, datatype, 1) for datatype in DATATYPES),
    outputs=tuple(tensor(datatype, datatype, 1) for datatype in DATATYPES),
)
EMPTY = Description(name="none", version="stable", platform="", inputs=(), outputs=())
TEXT_ALONE = Description(
    name="t", version=None, platform="", inputs=(tensor("T", "BYTES", 1),), outputs=()
)
MODELS = {
    "plain": PLAIN,
    "decoupled": DECOUPLED,
    "odd": ODD,
    "every_type": EVERY_TYPE,
    "empty": EMPTY,
    "text_alone": TEXT_ALONE,
}

RIGHT = """
import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import numpy.typing as npt
import trivet_client

import decoupled, plain

client = trivet_client.Client()
text, ids = np.array([["a"]]), np.zeros((1, 1), np.int64)
filled = plain.FillMask(client).infer(text, allowed_ids=ids, bias=None, timeout_s=1.0)
probability: npt.NDArray[np.float32] = filled.probability
version: int | None = filled.answer.version
stable = plain.FillMask(client, version="stable")
steps: Iterator[decoupled.AsyncGeneratorModelResult] = decoupled.AsyncGeneratorModel(
    client, version=None
).infer(np.zeros(1, np.float16))


async def main(client: trivet_client.AsyncClient) -> None:
    print((await plain.AsyncFillMask(client).infer(text, ids)).token)
    model = decoupled.AsyncAsyncGeneratorModel(client)
    async for step in model.infer(np.zeros(1, np.float16), flag=np.zeros(1, np.bool_)):
        print(step.out)
"""
WRONG = """
import numpy as np
import trivet_client

import plain

client = trivet_client.Client()
model = plain.FillMask(client)
text, int32 = np.array([["a"]]), np.zeros((1, 1), np.int32)
model.infer(text)  # allowed_ids is required
model.infer(text, int32)  # of another type
model.infer(text, np.zeros((1, 1), np.int64), np.zeros(1, np.float32))  # bias by name only
model.infer(text, np.zeros((1, 1), np.int64)).probability = text  # frozen
plain.AsyncFillMask(client)  # the other kind of client
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module of every model."""
    folder = tmp_path_factory.mktemp("stubs")
    for name, model in MODELS.items():
        (folder / f"{name}.py").write_text(module(model), encoding="utf-8")
    return folder


def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110)


def mypy(cache: pytest.Cache, folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    kept = cache.mkdir("mypy-of-stubs")
    # Not this project's settings: a stub must pass where it lives.
    flags = ("--strict", "--config-file=", f"--cache-dir={kept}", "--python-version=3.11")
    return run("mypy", *flags, *files, cwd=folder)


def test_the_text_is_what_it_was() -> None:
    assert module(PLAIN) == GOLDEN.read_text(encoding="utf-8")


def test_the_same_description_gives_the_same_text() -> None:
    twin = Description(
        name=PLAIN.name,
        version=None,
        platform=PLAIN.platform,
        inputs=PLAIN.inputs,
        outputs=PLAIN.outputs,
        optional=frozenset(["bias"]),
        max_batch_size=64,
    )
    assert module(PLAIN) == module(twin)


@pytest.mark.parametrize("line_length", [88, 100])
def test_a_formatter_leaves_it_as_it_is(written: Path, line_length: int) -> None:
    ended = run("ruff", "format", "--isolated", "--diff", f"--line-length={line_length}", written)
    assert ended.returncode == 0, ended.stdout


def test_lint_passes(written: Path) -> None:
    ended = run("ruff", "check", "--isolated", "--select=E,F,I,N,UP,B,A", written)
    assert ended.returncode == 0, ended.stdout


def test_types_are_strict(written: Path, cache: pytest.Cache) -> None:
    (written / "right.py").write_text(RIGHT)
    ended = mypy(cache, written, *(f"{name}.py" for name in (*MODELS, "right")))
    assert ended.returncode == 0, ended.stdout


def test_wrong_use_is_found_by_the_types(written: Path, cache: pytest.Cache) -> None:
    (written / "wrong.py").write_text(WRONG)
    found = mypy(cache, written, "wrong.py").stdout
    wrong = [n for n, line in enumerate(WRONG.splitlines(), 1) if "  # " in line]
    assert sorted({int(line.split(":")[1]) for line in found.splitlines()[:-1]}) == wrong, found


texts = st.text(max_size=12)
tensors = st.lists(
    st.builds(tensor, texts, st.sampled_from(sorted(DATATYPES)), st.just(-1)),
    max_size=4,
    unique_by=lambda spec: spec.name,
).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Description,
        name=texts,
        version=st.none(),
        platform=texts,
        inputs=tensors,
        outputs=tensors,
        decoupled=st.booleans(),
    )
)
def test_any_names_give_code_that_runs(model: Description) -> None:
    scope: dict[str, object] = {"__name__": "stub"}
    exec(compile(module(model), "stub.py", "exec", dont_inherit=True), scope)
    assert scope["MODEL"] == model.name


@given(st.text())
def test_a_string_literal_is_the_string(text: str) -> None:
    assert eval(quoted(text)) == text
    assert len(quoted(text).splitlines()) == 1
