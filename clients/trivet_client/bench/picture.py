"""A latency-throughput picture as SVG, readable on light and on dark pages. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 56, 64  # margins around the axes
TICKS = 6  # about so many per axis

# The same three hues on both grounds, lighter on the dark one; lines differ in dash, too.
STYLE = """\
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .ground { fill: #ffffff } .grid { stroke: #d8dee4 } .axis { stroke: #57606a }
  .line { fill: none; stroke-width: 2 }
  .p50 { stroke: #0969da } .p90 { stroke: #bc4c00 } .p99 { stroke: #8250df }
  circle.p50 { fill: #0969da } circle.p90 { fill: #bc4c00 } circle.p99 { fill: #8250df }
  .p90.line { stroke-dasharray: 7 3 } .p99.line { stroke-dasharray: 2 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ground { fill: #0d1117 } .grid { stroke: #30363d } .axis { stroke: #8d96a0 }
    .p50 { stroke: #58a6ff } .p90 { stroke: #ffa657 } .p99 { stroke: #d2a8ff }
    circle.p50 { fill: #58a6ff } circle.p90 { fill: #ffa657 } circle.p99 { fill: #d2a8ff }
  }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run. label: what was varied, shown at the point."""

    label: str
    per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


def latency_throughput(title: str, unit: str, label: str, points: Sequence[Point]) -> str:
    """The picture as one SVG document. unit: of the throughput; label: what the points' labels say.

    Latency has a logarithmic axis where it spans more than a factor of ten.
    """
    most = max((point.per_s for point in points), default=1.0) or 1.0
    latencies = [ms for point in points for ms in (point.p50_ms, point.p90_ms, point.p99_ms)]
    across = _linear(most, LEFT, WIDTH - RIGHT)
    up = _vertical(latencies or [1.0])
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
            *_axes(across, up, unit),
            *_legend(label),
            *_lines(points, across.place, up.place),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    place: Callable[[float], float]  # value -> pixel
    ticks: Sequence[float]


def _linear(most: float, low: float, high: float) -> _Scale:
    """From 0 to a round number that holds `most`."""
    step = _round_step(most)
    top = step * math.ceil(most / step - 1e-9)
    ticks = [step * number for number in range(round(top / step) + 1)]
    return _Scale(lambda value: low + value / top * (high - low), ticks)


def _vertical(values: Sequence[float]) -> _Scale:
    bottom, top = HEIGHT - BOTTOM, TOP
    least, most = max(min(values), 1e-3), max(max(values), 1e-3)
    if most / least <= 10:
        return _linear(most, bottom, top)
    ticks = list(_decades(least, most))
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    return _Scale(
        lambda value: (
            bottom + (math.log(max(value, ticks[0])) - low) / (high - low) * (top - bottom)
        ),
        ticks,
    )


def _decades(least: float, most: float) -> Iterator[float]:
    """1, 2, 5, 10, 20, ...: from the last up to `least` to the first from `most` on."""
    rungs = [m * 10.0**e for e in range(-4, 8) for m in (1, 2, 5)]
    first = max(i for i, rung in enumerate(rungs) if rung <= least or i == 0)
    last = next((i for i, rung in enumerate(rungs) if rung >= most), len(rungs) - 1)
    yield from rungs[first : last + 1]


def _round_step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that about TICKS of them hold `most`."""
    rough = most / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough - 1e-12)


def _axes(across: _Scale, up: _Scale, unit: str) -> Iterator[str]:
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    for value in up.ticks:
        y = f"{up.place(value):.1f}"
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        baseline = f"{up.place(value) + 4:.1f}"  # not every viewer knows dominant-baseline
        yield f'<text x="{left - 8}" y="{baseline}" text-anchor="end">{_number(value)}</text>'
    for value in across.ticks:
        x = f"{across.place(value):.1f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{_number(value)}</text>'
    yield f'<path class="axis" fill="none" d="M{left} {top}V{bottom}H{right}"/>'
    middle = (left + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">{escape(unit)}</text>'
    yield (
        f'<text transform="translate(20 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        "latency, ms</text>"
    )


def _legend(label: str) -> Iterator[str]:
    for number, name in enumerate(("p50", "p90", "p99")):
        x = LEFT + number * 84
        yield f'<line class="line {name}" x1="{x}" x2="{x + 28}" y1="40" y2="40"/>'
        yield f'<text x="{x + 34}" y="44">{name}</text>'
    x = WIDTH - RIGHT
    yield f'<text x="{x}" y="24" text-anchor="end">numbers: {escape(label)}</text>'


def _lines(
    points: Sequence[Point], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> Iterator[str]:
    for name in ("p50", "p90", "p99"):
        places = [(x_of(p.per_s), y_of(getattr(p, f"{name}_ms"))) for p in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="line {name}" points="{path}"/>'
        yield from (
            f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places
        )
    for point in points:
        x, y = x_of(point.per_s), y_of(point.p99_ms) - 9
        yield f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(point.label)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == round(value) else f"{value:g}"
