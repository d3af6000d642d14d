"""`trivet stub` as a person uses it: written by the command, used by a program of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.command import trivet
from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport

PROGRAM = """
import sys

import numpy as np

from fill_mask_client import FillMask
from minilm_client import Minilm
from trivet_client import Client

with Client(sys.argv[1]) as client:
    text = np.array([["He opened the [MASK] and walked into the room."]])
    filled = FillMask(client).infer(text, parameters={"top_k": 3})
    print(filled.token[0, 0, 0].decode(), filled.probability.shape, filled.answer.version)
    ids = np.array([[101, 7592, 102]])
    ones = np.ones_like(ids)
    print(Minilm(client).infer(ids, ones, token_type_ids=0 * ids).embedding.shape)
"""


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough here: what is looked at is the program that was written."""
    return Transport.GRPCIO


def test_a_program_uses_what_the_command_wrote(demo_server: ServerProcess, tmp_path: Path) -> None:
    for model in ("fill_mask", "minilm"):
        written = trivet(
            "stub", model, "--url", demo_server.address, "--output", f"{model}_client.py",
            cwd=tmp_path,
        )  # fmt: skip
        assert (written.status, written.out, written.err) == (0, "", "")
    command = [sys.executable, "-c", PROGRAM, demo_server.address]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "door (1, 1, 3) 1\n(1, 384)\n"


def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    ended = trivet("stub", "embed", "--url", "127.0.0.1:1", cwd=tmp_path)
    assert (ended.status, ended.out) == (1, "")
    (line,) = ended.errors
    assert "no server answers at 127.0.0.1:1" in line


ALIASED = """
import sys

import numpy as np

from echo_client import VERSION, Echo
from trivet_client import Client

with Client(sys.argv[1]) as client:
    told = [Echo(client, version=version) for version in (VERSION, None, 2)]
    print([echo.infer(np.ones((1, 1), np.float32)).answer.version for echo in told])
"""


def test_a_stub_keeps_to_an_alias(tmp_path: Path) -> None:
    alias = 'parameters { key: "version_alias.stable" value { string_value: "1" } }'
    config = fake_config(more=f"version_policy {{ all {{}} }} {alias}")
    add_model(tmp_path / "models", "echo", config, versions=(1, 2))
    with serving(tmp_path / "models", log=tmp_path / "stderr.log") as server:
        flags = ("--version", "stable", "--output", "echo_client.py")
        written = trivet("stub", "echo", "--url", server.address, *flags, cwd=tmp_path)
        assert (written.status, written.err) == (0, "")
        command = [sys.executable, "-c", ALIASED, server.address]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        values = ("--input", "IN=[[1]]", "--version", "stable", "--output-json")
        asked = trivet("infer", "echo", "--url", server.address, *values)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "[1, 2, 2]\n"
    assert (asked.status, json.loads(asked.out)["version"]) == (0, 1)
