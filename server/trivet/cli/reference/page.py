"""The tables as a page: `python -m trivet.cli.reference.page > server/REFERENCE.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trivet.cli.reference.events import GROUPS
from trivet.cli.reference.failures import EXITS, FAILURES
from trivet.cli.reference.states import (
    ATTRIBUTES,
    LABELS,
    SERVER_STATES,
    SPANS,
    VERSION_STATES,
    WAYS,
)
from trivet.telemetry.metrics import METRICS, Metric

_HEAD = """\
# What a server says, and what to do

Written from the code by `python -m trivet.cli.reference.page > server/REFERENCE.md`; a test
compares them, and the tables with what the code raises, logs and counts.
[OPERATING.md](OPERATING.md) is the page to begin with, [FLAGS.md](FLAGS.md) has every flag.

What is wrong with a file, a flag or a request is told with place, fault and cure, in one line for
each: `embed/config.pbtxt: input[0].dims: ...`. The tables here are of the kinds of what is told.
"""

_STATES = """\
## States

Of a version, in RepositoryIndex, on the status page and in the metric `trivet_model_state`:
"""

_OF_THE_SERVER = """\
Of the server. Health is grpc.health.v1's of the empty name, the third column `/v2/health/ready` and
the metric `trivet_ready`; `/v2/health/live` says 200 in every state.
"""

_ERRORS = """\
## Errors

A status of gRPC with a text that names cause and cure. On ModelStreamInfer the text stands in
`error_message`, and the stream goes on. The page's playground answers the same in JSON.
The last column has the classes of `trivet.errors` and others that say so, for those who read code.
"""

_EXITS = "## Exit statuses\n\nOf every `trivet` command; a signal's is 128 and its number.\n"

_EVENTS = """\
## Log

A line is time, level, event, and `key=value`; with `--log-format=json` an object. A line that is
written for a traced request has its `trace_id` and `span_id`. Requests are not logged, but for
those whose model raised; what lasts is logged when it begins and when it ends.
"""

_METRICS = """\
## Metrics

On `/metrics`, and by OTLP under the same names. Those that begin with `nv_` are Triton's. The
labels `model` and `version` are those of models there are; one that is unloaded vanishes.
"""

_SPANS = """\
## Spans

Of OpenTelemetry, with `--trace-config=mode=opentelemetry`. Times add up: what is neither queue nor
batch is the front end's.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD,
            _STATES,
            _table(("state", "what it means", "what to do"), _version_states()),
            _OF_THE_SERVER,
            _table(("server", "health", "ready", "what it means"), _server_states()),
            _ERRORS,
            _table(("status", "when", "what to do", "class"), _failures()),
            _EXITS,
            _table(("status", "when"), ((f"{status}", when) for status, when in EXITS)),
            _EVENTS,
            *_events(),
            _METRICS,
            _table(("metric", "type", "unit", "labels", "what it is"), map(_metric, METRICS)),
            "Values of labels that come from a fixed table:\n",
            _table(("label", "values"), _labels()),
            _SPANS,
            _table(("span", "what it covers"), ((f"`{name}`", told) for name, told in SPANS)),
            _table(("attribute", "value"), ((f"`{name}`", told) for name, told in ATTRIBUTES)),
        )
    )


def unit_of(metric: Metric) -> str:
    """What a value counts, by its name; empty where the help says it."""
    for words, unit in _UNITS:
        if f"{words}_" in f"{metric.name}_":
            return unit
    return ""


_UNITS = (
    ("_us", "µs"),
    ("_duration_per_model", "µs"),
    ("_seconds", "s"),
    ("_bytes", "bytes"),
    ("_power", "W"),
    ("_energy", "J"),
    ("_utilization", "0 to 1"),
    ("_tokens", "tokens"),
    ("_rows", "rows"),
)


def _version_states() -> Iterable[Sequence[str]]:
    return ((row.state.value, row.meaning, row.cure) for row in VERSION_STATES)


def _server_states() -> Iterable[Sequence[str]]:
    return ((row.name, row.health, row.ready, row.meaning) for row in SERVER_STATES)


def _failures() -> Iterable[Sequence[str]]:
    for row in FAILURES:
        classes = ", ".join(f"`{name}`" for name in row.errors)
        yield f"{row.code.name} ({int(row.code)})", row.when, row.cure, classes


def _events() -> Iterable[str]:
    for title, events in GROUPS:
        yield f"### {title}\n"
        rows = ((f"`{one.name}`", one.level, one.meaning, one.cure) for one in events)
        yield _table(("event", "level", "what it means", "what to do"), rows)


def _metric(metric: Metric) -> Sequence[str]:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"`{metric.name}`", metric.kind, unit_of(metric), labels, metric.help


def _labels() -> Iterable[Sequence[str]]:
    fixed = {**LABELS, "kind": WAYS}
    for label, values in fixed.items():
        of = " of a request; of what is sent by OTLP: traces, metrics" if values is WAYS else ""
        yield f"`{label}`", ", ".join(values) + of
    yield "`code`", "the name of a status of gRPC, as above"
    yield "`task`", "the method's name"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return (
        "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
