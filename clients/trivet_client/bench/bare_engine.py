"""The engine without a server, in a process of its own: what the ratio is a ratio to."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trivet_client.bench.server_side import Step
from trivet_client.errors import broken, invalid

MODULE = "trivet_backends.onnxruntime.bare"


class BareEngine:
    """Speaks JSON lines with the module's process. Raises Internal with what it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def best_split(self, texts: Sequence[str]) -> str:
        """Search the best batching and thread split for these texts, and keep to it."""
        return str(self._asked({"search": texts})["split"])

    def tokens_per_s(self, texts: Sequence[str]) -> float:
        """Embed all texts, batched as found best."""
        answer = self._asked({"embed": texts})
        return float(str(answer["tokens"])) / float(str(answer["seconds"]))

    def alone_ms(self, texts: Sequence[str]) -> float:
        """The median of embedding the texts one by one with all cores."""
        answer = self._asked({"alone": texts})["milliseconds"]
        assert isinstance(answer, list)
        return statistics.median(map(float, answer))

    def _asked(self, question: dict[str, Sequence[str]]) -> dict[str, object]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            status = self._process.wait()
            raise broken(
                f"the bare engine ended with status {status}; what it wrote above says why"
            )
        answer: dict[str, object] = json.loads(line)
        if "error" in answer:
            raise broken(f"the bare engine: {answer['error']}")
        return answer


@contextmanager
def bare_engine(repository: Path, behind: Sequence[Step]) -> Iterator[BareEngine]:
    """The engine and the tokenizer behind a served pipeline, from its repository on disk.

    Raises InvalidArgument if the pipeline or the folder is none that can be compared.
    """
    model = _folder(repository, behind, "onnxruntime")
    tokenizer = _folder(repository, behind, "tokenizers")
    command = [sys.executable, "-m", MODULE, "--model", str(model), "--tokenizer", str(tokenizer)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield BareEngine(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _folder(repository: Path, behind: Sequence[Step], backend: str) -> Path:
    """The version's folder of the only step that a backend runs."""
    models = [step for step in behind if step.backend == backend]
    if len(models) != 1 or not models[0].versions:
        names = ", ".join(f"{step.model} ({step.backend})" for step in behind)
        raise invalid(
            f"--against-engine needs a pipeline with one ready step of backend '{backend}'; "
            f"the steps are {names}"
        )
    folder = repository / models[0].model / str(max(models[0].versions))
    if not folder.is_dir():
        raise invalid(f"--against-engine {repository}: {folder} is not there; give the repository")
    return folder
