"""`trivet infer --label`: labels scored for each text by what they mean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence

from trivet_client.client import Client
from trivet_client.commands.render import bar
from trivet_client.errors import invalid
from trivet_client.values import Failure
from trivet_client.vector_values import LabelledText


def labelled(
    client: Client,
    texts: Iterable[str],
    labels: Sequence[str],
    *,
    model: str,
    version: int | str | None,
    timeout_s: float | None,
) -> Iterator[tuple[str, LabelledText | Failure]]:
    """Each text with its answer, in the order of the texts. Raises InvalidArgument for an alias."""
    if isinstance(version, str):
        raise invalid(f"--version {version} is an alias; with --label give the version's number")
    asked: dict[int, str] = {}

    def remembered() -> Iterator[str]:
        for index, text in enumerate(texts):
            asked[index] = text
            yield text

    stream = client.zero_shot_stream(
        remembered(), labels, model=model, version=version, timeout_s=timeout_s
    )
    waiting: dict[int, LabelledText | Failure] = {}
    turn = 0
    for index, answer in stream:
        waiting[index] = answer
        while turn in waiting:
            yield asked.pop(turn), waiting.pop(turn)
            turn += 1


def labels_as_text(answer: LabelledText, text: str) -> str:
    """The text, and a line for each label, the best first."""
    width = shutil.get_terminal_size((80, 24)).columns
    title = " ".join(text.splitlines())
    longest = max(len(one.label) for one in answer.labels)
    rows = [
        f"  {one.label:{longest}}  {one.score:6.1%}  {bar(one.score)}".rstrip()
        for one in answer.labels
    ]
    return "\n".join([title if len(title) <= width else title[: width - 1] + "…", *rows])


def labels_as_json(answer: LabelledText, text: str) -> str:
    """One line of JSON."""
    document = {
        "model": answer.model,
        "version": answer.version,
        "text": text,
        "labels": [
            {"label": one.label, "score": one.score, "similarity": one.similarity}
            for one in answer.labels
        ],
    }
    return json.dumps(document, ensure_ascii=False)
