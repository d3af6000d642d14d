"""What is sent where: flags first, then OpenTelemetry's variables."""

from __future__ import annotations

import pytest

from trivet.errors import InvalidConfig
from trivet.telemetry.otel.settings import (
    OtlpConfig,
    OtlpFlags,
    Protocol,
    Target,
    otlp_config,
    sampling_of,
)

URL, OTHER = "http://collector:4318", "https://other:4317"
COMMON, OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def http(kind: str, url: str = URL) -> Target:
    return Target(f"{url}/v1/{kind}", Protocol.HTTP)


BOTH = OtlpConfig(traces=http("traces"), metrics=http("metrics"))


@pytest.mark.parametrize(
    ("flags", "environment", "config"),
    [
        ({}, {}, OtlpConfig()),
        ({"endpoint": URL}, {}, BOTH),
        ({"endpoint": f"{URL}/"}, {}, BOTH),
        ({}, {COMMON: URL}, BOTH),
        ({"endpoint": URL}, {COMMON: OTHER}, BOTH),
        ({"endpoint": URL}, {"OTEL_SDK_DISABLED": "true"}, OtlpConfig()),
        ({"endpoint": URL}, {"OTEL_METRICS_EXPORTER": "none"}, OtlpConfig(traces=http("traces"))),
        (
            {"endpoint": URL, "spans": True},
            {"OTEL_SDK_DISABLED": "true"},
            OtlpConfig(traces=http("traces")),
        ),
        ({"spans": True}, {}, OtlpConfig(traces=http("traces", "http://localhost:4318"))),
        (
            {"spans": True, "protocol": "grpc"},
            {},
            OtlpConfig(traces=Target("http://localhost:4317", Protocol.GRPC)),
        ),
        ({}, {COMMON: URL, "OTEL_SDK_DISABLED": "true"}, OtlpConfig()),
        ({}, {COMMON: URL, "OTEL_TRACES_EXPORTER": "none"}, OtlpConfig(metrics=http("metrics"))),
        ({}, {COMMON: URL, "OTEL_METRICS_EXPORTER": "console,otlp"}, BOTH),
        (
            {},
            {OF_TRACES: f"{OTHER}/own/path"},
            OtlpConfig(traces=Target(f"{OTHER}/own/path", Protocol.HTTP)),
        ),
        (
            {},
            {COMMON: URL, OF_TRACES: OTHER},
            OtlpConfig(traces=Target(OTHER, Protocol.HTTP), metrics=http("metrics")),
        ),
        (
            {"endpoint": OTHER, "protocol": "grpc"},
            {},
            OtlpConfig(traces=Target(OTHER, Protocol.GRPC), metrics=Target(OTHER, Protocol.GRPC)),
        ),
        (
            {"endpoint": URL},
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            OtlpConfig(traces=Target(URL, Protocol.GRPC), metrics=http("metrics")),
        ),
        (
            {"url": "collector:4318/v1/traces"},
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            OtlpConfig(traces=http("traces")),
        ),
        (
            {"endpoint": URL, "max_queue": 100, "delay_ms": 7},
            {"OTEL_BSP_MAX_QUEUE_SIZE": "9", "OTEL_METRIC_EXPORT_INTERVAL": "1000"},
            OtlpConfig(
                traces=http("traces"),
                metrics=http("metrics"),
                max_queue=100,
                max_batch=100,
                delay_ms=7,
                interval_ms=1000,
            ),
        ),
    ],
)
def test_who_says_where(
    flags: dict[str, object], environment: dict[str, str], config: OtlpConfig
) -> None:
    assert otlp_config(OtlpFlags(**flags), environment) == config  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "environment", "told"),
    [
        ({"endpoint": "collector:4318"}, {}, "--otlp-endpoint: 'collector:4318' is no URL"),
        ({"endpoint": "http://:4318"}, {}, "--otlp-endpoint"),
        ({"endpoint": "http://a:b"}, {}, "--otlp-endpoint"),
        ({"url": "ftp://x"}, {}, "--trace-config opentelemetry,url"),
        ({}, {COMMON: "nowhere"}, f"environment: {COMMON}: 'nowhere'"),
        (
            {},
            {COMMON: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            "'http/json' is not offered",
        ),
        ({}, {COMMON: URL, "OTEL_METRIC_EXPORT_INTERVAL": "soon"}, "'soon' is no positive"),
        ({}, {COMMON: URL, "OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "'0' is no positive"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_named(
    flags: dict[str, object], environment: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        otlp_config(OtlpFlags(**flags), environment)  # type: ignore[arg-type]
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("sampler", "argument", "rate", "by_parent"),
    [
        ("", "", 1000, True),
        ("always_on", "", 1, False),
        ("always_off", "", 0, False),
        ("parentbased_always_on", "0.5", 1, True),
        ("PARENTBASED_ALWAYS_OFF", "", 0, True),
        ("traceidratio", "0.01", 100, False),
        ("parentbased_traceidratio", "0.3", 3, True),
        ("parentbased_traceidratio", "0", 0, True),
        ("parentbased_traceidratio", "", 1, True),
    ],
)
def test_samplers_are_rates(sampler: str, argument: str, rate: int, by_parent: bool) -> None:
    variables = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampling_of(variables) == (rate, by_parent)


@pytest.mark.parametrize(("sampler", "argument"), [("jaeger_remote", ""), ("traceidratio", "2")])
def test_a_sampler_that_is_unknown_is_refused(sampler: str, argument: str) -> None:
    with pytest.raises(InvalidConfig, match="OTEL_TRACES_SAMPLER"):
        sampling_of({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument})
