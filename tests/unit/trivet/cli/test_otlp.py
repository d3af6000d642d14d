"""What the flags of traces and OpenTelemetry mean together."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import pytest

from trivet.cli.flags.otlp import telemetry
from trivet.cli.serve import add_arguments
from trivet.errors import InvalidConfig, InvalidInput
from trivet.telemetry.otel.settings import OtlpConfig
from trivet.telemetry.trace_settings import TENSORS, TIMESTAMPS, TraceMode, TraceSettings

URL = "http://collector:4318"
ENDPOINT = f"--otlp-endpoint={URL}"
NAMED = "--trace-config=mode=opentelemetry"


def meant(
    *flags: str, environment: Mapping[str, str] | None = None
) -> tuple[TraceSettings, OtlpConfig | None]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return telemetry(parser.parse_args(["--model-repository=m", *flags]), environment or {})


def test_nothing_is_traced_and_nothing_is_sent_unless_somebody_says_so() -> None:
    trace, otlp = meant()
    assert (trace.mode, trace.are_on, otlp) == (TraceMode.TRITON, False, None)


@pytest.mark.parametrize(
    ("flags", "variables"),
    [((ENDPOINT,), {}), ((), {"OTEL_EXPORTER_OTLP_ENDPOINT": URL})],
)
def test_who_names_a_collector_has_every_thousandth_request_traced(
    flags: tuple[str, ...], variables: Mapping[str, str]
) -> None:
    trace, otlp = meant(*flags, environment=variables)
    assert trace.mode is TraceMode.OPENTELEMETRY
    assert (trace.levels, trace.rate, trace.parent_based) == ((TIMESTAMPS,), 1000, True)
    assert trace.slow_ns == 1_000_000_000
    assert otlp and otlp.traces and otlp.metrics
    assert otlp.traces.endpoint == f"{URL}/v1/traces"


def test_who_names_the_mode_names_the_level_as_in_triton() -> None:
    trace, otlp = meant(NAMED)
    assert (trace.mode, trace.are_on) == (TraceMode.OPENTELEMETRY, False)
    assert otlp and otlp.traces and otlp.metrics is None
    assert otlp.traces.endpoint == "http://localhost:4318/v1/traces"
    trace, _ = meant(NAMED, "--trace-config=level=TIMESTAMPS", "--trace-config=rate=0")
    assert trace.are_on, "a rate of 0 leaves those whose callers trace"


@pytest.mark.parametrize("more", [(), ("--trace-config=mode=triton",)])
def test_a_file_of_traces_takes_them_all_and_metrics_are_sent(more: tuple[str, ...]) -> None:
    file = ("--trace-config=triton,file=x", "--trace-config=level=TENSORS")
    trace, otlp = meant(ENDPOINT, *file, *more)
    assert (trace.mode, trace.levels, trace.rate) == (TraceMode.TRITON, (TENSORS,), 1000)
    assert otlp and otlp.traces is None and otlp.metrics


def test_a_rate_of_the_command_line_wins_over_the_environments() -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "always_on"}
    assert meant(ENDPOINT, environment=sampler)[0].rate == 1
    assert meant(ENDPOINT, "--trace-config=rate=7", environment=sampler)[0].rate == 7


def test_tritons_settings_of_the_sender_are_taken() -> None:
    of_mode = "--trace-config=opentelemetry,"
    settings = ("url=c:1/x", "resource=a=b=c", "resource=d=e", "bsp_max_queue_size=10")
    _, otlp = meant(NAMED, *(of_mode + each for each in settings), of_mode + "bsp_schedule_delay=3")
    assert otlp and otlp.traces
    assert otlp.traces.endpoint == "http://c:1/x"
    assert otlp.resource == {"a": "b=c", "d": "e"}
    assert (otlp.max_queue, otlp.max_batch, otlp.delay_ms) == (10, 10, 3)


@pytest.mark.parametrize(
    "text",
    [
        "url=http://c", "opentelemetry,file=x", "triton,url=http://c", "jaeger,url=http://c",
        "opentelemetry,url=", "opentelemetry,resource=team", "opentelemetry,resource==x",
        "opentelemetry,bsp_max_queue_size=0", "opentelemetry,bsp_schedule_delay=1.5",
        "mode=jaeger", "rate=often", "level=ALL", "nothing",
    ],
)  # fmt: skip
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentError):
        meant(f"--trace-config={text}")


def test_spans_have_no_tensors_and_a_collector_is_a_url() -> None:
    with pytest.raises(InvalidInput, match="spans carry no tensors"):
        meant(ENDPOINT, "--trace-config=level=TENSORS")
    with pytest.raises(InvalidConfig, match="--otlp-endpoint"):
        meant("--otlp-endpoint=collector")
