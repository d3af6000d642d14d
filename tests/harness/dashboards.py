"""What a Grafana dashboard asks Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "docker" / "grafana").glob("*.json"))

_NAME = re.compile(r"\b(?:nv|trivet|process|python)_[a-z_]+\b")
_PARTS = re.compile(r"(?P<name>\b(?:nv|trivet|process|python)_[a-z_]+)(?:\{(?P<matchers>[^}]*)\})?")
_BY = re.compile(r"\bby \(([^)]*)\)")


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def queries(dashboard: Any) -> Iterator[tuple[str, str, str]]:
    """Panel, expression and legend of each query of a dashboard."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def names(expression: str) -> set[str]:
    """The samples an expression reads, as they are exported."""
    return set(_NAME.findall(expression))


def labels(expression: str) -> dict[str, set[str]]:
    """By sample: the labels that an expression asks of it, `by` counted for all of them."""
    grouped = {label.strip() for found in _BY.findall(expression) for label in found.split(",")}
    asked: dict[str, set[str]] = {}
    for found in _PARTS.finditer(expression):
        own = asked.setdefault(found["name"], set(grouped))
        own |= {
            each.split("=")[0].strip().rstrip("!") for each in (found["matchers"] or "").split(",")
        }
        own.discard("")
    return asked
