"""Everything at once for a moment, on each transport and with each way to change models.

`make soak` does the same for longer; memory is judged there alone, as it settles first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 16


@pytest.mark.slow
@pytest.mark.timeout(400)  # it takes half a minute; what waits for quiet may take longer
@pytest.mark.parametrize(("transport", "control"), [("grpcio", "poll"), ("h2corn", "explicit")])
def test_a_server_under_everything_answers_rightly_and_holds_no_more_than_before(
    examples: Path, tmp_path: Path, transport: str, control: str
) -> None:
    if transport == "h2corn":
        pytest.importorskip("h2corn")
    figures = tmp_path / "figures.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tests.soak", "--seed=20261123", f"--seconds={SECONDS}"),
            *(f"--transport={transport}", f"--control={control}", f"--json={figures}"),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (turn,) = json.loads(figures.read_text())
    assert turn["passed"]
    assert {task for task, came in turn["calls"].items() if came["right"] + came["refused"]} >= {
        *("embed", "fill_mask", "zero_shot", "classify", "tokenize", "sequence", "decoupled"),
        *("shared_memory", "bad_input", "change", "come and go", "burst", "cut off"),
    }
    assert not list(tmp_path.glob("trivet-soak-*")), "it leaves nothing behind"
