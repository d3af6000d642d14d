"""Any bytes on any method, over a real socket, are answered with a status that a caller can use."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import pytest

from tests.fuzz.mutations import mutation
from tests.fuzz.requests import good_message, is_taken
from tests.fuzz.table import whole_table
from tests.harness.transports import chosen
from trivet.frontend.method import BidiStream, Method, Methods, Unary
from trivet.transport.options import Options, Transport
from trivet.transport.serving import serving

WATCH = "/grpc.health.v1.Health/Watch"
NO_MESSAGE = b"\xff\xff\xff"
BAD_TEXT = b"\x0a\x02\xff\xfe"  # field 1, a text in most messages, is not UTF-8
PATIENCE_S = 10.0
TRIES = 40  # of each method
Status = grpc.StatusCode

# Nothing else is ever said. INTERNAL is what Triton answers to a load that cannot be read.
SAID = {
    *(Status.OK, Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.ALREADY_EXISTS),
    *(Status.UNAVAILABLE, Status.UNIMPLEMENTED, Status.INTERNAL),
}


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Methods]:
    async with whole_table(tmp_path) as methods:
        yield methods


@pytest.fixture
async def channel(transport: Transport, table: Methods) -> AsyncIterator[grpc.aio.Channel]:
    options = Options(port=0, transport=chosen(), grace_s=5, closing_s=0)
    async with (
        serving(table, options) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as open_channel,
    ):
        yield open_channel


async def ask(
    channel: grpc.aio.Channel, name: str, method: Method, *messages: bytes
) -> tuple[grpc.StatusCode, str, int]:
    """The status of a call, its text, and how many answers came before it."""
    count = 0
    try:
        async with asyncio.timeout(PATIENCE_S):
            match method:
                case Unary():
                    await channel.unary_unary(name)(messages[0])
                    count = 1
                case BidiStream():
                    async for _ in channel.stream_stream(name)(iter(messages)):
                        count += 1
                case _:
                    call = channel.unary_stream(name)(messages[0])
                    assert await call.read()  # a watch goes on for ever
                    call.cancel()
                    count = 1
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or "", count
    return Status.OK, "", count


def bad_ones(name: str) -> Iterator[bytes]:
    """Random bytes, and the method's own message made bad; always the same."""
    chance, good = random.Random(name), good_message(name).SerializeToString()
    for number in range(TRIES):
        yield chance.randbytes(number) if number % 2 else mutation(good, chance.getrandbits(32))


async def test_every_method_takes_a_good_message(channel: grpc.aio.Channel, table: Methods) -> None:
    for name in sorted(table, key=lambda name: "Unload" in name):
        status, text, _ = await ask(
            channel, name, table[name], good_message(name).SerializeToString()
        )
        assert status in SAID, (name, text)
        assert status is Status.OK or not is_taken(name), (name, status, text)


@pytest.mark.parametrize("message", [NO_MESSAGE, BAD_TEXT])
async def test_bytes_that_are_no_message_are_an_invalid_argument(
    channel: grpc.aio.Channel, table: Methods, message: bytes
) -> None:
    for name, method in table.items():
        if message is BAD_TEXT and not _begins_with_text(name):
            continue
        status, text, answers = await ask(channel, name, method, message)
        if answers:  # a stream that tells of it in-band
            assert status is Status.OK, name
            assert name.endswith(("Stream", "StreamInfer")), name
        else:
            assert status is Status.INVALID_ARGUMENT, (name, status, text)
            assert "message" in text, name


async def test_any_bytes_on_any_method_give_a_status(
    channel: grpc.aio.Channel, table: Methods, quiet: Callable[[], None]
) -> None:
    for name, method in table.items():
        for message in bad_ones(name):
            status, text, _ = await ask(channel, name, method, message)
            assert status in SAID, (name, message, status, text)
            assert "internal error" not in text, (name, message)
    quiet()


async def test_any_messages_on_any_stream_are_answered_one_by_one(
    channel: grpc.aio.Channel, table: Methods
) -> None:
    for name, method in table.items():
        if isinstance(method, BidiStream):
            messages = list(bad_ones(name))
            status, text, answers = await ask(channel, name, method, *messages)
            assert status in SAID, (name, status, text)
            assert status is not Status.OK or answers == len(messages), name


async def test_a_name_of_a_megabyte_and_names_with_zeros_are_refused_in_few_words(
    channel: grpc.aio.Channel, table: Methods
) -> None:
    for name, method in table.items():
        message = type(good := good_message(name))()
        message.CopyFrom(good)
        texts = [field for field in message.DESCRIPTOR.fields if field.type == field.TYPE_STRING]
        for field in texts:
            if field.is_repeated:
                continue
            for text in ("x" * (1 << 20), "\0", "a\0b", "../../etc/passwd"):
                setattr(message, field.name, text)
                status, told, _ = await ask(channel, name, method, message.SerializeToString())
                assert status in SAID, (name, field.name, told)
                assert len(told) < 10_000


async def test_a_stranger_of_a_method_is_told_so(channel: grpc.aio.Channel) -> None:
    for name in ("/no.such/Method", "/inference.GRPCInferenceService/", "/x"):
        status, _, _ = await ask(channel, name, _nobody(), b"")
        assert status is Status.UNIMPLEMENTED


def _nobody() -> Unary:
    async def answer(message: bytes, call: object) -> bytes:
        return message

    return Unary(answer)


def _begins_with_text(name: str) -> bool:
    fields = good_message(name).DESCRIPTOR.fields_by_number
    return 1 in fields and fields[1].type == fields[1].TYPE_STRING
