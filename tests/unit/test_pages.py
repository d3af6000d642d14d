"""Links between the pages of the repository lead somewhere."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """Those that git knows."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("not in a checkout: git does not say which pages there are")
    return [path for name in found.stdout.splitlines() if (path := ROOT / name).exists()]


def anchors(page: Path) -> set[str]:
    """What a page's headings are called, as the hosts of repositories make names of them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return (found[1] for found in LINK.finditer(text) if "://" not in found[1])


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for page in pages():
        for link in links(page):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.is_relative_to(ROOT) or not target.exists():
                broken.append(f"{page.relative_to(ROOT)}: {link}: no such file")
            elif anchor and anchor not in anchors(target):
                broken.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
    assert not broken, "\n".join(broken)


def test_every_page_of_the_map_is_reached_from_it() -> None:
    known = set(links(ROOT / "server" / "ARCHITECTURE.md"))
    there = {f"docs/{path.name}" for path in (ROOT / "server" / "docs").glob("*.md")}
    assert there
    assert there <= known


def test_a_page_names_no_module_that_is_gone() -> None:
    """Of names like `scheduling/policy.py`: somewhere in the checkout there is such a file."""
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("[!.]*/**/*.py")}
    maps = [ROOT / "server" / "ARCHITECTURE.md", *(ROOT / "server" / "docs").glob("*.md")]
    named = {name for page in maps for name in re.findall(r"`([\w/]+\.py)`", page.read_text())}
    users = {"model.py"}  # files of repositories
    gone = {name for name in named - users if not any(file.endswith(name) for file in files)}
    assert not gone
    assert len(named) > 30
