"""Pictures of attention maps, drawn by matplotlib (`pip install 'trivet[plot]'`)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trivet_client.errors import invalid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trivet_client.vector_values import InspectedText

FORMATS = (".png", ".svg")
MAX_TOKENS = 64  # more are no picture any more
_CELL_INCHES = 0.34  # of a token, where one map fills the picture
_SMALL_INCHES = 2.1  # of a map among others
_COLORS = "BuPu"  # white is none; dark enough at the end to be read in print
_LETTERS = 14  # of a token's name
_PLAIN = "DejaVu Sans"  # comes with matplotlib, and has no Chinese, Japanese or Korean
# Families with glyphs that it lacks, in the order they are taken: those of Linux, macOS, Windows.
_FURTHER = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "IPAGothic",
    "NanumGothic",
    "Droid Sans Fallback",
    "PingFang SC",
    "PingFang HK",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Segoe UI Symbol",
)


def plot_attention(
    inspected: InspectedText,
    path: str | PathLike[str],
    *,
    head: int | None = None,
    title: str = "",
) -> None:
    """Draw the attention maps of a text's layer into a file.

    path: ends in .png or .svg. head: which map, from 0; None draws the mean of all heads, and the
    maps of all of them beside it. A row is a token that looks, a column one that is looked at.
    Raises InvalidArgument: no maps in `inspected`, no such head, too many tokens, another ending,
    matplotlib not installed.
    """
    target = _checked_path(path)
    maps = _checked_maps(inspected, head)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise invalid("matplotlib is not installed; pip install 'trivet[plot]'") from error
    with _fonts():
        _draw(Figure(layout="constrained"), target, inspected, maps, head, title)


@contextmanager
def _fonts() -> Iterator[None]:
    """The plain font, and those of this machine that have what it lacks, glyph by glyph.

    What none of them has is drawn as an empty box; matplotlib would warn of each of these.
    """
    import matplotlib
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    families = [_PLAIN, *(name for name in _FURTHER if name in there)]
    with warnings.catch_warnings(), matplotlib.rc_context({"font.family": families}):
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def _draw(
    figure: Figure,
    target: Path,
    inspected: InspectedText,
    maps: np.ndarray,
    head: int | None,
    title: str,
) -> None:
    if head is None:
        _draw_all(figure, maps, inspected.tokens)
    else:
        size = 1.6 + _CELL_INCHES * len(inspected.tokens)
        figure.set_size_inches(size + 0.8, size)
        _draw_one(figure, maps[head], inspected.tokens)
    what = "mean of all heads, and each head" if head is None else f"head {head}"
    figure.suptitle(title or f"{inspected.model}: attention, {what}", fontsize=10)
    figure.savefig(target, dpi=150)


def _draw_all(figure: Any, maps: np.ndarray, tokens: Sequence[str]) -> None:
    """The mean on the left, a grid of small maps on the right."""
    columns = int(np.ceil(np.sqrt(len(maps))))
    rows = int(np.ceil(len(maps) / columns))
    side = max(1.6 + _CELL_INCHES * len(tokens), _SMALL_INCHES * rows)
    figure.set_size_inches(side + 0.8 + _SMALL_INCHES * columns, side)
    left, right = figure.subfigures(1, 2, width_ratios=[side + 0.8, _SMALL_INCHES * columns])
    _draw_one(left, maps.mean(axis=0), tokens)
    cells = np.ravel(right.subplots(rows, columns, squeeze=False))
    for number, axes in enumerate(cells):
        if number >= len(maps):
            axes.set_axis_off()
            continue
        axes.imshow(maps[number], cmap=_COLORS, vmin=0, vmax=1)
        axes.set_title(f"head {number}", fontsize=7, pad=2)
        axes.set_xticks([])
        axes.set_yticks([])


def _draw_one(figure: Any, shares: np.ndarray, tokens: Sequence[str]) -> None:
    axes: Axes = figure.subplots()
    image = axes.imshow(shares, cmap=_COLORS, vmin=0, vmax=max(float(shares.max()), 0.01))
    names = [name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…" for name in tokens]
    # "$" begins mathematics in matplotlib.
    names = [name.replace("$", r"\$") for name in names]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("looked at", fontsize=8)
    axes.set_ylabel("looks", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("share of a row", fontsize=8)


def _checked_path(path: str | PathLike[str]) -> Path:
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise invalid(f"{target.name} is no picture's name; let it end in .png or .svg")
    return target


def _checked_maps(inspected: InspectedText, head: int | None) -> np.ndarray:
    maps = inspected.attention
    if maps is None:
        raise invalid("there are no attention maps; inspect the text with attention=True")
    if len(inspected.tokens) > MAX_TOKENS:
        raise invalid(
            f"the text has {len(inspected.tokens)} tokens, and a picture shows {MAX_TOKENS} at"
            " most; inspect a shorter text"
        )
    if head is not None and not 0 <= head < len(maps):
        raise invalid(f"head is {head}; the layer has {len(maps)}: give 0 to {len(maps) - 1}")
    return maps
