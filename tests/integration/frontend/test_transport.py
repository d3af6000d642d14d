"""The transport: limits, deadlines, leave-taking, ports, and errors as trailers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import grpc
import pytest

from tests.harness.transports import chosen
from trivet.errors import InvalidConfig, ServeError, Unavailable
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.transport.options import Options
from trivet.transport.serving import serving

Status = grpc.StatusCode


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


ECHO: Methods = {"/t.T/Echo": Unary(echo), "/t.T/Stream": BidiStream(echo_stream)}


def channel(port: int) -> grpc.aio.Channel:
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    ]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)


def options(**changes: int) -> Options:
    settings = {"grace_s": 5.0, **changes}
    return Options(port=0, transport=chosen(), **settings)  # type: ignore[arg-type]


async def test_a_message_over_the_limit_is_refused_and_the_server_goes_on() -> None:
    async with (
        serving(ECHO, options(max_message_bytes=1000)) as port,
        channel(port) as client,
    ):
        call = client.unary_unary("/t.T/Echo")
        assert await call(b"x" * 1000) == b"x" * 1000
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"x" * 1001)
        assert refused.value.code() == Status.RESOURCE_EXHAUSTED
        assert "1001" in (refused.value.details() or "")
        assert await call(b"y") == b"y"


async def test_a_message_over_the_limit_ends_its_stream_only() -> None:
    async with (
        serving(ECHO, options(max_message_bytes=1000)) as port,
        channel(port) as client,
    ):
        wrong, right = client.stream_stream("/t.T/Stream")(), client.stream_stream("/t.T/Stream")()
        await right.write(b"a")
        await wrong.write(b"x" * 1001)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await wrong.read()
        assert refused.value.code() == Status.RESOURCE_EXHAUSTED
        assert await right.read() == b"a"


async def test_an_answer_may_be_larger_than_a_request() -> None:
    async def large(message: bytes, call: Call) -> bytes:
        return b"x" * 5_000_000

    async with (
        serving({"/t.T/Large": Unary(large)}, options(max_message_bytes=1000)) as port,
        channel(port) as client,
    ):
        assert len(await client.unary_unary("/t.T/Large")(b"")) == 5_000_000


async def test_an_unknown_method_is_unimplemented_with_a_way_on() -> None:
    async with serving(ECHO, options()) as port, channel(port) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/t.T/Nothing")(b"")
    assert refused.value.code() == Status.UNIMPLEMENTED
    assert "unknown method /t.T/Nothing" in (refused.value.details() or "")
    assert "reflection" in (refused.value.details() or "")


@pytest.mark.parametrize("text", ["ünïcode → ok", "two\nlines, 100 %", "x" * 100_000, "é" * 9_000])
async def test_an_error_text_arrives_whole_or_visibly_cut(text: str) -> None:
    async def fail(message: bytes, call: Call) -> bytes:
        raise Unavailable(text)

    async with (
        serving({"/t.T/Fail": Unary(fail)}, options()) as port,
        channel(port) as client,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/t.T/Fail")(b"")
    told = refused.value.details() or ""
    assert refused.value.code() == Status.UNAVAILABLE
    assert told == text or (told.endswith("…") and text.startswith(told[:-1]) and len(told) > 900)


async def test_a_bug_is_internal_logged_and_withheld(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(message: bytes, call: Call) -> bytes:
        raise KeyError("/secret")

    async def fail_late(message: bytes, call: Call) -> Answers:
        yield b"first"
        raise KeyError("/secret")

    methods: Methods = {"/t.T/Fail": Unary(fail), "/t.T/Late": ServerStream(fail_late)}
    async with serving(methods, options()) as port, channel(port) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/t.T/Fail")(b"")
        stream = client.unary_stream("/t.T/Late")(b"")
        assert await stream.read() == b"first"
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
    for error in (refused.value, ended.value):
        assert error.code() == Status.INTERNAL
        assert "secret" not in str(error)
        assert "internal error; the server's log has the details" in (error.details() or "")
    assert len([record for record in caplog.records if record.exc_info]) == 2


class Waiting:
    """A method that waits until it is let go or cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, message: bytes, call: Call) -> bytes:
        self.begun.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return message

    async def stream(self, message: bytes, call: Call) -> Answers:
        yield await self(message, call)


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_a_caller_that_leaves_cancels_the_method(
    kind: str, quiet: Callable[[], None]
) -> None:
    waiting = Waiting()
    methods: Methods = {"/t.T/unary": Unary(waiting), "/t.T/stream": ServerStream(waiting.stream)}
    async with serving(methods, options()) as port, channel(port) as client:
        if kind == "unary":
            call: grpc.aio.Call = client.unary_unary("/t.T/unary")(b"")
        else:
            call = client.unary_stream("/t.T/stream")(b"")
        await waiting.begun.wait()
        call.cancel()
        await waiting.cancelled.wait()
    quiet()


async def test_a_deadline_that_passes_cancels_the_method(quiet: Callable[[], None]) -> None:
    waiting = Waiting()
    async with (
        serving({"/t.T/Wait": Unary(waiting)}, options()) as port,
        channel(port) as client,
    ):
        await client.channel_ready()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/t.T/Wait")(b"", timeout=0.5)
        await waiting.cancelled.wait()
    assert refused.value.code() == Status.DEADLINE_EXCEEDED
    quiet()


async def test_a_generator_is_closed_when_its_caller_leaves_between_two_answers(
    quiet: Callable[[], None],
) -> None:
    closed = asyncio.Event()

    async def endless(message: bytes, call: Call) -> Answers:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async with (
        serving({"/t.T/Endless": ServerStream(endless)}, options()) as port,
        channel(port) as client,
    ):
        call = client.unary_stream("/t.T/Endless")(b"")
        assert await call.read()
        call.cancel()
        await closed.wait()
    quiet()


async def sending(message: bytes) -> AsyncIterator[bytes]:
    while True:
        yield message


async def test_many_callers_that_leave_at_any_moment_leave_no_trace(
    quiet: Callable[[], None],
) -> None:
    async with serving(ECHO, options()) as port, channel(port) as client:
        unary, stream = client.unary_unary("/t.T/Echo"), client.stream_stream("/t.T/Stream")
        for turns in range(100):
            calls = unary(b"x" * 10_000), stream(sending(b"y" * 10_000))
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
        assert await unary(b"still here") == b"still here"
    quiet()


async def door_closed(port: int) -> None:
    """Return when the server takes no more connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # the door closed on us: look again
            continue
        writer.close()


async def test_stopping_waits_for_the_calls_in_flight_and_refuses_new_ones() -> None:
    waiting, leave = Waiting(), asyncio.Event()
    port_of: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with serving({"/t.T/Wait": Unary(waiting)}, options(grace_s=30)) as port:
            port_of.set_result(port)
            await leave.wait()

    stopping = asyncio.create_task(serve())
    port = await port_of
    async with channel(port) as client:
        call = client.unary_unary("/t.T/Wait")(b"kept")
        await waiting.begun.wait()
        leave.set()
        await door_closed(port)
        async with channel(port) as other:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await other.unary_unary("/t.T/Wait")(b"late", timeout=5)
        assert refused.value.code() == Status.UNAVAILABLE
        assert not stopping.done()
        waiting.let_go.set()
        assert await call == b"kept"
        await stopping


async def test_calls_that_outlast_the_grace_are_cut_off() -> None:
    waiting = Waiting()
    async with AsyncExitStack() as stack:
        async with serving({"/t.T/Wait": Unary(waiting)}, options(grace_s=0)) as port:
            client = await stack.enter_async_context(channel(port))
            call = client.unary_unary("/t.T/Wait")(b"")
            await waiting.begun.wait()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        await waiting.cancelled.wait()


async def test_a_port_in_use_is_refused_with_a_cure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidConfig) as refused:
            async with serving(ECHO, Options(port=port, transport=chosen())):
                pytest.fail("it served")
    assert refused.value.message == (
        f"127.0.0.1:{port}: address already in use;"
        " stop what uses it, or choose another address or port (port 0 takes a free one)"
    )


async def test_two_servers_never_share_a_port() -> None:
    async with serving(ECHO, options()) as port:
        with pytest.raises(InvalidConfig) as refused:
            async with serving(ECHO, Options(port=port, transport=chosen())):
                pytest.fail("it served")
    assert "in use" in refused.value.message


async def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(InvalidConfig) as refused:
        async with serving(ECHO, Options(host="203.0.113.1", port=0, transport=chosen())):
            pytest.fail("it served")
    assert "203.0.113.1:0: cannot assign requested address" in refused.value.message


async def test_a_method_sees_its_call() -> None:
    seen: dict[str, object] = {}

    async def look(message: bytes, call: Call) -> bytes:
        seen.update(metadata=call.metadata, left=call.time_left_s, peer=call.peer)
        call.set_trailers((("cost", "3"), ("raw-bin", b"\0\1")))
        return b""

    async with (
        serving({"/t.T/Look": Unary(look)}, options()) as port,
        channel(port) as client,
    ):
        call = client.unary_unary("/t.T/Look")(b"", metadata=(("who", "me"),), timeout=100)
        await call
        trailers = dict(await call.trailing_metadata())
        await client.unary_unary("/t.T/Look")(b"")
    assert trailers == {"cost": "3", "raw-bin": b"\0\1"}
    assert seen["left"] is None  # of the second call, which had no deadline
    assert str(seen["peer"]).startswith("ipv4:127.0.0.1:")


async def test_metadata_and_deadline_are_told() -> None:
    async def look(message: bytes, call: Call) -> bytes:
        assert call.time_left_s is not None
        if not 0 < call.time_left_s <= 101 or call.metadata["who"] != "me":
            raise ServeError("not told")
        return b"told"

    async with (
        serving({"/t.T/Look": Unary(look)}, options()) as port,
        channel(port) as client,
    ):
        call = client.unary_unary("/t.T/Look")
        assert await call(b"", metadata=(("who", "me"),), timeout=100) == b"told"


async def test_headers_are_taken_up_to_a_limit_and_refused_beyond_it() -> None:
    async def echo(message: bytes, call: Call) -> bytes:
        return message

    async with (
        serving({"/t.T/Echo": Unary(echo)}, options()) as port,
        channel(port) as client,
    ):
        call = client.unary_unary("/t.T/Echo")
        for _ in range(20):  # grpc's own choice would be a matter of chance from 8 KiB on
            assert await call(b"taken", metadata=(("k", "v" * 15_000),)) == b"taken"
        with pytest.raises(grpc.aio.AioRpcError, match="metadata size exceeds hard limit") as told:
            await call(b"refused", metadata=(("k", "v" * 17_000),))
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
