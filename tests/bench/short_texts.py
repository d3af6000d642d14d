"""Short texts on a quick model: how much of the bare engine's throughput a server leaves.

    python -m tests.bench.short_texts [--rounds 5] [--seconds 2]

MiniLM with its real weights in 8 bits (ONNX Runtime's dynamic quantization, as `trivet build
--precision int8` writes it) and texts of 8 tokens, one per call, 64 calls in flight, on each
transport. The bare engine is given all texts at once and its best batching and thread split. In
turn within each round; ratios are taken round by round. Callers run in this process, on the cores
that the engine computes on, so a server that cost nothing would not reach 1 either.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import http2
from tests.bench.results import Row, at_least, heading, ratios
from tests.bench.rivals import started
from tests.bench.setting import CALLERS, PAUSE_S, say
from tests.bench.subjects import PIPELINE, minilm_checkpoint, trivet
from tests.harness.texts import text_of
from trivet.transport.options import Transport
from trivet_backends.onnxruntime.bare import BareEngine
from trivet_protos.generated.text_pb2 import EmbedRequest

TOKENS, TEXTS = 8, 2048
VECTOR_BYTES = 4 * 384
BAR = 0.93
_EMBED = "/trivet.v1.TextService/Embed"


def main() -> None:
    args = _parser().parse_args()
    texts = [text_of(TOKENS)] * TEXTS
    asked = EmbedRequest(model=PIPELINE, texts=texts[:1]).SerializeToString()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        say("building MiniLM with 8-bit weights")
        repository = _built(folder / "models")
        model, tokenizer = repository / "minilm" / "1", repository / "minilm_tokenizer" / "1"
        engine = BareEngine(model / "model.onnx", tokenizer / "tokenizer.json")
        split = engine.best_split(texts)
        say(f"the bare engine's best is {split}")
        servers = {}
        for transport in Transport:
            flags, log = ("--transport", transport), folder / f"{transport}.log"
            servers[transport] = stack.enter_context(started(repository, log, *flags))
        bare: list[float] = []
        rates: dict[Transport, list[float]] = {transport: [] for transport in servers}
        for number in range(1, args.rounds + 1):
            time.sleep(PAUSE_S)
            bare.append(TEXTS / engine.seconds(texts, split))
            for transport, server in servers.items():
                time.sleep(PAUSE_S)
                rates[transport].append(_per_second(server.address, asked, args.seconds))
            told = ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items())
            say(f"round {number} of {args.rounds}, texts per second: bare {bare[-1]:.0f}, {told}")
    print(heading())
    for transport, values in rates.items():
        what = f"8-bit MiniLM, {TOKENS} tokens, {CALLERS} calls in flight, {transport}: of the bare"
        print(Row(what, ratios(values, bare), at_least(BAR)))


def _per_second(address: str, asked: bytes, seconds: float) -> float:
    http2.unary(address, _EMBED, asked, VECTOR_BYTES, CALLERS, min(0.3, seconds))  # warm
    started = time.perf_counter()
    answered = http2.unary(address, _EMBED, asked, VECTOR_BYTES, CALLERS, seconds)
    return answered / (time.perf_counter() - started)


def _built(repository: Path) -> Path:
    entry = ("--model-repository", str(repository), "--name", "minilm", "--task", "embed")
    trivet("build", str(minilm_checkpoint()), *entry, "--precision", "int8")
    return repository


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.short_texts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load in each round")
    return parser


if __name__ == "__main__":
    main()
