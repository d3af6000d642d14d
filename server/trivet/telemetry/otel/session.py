"""The HTTP session of the SDK's exporters. Whoever imports this has `requests`, as they do."""

from __future__ import annotations

from typing import Any

from requests import Session


class CertifiedSession(Session):
    """One that trusts whom OTEL_EXPORTER_OTLP_CERTIFICATE says, whatever else the environment has.

    The exporter keeps that file as `verify` of its session, which `requests` asks only after
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE. Without the variable of OpenTelemetry those hold.
    """

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        own = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)
