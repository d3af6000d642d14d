"""Flags of what is sent to a collector of OpenTelemetry, and what they mean together."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.tracing import trace_settings
from trivet.cli.flags.values import without_login

if TYPE_CHECKING:
    from trivet.telemetry.otel.settings import OtlpConfig
    from trivet.telemetry.trace_settings import TraceSettings

_PROTOCOLS = ("grpc", "http/protobuf")


def protocol(text: str) -> str:
    """One that the SDK speaks."""
    if text not in _PROTOCOLS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no protocol of OTLP here; give {' or '.join(_PROTOCOLS)}"
        )
    return text


FLAGS = (
    Flag(
        name="otlp-endpoint",
        metavar="URL",
        default="",
        redacted=without_login,
        help="send traces and metrics to this collector, http://HOST:4318 or, with"
        " --otlp-protocol=grpc, http://HOST:4317; without it, what OTEL_EXPORTER_OTLP_ENDPOINT"
        " says, or nothing is sent. OpenTelemetry's other variables (headers, certificates,"
        " sampler, service name) hold, too. Needs pip install 'trivet[otel]'",
    ),
    Flag(
        name="otlp-protocol",
        metavar="|".join(_PROTOCOLS),
        parse=protocol,
        help="how OTLP travels; without it, what OTEL_EXPORTER_OTLP_PROTOCOL says, or"
        " http/protobuf",
    ),
)


def telemetry(
    args: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[TraceSettings, OtlpConfig | None]:
    """What is traced, and what is sent where; None: nothing is sent.

    Raises InvalidConfig for what cannot be sent, InvalidInput for what cannot be traced.
    """
    from dataclasses import replace

    from trivet.telemetry.otel.settings import OtlpFlags, otlp_config
    from trivet.telemetry.trace_settings import TraceMode

    said = args.trace_config or ()
    of = dict(said)
    flags = OtlpFlags(
        endpoint=args.otlp_endpoint,
        protocol=args.otlp_protocol or "",
        spans=of.get("mode") == TraceMode.OPENTELEMETRY,
        url=of.get("url", ""),
        resource=dict(_pair(value) for name, value in said if name == "resource"),
        max_queue=_number(of.get("bsp_max_queue_size")),
        max_batch=_number(of.get("bsp_max_export_batch_size")),
        delay_ms=_number(of.get("bsp_schedule_delay")),
    )
    otlp = otlp_config(flags, environment)
    trace = trace_settings(
        said,
        collector=otlp.traces is not None,
        slow_ms=args.trace_slow_ms,
        environment=environment,
    )
    if trace.mode is not TraceMode.OPENTELEMETRY:
        otlp = replace(otlp, traces=None)
    return trace, otlp if otlp.traces or otlp.metrics else None


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
