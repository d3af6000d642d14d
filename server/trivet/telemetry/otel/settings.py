"""What is sent to which collector: flags first, then OpenTelemetry's variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from urllib.parse import urlsplit

from trivet.errors import Fault, InvalidConfig
from trivet.telemetry.otel.ledger import METRICS, TRACES

SERVICE = "trivet"  # service.name where nobody gives another
_PREFIX = "OTEL_EXPORTER_OTLP_"
_CURE = "write http://HOST:PORT or https://HOST:PORT"


class Protocol(StrEnum):
    """How OTLP travels; the values are OpenTelemetry's."""

    GRPC = "grpc"
    HTTP = "http/protobuf"


# Where traces go that were asked for without a place, as in Triton and as the SDK has it.
_LOCAL = {Protocol.GRPC: "http://localhost:4317", Protocol.HTTP: "http://localhost:4318"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the data of one kind go. endpoint: a whole URL."""

    endpoint: str
    protocol: Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpConfig:
    """What is sent; None: not that. resource: what is said of this server with all of it.

    max_queue, max_batch: spans that wait, and that leave together; delay_ms: after which they
    leave in any case. interval_ms: from metrics to metrics.
    """

    traces: Target | None = None
    metrics: Target | None = None
    resource: Mapping[str, str] = field(default_factory=dict)
    max_queue: int = 2048
    max_batch: int = 512
    delay_ms: int = 5000
    interval_ms: int = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpFlags:
    """What flags say; empty or None: nothing. spans and those below: of --trace-config.

    spans: they are asked for by name, so the only question is where they go.
    """

    endpoint: str = ""
    protocol: str = ""
    spans: bool = False
    url: str = ""
    resource: Mapping[str, str] = field(default_factory=dict)
    max_queue: int | None = None
    max_batch: int | None = None
    delay_ms: int | None = None


def otlp_config(flags: OtlpFlags, environment: Mapping[str, str]) -> OtlpConfig:
    """What both say together. Raises InvalidConfig for what cannot be sent to or by.

    A kind of data is sent if somebody says where: the flag --otlp-endpoint, --trace-config (traces
    only), OTEL_EXPORTER_OTLP_ENDPOINT, or the variable of that kind; and OTEL_TRACES_EXPORTER,
    OTEL_METRICS_EXPORTER and OTEL_SDK_DISABLED do not say that it is not.
    """
    number = partial(_number, environment=environment)
    max_queue = flags.max_queue or number("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    max_batch = flags.max_batch or number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
    return OtlpConfig(
        traces=_target(TRACES, flags, environment),
        metrics=_target(METRICS, flags, environment),
        resource=dict(flags.resource),
        max_queue=max_queue,
        max_batch=min(max_batch, max_queue),
        delay_ms=flags.delay_ms or number("OTEL_BSP_SCHEDULE_DELAY", 5000),
        interval_ms=number("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
    )


def sampling_of(environment: Mapping[str, str]) -> tuple[int, bool]:
    """The rate, every so-manieth, and whether a caller's trace decides for its requests.

    Of OTEL_TRACES_SAMPLER and its argument; a ratio becomes the nearest rate. Without them it is
    every 1000th, and callers decide. Raises InvalidConfig for a sampler that is unknown.
    """
    name = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return 1000, True
    by_parent = name.startswith("parentbased_")
    match name.removeprefix("parentbased_"):
        case "always_on":
            return 1, by_parent
        case "always_off":
            return 0, by_parent
        case "traceidratio":
            ratio = _ratio(environment.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or "1")
            return (round(1 / ratio) if ratio else 0), by_parent
    what = f"'{name}' is unknown"
    cure = "set always_on, always_off or traceidratio, with parentbased_ before it or without"
    raise InvalidConfig([Fault("environment: OTEL_TRACES_SAMPLER", what, cure)])


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        what, cure = f"'{text}' is no ratio", "write a number from 0 to 1"
        raise InvalidConfig([Fault("environment: OTEL_TRACES_SAMPLER_ARG", what, cure)])
    return max(ratio, 1e-9) if ratio else 0.0


def _target(kind: str, flags: OtlpFlags, environment: Mapping[str, str]) -> Target | None:
    protocol = _protocol(kind, flags, environment)
    asked_for = kind == TRACES and flags.spans
    if kind == TRACES and flags.url:
        where = "--trace-config opentelemetry,url"
        # As Triton's, which may lack the scheme and is the whole URL of HTTP.
        url = flags.url if "://" in flags.url else f"http://{flags.url}"
        return Target(_checked(url, where), protocol)
    if not asked_for and _is_off(kind, environment):
        return None
    if flags.endpoint:
        url = _checked(flags.endpoint, "--otlp-endpoint")
        return Target(_of_kind(url, kind, protocol), protocol)
    own, common = f"{_PREFIX}{kind.upper()}_ENDPOINT", f"{_PREFIX}ENDPOINT"
    if url := environment.get(own, "").strip():
        return Target(_checked(url, f"environment: {own}"), protocol)
    if url := environment.get(common, "").strip():
        return Target(_of_kind(_checked(url, f"environment: {common}"), kind, protocol), protocol)
    return Target(_of_kind(_LOCAL[protocol], kind, protocol), protocol) if asked_for else None


def _is_off(kind: str, environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    wanted = environment.get(f"OTEL_{kind.upper()}_EXPORTER", "").strip() or "otlp"
    return disabled or "otlp" not in wanted.split(",")


def _protocol(kind: str, flags: OtlpFlags, environment: Mapping[str, str]) -> Protocol:
    if kind == TRACES and flags.url and not flags.protocol:
        return Protocol.HTTP  # what Triton speaks
    places = {
        "--otlp-protocol": flags.protocol,
        **{
            f"environment: {name}": environment.get(name, "").strip()
            for name in (f"{_PREFIX}{kind.upper()}_PROTOCOL", f"{_PREFIX}PROTOCOL")
        },
    }
    for where, text in places.items():
        if text:
            try:
                return Protocol(text)
            except ValueError:
                what, cure = f"'{text}' is not offered", f"set {' or '.join(Protocol)}"
                raise InvalidConfig([Fault(where, what, cure)]) from None
    return Protocol.HTTP


def _checked(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port  # raises ValueError for one that is none
    except ValueError:
        is_whole = False
    if not is_whole:
        raise InvalidConfig([Fault(where, f"'{url}' is no URL of a collector", _CURE)])
    return url


def _of_kind(url: str, kind: str, protocol: Protocol) -> str:
    """A collector's URL with the path of what is sent, where the protocol has paths."""
    return f"{url.rstrip('/')}/v1/{kind}" if protocol is Protocol.HTTP else url


def _number(name: str, default: int, *, environment: Mapping[str, str]) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdecimal() and int(text)):
        what, cure = f"'{text}' is no positive whole number", f"set such as {default}"
        raise InvalidConfig([Fault(f"environment: {name}", what, cure)])
    return int(text)
