"""Who is let in: one table, a token file that may change, and headers as Triton asks for them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import InvalidConfig, PermissionDenied, Unauthenticated, Unavailable
from trivet.frontend.access import Access, Restriction, Tokens, guarded
from trivet.frontend.access_rules import RULES, Group, Role, rule_of
from trivet.frontend.access_tokens import TokenFile
from trivet.frontend.method import Answers, BidiStream, Call, Methods, ServerStream, Unary
from trivet.frontend.services import methods
from trivet.repository.registry import Registry
from trivet.testing.clock import ManualClock

INFER = "infer-token-0123456789"
OBSERVE = "observe-token-0123456789"
CONTROL = "control-token-0123456789"
LINES = f"infer {INFER}\n# a comment\n\nobserve {OBSERVE}  # who looks\ncontrol {CONTROL}\n"

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
WATCH = "/grpc.health.v1.Health/Watch"


class FakeCall:
    """A call that brings headers."""

    time_left_s = None
    peer = "test"

    def __init__(self, metadata: Mapping[str, str | bytes]) -> None:
        self.metadata = metadata

    def header(self, name: str) -> str | bytes | None:
        return self.metadata.get(name)

    def set_trailers(self, trailers: object) -> None:
        raise AssertionError("nothing here sends trailers")


def bearer(token: str) -> FakeCall:
    return FakeCall({"authorization": f"Bearer {token}"})


def token_file(tmp_path: Path, text: str = LINES, mode: int = 0o600) -> Path:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


async def echo(message: bytes, call: Call) -> bytes:
    return message


async def echo_stream(messages: AsyncIterator[bytes], call: Call) -> Answers:
    async for message in messages:
        yield message


async def one_answer(message: bytes, call: Call) -> Answers:
    yield message


def table(*names: str) -> Methods:
    return {name: Unary(echo) for name in names or RULES}


async def ask(served: Methods, name: str, call: FakeCall) -> bytes:
    method = served[name]
    assert isinstance(method, Unary)
    return await method.handler(b"hello", call)


def test_every_method_that_is_served_has_a_rule() -> None:
    served = methods(Registry(), draining=asyncio.Event())
    assert set(served) == set(RULES)


def test_a_method_without_a_rule_is_for_control() -> None:
    assert rule_of("/new.Service/Method").roles == frozenset({Role.CONTROL})


@pytest.mark.parametrize("group", Group)
def test_every_group_has_methods(group: Group) -> None:
    assert any(rule.group is group for rule in RULES.values())


def test_without_restrictions_and_tokens_the_table_is_left_alone() -> None:
    served = table()
    assert guarded(served, Access(restrictions={}, tokens=None)) is served


@pytest.mark.parametrize(
    ("token", "roles"), [(INFER, Role.INFER), (OBSERVE, Role.OBSERVE), (CONTROL, Role.CONTROL)]
)
async def test_a_token_opens_what_the_table_says_and_nothing_else(
    tmp_path: Path, token: str, roles: Role
) -> None:
    tokens = TokenFile(token_file(tmp_path), ManualClock())
    served = guarded(table(), Access(restrictions={}, tokens=tokens))
    for name, rule in RULES.items():
        if not rule.roles or roles in rule.roles:
            assert await ask(served, name, bearer(token)) == b"hello"
            continue
        with pytest.raises(PermissionDenied) as refused:
            await ask(served, name, bearer(token))
        assert name.rpartition("/")[2] in refused.value.message
        assert f"this one has {roles}" in refused.value.message
        assert token not in refused.value.message


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"authorization": INFER},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {INFER}"},
        {"authorization": INFER.encode()},
    ],
)
async def test_no_token_is_told_how_to_bring_one(
    tmp_path: Path, metadata: Mapping[str, str | bytes]
) -> None:
    tokens = TokenFile(token_file(tmp_path), ManualClock())
    served = guarded(table(), Access(restrictions={}, tokens=tokens))
    with pytest.raises(Unauthenticated, match="authorization: Bearer TOKEN"):
        await ask(served, MODEL_INFER, FakeCall(metadata))


async def test_a_wrong_token_is_refused_without_being_repeated(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path), ManualClock())
    served = guarded(table(), Access(restrictions={}, tokens=tokens))
    wrong = INFER[:-1] + "8"
    with pytest.raises(Unauthenticated) as refused:
        await ask(served, MODEL_INFER, bearer(wrong))
    assert wrong not in refused.value.message


def test_a_hash_in_the_file_stands_for_its_token_and_roles_add_up(tmp_path: Path) -> None:
    hashed = hashlib.sha256(INFER.encode()).hexdigest()
    path = token_file(tmp_path, f"infer,observe sha256:{hashed.upper()}\n")
    tokens = TokenFile(path, ManualClock())
    assert tokens.roles(INFER) == frozenset({Role.INFER, Role.OBSERVE})
    assert tokens.roles(f"sha256:{hashed}") is None


def test_tokens_are_kept_as_hashes_only(tmp_path: Path) -> None:
    tokens = TokenFile(token_file(tmp_path), ManualClock())
    assert INFER not in repr(vars(tokens))
    assert INFER not in repr(Access(restrictions={}, tokens=tokens))


async def test_a_changed_file_is_read_within_a_second_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = token_file(tmp_path), ManualClock()
    tokens = TokenFile(path, clock)
    path.write_text("infer another-token-0123456789\n")
    assert tokens.roles(INFER) == frozenset({Role.INFER})  # not looked at again so soon
    await clock.advance(us=1_000_000)
    with caplog.at_level(logging.INFO):
        assert tokens.roles(INFER) is None
        assert tokens.roles("another-token-0123456789") == frozenset({Role.INFER})
    assert "tokens_renewed" in caplog.text
    path.write_text("nothing sensible-token-0123456789\n")
    await clock.advance(us=1_000_000)
    assert tokens.roles("another-token-0123456789") == frozenset({Role.INFER})
    path.unlink()
    await clock.advance(us=1_000_000)
    assert tokens.roles("another-token-0123456789") == frozenset({Role.INFER})
    whys = [str(vars(record).get("why")) for record in caplog.records]
    assert any("line 1: begins with something else than roles" in why for why in whys)
    assert any("no such file" in why for why in whys)
    assert "0123456789" not in " ".join(whys) + caplog.text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "lists no token"),
        ("# nothing\n", "lists no token"),
        ("infer\n", "line 1: has 1 words instead of 2"),
        (f"infer {INFER} more\n", "line 1: has 3 words instead of 2"),
        (f"admin {INFER}\n", "line 1: begins with something else than roles"),
        (f"infer, {INFER}\n", "line 1: begins with something else than roles"),
        ("infer short\n", "line 1: has a token of less than 16 characters"),
        ("infer sha256:beef\n", "line 1: has a hash that is not 64 hexadecimal digits"),
        ("infer tökentökentökentöken\n", "line 1: has a token with other characters"),
        (f"infer {INFER}\nobserve {INFER}\n", "line 2: lists a token again"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line_and_without_its_tokens(
    tmp_path: Path, text: str, fault: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        TokenFile(token_file(tmp_path, text), ManualClock())
    assert fault in refused.value.message
    assert INFER not in refused.value.message


def test_a_file_that_all_may_read_is_warned_of_if_it_holds_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hashed = hashlib.sha256(INFER.encode()).hexdigest()
    TokenFile(token_file(tmp_path, f"infer sha256:{hashed}\n", 0o644), ManualClock())
    TokenFile(token_file(tmp_path, mode=0o640), ManualClock())
    assert "tokens_readable_by_all" not in caplog.text
    TokenFile(token_file(tmp_path, mode=0o644), ManualClock())
    assert "tokens_readable_by_all" in caplog.text


@given(
    st.binary(max_size=200) | st.lists(st.sampled_from(LINES.split())).map(" ".join).map(str.encode)
)
def test_any_bytes_are_tokens_or_told_to_be_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "tokens"
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        TokenFile(path, ManualClock())
    except InvalidConfig as error:
        assert error.faults
        assert INFER not in error.message


@given(st.text(st.characters()))
async def test_any_header_is_no_token(
    tmp_path_factory: pytest.TempPathFactory, header: str
) -> None:
    tokens = TokenFile(token_file(tmp_path_factory.mktemp("any")), ManualClock())
    served = guarded(table(MODEL_INFER), Access(restrictions={}, tokens=tokens))
    with pytest.raises(Unauthenticated):
        await ask(served, MODEL_INFER, FakeCall({"authorization": f"Bearer {header}"}))
    restrictions = {Group.INFERENCE: Restriction("k", INFER)}
    served = guarded(table(MODEL_INFER), Access(restrictions=restrictions, tokens=None))
    with pytest.raises(Unavailable):
        await ask(served, MODEL_INFER, FakeCall({"triton-grpc-protocol-k": header}))


@pytest.mark.parametrize(
    ("name", "fault"), [("", "is a directory"), ("none", "no such file"), ("bytes", "not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / "bytes").write_bytes(b"infer \xff")
    with pytest.raises(InvalidConfig, match=fault) as refused:
        TokenFile(tmp_path / name, ManualClock())
    assert refused.value.faults[0].where == str(tmp_path / name)


class Revocable:
    """One token, until it is taken back."""

    def __init__(self) -> None:
        self.valid = True

    def roles(self, token: str) -> frozenset[Role] | None:
        return frozenset({Role.INFER}) if self.valid else None


def stream_of(served: Methods, messages: AsyncIterator[bytes], call: FakeCall) -> Answers:
    method = served[STREAM]
    assert isinstance(method, BidiStream)
    return method.handler(messages, call)


async def test_a_stream_does_not_outlive_its_token() -> None:
    tokens = Revocable()
    served = guarded({STREAM: BidiStream(echo_stream)}, Access(restrictions={}, tokens=tokens))

    async def messages() -> AsyncIterator[bytes]:
        yield b"first"
        tokens.valid = False
        yield b"second"

    answers = stream_of(served, messages(), bearer(INFER))
    assert await anext(answers) == b"first"
    with pytest.raises(Unauthenticated, match="no longer"):
        await anext(answers)


@pytest.mark.parametrize("tokens", [Revocable(), None])
async def test_streams_are_refused_before_they_begin(tokens: Tokens | None) -> None:
    restriction = Restriction("key", "value")
    access = Access(
        restrictions={Group.INFERENCE: restriction, Group.HEALTH: restriction}, tokens=tokens
    )
    served = guarded({STREAM: BidiStream(echo_stream), WATCH: ServerStream(one_answer)}, access)

    read: list[bytes] = []

    async def messages() -> AsyncIterator[bytes]:
        read.append(b"")
        yield b""

    with pytest.raises(Unauthenticated if tokens else Unavailable):
        stream_of(served, messages(), FakeCall({}))
    assert read == []
    watch = served[WATCH]
    assert isinstance(watch, ServerStream)
    with pytest.raises(Unavailable):
        watch.handler(b"", FakeCall({}))
    answers = watch.handler(b"here", FakeCall({"triton-grpc-protocol-key": "value"}))
    assert [answer async for answer in answers] == [b"here"]


async def test_a_restricted_group_asks_for_its_header_as_triton_does() -> None:
    access = Access(restrictions={Group.INFERENCE: Restriction("admin", "secret")}, tokens=None)
    served = guarded(table(), access)
    header = "triton-grpc-protocol-admin"
    for name, rule in RULES.items():
        assert await ask(served, name, FakeCall({header: "secret"})) == b"hello"
        if rule.group is not Group.INFERENCE:
            assert await ask(served, name, FakeCall({})) == b"hello"
            continue
        for metadata in ({}, {header: "wrong"}, {header: ""}, {"admin": "secret"}):
            with pytest.raises(Unavailable) as refused:
                await ask(served, name, FakeCall(metadata))
            assert refused.value.message.startswith(
                f"This protocol is restricted, expecting header '{header}'"
            )
            assert "secret" not in refused.value.message
    assert "secret" not in repr(access)


async def test_a_token_and_a_header_are_both_needed_where_both_are_asked_for() -> None:
    access = Access(restrictions={Group.INFERENCE: Restriction("k", "v")}, tokens=Revocable())
    served = guarded(table(MODEL_INFER), access)
    with pytest.raises(Unavailable):
        await ask(served, MODEL_INFER, bearer(INFER))
    with pytest.raises(Unauthenticated):
        await ask(served, MODEL_INFER, FakeCall({"triton-grpc-protocol-k": "v"}))
    both = {"triton-grpc-protocol-k": "v", "authorization": f"bearer {INFER}"}
    assert await ask(served, MODEL_INFER, FakeCall(both)) == b"hello"
