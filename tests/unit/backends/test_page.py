"""The page of backends is up to date, and has every backend there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from trivet_backends import page

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "backends" / "PARAMETERS.md").read_text(encoding="utf-8")
    assert written == page.page(), "python -m trivet_backends.page > backends/PARAMETERS.md"


def test_every_backend_is_there_and_its_extra_exists() -> None:
    assert {one.name for one in page.BACKENDS} == set(PROJECT["entry-points"]["trivet.backends"])
    assert {one.extra for one in page.BACKENDS if one.extra} <= set(
        PROJECT["optional-dependencies"]
    )


def test_defaults_are_words_that_a_config_may_say() -> None:
    text = page.page()
    assert not re.search(r"<function|None|Aggregation\(", text)
    assert "| `execution_mode` | one of 0, 1 | 0 |" in text
    assert "| `enable_mem_arena` | one of 1, true, 0, false | true |" in text
