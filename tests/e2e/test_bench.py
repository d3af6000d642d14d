"""`trivet bench` on the real models, for a second or two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.command import trivet
from tests.harness.server import ServerProcess
from trivet.transport.options import Transport


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough here: what is looked at is what the command counts and prints."""
    return Transport.GRPCIO


def test_embeddings_are_measured_with_their_batches_and_against_the_engine(
    demo_server: ServerProcess, examples: Path, tmp_path: Path
) -> None:
    file, texts = tmp_path / "result.json", tmp_path / "texts"
    texts.write_text("".join(f"{'a short text ' * (1 + n % 5)}\n" for n in range(40)))
    ended = trivet(
        *("bench", "--task", "embed", "--url", demo_server.address, "--texts", texts),
        *("--concurrency", "1,8", "--warmup", "0.2", "--duration", "0.8"),
        *("--against-engine", examples, "--json", file, "--picture", tmp_path / "result.svg"),
    )
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines()[0].split()[-2:] == ["of", "engine"]
    for level, concurrency in zip(json.loads(file.read_text())["levels"], (1, 8), strict=True):
        assert level["concurrency"] == concurrency
        assert level["errors"] == {}
        assert level["tokens_per_s"] > 5 * level["texts_per_s"]
        assert level["server_cpu_ms_per_request"] > 0
        formed = {int(size): count for size, count in level["batches"]["minilm"].items()}
        assert sum(size * count for size, count in formed.items()) > 0
        assert max(formed) <= concurrency
        assert set(level["tokens"]) == {"minilm"}
        assert level["tokens"]["minilm"]["tokens"] >= level["tokens_per_s"] * 0.5
        assert 0 <= level["padding_ratio"] <= 0.25  # max_padding_percent of its config
        assert level["engine"]["throughput_ratio"] > 0
    assert (tmp_path / "result.svg").read_text().startswith("<svg")


def test_masks_are_filled_on_a_stream_at_a_rate(demo_server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    ended = trivet(
        *("bench", "--task", "fill_mask", "--url", demo_server.address, "--stream"),
        *("--rate", "20", "--warmup", "0", "--requests", "15", "--json", file),
        *("--server-pid", str(demo_server.process.pid)),
    )
    assert (ended.status, ended.err) == (0, "")
    (level,) = json.loads(file.read_text())["levels"]
    assert (level["answered"], level["errors"]) == (15, {})
    assert set(level["batches"]) == {
        "minilm_mlm_tokenizer",
        "minilm_mlm",
        "minilm_mlm_candidates",
    }
