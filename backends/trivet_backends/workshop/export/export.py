"""From a checkpoint to the formats asked for: the thread that `trivet export` follows.

Each format is written into a hidden folder, loaded back by another process, compared with plain
numpy, and only then renamed into place. One that fails leaves what was there, and the others go on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build import graph_options, head_labels
from trivet_backends.workshop.build_file import Json, tools
from trivet_backends.workshop.check_batch import CheckBatch
from trivet_backends.workshop.checkpoint import Checkpoint, read_checkpoint
from trivet_backends.workshop.entry import scratch_folder
from trivet_backends.workshop.export import child
from trivet_backends.workshop.export.child import Job
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.sample import check_batches, inputs_of
from trivet_backends.workshop.export.source import signature
from trivet_backends.workshop.heads import Labels, told_task
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import BuildOptions, GraphOptions, Precision
from trivet_backends.workshop.parity import BARS, COMPARE
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tokenizer_file import copy_tokenizer

ABOUT = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one format.

    size_bytes: without the tokenizer, but where it is a part of the format.
    max_difference: absolute, to plain numpy over all batches, or of the weights; None: not known.
    fault: why it was not written; empty if it was.
    """

    format: ExportFormat
    size_bytes: int = 0
    max_difference: float | None = None
    seconds: float = 0.0
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A whole export: what became of each format, and what a served entry is made of."""

    checkpoint: Checkpoint
    options: GraphOptions
    labels: Labels | None  # of the head, if it has any
    outcomes: Sequence[Outcome]  # in the order of the formats' names


def export(
    folder: Path,
    output: Path,
    formats: Sequence[ExportFormat],
    options: BuildOptions,
    announce: Announce,
) -> Exported:
    """Write each format to a folder of its name in `output`.

    announce: called with what begins now, for a person.
    Raises InvalidConfig if the checkpoint or an option is no good, or a format's folder is there
    and was not written by an export; nothing is written then.
    """
    announce(f"reading {folder}")
    checkpoint = read_checkpoint(folder, options.task or told_task(folder))
    chosen = graph_options(checkpoint, options)
    labels = head_labels(checkpoint, options, chosen.task)
    _refuse_what_is_not_ours(output, formats)
    desk = _Desk(checkpoint=checkpoint, options=chosen, output=output, announce=announce)
    try:
        with scratch_folder(output) as scratch:
            outcomes = [desk.outcome(format_, scratch) for format_ in sorted(formats)]
    except OSError as error:
        found, cure = f"cannot be written ({error.strerror})", "check its permissions and its disk"
        raise InvalidConfig([Fault(str(output), found, cure)]) from error
    return Exported(checkpoint=checkpoint, options=chosen, labels=labels, outcomes=outcomes)


def _refuse_what_is_not_ours(output: Path, formats: Sequence[ExportFormat]) -> None:
    cure = "move it away, or give another --output"
    faults = [
        Fault(str(output / format_), "is there already and was not written by trivet export", cure)
        for format_ in sorted(formats)
        if (output / format_).exists() and not (output / format_ / ABOUT).is_file()
    ]
    if faults:
        raise InvalidConfig(faults)


class _Desk:
    """Makes one format after the other; weights and batches are read once."""

    def __init__(
        self, *, checkpoint: Checkpoint, options: GraphOptions, output: Path, announce: Announce
    ) -> None:
        self._checkpoint = checkpoint
        self._options = options
        self._output = output
        self._announce = announce
        self._batches = check_batches(checkpoint, options)
        self._reference = NumpyBert(checkpoint.config, checkpoint.weights())

    def outcome(self, format_: ExportFormat, scratch: Path) -> Outcome:
        """Write, check and publish one format; what goes wrong is in the outcome."""
        way, begun = WAYS[format_], time.perf_counter()
        if missing := way.missing():
            found, cure = (
                f"{', '.join(missing)} not installed",
                f"pip install 'trivet[{way.extra}]'",
            )
            return Outcome(format=format_, fault=str(Fault(format_, found, cure)))
        job = self._job(format_, scratch)
        outcome = Outcome(format=format_)
        try:
            outcome = self._checked(job)
            self._publish(job, outcome, scratch)
        except InvalidConfig as error:
            outcome = replace(outcome, fault=str(error))
            self._keep_log(job)
        return replace(outcome, seconds=time.perf_counter() - begun)

    def _job(self, format_: ExportFormat, scratch: Path) -> Job:
        folder, desk = scratch / format_, scratch / f"{format_}.desk"
        folder.mkdir()
        desk.mkdir()
        return Job(
            format=format_,
            checkpoint=self._checkpoint.folder.resolve(),
            options=self._options,
            folder=folder,
            desk=desk,
        )

    def _checked(self, job: Job) -> Outcome:
        self._announce(f"{job.format}: writing {WAYS[job.format].about}")
        child.write(job)
        self._announce(f"{job.format}: loading it back, and comparing")
        difference = child.inspect(job) if WAYS[job.format].inspect else self._difference(job)
        size = sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file())
        return Outcome(format=job.format, size_bytes=size, max_difference=difference)

    def _difference(self, job: Job) -> float:
        """Raises InvalidConfig if an output of any batch is too far from plain numpy."""
        inputs = [inputs_of(batch, self._options) for batch in self._batches]
        answers = child.run(job, inputs)
        difference = max(
            self._of_batch(outputs, batch)
            for outputs, batch in zip(answers, self._batches, strict=True)
        )
        bar = BARS[Precision.FP32, self._options.task].max_difference
        if not difference <= bar:
            what = f"is {difference:.2e} away from numpy, {bar:.0e} is allowed"
            raise InvalidConfig([Fault(job.format, what, "nothing was written")])
        return difference

    def _of_batch(self, outputs: Sequence[np.ndarray], batch: CheckBatch) -> float:
        named = dict(zip(signature(self._options).outputs, outputs, strict=True))
        compare = COMPARE[self._options.task]
        return compare(named, self._reference, self._options, batch).max_difference

    def _publish(self, job: Job, outcome: Outcome, scratch: Path) -> None:
        """Rename the format's folder into place; an older one is put back if that fails."""
        self._describe(job, outcome)
        target, old = self._output / job.format, scratch / f"{job.format}.old"
        if target.exists():
            target.rename(old)
        try:
            job.folder.rename(target)
        except OSError as error:
            if old.exists():
                old.rename(target)
            what = f"cannot be made ({error.strerror})"
            raise InvalidConfig([Fault(str(target), what, "export again")]) from error
        self._log_of(job.format).unlink(missing_ok=True)  # of a failure in the past

    def _describe(self, job: Job, outcome: Outcome) -> None:
        """Put beside the model what its user needs: the tokenizer, and what it takes and gives."""
        names = signature(self._options)
        tokenizer = copy_tokenizer(self._checkpoint.folder, job.folder)
        about: Mapping[str, Json] = {
            "format": job.format,
            "file": WAYS[job.format].file,
            "source": self._checkpoint.folder.resolve().name,
            "task": self._options.task,
            "inputs": names.inputs,
            "outputs": names.outputs,
            "tokenizer": tokenizer,
            "checked": WAYS[job.format].checked,
            "max_difference": outcome.max_difference,
            "tools": tools((*WAYS[job.format].packages, "trivet")),
        }
        text = json.dumps(about, indent=2) + "\n"
        (job.folder / ABOUT).write_text(text, encoding="utf-8")

    def _keep_log(self, job: Job) -> None:
        with suppress(OSError):
            shutil.copyfile(job.log, self._log_of(job.format))

    def _log_of(self, format_: ExportFormat) -> Path:
        return self._output / f"{format_}.log"
