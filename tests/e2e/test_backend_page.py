"""The backend of backends/README.md: installed as the page says, and served.

On one transport: a backend sees none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.harness import backend_page
from tests.harness.server import serving
from trivet_client import Client


def test_the_backend_of_the_page_is_installed_found_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, site = backend_page.write_package(tmp_path / "package"), tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"]
    more = [
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        str(site),
        str(package),
    ]
    subprocess.run([*pip, *more], check=True, capture_output=True)
    model = tmp_path / "models" / "static"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(backend_page.block("proto"))
    table = backend_page.write_table(model / "1")

    monkeypatch.setenv("PYTHONPATH", str(site))
    with serving(tmp_path / "models") as process, Client(process.address) as client:
        ids, mask = np.array([[3, 5, 0]]), np.array([[1, 1, 0]])
        answer = client.infer("static", {"input_ids": ids, "attention_mask": mask})
    mean = table[[3, 5]].mean(axis=0)
    expected = (mean / np.linalg.norm(mean))[None]
    np.testing.assert_allclose(answer.outputs["embedding"], expected, atol=1e-6)


def test_it_is_as_short_as_the_page_says() -> None:
    imports, _, code = backend_page.block("python").partition("\n\n\n")
    assert imports.count("import") == 8
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
