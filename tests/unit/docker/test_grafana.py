"""The dashboards in docker/grafana fit the table of metrics; a test of a real server goes on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness.dashboards import DASHBOARDS, labels, load, names, queries
from trivet.telemetry.metrics import METRICS, Kind

# Every sample and its labels.
LABELS = {
    metric.name: set(metric.labels) for metric in METRICS if metric.kind is not Kind.HISTOGRAM
}
for _metric in METRICS:
    if _metric.kind is Kind.HISTOGRAM:
        LABELS[f"{_metric.name}_bucket"] = {*_metric.labels, "le"}
        LABELS[f"{_metric.name}_sum"] = LABELS[f"{_metric.name}_count"] = set(_metric.labels)


def test_there_is_a_dashboard() -> None:
    assert [path.name for path in DASHBOARDS] == ["trivet.json"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_query_asks_for_what_there_is(path: Path) -> None:
    dashboard = load(path)
    asked = list(queries(dashboard))
    assert len(asked) > 20
    for panel, expression, legend in asked:
        assert names(expression), panel
        for name, wanted in labels(expression).items():
            if name.startswith("process_"):
                assert not wanted, panel
                continue
            assert name in LABELS, (panel, name)
            assert wanted <= LABELS[name], (panel, name, wanted)
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert all(shown <= LABELS.get(name, set()) for name in names(expression)), panel
        assert expression.count("(") == expression.count(")"), panel
        # What is summed up over time is asked as a rate; a sum since the start shows nothing.
        for name in names(expression):
            kinds = {metric.name: metric.kind for metric in METRICS}
            if kinds.get(name, Kind.HISTOGRAM) is not Kind.GAUGE and name in LABELS:
                assert f"rate({name}" in expression, (panel, name)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_share_of_failures_is_zero_while_there_are_none(path: Path) -> None:
    """A status is counted from its first request on; before, there is nothing to divide."""
    shares = [
        expression
        for _, expression, _ in queries(load(path))
        if re.search(r'code!="OK"\}.*\) / ', expression)
    ]
    assert shares
    assert all(" or vector(0)) / " in expression for expression in shares)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_panels_have_names_and_places_of_their_own(path: Path) -> None:
    panels = load(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_labels_are_found_in_an_expression() -> None:
    asked = 'sum by (model, le) (rate(trivet_queue_seconds_bucket{model=~"a|b", stage!="x"}[5m]))'
    assert labels(asked) == {"trivet_queue_seconds_bucket": {"model", "le", "stage"}}
