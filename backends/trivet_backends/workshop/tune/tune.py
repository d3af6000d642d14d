"""From a model to the settings that suit this machine: the thread that `trivet tune` follows."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.workshop.config_text import is_untouched
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.tune import evidence as evidences
from trivet_backends.workshop.tune.config_edit import edited
from trivet_backends.workshop.tune.evidence import Evidence
from trivet_backends.workshop.tune.loading import Load, check, loading
from trivet_backends.workshop.tune.options import LoadOptions, TuneOptions
from trivet_backends.workshop.tune.ranking import Goal, Measured, Tried, ranked, winner
from trivet_backends.workshop.tune.search import search
from trivet_backends.workshop.tune.space import Candidate, Choices, candidates
from trivet_backends.workshop.tune.subject import CONFIG, Subject, find_subject
from trivet_backends.workshop.tune.trial_server import copied, serving

TUNED = f"{CONFIG}.tuned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """written: where the settings went; None: nowhere. note: why there, or why not."""

    evidence: Evidence
    written: Path | None
    note: str


def tune(options: TuneOptions, announce: Announce) -> Outcome:
    """Search, and write what was found. announce: called with what begins now, for a person.

    Raises InvalidConfig for what is wrong with the repository, the model or the options, and for a
    config that cannot be edited as it is written.
    """
    subject = find_subject(options.repository, options.model, options.asked)
    check(options.load)
    space = candidates(_choices(options, subject))
    text = subject.config.read_text(encoding="utf-8")
    configs = {candidate: edited(text, candidate) for candidate in space}
    goal = Goal(p99_ms=options.p99_ms, at_a_rate=options.load.rate is not None)
    # Beside the repository: weights can be linked then instead of copied.
    with (
        TemporaryDirectory(prefix=".trivet-tune-", dir=_beside(options.repository)) as scratch,
        loading(options.load) as load,
    ):
        trial = _Trial(subject, copied(subject, Path(scratch, "models")), configs, load)
        tried, finals = search(space, goal, trial.measure, announce)
    best = winner(finals, goal)
    found = Evidence(
        model=subject.tuned,
        asked=subject.asked,
        load=told(options.load),
        goal=goal,
        tried=tried,
        winner=next((one for one in tried if best and one.candidate == best.candidate), None),
        config=configs[best.candidate] if best else "",
        date=datetime.now(UTC),
    )
    return written(options, subject, text, found)


def shortfall(evidence: Evidence) -> str:
    """How close the best came to the bound that nothing met."""
    best: Tried = ranked(evidence.tried, evidence.goal)[0]
    if best.failed:
        return f"no candidate could be measured; of {best.candidate}: {best.failed}"
    bound = evidence.goal.p99_ms
    return (
        f"nothing meets the bound of {bound:g} ms: the closest is {best.candidate} with a p99 of "
        f"{best.p99_ms:.1f} ms at {best.texts_per_s:.0f} texts/s; ask for less (--rate, "
        f"--concurrency), allow more (--p99-ms), or make the model faster (trivet quantize)"
    )


def told(load: LoadOptions) -> str:
    """The load in words."""
    texts = load.texts.name if load.texts else load.lengths
    if load.rate is not None:
        return f"{load.rate:g} requests per second, {texts}, {load.duration_s:g} s a run"
    return f"{load.concurrency} callers, {texts}, {load.duration_s:g} s a run"


class _Trial:
    """Measures candidates."""

    def __init__(
        self, subject: Subject, repository: Path, configs: dict[Candidate, str], load: Load
    ) -> None:
        self._subject, self._repository = subject, repository
        self._configs, self._load = configs, load

    def measure(self, candidate: Candidate) -> Measured:
        log = self._repository.parent / "server.log"
        config = self._configs[candidate]
        with serving(self._repository, self._subject, config, log) as server:
            return self._load.measure(server, self._subject.asked)


def _choices(options: TuneOptions, subject: Subject) -> Choices:
    engines = subject.engines
    if options.engine is not None:
        if options.engine not in engines:
            cure = "have model.onnx and model.xml in the newest version, and no file named"
            found = f"'{subject.tuned}' cannot be run by another engine"
            raise InvalidConfig([Fault(f"--engine {options.engine}", found, cure)])
        engines = (options.engine,)
    if not subject.batches:
        cure = "add dynamic_batching { } to its config.pbtxt"
        raise InvalidConfig([Fault(subject.tuned, "does not batch; little can be tuned", cure)])
    return Choices(
        cores=len(os.sched_getaffinity(0)),
        engines=engines,
        instances=options.instances,
        max_batch_tokens=options.max_batch_tokens,
        max_padding_percent=options.max_padding_percent,
    )


def _beside(repository: Path) -> Path | None:
    parent = repository.resolve().parent
    return parent if os.access(parent, os.W_OK) else None


def written(options: TuneOptions, subject: Subject, text: str, found: Evidence) -> Outcome:
    """Write what was found where it belongs. text: the config the search began with."""
    if found.winner is None:
        return Outcome(evidence=found, written=None, note=shortfall(found))
    if options.dry_run:
        return Outcome(evidence=found, written=None, note="dry run: nothing is written")
    folder = subject.config.parent
    if subject.config.read_text(encoding="utf-8") != text:
        raise EngineFailed(f"{subject.tuned}/{CONFIG} changed meanwhile; tune again")
    ours = is_untouched(text) or evidences.wrote(folder, text)
    target, note = subject.config, f"{subject.tuned}/{CONFIG} is rewritten"
    if not (ours or options.force or found.config == text):
        target = folder / TUNED
        note = f"{CONFIG} was edited by hand: see {TUNED} beside it, or say --force"
    if found.config == text:
        # Whose the config is does not change by that: a hand's stays a hand's.
        found = replace(found, config=text if ours else "")
        target = subject.config
        note = f"{subject.tuned}/{CONFIG} stays: nothing is clearly better"
    try:
        if found.config not in ("", text):
            _replace(target, found.config)
        _replace(folder / evidences.JSON, evidences.as_text(found))
        _replace(folder / evidences.MARKDOWN, evidences.markdown(found))
    except OSError as error:
        cure = "check its permissions and its disk"
        what = f"cannot be written ({error.strerror})"
        raise InvalidConfig([Fault(str(folder), what, cure)]) from error
    return Outcome(evidence=found, written=target, note=note)


def _replace(path: Path, text: str) -> None:
    """Write whole or not at all."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
