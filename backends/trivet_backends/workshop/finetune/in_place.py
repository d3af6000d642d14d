"""What a repository serves already under the name that a run will publish: does it fit?

Members of a pipeline change over one by one, so for a moment a new encoder stands before the old
labels. Equal labels make that no harm; others would be answered wrongly, and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build import LABELS_FILE
from trivet_backends.workshop.configs import Names
from trivet_backends.workshop.finetune.examples import HeadTask
from trivet_backends.workshop.heads import Scoring, written_scoring

CONFIG = "config.pbtxt"
_SCORING = {HeadTask.MULTI_LABEL: Scoring.SIGMOID, HeadTask.REGRESSION: Scoring.NONE}


def check_labels(repository: Path, name: str, task: HeadTask, labels: Sequence[str]) -> None:
    """Raise InvalidConfig if the newest version there has other labels, or these in another order.

    So it does if that makes other scores of its numbers: one label per text, several, or none.
    labels: none for a head that has none of its own.
    """
    folder = repository / Names(encoder=name, pipeline="").labels
    cure = "publish under another --name and --pipeline"
    versions = [path for path in folder.glob("[1-9]*") if path.name.isdecimal()]
    if not versions or not labels:
        return
    newest = max(versions, key=lambda path: int(path.name))
    try:
        served = (newest / LABELS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    if served != list(labels):
        found = f"is served with the labels {', '.join(served)}, and these are {', '.join(labels)}"
        cure = f"{cure}, or say the order with --labels"
        raise InvalidConfig([Fault(f"{repository.name}/{name}", found, cure)])
    config = folder / CONFIG
    scoring = written_scoring(config.read_text(encoding="utf-8") if config.is_file() else "")
    if scoring is not _SCORING.get(task, Scoring.SOFTMAX):
        found = f"is served with scores by {scoring}, and a head of {task} has others"
        raise InvalidConfig([Fault(f"{repository.name}/{name}", found, cure)])
