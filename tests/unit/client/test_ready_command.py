"""`trivet ready`: one status for probes, one line that says why not."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.client.fake_server import FakeServer
from trivet_client.commands import ready


@pytest.fixture
def trivet_ready(server: FakeServer) -> Callable[..., int]:
    def run(*argv: str) -> int:
        parser = argparse.ArgumentParser()
        ready.add_arguments(parser)
        return ready.run(parser.parse_args(["--url", server.address, *argv]))

    return run


def test_a_ready_server_is_0_without_a_word(trivet_ready: Any, capsys: Any) -> None:
    assert trivet_ready() == 0
    assert trivet_ready("--model", "echo") == 0
    assert capsys.readouterr() == ("", "")


def test_one_that_starts_is_1(trivet_ready: Any, server: FakeServer, capsys: Any) -> None:
    server.questions_before_ready = 1
    assert trivet_ready() == 1
    assert capsys.readouterr().err == (
        f"trivet: not ready: the server at {server.address} starts or stops\n"
    )


def test_it_waits_when_told_to(trivet_ready: Any, server: FakeServer) -> None:
    server.questions_before_ready = 3
    assert trivet_ready("--wait", "60") == 0


def test_models_that_are_not_ready_are_named(trivet_ready: Any, capsys: Any) -> None:
    assert trivet_ready("--model", "echo", "--model", "one", "--model", "two") == 1
    assert "no version is ready of: one, two" in capsys.readouterr().err


def test_where_nobody_listens_is_1_in_one_line(trivet_ready: Any, capsys: Any) -> None:
    with socket.socket() as held:  # bound, and not listening
        held.bind(("127.0.0.1", 0))
        assert trivet_ready("--url", f"127.0.0.1:{held.getsockname()[1]}") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
