"""The learning curve as a picture: the loss of training and validation, and the score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivet_backends.workshop.finetune.metrics import read_lines

_INK, _GREY, _BLUE, _RED = "#1f2430", "#9aa3b2", "#2463b5", "#c2452d"
Points = list[tuple[float, float]]


def draw(metrics: Path, score: str, title: str, targets: Sequence[Path]) -> None:
    """Draw a file of metrics into each target, whose ending says how (.png, .svg).

    score: the name of the validation's metric to show.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)  # no display is needed, and a notebook's is left alone
    from matplotlib.figure import Figure

    lines = read_lines(metrics)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    _draw_losses(losses, lines)
    _draw_scores(scores, lines, score)
    figure.suptitle(title, fontsize=11, color=_INK)
    for target in targets:
        fresh = target.with_name(f".{target.name}")
        figure.savefig(fresh, dpi=130, format=target.suffix[1:])
        fresh.replace(target)


def _draw_losses(axes: Any, lines: Sequence[dict[str, Any]]) -> None:
    training, validation = _points(lines, "train", "loss"), _points(lines, "validation", "loss")
    axes.plot(*zip(*training, strict=True), color=_GREY, linewidth=1.2, label="training")
    if validation:
        axes.plot(
            *zip(*validation, strict=True),
            color=_RED,
            marker="o",
            markersize=3.5,
            linewidth=1.6,
            label="validation",
        )
    _dress(axes, "loss")
    axes.legend(frameon=False, fontsize=9)


def _draw_scores(axes: Any, lines: Sequence[dict[str, Any]], score: str) -> None:
    points = _points(lines, "validation", score)
    if points:
        axes.plot(
            *zip(*points, strict=True), color=_BLUE, marker="o", markersize=3.5, linewidth=1.6
        )
        better = min if score == "loss" else max
        step, best = better(points, key=lambda point: point[1])
        axes.plot([step], [best], marker="o", markersize=9, fillstyle="none", color=_BLUE)
        axes.set_title(f"best {best:.3f} at step {step:,.0f}", fontsize=9, color=_BLUE, loc="right")
    _dress(axes, f"validation: {score.replace('_', ' ')}")


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.set_xlabel("step", fontsize=9)
    axes.set_xlim(left=0)
    axes.grid(color="#e6e9ef", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _points(lines: Sequence[dict[str, Any]], kind: str, name: str) -> Points:
    return [
        (float(line["step"]), float(line[name]))
        for line in lines
        if line["kind"] == kind and name in line
    ]
