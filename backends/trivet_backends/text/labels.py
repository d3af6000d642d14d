"""The names of a model's labels, from the version's labels.txt: one per line, by number."""

from __future__ import annotations

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet_backends.checks import artifact_file

NAME = "labels.txt"
LOGITS = "logits"


def read_labels(config: ModelConfig, context: LoadContext) -> list[str]:
    """Read the labels.

    Raises InvalidConfig: no such file, no UTF-8, an empty or repeated label, another number of them
    than the config's input `logits` has.
    """
    path = artifact_file(context, NAME)
    where = f"{context.where}/{NAME}"
    try:
        labels = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        cure = "write one label per line, in UTF-8"
        raise InvalidConfig([Fault(where, f"cannot be read ({error})", cure)]) from error
    faults = []
    for number, label in enumerate(labels):
        if not label.strip() or label in labels[:number]:
            what = f"is {label!r} again" if label.strip() else "is empty"
            cure = "give each output of the model a label of its own"
            faults.append(Fault(f"{where}: line {number + 1}", what, cure))
    spec = config.input(LOGITS)
    if not labels or (spec and spec.dims[-1] not in (-1, len(labels))):
        cure = f"write one for each number of '{LOGITS}', in their order"
        faults.append(Fault(where, f"has {len(labels)} labels", cure))
    if faults:
        raise InvalidConfig(faults)
    return labels
