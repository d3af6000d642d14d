"""The SDK's exporters, by protocol. What is not said here they read of their own variables:
headers, certificates, compression, timeouts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from trivet.telemetry.otel.settings import SERVICE, Protocol, Target

if TYPE_CHECKING:
    from requests import Session

# OTEL_PYTHON_EXPORTER_OTLP_[HTTP_[TRACES_ or METRICS_]]CREDENTIAL_PROVIDER
_PROVIDER = "_CREDENTIAL_PROVIDER"

SCOPE = InstrumentationScope("trivet", version("trivet"))


def span_exporter(target: Target) -> SpanExporter:
    if target.protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=target.endpoint)
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    return trace_exporter.OTLPSpanExporter(endpoint=target.endpoint, session=_session())


def metric_exporter(target: Target) -> MetricExporter:
    if target.protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter(endpoint=target.endpoint)
    from opentelemetry.exporter.otlp.proto.http import metric_exporter as http

    return http.OTLPMetricExporter(endpoint=target.endpoint, session=_session())


def _session() -> Session | None:
    """What HTTP is spoken by; None: as a provider of credentials, named by a variable, makes it."""
    from trivet.telemetry.otel.session import CertifiedSession

    provided = any(name.endswith(_PROVIDER) for name in os.environ)
    return None if provided else CertifiedSession()


def resource_of(given: Mapping[str, str]) -> Resource:
    """What is said of this server: as given, else as the variables have it, else our own words."""
    ours = Resource({SERVICE_NAME: SERVICE, SERVICE_VERSION: version("trivet")})
    said = Resource.create()  # reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(said.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        said = said.merge(Resource({SERVICE_NAME: SERVICE}))
    return ours.merge(said).merge(Resource(dict(given)))
