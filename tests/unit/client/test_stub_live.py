"""Generated stubs against a real server: every kind of model, sync and asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, echo, echo_config, run_server
from trivet.config import TensorSpec
from trivet.errors import InvalidInput
from trivet.request import InferRequest, InferResponse
from trivet_client import AsyncClient, Client, TensorMetadata
from trivet_client.commands import stub as command
from trivet_client.errors import Internal, InvalidArgument, NotFound, error_of
from trivet_client.stub.description import Description, describe
from trivet_client.stub.module import module

OPTIONAL = echo_config(
    "two-inputs",
    max_batch_size=0,
    inputs=(
        TensorSpec(name="class", datatype="FP32", dims=()),  # a scalar
        TensorSpec(name="TEXT", datatype="BYTES", dims=(-1,), optional=True),
    ),
    outputs=(TensorSpec(name="given", datatype="BYTES", dims=(-1,)),),
)
DECOUPLED = echo_config("steps", decoupled=True, max_batch_size=0)


async def names(request: InferRequest) -> InferResponse:
    """Which inputs came, and the text."""
    given = [name.encode() for name in sorted(request.inputs)]
    given += list(request.inputs.get("TEXT", ()))
    return InferResponse(model=request.model, version=1, outputs={"given": np.array(given, object)})


async def counted(request: InferRequest) -> AsyncGenerator[InferResponse, None]:
    """As many answers as the first number says; below none: a failure after two."""
    wanted = int(request.inputs["IN"][0])
    for number in range(abs(wanted) if wanted >= 0 else 2):
        outputs = {"OUT": np.array([number], np.float32)}
        yield InferResponse(model=request.model, version=1, outputs=outputs, final=False)
    if wanted < 0:
        raise InvalidInput("no further")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    models = (
        ScriptedModel(echo_config(), echo, version=2),
        ScriptedModel(echo_config(), echo, version=1),
        ScriptedModel(OPTIONAL, names),
        ScriptedModel(DECOUPLED, names, stream=counted),
    )
    async with run_server(*models) as server:
        yield server.address


async def loaded(address: str, model: str, version: int | None = None) -> Any:
    """The stub of a model, imported."""

    def load() -> Any:
        with Client(address) as client:
            text = module(describe(client, model, version))
        scope: dict[str, Any] = {"__name__": "stub"}
        exec(compile(text, "stub.py", "exec", dont_inherit=True), scope)
        return SimpleNamespace(**scope)

    return await asyncio.to_thread(load)


async def in_thread(address: str, call: Callable[[Client], Any]) -> Any:
    """What a caller without a loop gets; the server's loop runs meanwhile."""

    def run() -> Any:
        with Client(address) as client:
            return call(client)

    return await asyncio.to_thread(run)


ROWS = np.array([[1, 2], [3, 4]], np.float32)


async def test_a_stub_asks_and_answers(address: str) -> None:
    stub = await loaded(address, "echo")
    result = await in_thread(address, lambda client: stub.Echo(client).infer(ROWS))
    assert isinstance(result, stub.EchoResult)
    assert result.out.tolist() == ROWS.tolist()
    assert result.answer.model == "echo"
    async with AsyncClient(address) as client:
        result = await stub.AsyncEcho(client).infer(in_=ROWS, timeout_s=5, parameters={"a": 1})
    assert result.out.tolist() == ROWS.tolist()


async def test_a_stub_keeps_to_the_version_it_was_written_for(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await loaded(address, "echo")).VERSION is None
    stub = await loaded(address, "echo", 1)
    assert stub.VERSION == 1
    asked: list[int | None] = []
    infer = AsyncClient.infer

    async def noted(self: AsyncClient, *args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs["version"])
        return await infer(self, *args, **kwargs)

    monkeypatch.setattr(AsyncClient, "infer", noted)
    async with AsyncClient(address) as client:
        await stub.AsyncEcho(client).infer(ROWS)
        await stub.AsyncEcho(client, version=2).infer(ROWS)
        with pytest.raises(NotFound):
            await stub.AsyncEcho(client, version=9).infer(ROWS)
    assert asked == [1, 2, 9]


async def test_an_optional_input_may_be_left_out(address: str) -> None:
    stub = await loaded(address, "two-inputs")
    scalar = np.array(0.5, np.float32)
    async with AsyncClient(address) as client:
        model = stub.AsyncTwoInputs(client)
        assert (await model.infer(scalar)).given.tolist() == [b"class"]
        result = await model.infer(class_=scalar, text=np.array(["é", "b"]))
    assert result.given.tolist() == [b"TEXT", b"class", "é".encode(), b"b"]
    result = await in_thread(address, lambda client: stub.TwoInputs(client).infer(scalar))
    assert result.given.tolist() == [b"class"]


@pytest.mark.parametrize("wanted", [0, 1, 3])
async def test_a_decoupled_model_gives_any_number_of_answers(address: str, wanted: int) -> None:
    stub = await loaded(address, "steps")
    given = np.array([wanted], np.float32)
    async with AsyncClient(address) as client:
        found = [step.out.item() async for step in stub.AsyncSteps(client).infer(given)]
    assert found == list(range(wanted))
    steps = await in_thread(address, lambda client: list(stub.Steps(client).infer(given)))
    assert [step.out.item() for step in steps] == list(range(wanted))


async def test_a_failure_between_answers_is_raised(address: str) -> None:
    stub = await loaded(address, "steps")
    given = np.array([-1], np.float32)
    found = []
    async with AsyncClient(address) as client:
        with pytest.raises(Exception, match="no further"):
            async for step in stub.AsyncSteps(client).infer(given):
                found.append(step.out.item())  # noqa: PERF401 - what came before the failure
    assert found == [0, 1]


async def test_leaving_a_decoupled_answer_early_leaves_the_client_usable(address: str) -> None:
    stub = await loaded(address, "steps")

    def first_of_many(client: Client) -> list[float]:
        stream = stub.Steps(client).infer(np.array([1000], np.float32))
        first = next(stream).out.item()
        stream.close()
        again = next(stub.Steps(client).infer(np.array([1], np.float32)))
        return [first, again.out.item()]

    assert await in_thread(address, first_of_many) == [0, 0]


async def test_a_model_that_changed_since_is_found_out(address: str) -> None:
    def stub_of(output: str, datatype: str) -> Any:
        spec = echo_config()
        told = Description(
            name="echo",
            version=None,
            platform="fake",
            inputs=tuple(_metadata(s.name, s.datatype) for s in spec.inputs),
            outputs=(_metadata(output, datatype),),
        )
        scope: dict[str, Any] = {"__name__": "stub"}
        exec(compile(module(told), "stub.py", "exec", dont_inherit=True), scope)
        return SimpleNamespace(**scope)

    async with AsyncClient(address) as client:
        with pytest.raises(Internal, match="without output 'GONE'; run `trivet stub echo` again"):
            await stub_of("GONE", "FP32").AsyncEcho(client).infer(ROWS)
        with pytest.raises(Internal, match="output 'OUT' is FP32 and was INT64"):
            await stub_of("OUT", "INT64").AsyncEcho(client).infer(ROWS)
        with pytest.raises(InvalidArgument):
            await stub_of("OUT", "FP32").AsyncEcho(client).infer(ROWS.astype(np.int8))


def _metadata(name: str, datatype: str) -> TensorMetadata:
    return TensorMetadata(name=name, datatype=datatype, shape=(-1, -1))


async def test_a_server_without_configs_is_taken_as_plain(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Client, *args: Any, **kwargs: Any) -> Any:
        raise error_of(grpc.StatusCode.UNIMPLEMENTED, "not here")

    monkeypatch.setattr(Client, "model_config", refuse)
    found = await in_thread(address, lambda client: describe(client, "two-inputs"))
    assert found.optional == frozenset()
    assert not found.decoupled
    assert [spec.name for spec in found.inputs] == ["class", "TEXT"]


def run_command(address: str, *arguments: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*arguments, "--url", address]))


async def test_the_command_prints_or_writes_and_says_what_it_cannot(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ran(*arguments: str) -> int:
        return await asyncio.to_thread(run_command, address, *arguments)

    file = tmp_path / "echo.py"
    assert await ran("echo", "--version", "2") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Generated by `trivet stub echo --version 2`. Do not edit.\n")
    assert await ran("echo", "--version", "2", "--output", str(file)) == 0
    assert file.read_text(encoding="utf-8") == printed
    assert await ran("nothing") == 1
    assert await ran("echo", "--output", str(tmp_path)) == 1
    shown = capsys.readouterr()
    unknown, unwritable = shown.err.splitlines()
    assert shown.out == ""
    assert "unknown model: 'nothing'" in unknown
    assert unwritable == f"trivet: error: --output {tmp_path} cannot be written: Is a directory"
