"""Statuses as exceptions, deadlines, and a server that is not there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from tests.unit.client.fake_server import PATIENCE_S, FakeServer
from trivet_client import TrivetError, errors
from trivet_client.connection import is_loopback


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_status_has_a_class_of_its_own_name(code: grpc.StatusCode) -> None:
    error = errors.error_of(code, "why")
    assert type(error).__name__ == code.name.title().replace("_", "")
    assert (error.code, error.message, str(error)) == (code, "why", "why")


def test_an_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(errors.error_of(grpc.StatusCode.NOT_FOUND, "why")))
    assert isinstance(error, errors.NotFound)
    assert (error.code, error.message) == (grpc.StatusCode.NOT_FOUND, "why")


def test_numbers_of_statuses_are_known_and_others_are_unknown() -> None:
    assert errors.code_of(3) is grpc.StatusCode.INVALID_ARGUMENT
    assert errors.code_of(99) is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.embed("a", model="missing"),
        lambda client: client.fill_mask("a", model="missing"),
        lambda client: client.infer("missing", {"x": np.array([1], np.int64)}),
        lambda client: client.model_metadata("missing"),
    ],
    ids=["embed", "fill_mask", "infer", "model_metadata"],
)
def test_an_unknown_model_is_not_found(client: Any, call: Callable[[Any], object]) -> None:
    with pytest.raises(errors.NotFound, match="Request for unknown model: 'missing'") as caught:
        call(client)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert isinstance(caught.value, TrivetError)


def test_no_server_is_unavailable_and_says_what_to_do(connect: Any) -> None:
    with pytest.raises(errors.Unavailable, match=r"no server answers at 127.0.0.1:1; start one"):
        connect("127.0.0.1:1").server_live()


def test_a_stream_to_no_server_is_unavailable(connect: Any) -> None:
    with pytest.raises(errors.Unavailable, match=r"no server answers at 127.0.0.1:1; start one"):
        list(connect("127.0.0.1:1").embed_stream(["a"] * 3, in_flight=1))


def test_a_timeout_ends_the_call_here_and_there(client: Any, server: FakeServer) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="did not answer within the timeout"):
        client.embed("hang", timeout_s=0.2)
    assert server.cancelled.wait(PATIENCE_S)


def test_the_client_s_own_timeout_holds_where_a_call_names_none(
    connect: Any, server: FakeServer
) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        connect(server.address, timeout_s=0.2).embed("hang")


def test_a_timeout_ends_a_stream_here_and_there(client: Any, server: FakeServer) -> None:
    stream = client.embed_stream(["a", "hang", "b"], timeout_s=1.0)
    assert next(stream)[0] == 0
    with pytest.raises(errors.DeadlineExceeded):
        next(stream)
    assert server.cancelled.wait(PATIENCE_S)


def test_a_limit_on_answers_is_kept_when_asked_for(connect: Any, server: FakeServer) -> None:
    inputs = {"x": np.zeros(3_000_000, np.uint8)}
    assert connect(server.address).infer("small", inputs).outputs["x"].nbytes == 3_000_000
    with pytest.raises(errors.ResourceExhausted):
        connect(server.address, max_receive_bytes=1_000_000).infer("small", inputs)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1:8001", True),
        ("localhost:8001", True),
        ("[::1]:8001", True),
        ("10.0.0.1:8001", False),
        ("example:8001", False),
    ],
)
def test_this_machine_is_told_from_others(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
