"""From a model to the variants that are worth having: the thread that `trivet quantize` follows."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json, as_read, digests
from trivet_backends.workshop.entry import Published, publish
from trivet_backends.workshop.finetune.examples import Example
from trivet_backends.workshop.graph.fill_mask import TARGET_IDS
from trivet_backends.workshop.options import GraphOptions, Pooling
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.quantize import report, to_onnx, to_openvino, to_torch, variants
from trivet_backends.workshop.quantize.decisions import Answers
from trivet_backends.workshop.quantize.judging import Trial, answers_of, trial_of_texts
from trivet_backends.workshop.quantize.labelled import read_labelled, trial_of_rows
from trivet_backends.workshop.quantize.latency import milliseconds
from trivet_backends.workshop.quantize.opening import check_opens
from trivet_backends.workshop.quantize.options import Publish, QuantizeOptions
from trivet_backends.workshop.quantize.publishing import entries
from trivet_backends.workshop.quantize.report import Row, judged
from trivet_backends.workshop.quantize.running import Feeds, Runner, opened
from trivet_backends.workshop.quantize.samples import Samples, parted, read_texts
from trivet_backends.workshop.quantize.source import Signature, Source, found_source, signature_of
from trivet_backends.workshop.quantize.variants import SOURCE, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it all. published: empty where nothing was, or was to be."""

    rows: Sequence[Row]
    metric: str
    document: dict[str, Json]
    published: Sequence[Published]


def quantize(options: QuantizeOptions, announce: Announce) -> Outcome:
    """Make, compare and publish. announce: called with what begins now, for a person.

    Raises InvalidConfig for what is wrong with the model, the files or the options; the repository
    is as it was then. A variant that cannot be made is a row that says so.
    """
    wanted, left_out = variants.chosen(options.variants)
    _check(options)
    with ExitStack() as stack:
        announce(f"reading {options.model}")
        source = stack.enter_context(found_source(options, announce))
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="trivet-quantize-")))
        desk = _Desk(source=source, options=options, scratch=scratch, announce=announce)
        rows = [*desk.rows(wanted), *_left_out(left_out)]
        document = report.document(rows, desk.trial.metric, desk.asked)
        published = _published(desk, rows, document)
        return Outcome(rows=rows, metric=desk.trial.metric, document=document, published=published)


def _check(options: QuantizeOptions) -> None:
    faults = []
    if not 0 <= options.min_accuracy <= 1:
        cure = "give a share of the source's accuracy, from 0 to 1"
        faults.append(Fault("--min-accuracy", f"is {options.min_accuracy:g}", cure))
    if options.texts is None and options.labelled is None:
        cure = "give --texts FILE, one text a line, or --labelled FILE"
        faults.append(Fault("trivet quantize", "there is nothing to compare on", cure))
    is_checkpoint = (Path(options.model) / "config.json").is_file()
    if is_checkpoint and options.repository is None and options.publish is not Publish.NONE:
        cure = "give --model-repository DIR, or --publish none"
        faults.append(Fault("trivet quantize", "a checkpoint lies in no repository", cure))
    if options.next_version and options.publish is Publish.ALL:
        cure = "leave one of them out"
        faults.append(Fault("--next-version", "takes the best alone, --publish all several", cure))
    faults += _unusable(options)
    if faults:
        raise InvalidConfig(faults)


def _unusable(options: QuantizeOptions) -> Iterator[Fault]:
    """Files and folders that cannot be what they are named for; told before hours of work."""
    for flag, file in (("--texts", options.texts), ("--labelled", options.labelled)):
        if file is not None and not file.is_file():
            found = "is a folder" if file.is_dir() else "there is no such file"
            yield Fault(f"{flag} {file}", found, "give a file of texts, or of labelled rows")
    if options.json is not None and not options.json.parent.is_dir():
        yield Fault(f"--json {options.json}", "its folder is not there", "make it first")
    if options.repository is not None and options.repository.is_file():
        where = f"--model-repository {options.repository}"
        yield Fault(where, "is a file", "give a folder; a new one is made")


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """Makes and compares the variants of one source."""

    source: Source
    options: QuantizeOptions
    scratch: Path
    announce: Announce

    @cached_property
    def samples(self) -> Samples:
        graph = self.signature
        targets = TARGET_IDS in graph.inputs
        return Samples(self.source.tokenizer, self.source.task, graph.max_tokens, targets=targets)

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.source.graph)

    @cached_property
    def trial(self) -> Trial:
        return self._parts[1]

    @property
    def asked(self) -> dict[str, Json]:
        """What was asked for, with digests of the files."""
        files = [path for path in (self.options.texts, self.options.labelled) if path]
        plain = {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(self.options).items()
        }
        return {**as_read(plain), "files": digests(files)}

    def rows(self, wanted: Sequence[Variant]) -> list[Row]:
        """The source's row and one for each variant."""
        source, answers = self._row(SOURCE, self.source.graph.parent, None)
        rows, runners = [source], {SOURCE.name: self._opened(SOURCE, self.source.graph.parent)}
        for variant in wanted:
            try:
                self._write(variant)
                check_opens(self.source, variant, self.folder(variant))
                row, _ = self._row(variant, self.folder(variant), answers)
            except Exception as error:  # engines and tools share no base but this
                if isinstance(error, InvalidConfig):
                    told = "; ".join(fault.what for fault in error.faults)
                else:
                    told = " ".join(str(error).split())[:160]
                rows.append(Row(variant=variant, verdict=f"cannot be made: {told}"))
                continue
            rows.append(judged(row, self.options.min_accuracy))
            runners[variant.name] = self._opened(variant, self.folder(variant))
        lengths = {tokens: self.samples.of_length(tokens) for tokens in self._lengths}
        found = milliseconds(runners, lengths, self.options.rounds, self.announce)
        return [replace(row, milliseconds=found.get(row.variant.name, {})) for row in rows]

    def folder(self, variant: Variant) -> Path:
        """Where its files are."""
        return self.scratch / variant.name

    @property
    def _lengths(self) -> list[int]:
        """Of the rows that are timed: no more than the model can take."""
        longest = self.signature.max_tokens
        return sorted({min(tokens, longest) for tokens in self.options.lengths})

    @cached_property
    def _parts(self) -> tuple[list[Feeds], Trial]:
        """What to calibrate with, one text each, and what to judge by."""
        options, source = self.options, self.source
        texts = read_texts(options.texts) if options.texts else []
        some, rest = parted(texts, options.calibration, options.evaluation)
        made = self.samples.of_texts(some)
        if options.labelled is None:
            trial = trial_of_texts(rest, self.samples, source.task, source.scoring)
        else:
            rows = read_labelled(
                options.labelled,
                source.task,
                source.scoring,
                options.columns,
                options.labelled_format,
            )
            calibrating, judging = parted(rows, options.calibration, options.evaluation)
            trial = self._trial_of_rows(rows[: options.evaluation] if texts else judging)
            made = made or list(self._trial_of_rows(calibrating).samples)
        return [self.samples.feeds([sample]) for sample in made], trial

    def _trial_of_rows(self, rows: Sequence[Example]) -> Trial:
        assert self.options.labelled is not None
        source, file = self.source, self.options.labelled.name
        return trial_of_rows(rows, self.samples, source.task, source.scoring, source.labels, file)

    def _opened(self, variant: Variant, folder: Path) -> Runner:
        return opened(variant, folder, self.signature.outputs)

    def _row(self, variant: Variant, folder: Path, source: Answers | None) -> tuple[Row, Answers]:
        self.announce(f"{variant.name}: comparing")
        batches = self.samples.batches(self.trial.samples)
        runner = self._opened(variant, folder)
        answers = answers_of(runner, self.trial, batches)
        score = self.trial.score(source or answers, answers)
        # What holds the weights: OpenVINO's .xml, for one, is a graph of text that grows with none.
        files = [path for path in folder.glob("model.*") if path.suffix != ".xml"]
        size = sum(path.stat().st_size for path in files)
        verdict = "" if source else "the source"
        return Row(variant=variant, size_bytes=size, score=score, verdict=verdict), answers

    def _write(self, variant: Variant) -> None:
        self.announce(f"{variant.name}: making it")
        folder, source = self.folder(variant), self.source.graph
        folder.mkdir()
        target, weights = folder / variant.engine.file, self.options.weights
        match variant:
            case variants.ONNX_INT8_DYNAMIC:
                to_onnx.write_dynamic(source, weights, target)
            case variants.ONNX_INT8_STATIC:
                to_onnx.write_static(source, weights, self._parts[0], target)
            case variants.ONNX_FP16:
                to_onnx.write_half(source, target)
            case variants.OPENVINO_INT8_WEIGHTS:
                to_openvino.write_weights(source, weights, self._parts[0], target)
            case variants.OPENVINO_INT8_STATIC:
                to_openvino.write_static(source, weights, self._parts[0], target)
            case variants.OPENVINO_BF16 if not to_openvino.computes_in("BF16"):
                raise EngineFailed("this machine's CPU does not compute in BF16")
            case variants.OPENVINO_FP16 | variants.OPENVINO_BF16:
                to_openvino.write_half(source, target)
            case _:
                self._write_torch(target)
        gc.collect()  # half-made graphs are as large as the model

    def _write_torch(self, target: Path) -> None:
        if self.source.checkpoint is None:
            raise EngineFailed("is made from a checkpoint folder; give that instead of a model")
        written: Any = self.source.recipe["options"]
        pooling = Pooling(written["pooling"])
        options = GraphOptions(**{**written, "task": self.source.task, "pooling": pooling})
        sample = self.samples.of_length(8)
        to_torch.write_dynamic(
            self.source.checkpoint, options, self.options.weights, sample, target
        )


def _left_out(reasons: dict[str, str]) -> list[Row]:
    return [
        Row(variant=variants.VARIANTS[name], verdict=f"left out: {cure}")
        for name, cure in reasons.items()
    ]


def _published(desk: _Desk, rows: Sequence[Row], document: dict[str, Json]) -> list[Published]:
    options, source = desk.options, desk.source
    best = report.best(rows)
    if options.publish is Publish.NONE or best is None:
        return []
    chosen = [best]
    if options.publish is Publish.ALL:
        chosen = [row for row in report.ranked(rows) if row.passed]
    repository = options.repository or source.repository
    done: dict[str, Published] = {}
    for row in chosen:
        desk.announce(f"{row.variant.name}: publishing")
        recipe: dict[str, Json] = {
            "weights": as_read(asdict(options.weights)),
            "calibration": desk.asked["files"] if row.variant.calibrated else {},
        }
        made = entries(
            source,
            row.variant,
            desk.folder(row.variant),
            recipe,
            document,
            into=repository,
            next_version=options.next_version,
        )
        for model in publish(repository, made):
            done.setdefault(model.model, model)
    return list(done.values())
