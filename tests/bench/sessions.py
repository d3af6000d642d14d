"""Two separate sessions of one graph in one process, as a server without shared weights has them.

    python -m tests.bench.sessions --graph FILE --tokenizer FILE

reads texts as one line of JSON, computes them one by one, each session with one thread, says "done"
and waits for the end of its input, so that its memory can be looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trivet_backends.onnxruntime.bare import BareEngine

SESSIONS = 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sessions")
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    args = parser.parse_args()
    engines = [BareEngine(args.graph, args.tokenizer) for _ in range(SESSIONS)]
    texts = json.loads(sys.stdin.readline())

    def compute(number: int) -> None:
        for text in texts[number::SESSIONS]:
            engines[number].embed_one(text, threads=1)

    with ThreadPoolExecutor(SESSIONS) as pool:
        list(pool.map(compute, range(SESSIONS)))
    print("done", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
