"""A fine-tuned model becomes the next version of a running server; nobody's request is lost.

On one transport: test_repository_life changes versions under load on both.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness.finetune import needs_finetune, trained, write_labelled
from tests.harness.server import serving
from tests.unit.workshop.checkpoints import write_checkpoint
from trivet_client import Client
from trivet_client.head_values import LabelScore

TEXT = "u v w x y z"
SURE = 0.7  # of two labels
CALLERS = 2
PATIENCE_S = 30


@pytest.mark.slow
@needs_finetune
def test_what_was_learned_is_served_next_without_a_dropped_request(tmp_path: Path) -> None:
    models, rows = tmp_path / "models", write_labelled(tmp_path / "rows.csv", 120)
    checkpoint = write_checkpoint(tmp_path / "tiny")

    def finetune(run: str, *flags: str) -> None:
        places: list[str | Path] = [
            "--train",
            rows,
            "--output",
            tmp_path / run,
            "--cache",
            tmp_path / "cache",
        ]
        publishing: list[str | Path] = ["--model-repository", models, "--name", "mood"]
        typed: list[str | Path] = [checkpoint, "--task", "classify", *places, *publishing]
        assert trained(*typed, *flags) == 0

    finetune("first", "--epochs=1", "--learning-rate=1e-6", "--pooling=mean")
    over, lock = threading.Event(), threading.Lock()
    answers: list[LabelScore | BaseException] = []

    def ask(address: str) -> None:
        with Client(address, timeout_s=30) as client:
            while not over.is_set():
                try:
                    answer: LabelScore | BaseException = client.classify(TEXT).labels[0]
                except Exception as error:
                    answer = error
                with lock:
                    answers.append(answer)

    with (
        serving(models, "--model-control-mode=poll", "--repository-poll-secs=1") as server,
        Client(server.address) as client,
        ThreadPoolExecutor(CALLERS) as callers,
    ):
        asking = [callers.submit(ask, server.address) for _ in range(CALLERS)]
        try:
            finetune(
                "second", "--epochs=8", "--learning-rate=0.005", "--batch-size=8", "--pooling=mean"
            )
            deadline = time.monotonic() + PATIENCE_S
            while "mood/2 READY" not in states(client) or is_unsure(answers[-1]):
                assert time.monotonic() < deadline, states(client)
        finally:
            over.set()
            for caller in asking:
                caller.result()
        assert client.classify(TEXT).labels[0].label == "high"
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    assert not failures
    assert is_unsure(answers[0]), "the first model had learned nothing yet"
    assert not is_unsure(answers[-1]), "the second one answers"


def states(client: Client) -> list[str]:
    return [f"{model.name}/{model.version} {model.state}" for model in client.repository_index()]


def is_unsure(answer: LabelScore | BaseException) -> bool:
    return not isinstance(answer, LabelScore) or answer.score < SURE
