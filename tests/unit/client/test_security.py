"""What a client is told about TLS and tokens, before anything is sent."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import grpc
import pytest

from trivet_client import Client, Tls
from trivet_client.connection import connection
from trivet_client.errors import InvalidArgument
from trivet_client.security import Login, add_login_arguments, bearer, login


def parsed(*line: str) -> Login:
    parser = argparse.ArgumentParser()
    add_login_arguments(parser)
    return login(parser.parse_args(line))


def test_a_token_is_a_header_of_every_call() -> None:
    made = connection("a:1", 1.0, {"x": "y"}, -1, None, None, "secret")
    assert made.metadata == (("x", "y"), ("authorization", "Bearer secret"))


@pytest.mark.parametrize("token", ["", "two words", "new\nline", "tökèn"])
def test_what_no_header_can_carry_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        bearer(token)
    assert not token or token not in refused.value.message


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="needs its key"):
        Client(tls=Tls(certificate=tmp_path / "cert.pem"))
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        Client(tls=Tls(root=tmp_path / "root.pem"))
    with pytest.raises(InvalidArgument, match="one of the two"):
        Client(tls=Tls(), credentials=grpc.ssl_channel_credentials())


def test_flags_say_how_to_encrypt_and_what_to_show(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert parsed() == Login()
    assert parsed("--tls") == Login(tls=Tls())
    assert parsed("--root-cert=r", "--client-cert", "c", "--client-key=k") == Login(
        tls=Tls(root=Path("r"), certificate=Path("c"), key=Path("k"))
    )
    told = parsed("--token-from", str(tmp_path / "token"))
    assert (told.tls, told.token) == (None, "secret")
    assert "secret" not in repr(told)
    assert pickle.loads(pickle.dumps(told)) == told
    with pytest.raises(InvalidArgument, match="cannot be read"):
        parsed("--token-from=/nowhere")
