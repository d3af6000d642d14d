"""Whom the exporter over HTTP trusts: OpenTelemetry's variable comes before those of `requests`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.harness.collector import Collector, collecting
from tests.harness.in_process import serving_here
from tests.integration.otlp.asking import EVERY, UNARY, infer, named, to

OTEL, REQUESTS = "OTEL_EXPORTER_OTLP_CERTIFICATE", "REQUESTS_CA_BUNDLE"


@pytest.fixture
def right(tmp_path: Path) -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secured(right: trustme.CA) -> Iterator[Collector]:
    """A collector whose certificate `right` has signed."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    right.issue_cert("127.0.0.1").configure_cert(tls)
    with collecting(tls=tls) as made:
        yield made


@pytest.mark.parametrize(
    ("variables", "is_trusted"),
    [
        ({OTEL: "right", REQUESTS: "wrong"}, True),
        ({OTEL: "wrong", REQUESTS: "right"}, False),
        ({REQUESTS: "right"}, True),
        ({}, False),
    ],
)
async def test_the_variable_of_opentelemetry_says_who_is_trusted(
    variables: dict[str, str],
    is_trusted: bool,
    right: trustme.CA,
    secured: Collector,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (REQUESTS, "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, authority in variables.items():
        path = tmp_path / f"{authority}.pem"
        (right if authority == "right" else trustme.CA()).cert_pem.write_to_path(str(path))
        monkeypatch.setenv(name, str(path))
    async with serving_here(repository, *to(secured), EVERY) as here:
        await infer(here, "echo")
    assert len(named(secured.spans, UNARY)) == is_trusted
    assert bool(secured.metrics) == is_trusted


async def test_a_provider_of_credentials_makes_the_session_as_the_sdk_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trivet.telemetry.otel import exporters
    from trivet.telemetry.otel.settings import Protocol, Target

    name = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER"
    monkeypatch.setenv(name, "nobody")
    with pytest.raises(RuntimeError, match="nobody"):
        exporters.span_exporter(Target("http://127.0.0.1:1", Protocol.HTTP))
