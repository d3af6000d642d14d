"""The operator's tables hold all that the code logs, raises and counts, and nothing else."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trivet.cli.flags.groups import FLAGS
from trivet.cli.reference import page
from trivet.cli.reference.events import EVENTS, Level
from trivet.cli.reference.failures import FAILURES
from trivet.cli.reference.scan import logged
from trivet.cli.reference.states import ATTRIBUTES, LABELS, SPANS, VERSION_STATES
from trivet.errors import ServeError
from trivet.repository.entry import State
from trivet.telemetry.metrics import METRICS

ROOT = Path(__file__).parents[4]
PACKAGES = {
    "trivet": ROOT / "server" / "trivet",
    "trivet_backends": ROOT / "backends/trivet_backends",
}
OPERATING = (ROOT / "server" / "OPERATING.md").read_text(encoding="utf-8")
OF_CONFIGS_AND_CALLS = {
    *("dynamic_batching", "max_inflight_requests", "max_queue_size", "log_verbose_level"),
}
SPAN_MAKER = PACKAGES["trivet"] / "telemetry" / "otel" / "spans.py"


def classes() -> Iterator[tuple[str, str, set[str]]]:
    """Module, name and bases of every class of the server and its backends."""
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            module = ".".join((package, *path.relative_to(folder).with_suffix("").parts))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                    yield module, node.name, bases


def errors() -> dict[str, str]:
    """The classes of errors that callers are told of -> their modules."""
    found, there = {"ServeError": "trivet.errors"}, list(classes())
    while more := {name: module for module, name, bases in there if bases & found.keys()}:
        if more.keys() <= found.keys():
            return found
        found |= more
    return found


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "server" / "REFERENCE.md").read_text(encoding="utf-8")
    assert written == page.page(), "python -m trivet.cli.reference.page > server/REFERENCE.md"


def test_every_event_that_is_logged_is_told_with_its_level() -> None:
    found: dict[str, set[Level]] = {}
    for folder in PACKAGES.values():
        found |= logged(folder)
    assert {event.name: {event.level} for event in EVENTS} == found
    assert len(EVENTS) == len({event.name for event in EVENTS})


def test_every_module_calls_its_log_by_the_name_that_is_looked_for() -> None:
    paths = [path for folder in PACKAGES.values() for path in folder.rglob("*.py")]
    named = re.compile(r"^(\w+) = logging\.getLogger", re.MULTILINE)
    names = {name for path in paths for name in named.findall(path.read_text(encoding="utf-8"))}
    assert names == {"log"}


def test_whatever_is_wrong_has_a_cure() -> None:
    fine = {"instance_replaced"}
    assert {
        event.name for event in EVENTS if event.level in (Level.WARNING, Level.ERROR)
    } - fine == {event.name for event in EVENTS if event.cure} - {"no_gpu_figures"}


def test_every_error_is_told_with_its_status() -> None:
    told = {name: row.code for row in FAILURES for name in row.errors}
    there = errors()
    assert told.keys() == there.keys()
    for name, module in there.items():
        error: type[ServeError] = getattr(importlib.import_module(module), name)
        assert told[name] == error.code, name


def test_every_state_and_every_attribute_is_told() -> None:
    assert {row.state for row in VERSION_STATES} == set(State)
    code = SPAN_MAKER.read_text(encoding="utf-8")
    assert {name for name, _ in ATTRIBUTES} == set(re.findall(r'"((?:rpc|trivet)\.[\w.]+)"', code))
    made = {name.split(" ")[0] for name in re.findall(r'_span\(f?"(\w+[^"]*)"', code)}
    assert made <= {name.split(" ")[0] for name, _ in SPANS}


def test_labels_with_fixed_values_are_those_of_metrics() -> None:
    assert LABELS.keys() <= {label for metric in METRICS for label in metric.labels}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("nv_inference_queue_duration_us", "µs"),
        ("nv_cache_hit_duration_per_model", "µs"),
        ("trivet_queue_seconds", "s"),
        ("trivet_instance_busy_seconds_total", "s"),
        ("trivet_cache_max_bytes", "bytes"),
        ("nv_energy_consumption", "J"),
        ("nv_gpu_memory_used_bytes", "bytes"),
        ("nv_gpu_power_usage", "W"),
        ("nv_inference_exec_count", ""),
    ],
)
def test_units_are_those_of_the_names(name: str, unit: str) -> None:
    (metric,) = (metric for metric in METRICS if metric.name == name)
    assert page.unit_of(metric) == unit


def test_an_event_that_is_no_text_is_what_its_function_is_called_with(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "class Telling:\n"
        "    def tell(self):\n"
        "        self._log('gone', 1)\n"
        "    def _log(self, event, number):\n"
        "        log.error(event, extra={'number': number})\n"
        "        log.log(number, 'any_level')\n"
    )
    assert logged(tmp_path) == {"gone": {Level.ERROR}, "any_level": {Level.ANY}}


def test_an_event_that_nobody_could_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("def tell(names):\n    log.info(names[0])\n")
    with pytest.raises(ValueError, match="line 2: write the event out"):
        logged(tmp_path)


def test_what_the_operators_page_names_is_there() -> None:
    flags = {name for flag in FLAGS for name in (flag.name, *flag.aliases)}
    assert set(re.findall(r"`--([a-z][a-z0-9-]+)", OPERATING)) <= flags
    metrics = {metric.name for metric in METRICS}
    named = set(re.findall(r"`((?:nv|trivet)_\w+)", OPERATING))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= metrics
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", OPERATING)) - metrics - OF_CONFIGS_AND_CALLS
    assert named <= {event.name for event in EVENTS}
    assert "model_not_loaded" in named
