"""Flags of TLS."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean
from trivet.errors import Fault, InvalidConfig
from trivet.transport.options import Tls

log = logging.getLogger(__name__)

FLAGS = (
    Flag(
        name="grpc-use-ssl",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="encrypt with TLS; needs --grpc-server-cert and --grpc-server-key (default: false)",
    ),
    Flag(
        name="grpc-use-ssl-mutual",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="encrypt, and take only clients with a certificate that descends from"
        " --grpc-root-cert (default: false)",
    ),
    Flag(
        name="grpc-server-cert",
        metavar="FILE",
        parse=Path,
        help="the server's certificate in PEM, and those between it and its root. When a file of"
        " these changes, new connections get the new one; a broken one is logged and not used",
    ),
    Flag(
        name="grpc-server-key",
        metavar="FILE",
        parse=Path,
        help="its private key in PEM, not encrypted",
    ),
    Flag(
        name="grpc-root-cert",
        metavar="FILE",
        parse=Path,
        help="certificates in PEM that clients' certificates must descend from",
    ),
)


def tls(args: argparse.Namespace) -> Tls | None:
    """None: not encrypted, and files that are given all the same are told of.

    Raises InvalidConfig naming every file that is missing.
    """
    mutual = args.grpc_use_ssl_mutual
    files = {
        "--grpc-server-cert": args.grpc_server_cert,
        "--grpc-server-key": args.grpc_server_key,
        "--grpc-root-cert": args.grpc_root_cert,
    }
    if not (args.grpc_use_ssl or mutual):
        for flag in (flag for flag, path in files.items() if path is not None):
            instead = "nothing is encrypted without --grpc-use-ssl=true"
            log.warning("flag_without_effect", extra={"flag": flag, "instead": instead})
        return None
    optional = () if mutual else ("--grpc-root-cert",)
    missing = [flag for flag, path in files.items() if path is None and flag not in optional]
    if missing:
        switch = "--grpc-use-ssl-mutual" if mutual else "--grpc-use-ssl"
        raise InvalidConfig(
            [Fault(flag, f"{switch} needs it", f"give {flag}=FILE") for flag in missing]
        )
    return Tls(
        certificate=args.grpc_server_cert,
        key=args.grpc_server_key,
        root=args.grpc_root_cert,
        clients_must_show=mutual,
    )
