"""Whose pages may call: origins as operators write them, as browsers send them, and answers."""

from __future__ import annotations

import pytest

from trivet.transport.h2corn import cors

ASKED = {
    b"origin": b"https://a.test",
    b"access-control-request-method": b"POST",
    b"access-control-request-headers": b"authorization,content-type,x-grpc-web",
}


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://a.test", "https://a.test"),
        ("HTTPS://A.Test:443", "https://a.test"),
        ("http://a.test:80", "http://a.test"),
        ("http://a.test:0443", "http://a.test:443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("*", "*"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(written: str, origin: str) -> None:
    assert cors.origin_of(written) == origin


@pytest.mark.parametrize(
    "written",
    [
        "",
        "null",
        "a.test",
        "a.test:8080",
        "https://",
        "https://a.test/",
        "https://a.test/page",
        "https://user@a.test",
        "https://*.a.test",
        "https://a.test, https://b.test",
        "https://a.test:port",
        "https://ä.test",
        "https://a.test\r\nx: y",
    ],
)
def test_what_no_browser_sends_is_no_origin(written: str) -> None:
    with pytest.raises(ValueError, match="no origin; give scheme://host"):
        cors.origin_of(written)


@pytest.mark.parametrize(
    ("origin", "origins", "allowed"),
    [
        (None, (), True),  # no browser
        (b"https://a.test", (), False),
        (b"https://a.test", ("https://a.test",), True),
        (b"https://a.test", ("https://b.test", "https://a.test"), True),
        (b"http://a.test", ("https://a.test",), False),
        (b"https://a.test:8443", ("https://a.test",), False),
        (b"https://a.test.evil", ("https://a.test",), False),
        (b"https://sub.a.test", ("https://a.test",), False),
        (b"https://A.test", ("https://a.test",), False),
        (b"", ("https://a.test",), False),
        (b"null", ("https://a.test",), False),
        (b"null", ("*",), True),
        (b"https://anybody.test", ("*",), True),
        (b"\xff", ("https://a.test",), False),
    ],
)
def test_an_origin_is_allowed_if_it_is_named_exactly(
    origin: bytes | None, origins: tuple[str, ...], allowed: bool
) -> None:
    assert cors.is_allowed(origin, origins) is allowed


@pytest.mark.parametrize(
    ("method", "without", "is_one"),
    [
        ("OPTIONS", b"", True),
        ("POST", b"", False),
        ("OPTIONS", b"origin", False),
        ("OPTIONS", b"access-control-request-method", False),
        ("OPTIONS", b"access-control-request-headers", True),
    ],
)
def test_a_preflight_is_known_by_its_headers(method: str, without: bytes, is_one: bool) -> None:
    headers = {name: value for name, value in ASKED.items() if name != without}
    assert cors.is_preflight(method, headers) is is_one


def test_a_preflight_is_allowed_its_headers_and_post_alone() -> None:
    assert dict(cors.permission(ASKED)) == {
        b"access-control-allow-origin": b"https://a.test",
        b"vary": b"origin",
        b"access-control-allow-methods": b"POST",
        b"access-control-max-age": b"7200",
        b"access-control-allow-headers": b"authorization,content-type,x-grpc-web",
    }


@pytest.mark.parametrize("wanted", [b"", b"a b", b"a,,b", b"a\r\nset-cookie: x", b"a: b"])
def test_what_is_no_list_of_names_is_not_repeated(wanted: bytes) -> None:
    told = dict(cors.permission({**ASKED, b"access-control-request-headers": wanted}))
    assert b"access-control-allow-headers" not in told


def test_a_page_may_read_what_is_told_in_headers() -> None:
    told = dict(cors.readable(b"https://a.test", [(b"grpc-status", b"5"), (b"hint", b"x")]))
    assert told[b"access-control-allow-origin"] == b"https://a.test"
    assert told[b"vary"] == b"origin"
    names = told[b"access-control-expose-headers"].split(b", ")
    assert names == [
        *(b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"grpc-encoding", b"hint")
    ]
    assert b"access-control-allow-credentials" not in told
    assert cors.readable(None) == []
