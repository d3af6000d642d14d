"""The flags of gRPC-Web together."""

from __future__ import annotations

import argparse

import pytest

from trivet.cli import serve
from trivet.cli.flags.options import grpc_options
from trivet.errors import InvalidConfig
from trivet.transport.options import Web

ON = ("--transport=h2corn", "--allow-grpc-web=true")


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    serve.add_arguments(parser)
    return parser.parse_args(("--model-repository=m", *line))


@pytest.mark.parametrize(
    ("line", "web"),
    [
        ((), None),
        (("--transport=h2corn",), None),
        (ON, Web()),
        (
            (*ON, "--grpc-web-allow-origin=https://A.test:443", "--grpc-web-allow-origin", "*"),
            Web(origins=frozenset({"https://a.test", "*"})),
        ),
    ],
)
def test_it_is_off_until_it_is_asked_for_and_no_page_may_call_until_named(
    line: tuple[str, ...], web: Web | None
) -> None:
    assert grpc_options(parsed(*line)).web == web


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            ("--allow-grpc-web=true",),
            "--allow-grpc-web: the transport grpcio cannot do that; serve with --transport h2corn,"
            " or leave it out",
        ),
        (
            ("--transport=h2corn", "--grpc-web-allow-origin=https://a.test"),
            "--grpc-web-allow-origin: has no effect without gRPC-Web; add --allow-grpc-web=true,"
            " or leave it out",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused_with_its_cure(
    line: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        grpc_options(parsed(*line))
    assert refused.value.message == told


def test_an_origin_that_no_browser_sends_is_refused() -> None:
    with pytest.raises(argparse.ArgumentError, match="is no origin; give scheme"):
        parsed("--grpc-web-allow-origin=https://a.test/page")
