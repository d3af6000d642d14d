"""Requests that browsers are made to send by pages of others."""

from __future__ import annotations

import pytest

from trivet.errors import InvalidInput, PermissionDenied
from trivet.status.guard import check_asking, check_host
from trivet.status.options import PageOptions
from trivet.status.router import Scope

HERE = "127.0.0.1:8002"


def scope(*headers: tuple[str, str]) -> Scope:
    return {"headers": [(name.encode(), value.encode()) for name, value in headers]}


def asked(kind: str = "application/json", host: str = HERE, **more: str) -> Scope:
    named = [(name.replace("_", "-"), value) for name, value in more.items()]
    return scope(("host", host), ("content-type", kind), *named)


@pytest.mark.parametrize(
    "host",
    [
        HERE,
        "localhost",
        "LOCALHOST:9",
        "[::1]:8002",
        "127.8.9.1",
        "trivet.localhost:80",
        "known.example",
    ],
)
def test_names_of_this_machine_and_those_that_were_given_are_taken(host: str) -> None:
    check_host(scope(("host", host)), PageOptions(hosts=frozenset({"known.example"})))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8002",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost@evil",
        "evil.example/localhost",
        "localhost.evil.example",
        "[::1",
        "0x7f000001.evil",
    ],
)
def test_any_other_name_may_be_a_strangers(host: str) -> None:
    with pytest.raises(PermissionDenied, match="--page-host"):
        check_host(scope(("host", host)), PageOptions())
    check_host(scope(("host", host)), PageOptions(any_host=True))


def test_two_names_at_once_are_none() -> None:
    with pytest.raises(PermissionDenied):
        check_host(scope(("host", "localhost"), ("host", "evil.example")), PageOptions())
    with pytest.raises(PermissionDenied):
        check_host(scope(), PageOptions())


def test_our_own_page_and_programs_may_ask() -> None:
    check_asking(asked())
    check_asking(asked(kind="application/json; charset=utf-8"))
    check_asking(asked(origin=f"http://{HERE}", sec_fetch_site="same-origin"))
    check_asking(asked(host="Trivet.example", origin="https://trivet.example"))
    check_asking(asked(sec_fetch_site="none"))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": f"http://{HERE}"},
    ],
)
def test_pages_of_others_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied, match="another site"):
        check_asking(asked(**headers))


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_what_a_form_can_send_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput, match="send application/json"):
        check_asking(asked(kind=kind))
