"""Tensors in POSIX shared memory, with the peer's own client: unary, asyncio and streams."""

from __future__ import annotations

import asyncio
import errno
import os
import queue
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

from tests.harness.frontend import ScriptedModel, Served, echo, echo_config, echo_model, run_server
from trivet.config import TensorSpec
from trivet.frontend import regions as regions_module
from trivet.frontend.extras import Extras
from trivet.frontend.regions import Regions
from trivet.request import InferRequest, InferResponse
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

SHM = Path("/dev/shm")
Status = grpc.StatusCode
NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)
names = (f"shm-test-{os.getpid()}-{number}" for number in count())


class Memory:
    """One shared-memory object of a test, made by tritonclient."""

    def __init__(self, byte_size: int = 64) -> None:
        self.key = next(names)
        self.path = SHM / self.key
        self.handle = shm.create_shared_memory_region("here", self.key, byte_size)

    def put(self, *arrays: np.ndarray, offset: int = 0) -> None:
        shm.set_shared_memory_region(self.handle, list(arrays), offset=offset)

    def get(self, dtype: Any, shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
        array: np.ndarray = shm.get_contents_as_numpy(self.handle, dtype, shape, offset=offset)
        return array.copy()


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    shm.destroy_shared_memory_region(made.handle)


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    """A server over the model "echo" that takes shared memory."""
    async with run_server(echo_model(), extras=Extras(regions=Regions())) as served:
        yield served


@pytest.fixture
async def client(server: Served) -> AsyncIterator[triton_aio.InferenceServerClient]:
    async with triton_aio.InferenceServerClient(server.address) as made:
        yield made


def tensor(region: str, byte_size: int = 24, offset: int = 0, shape: Any = (2, 3)) -> Any:
    made = triton.InferInput("IN", list(shape), "FP32")
    made.set_shared_memory(region, byte_size, offset)
    return made


def wanted(region: str, byte_size: int = 24, offset: int = 0) -> Any:
    made = triton.InferRequestedOutput("OUT")
    made.set_shared_memory(region, byte_size, offset)
    return made


def ask_sync(address: str, memory: Memory) -> tuple[Any, Any]:
    with triton.InferenceServerClient(address) as client:
        client.register_system_shared_memory("both", memory.key, 64)
        told = client.get_system_shared_memory_status(as_json=True)
        result = client.infer("echo", [tensor("both")], outputs=[wanted("both", 24, 32)])
        client.unregister_system_shared_memory("both")
        left = client.get_system_shared_memory_status(as_json=True)
    assert left == {}
    return told, result


async def test_a_tensor_comes_and_goes_through_memory(server: Served, memory: Memory) -> None:
    memory.put(NUMBERS)
    told, result = await asyncio.to_thread(ask_sync, server.address, memory)
    entry = told["regions"]["both"]
    assert entry == {"name": "both", "key": memory.key, "byte_size": "64"}
    np.testing.assert_array_equal(memory.get(np.float32, (2, 3), 32), NUMBERS)
    output = result.get_output("OUT")
    assert (output.datatype, list(output.shape)) == ("FP32", [2, 3])
    assert list(result.get_response().raw_output_contents) == [b""]


async def test_a_stream_takes_and_gives_memory(server: Served, memory: Memory) -> None:
    def stream() -> list[Any]:
        answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        with triton.InferenceServerClient(server.address) as client:
            client.register_system_shared_memory("both", memory.key, 64)
            client.start_stream(callback=lambda result, error: answers.put((result, error)))
            got = []
            for number in range(5):
                memory.put(np.full((2, 3), number, np.float32))
                client.async_stream_infer(
                    "echo", [tensor("both")], outputs=[wanted("both", 24, 32)]
                )
                _, error = answers.get(timeout=10)
                assert error is None
                got.append(memory.get(np.float32, (2, 3), 32))
            client.async_stream_infer("echo", [tensor("nobody")])
            _, error = answers.get(timeout=10)
            assert "Unable to find shared memory region: 'nobody'" in error.message()
            client.stop_stream()
        return got

    got = await asyncio.to_thread(stream)
    for number, array in enumerate(got):
        np.testing.assert_array_equal(array, np.full((2, 3), number, np.float32))


async def test_a_region_may_begin_within_the_object_and_a_tensor_within_the_region(
    client: triton_aio.InferenceServerClient, memory: Memory
) -> None:
    memory.put(NUMBERS, offset=16)
    await client.register_system_shared_memory("part", memory.key, 56, offset=8)
    result = await client.infer("echo", [tensor("part", 24, 8)])
    np.testing.assert_array_equal(result.as_numpy("OUT"), NUMBERS)
    told = await client.get_system_shared_memory_status("part", as_json=True)
    assert told["regions"]["part"]["offset"] == "8"


async def test_some_inputs_are_in_memory_and_some_in_the_message(memory: Memory) -> None:
    async def subtract(request: InferRequest) -> InferResponse:
        outputs = {"OUT": request.inputs["A"] - request.inputs["B"]}
        return InferResponse(model="echo", version=1, outputs=outputs)

    specs = tuple(TensorSpec(name=name, datatype="FP32", dims=(-1,)) for name in "AB")
    model = ScriptedModel(echo_config(inputs=specs), subtract)
    async with (
        run_server(model, extras=Extras(regions=Regions())) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        memory.put(NUMBERS)
        await client.register_system_shared_memory("a", memory.key, 64)
        first = triton.InferInput("A", [2, 3], "FP32")
        first.set_shared_memory("a", 24)
        second = triton.InferInput("B", [2, 3], "FP32")
        second.set_data_from_numpy(np.ones((2, 3), np.float32))
        for inputs in ([first, second], [second, first]):
            result = await client.infer("echo", inputs)
            np.testing.assert_array_equal(result.as_numpy("OUT"), NUMBERS - 1)


async def test_texts_go_through_memory(memory: Memory) -> None:
    spec = {"datatype": "BYTES", "dims": (-1,)}
    config = echo_config(
        inputs=(TensorSpec(name="IN", **spec),),  # type: ignore[arg-type]
        outputs=(TensorSpec(name="OUT", **spec),),  # type: ignore[arg-type]
    )
    texts = np.array([[b"", b"a\0b", "ü".encode()]], dtype=object)
    async with (
        run_server(ScriptedModel(config, echo), extras=Extras(regions=Regions())) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        memory.put(serialize_byte_tensor(texts))
        await client.register_system_shared_memory("both", memory.key, 64)
        given = triton.InferInput("IN", [1, 3], "BYTES")
        given.set_shared_memory("both", 4 * 3 + 5)
        await client.infer("echo", [given], outputs=[wanted("both", 32, 32)])
        np.testing.assert_array_equal(memory.get(np.object_, (1, 3), 32), texts)
        with pytest.raises(InferenceServerException, match=r"\(16 bytes\) should be at least 17"):
            await client.infer("echo", [given], outputs=[wanted("both", 16, 32)])
        given.set_shared_memory("both", 4)
        with pytest.raises(InferenceServerException, match="takes at least 12 bytes, but 4 came"):
            await client.infer("echo", [given])


WRONG: dict[str, tuple[Any, Any, Status, str]] = {
    "unknown input region": (tensor("none"), None, Status.NOT_FOUND, "input 'IN': Unable to find"),
    "unknown output region": (
        tensor("r"), wanted("none"), Status.NOT_FOUND, "output 'OUT': Unable to find",
    ),
    "behind the end": (
        tensor("r", 24, 48), None, Status.INVALID_ARGUMENT,
        "'r' has 64 bytes, and 24 from 48 on were named",
    ),
    "offset that would wrap": (
        tensor("r", 24, 2**63 - 8), None, Status.INVALID_ARGUMENT, "Invalid offset + byte size",
    ),
    "negative offset": (tensor("r", 24, -8), None, Status.INVALID_ARGUMENT, "24 from -8 on"),
    "negative size": (tensor("r", -24), None, Status.INVALID_ARGUMENT, "-24 from 0 on"),
    "size of another shape": (
        tensor("r", 20), None, Status.INVALID_ARGUMENT, "takes 24 bytes, but 20 came",
    ),
    "output behind the end": (
        tensor("r"), wanted("r", 24, 60), Status.INVALID_ARGUMENT, "output 'OUT': Invalid offset",
    ),
    "output too small": (
        tensor("r"), wanted("r", 23), Status.INVALID_ARGUMENT,
        "output 'OUT': shared memory size specified with the request (23 bytes) should be at least"
        " 24 bytes to hold the results",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_bounds_are_checked(
    client: triton_aio.InferenceServerClient, memory: Memory, case: str
) -> None:
    given, output, status, text = WRONG[case]
    await client.register_system_shared_memory("r", memory.key, 64)
    with pytest.raises(InferenceServerException) as refused:
        await client.infer("echo", [given], outputs=[output] if output else None)
    assert refused.value.status() == str(status)
    assert text in refused.value.message()


MALFORMED: dict[str, tuple[dict[str, str | int], str]] = {
    "no size": ({"shared_memory_region": "r"}, "'shared_memory_byte_size' is missing"),
    "size as text": (
        {"shared_memory_region": "r", "shared_memory_byte_size": "24"},
        "'shared_memory_byte_size' came as string_param",
    ),
    "no region": ({"shared_memory_byte_size": 24}, "'shared_memory_region' names no region"),
    "region as number": (
        {"shared_memory_region": 1, "shared_memory_byte_size": 24},
        "'shared_memory_region' names no region; send it as string_param",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_parameters_are_refused(server: Served, memory: Memory, case: str) -> None:
    parameters, text = MALFORMED[case]
    request = pb.ModelInferRequest(model_name="echo", id="7")
    given = request.inputs.add(name="IN", datatype="FP32", shape=[2, 3])
    for name, value in parameters.items():
        field = "string_param" if isinstance(value, str) else "int64_param"
        setattr(given.parameters[name], field, value)
    stub = GRPCInferenceServiceAsyncStub(server.channel)
    with pytest.raises(grpc.aio.AioRpcError, match=text) as refused:
        await stub.ModelInfer(request)
    assert refused.value.code() == Status.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith("[request id: 7] model 'echo': input 'IN': ")


async def test_memory_beside_contents_is_refused(server: Served, memory: Memory) -> None:
    stub = GRPCInferenceServiceAsyncStub(server.channel)
    await stub.SystemSharedMemoryRegister(
        pb.SystemSharedMemoryRegisterRequest(name="r", key=memory.key, byte_size=64)
    )
    request = pb.ModelInferRequest(model_name="echo")
    given = request.inputs.add(name="IN", datatype="FP32", shape=[2, 3])
    given.parameters["shared_memory_region"].string_param = "r"
    given.parameters["shared_memory_byte_size"].int64_param = 24
    request.raw_input_contents.append(bytes(24))
    with pytest.raises(grpc.aio.AioRpcError, match="1 entries for 1 inputs"):
        await stub.ModelInfer(request)
    request.raw_input_contents.pop()
    given.contents.fp32_contents.extend([0] * 6)
    with pytest.raises(grpc.aio.AioRpcError, match="typed contents beside shared memory"):
        await stub.ModelInfer(request)


async def test_a_name_is_registered_once_and_let_go_of_any_number_of_times(
    client: triton_aio.InferenceServerClient, memory: Memory
) -> None:
    await client.register_system_shared_memory("r", memory.key, 64)
    with pytest.raises(InferenceServerException, match="'r' already in manager") as refused:
        await client.register_system_shared_memory("r", memory.key, 64)
    assert refused.value.status() == "StatusCode.ALREADY_EXISTS"
    await client.register_system_shared_memory("s", memory.key, 64)
    await client.unregister_system_shared_memory("unknown")
    with pytest.raises(InferenceServerException) as unknown:
        await client.get_system_shared_memory_status("unknown")
    assert unknown.value.status() == "StatusCode.NOT_FOUND"
    await client.unregister_system_shared_memory()
    assert await client.get_system_shared_memory_status(as_json=True) == {}
    await client.register_system_shared_memory("r", memory.key, 64)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "names no shared-memory object"),
        ("/", "names no shared-memory object"),
        ("..", "names no shared-memory object"),
        ("../etc/passwd", "names no shared-memory object"),
        ("/../tmp/x", "names no shared-memory object"),
        ("//x", "names no shared-memory object"),
        ("a\0b", "names no shared-memory object"),
        ("x" * 256, "longer than 255 bytes"),
        ("not-there", "Unable to open shared memory region: 'not-there': No such file"),
        ("triton_python_backend_shm_region_1", "reserved"),
        ("/trivet_ring", "reserved"),
    ],
)
async def test_a_key_names_a_shared_memory_object_and_nothing_else(
    client: triton_aio.InferenceServerClient, key: str, text: str
) -> None:
    with pytest.raises(InferenceServerException, match=text) as refused:
        await client.register_system_shared_memory("r", key, 8)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_a_link_a_folder_and_a_pipe_are_no_shared_memory(
    client: triton_aio.InferenceServerClient, memory: Memory
) -> None:
    link, folder, pipe = (SHM / next(names) for _ in range(3))
    link.symlink_to(memory.path)
    folder.mkdir()
    os.mkfifo(pipe)
    try:
        for path in (link, folder, pipe):
            with pytest.raises(InferenceServerException, match="Unable to open shared memory"):
                await client.register_system_shared_memory("r", path.name, 8)
    finally:
        link.unlink()
        folder.rmdir()
        pipe.unlink()


@pytest.mark.parametrize(("offset", "byte_size"), [(0, 65), (60, 8), (64, 1), (0, 0), (2**63, 8)])
async def test_a_region_lies_within_its_object(
    client: triton_aio.InferenceServerClient, memory: Memory, offset: int, byte_size: int
) -> None:
    with pytest.raises(InferenceServerException, match="which has 64 bytes") as refused:
        await client.register_system_shared_memory("r", memory.key, byte_size, offset=offset)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_an_object_cut_short_fails_its_requests_and_not_the_server(
    client: triton_aio.InferenceServerClient, memory: Memory
) -> None:
    await client.register_system_shared_memory("r", memory.key, 64)
    os.truncate(memory.path, 8)
    with pytest.raises(InferenceServerException, match="'r' was cut short after") as reading:
        await client.infer("echo", [tensor("r")])
    assert reading.value.status() == "StatusCode.INVALID_ARGUMENT"
    given = triton.InferInput("IN", [2, 3], "FP32").set_data_from_numpy(NUMBERS)
    with pytest.raises(InferenceServerException, match=r"output 'OUT': .* was cut short after"):
        await client.infer("echo", [given], outputs=[wanted("r")])
    assert memory.path.stat().st_size == 8
    assert await client.is_server_live()
    os.truncate(memory.path, 64)  # for the client's own mapping


async def test_a_request_under_way_keeps_a_region_that_is_unregistered_and_unlinked() -> None:
    taken, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: InferRequest) -> InferResponse:
        taken.set()
        await go_on.wait()
        return await echo(request)

    memory = Memory()
    memory.put(NUMBERS)
    async with (
        run_server(ScriptedModel(echo_config(), answer), extras=Extras(regions=Regions())) as on,
        triton_aio.InferenceServerClient(on.address) as client,
    ):
        await client.register_system_shared_memory("r", memory.key, 64)
        before = open_files(memory.path)
        outputs = [wanted("r", 24, 32)]
        asking = asyncio.create_task(client.infer("echo", [tensor("r")], outputs=outputs))
        await taken.wait()
        await client.unregister_system_shared_memory("r")
        assert open_files(memory.path) == before
        go_on.set()
        await asking
        np.testing.assert_array_equal(memory.get(np.float32, (2, 3), 32), NUMBERS)
        assert open_files(memory.path) == before - 1  # let go of with the last request
    shm.destroy_shared_memory_region(memory.handle)


def open_files(path: Path) -> int:
    found = 0
    for number in Path("/proc/self/fd").iterdir():
        try:
            found += number.readlink() == path
        except FileNotFoundError:  # the one that listed them
            continue
    return found


async def test_one_request_takes_a_bounded_amount(memory: Memory) -> None:
    specs = tuple(TensorSpec(name=name, datatype="FP32", dims=(-1,)) for name in "AB")
    model = ScriptedModel(echo_config(inputs=specs), echo)
    given = [triton.InferInput(name, [2, 3], "FP32") for name in "AB"]
    for one in given:
        one.set_shared_memory("r", 24)
    for allowed in (48, 47):
        async with (
            run_server(model, extras=Extras(regions=Regions(allowed))) as served,
            triton_aio.InferenceServerClient(served.address) as client,
        ):
            await client.register_system_shared_memory("r", memory.key, 64)
            if allowed == 48:
                await client.infer("echo", given)
                continue
            with pytest.raises(InferenceServerException, match="take 48 bytes or more") as refused:
                await client.infer("echo", given)
            assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("name", ["", "x" * 256])
async def test_a_region_has_a_name_of_reasonable_length(
    client: triton_aio.InferenceServerClient, memory: Memory, name: str
) -> None:
    with pytest.raises(InferenceServerException, match="name of 1 to 255 characters") as refused:
        await client.register_system_shared_memory(name, memory.key, 8)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_memory_that_the_system_refuses_is_the_requests_fault(
    client: triton_aio.InferenceServerClient, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    await client.register_system_shared_memory("r", memory.key, 64)
    for call, what in (("pread", "read"), ("pwrite", "written")):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            given = tensor("r") if call == "pread" else vector()
            with pytest.raises(InferenceServerException, match=f"'r' cannot be {what}: No space"):
                await client.infer("echo", [given], outputs=[wanted("r")])


def vector() -> Any:
    return triton.InferInput("IN", [2, 3], "FP32").set_data_from_numpy(NUMBERS)


async def test_the_number_of_regions_is_bounded(
    client: triton_aio.InferenceServerClient, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regions_module, "_MAX_REGIONS", 2)
    await client.register_system_shared_memory("1", memory.key, 8)
    await client.register_system_shared_memory("2", memory.key, 8)
    with pytest.raises(InferenceServerException, match="as many as there may be") as refused:
        await client.register_system_shared_memory("3", memory.key, 8)
    assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"


async def test_memory_of_a_gpu_is_refused_in_plain_words(
    client: triton_aio.InferenceServerClient,
) -> None:
    with pytest.raises(InferenceServerException, match="which this server does not see") as refused:
        await client.register_cuda_shared_memory("c", b"", 0, 8)
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
    assert await client.get_cuda_shared_memory_status(as_json=True) == {}
    await client.unregister_cuda_shared_memory("c")
    await client.unregister_cuda_shared_memory()
    with pytest.raises(InferenceServerException) as unknown:
        await client.get_cuda_shared_memory_status("c")
    assert unknown.value.status() == "StatusCode.NOT_FOUND"


async def test_by_default_every_call_is_refused_and_nothing_is_opened(memory: Memory) -> None:
    async with (
        run_server(echo_model()) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        calls = {
            "register": client.register_system_shared_memory("r", memory.key, 64),
            "status": client.get_system_shared_memory_status(),
            "unregister": client.unregister_system_shared_memory("r"),
            "cuda register": client.register_cuda_shared_memory("r", b"", 0, 64),
            "cuda status": client.get_cuda_shared_memory_status(),
            "cuda unregister": client.unregister_cuda_shared_memory("r"),
            "infer": client.infer("echo", [tensor("r")]),
        }
        for name, call in calls.items():
            with pytest.raises(InferenceServerException, match="allow-client-shm=true") as refused:
                await call
            assert (name, refused.value.status()) == (name, "StatusCode.UNIMPLEMENTED")
        metadata = await client.get_server_metadata(as_json=True)
        assert "system_shared_memory" not in metadata["extensions"]


async def test_switched_on_it_is_among_the_extensions(
    client: triton_aio.InferenceServerClient,
) -> None:
    metadata = await client.get_server_metadata(as_json=True)
    assert "system_shared_memory" in metadata["extensions"]
