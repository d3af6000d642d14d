"""How a client shows who it is, and whom it trusts: TLS and a bearer token."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from trivet_client.errors import invalid

_TOKEN = re.compile(r"[!-~]+")  # what a header can carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Encrypt, and check who answers. All files are in PEM.

    root: certificates that the server's must descend from; None: those the system trusts.
    certificate, key: the client's own, for a server that asks for one (mutual TLS).
    server_name: expected in the server's certificate; None: the address. A server on a Unix socket
    has no other name.
    """

    root: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises InvalidArgument for files that cannot be read."""
        if (self.certificate is None) is not (self.key is None):
            raise invalid("a client's certificate needs its key, and a key its certificate")
        return grpc.ssl_channel_credentials(
            _content(self.root), _content(self.key), _content(self.certificate)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a command was told about the way to its server. Can be sent to another process."""

    tls: Tls | None = None
    token: str | None = field(default=None, repr=False)


def bearer(token: str) -> tuple[str, str]:
    """The header that shows a token. Raises InvalidArgument for what no header can carry."""
    if not _TOKEN.fullmatch(token):
        raise invalid("the token has characters that no header can carry; it is one word of ASCII")
    return "authorization", f"Bearer {token}"


def add_login_arguments(parser: argparse._ActionsContainer) -> None:
    """The flags of every command that asks a server."""
    parser.add_argument(
        "--tls", action="store_true", help="encrypt, and check the server by the system's roots"
    )
    parser.add_argument(
        "--root-cert",
        metavar="FILE",
        type=Path,
        help="encrypt, and check the server by these roots (PEM) instead",
    )
    parser.add_argument(
        "--client-cert", metavar="FILE", type=Path, help="own certificate (PEM), for mutual TLS"
    )
    parser.add_argument(
        "--client-key", metavar="FILE", type=Path, help="the own certificate's key (PEM)"
    )
    parser.add_argument(
        "--token-from",
        metavar="FILE",
        type=Path,
        help="file with the token to show; not given on the command line, where others can see it",
    )


def login(args: argparse.Namespace) -> Login:
    """Raises InvalidArgument for a token file that cannot be read."""
    secured = args.tls or args.root_cert or args.client_cert or args.client_key
    tls = Tls(root=args.root_cert, certificate=args.client_cert, key=args.client_key)
    content = _content(args.token_from)
    return Login(
        tls=tls if secured else None,
        token=None if content is None else content.decode("utf-8", "replace").strip(),
    )


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise invalid(f"{path} cannot be read: {error.strerror}") from error
