"""What tune decides, in tables of cases: the space, the rungs, who wins, what is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trivet.errors import EngineFailed, InvalidConfig
from trivet_backends.workshop.config_text import resigned
from trivet_backends.workshop.tune import evidence as evidences
from trivet_backends.workshop.tune.config_edit import edited
from trivet_backends.workshop.tune.evidence import Evidence
from trivet_backends.workshop.tune.options import TuneOptions
from trivet_backends.workshop.tune.ranking import Goal, Measured, Tried, ranked, survivors, winner
from trivet_backends.workshop.tune.search import search
from trivet_backends.workshop.tune.space import CURRENT, Candidate, Choices, candidates, rungs
from trivet_backends.workshop.tune.subject import Subject, find_subject
from trivet_backends.workshop.tune.tune import shortfall, written

CONFIG = """\
# Mine.
name: "m"
backend: "onnxruntime"  # the engine
max_batch_size: 8
dynamic_batching { }
instance_group [
  { kind: KIND_CPU  # "}" in a comment
    count: 3 }
]
parameters { key: "max_batch_tokens" value { string_value: "256" } }
# kept
parameters: {
  key: "intra_op_thread_count"
  value: { string_value: "7" }
}
"""
NO_BOUND, SOON = Goal(p99_ms=None, at_a_rate=False), Goal(p99_ms=50, at_a_rate=False)


def one(tokens: int, texts_per_s: float = 1, p99_ms: float = 1, errors: str = "") -> Tried:
    run = Measured(texts_per_s=texts_per_s, p50_ms=p99_ms / 2, p99_ms=p99_ms, errors=errors)
    return Tried(candidate=Candidate(max_batch_tokens=tokens), runs=(run,))


def current(texts_per_s: float, p99_ms: float = 1) -> Tried:
    return Tried(candidate=CURRENT, runs=one(1, texts_per_s, p99_ms).runs)


@pytest.mark.parametrize(
    ("cores", "engines", "splits"),
    [
        (1, (), {(None, 0, 0), (None, 1, 1)}),
        (2, (), {(None, 0, 0), (None, 1, 2), (None, 2, 1)}),
        (4, ("onnxruntime",), {("onnxruntime", n, t) for n, t in ((0, 0), (1, 4), (2, 2), (4, 1))}),
        (1, ("a", "b"), {(e, n, n) for e in ("a", "b") for n in (0, 1)}),
    ],
)
def test_the_cores_are_divided_evenly_or_as_the_load_allows(
    cores: int, engines: tuple[str, ...], splits: set[tuple[str | None, int, int]]
) -> None:
    space = candidates(
        Choices(cores=cores, engines=engines, max_batch_tokens=[64, 128], max_padding_percent=[25])
    )
    assert space[0] == CURRENT
    assert {(c.engine, c.instances, c.threads) for c in space[1:]} == splits
    assert len(set(space)) == len(space) == 1 + 2 * len(splits)


def test_instances_that_are_asked_for_are_the_only_ones() -> None:
    choices = Choices(cores=2, instances=[4], max_batch_tokens=[64], max_padding_percent=[25])
    assert [(c.instances, c.threads) for c in candidates(choices)[1:]] == [(4, 1)]


@pytest.mark.parametrize(
    ("count", "kept"), [(37, [10, 3, 1]), (5, [3, 1]), (3, [1]), (1, [1]), (100, [25, 7, 3, 1])]
)
def test_few_of_each_round_go_on_and_are_looked_at_longer(count: int, kept: list[int]) -> None:
    found = rungs(count)
    assert [rung.kept for rung in found] == kept
    assert [rung.repeats for rung in found] == sorted(rung.repeats for rung in found)


@pytest.mark.parametrize(
    ("goal", "order"),
    [
        (NO_BOUND, [512, 256, 128, 64]),  # the most texts per second
        (SOON, [256, 128, 512, 64]),  # those in time first, then the nearest to it
        (Goal(p99_ms=50, at_a_rate=True), [128, 256, 512, 64]),  # at a rate the soonest
    ],
)
def test_the_better_come_first_and_the_broken_last(goal: Goal, order: list[int]) -> None:
    tried = [one(64, errors="no memory"), one(128, 200, 10), one(256, 300, 40), one(512, 400, 60)]
    assert [t.candidate.max_batch_tokens for t in ranked(tried, goal)] == order


def test_the_config_as_it_stands_always_goes_on() -> None:
    tried = [one(64, 300), one(128, 200), current(100), one(256, errors="broken")]
    assert survivors(tried, NO_BOUND, 1) == [tried[0].candidate, CURRENT]
    assert survivors(tried, NO_BOUND, 4) == [t.candidate for t in tried[:3]]


@pytest.mark.parametrize(
    ("finals", "goal", "wins"),
    [
        ([one(64, 110), current(100)], NO_BOUND, 64),
        ([one(64, 102), current(100)], NO_BOUND, None),  # within the noise
        ([one(64, 102, 40), current(100, 60)], SOON, 64),  # the current one is late
        ([one(64, 90, 40), one(128, 300, 51)], SOON, 64),
        ([one(64, 5, 9), current(5, 10)], Goal(p99_ms=None, at_a_rate=True), 64),
        ([one(64, 5, 9.9), current(5, 10)], Goal(p99_ms=None, at_a_rate=True), None),
    ],
)
def test_the_winner_is_clearly_better_than_what_is_there(
    finals: list[Tried], goal: Goal, wins: int | None
) -> None:
    found = winner(finals, goal)
    assert found is not None and found.candidate.max_batch_tokens == wins


def test_where_nothing_is_in_time_nobody_wins_and_the_closest_is_told() -> None:
    finals = [one(64, 10, 80), one(128, 20, 70)]
    assert winner(finals, SOON) is None
    told = shortfall(_evidence(finals, None))
    assert "nothing meets the bound of 50 ms: the closest is" in told
    assert "a p99 of 70.0 ms at 20 texts/s" in told
    assert "no candidate could be measured" in shortfall(_evidence([one(1, errors="x")], None))


def test_the_search_finds_the_best_through_noise_and_passes_over_what_breaks() -> None:
    space = candidates(Choices(cores=2))
    asked: list[Candidate] = []

    def measure(candidate: Candidate) -> Measured:
        asked.append(candidate)
        if candidate.instances == 1:
            raise EngineFailed("no memory")
        speed = (candidate.max_batch_tokens or 100) + 20 * (len(asked) % 2)  # every other is faster
        return Measured(texts_per_s=speed, p50_ms=1, p99_ms=2)

    said: list[str] = []
    tried, finals = search(space, NO_BOUND, measure, said.append)
    best = winner(finals, NO_BOUND)
    assert best is not None and best.candidate.max_batch_tokens == 512
    assert {t.candidate for t in tried} == set(space)
    assert len(asked) == len(said) < 2.5 * len(space)
    assert len(best.runs) > 3
    assert {t.failed for t in tried if t.candidate.instances == 1} == {"no memory"}
    assert asked.count(CURRENT) >= len(best.runs)


def test_only_what_was_tuned_changes_in_a_config() -> None:
    candidate = Candidate(instances=1, threads=2, max_batch_tokens=64, max_padding_percent=10)
    found = edited(CONFIG, candidate)
    kept = [line for line in CONFIG.splitlines() if "count" not in line and "256" not in line]
    assert [line for line in kept if line not in found.splitlines()] == [
        "instance_group [",
        '  { kind: KIND_CPU  # "}" in a comment',
        "]",
        '  value: { string_value: "7" }',
    ]
    assert "instance_group [ { kind: KIND_CPU count: 1 } ]" in found
    assert 'key: "max_batch_tokens" value { string_value: "64" }' in found
    assert found.endswith(
        'parameters { key: "max_padding_percent" value { string_value: "10" } }\n'
    )
    assert edited(found, candidate) == found
    assert edited(CONFIG, CURRENT) == CONFIG


def test_what_follows_the_load_has_neither_instances_nor_threads() -> None:
    found = edited(CONFIG, Candidate(instances=0, threads=0, max_batch_tokens=64))
    assert "instance_group" not in found
    assert "intra_op_thread_count" not in found
    assert "# kept" in found


def test_another_engine_brings_its_own_word_for_threads() -> None:
    found = edited(CONFIG, Candidate(engine="openvino", instances=2, threads=3))
    assert 'backend: "openvino"  # the engine' in found
    assert 'parameters { key: "INFERENCE_NUM_THREADS" value { string_value: "6" } }' in found
    assert "intra_op_thread_count" not in found


def test_values_in_other_quotes_are_changed_where_they_are() -> None:
    quoted = CONFIG.replace('string_value: "256"', "string_value: '256'")
    found = edited(quoted, Candidate(max_batch_tokens=64))
    assert found == CONFIG.replace('"256"', '"64"')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CONFIG.replace('"onnxruntime"', "'onnxruntime'"), "cannot be edited as it is written"),
        (CONFIG + "max_batch_size: {", "config.pbtxt"),
    ],
)
def test_a_config_that_cannot_be_edited_surely_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidConfig, match=told):
        edited(text, Candidate(engine="openvino"))


@pytest.mark.parametrize(
    ("by", "force", "name"),
    [
        ("build", False, "config.pbtxt"),
        ("tune", False, "config.pbtxt"),
        ("hand", False, "config.pbtxt.tuned"),
        ("hand", True, "config.pbtxt"),
    ],
)
def test_a_hands_work_is_written_over_only_if_told_to(
    tmp_path: Path, by: str, force: bool, name: str
) -> None:
    text = resigned("\n" + CONFIG) if by == "build" else CONFIG
    folder = _model(tmp_path, text)
    best = one(64, 300, 40)
    found = replace(_evidence([best], best), config=text.replace('"256"', '"64"'))
    if by == "tune":
        before = replace(found, config=text)
        (folder / evidences.JSON).write_text(evidences.as_text(before))
    outcome = written(_options(tmp_path, force=force), _subject(tmp_path), text, found)
    assert outcome.written == folder / name
    assert (folder / name).read_text() == found.config
    assert ((folder / "config.pbtxt").read_text() == text) is (name != "config.pbtxt")
    assert (folder / evidences.MARKDOWN).is_file()


def test_a_config_that_stays_is_nobody_elses_for_that(tmp_path: Path) -> None:
    folder = _model(tmp_path, CONFIG)
    best = one(256, 300, 40)
    found = _evidence([best], best)
    outcome = written(_options(tmp_path), _subject(tmp_path), CONFIG, found)
    assert "stays: nothing is clearly better" in outcome.note
    assert not evidences.wrote(folder, CONFIG)


def test_a_dry_run_and_a_missed_bound_write_nothing(tmp_path: Path) -> None:
    folder = _model(tmp_path, CONFIG)
    best = one(64, 300, 40)
    for options, found in (
        (_options(tmp_path, dry_run=True), _evidence([best], best)),
        (_options(tmp_path), _evidence([one(64, 300, 51)], None)),
    ):
        assert written(options, _subject(tmp_path), CONFIG, found).written is None
    assert [path.name for path in folder.iterdir()] == ["config.pbtxt"]


def _model(repository: Path, config: str) -> Path:
    folder = repository / "m"
    folder.mkdir()
    (folder / "config.pbtxt").write_text(config)
    return folder


def _options(repository: Path, *, force: bool = False, dry_run: bool = False) -> TuneOptions:
    return TuneOptions(model="m", repository=repository, force=force, dry_run=dry_run)


def _subject(repository: Path) -> Subject:
    return Subject(
        repository=repository, tuned="m", asked="m", needed=("m",), engines=(), batches=True
    )


def test_the_evidence_tells_all_and_knows_its_own_config(tmp_path: Path) -> None:
    best = one(64, 300, 40)
    found = _evidence([best, one(128, 10, 70), one(256, errors="no | memory")], best)
    page = evidences.markdown(found)
    assert "- date: 2026-01-02 03:04 UTC" in page
    assert "- bound of p99: 50 ms" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [row.rsplit("|", 2)[1].strip() for row in rows[2:4]] == ["chosen", "over the bound"]
    (tmp_path / evidences.JSON).write_text(evidences.as_text(found))
    assert evidences.wrote(tmp_path, found.config)
    assert not evidences.wrote(tmp_path, found.config + "# mine\n")
    assert not evidences.wrote(tmp_path / "elsewhere", found.config)


def _evidence(tried: list[Tried], best: Tried | None) -> Evidence:
    return Evidence(
        model="m",
        asked="p",
        load="64 callers",
        goal=SOON,
        tried=tried,
        winner=best,
        config=CONFIG if best else "",
        date=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )


def test_what_has_no_settings_is_refused_with_the_pipelines_that_run_it(tmp_path: Path) -> None:
    for name, backend in (("m", "onnxruntime"), ("m_tokenizer", "tokenizers"), ("m_x", "text")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(f'backend: "{backend}"')
    steps = "".join(f'step {{ model_name: "{name}" }} ' for name in ("m_tokenizer", "m"))
    (tmp_path / "embed").mkdir()
    (tmp_path / "embed" / "config.pbtxt").write_text(
        f'platform: "ensemble" ensemble_scheduling {{ {steps}}}'
    )
    assert find_subject(tmp_path, "embed", None).tuned == "m"
    with pytest.raises(InvalidConfig) as error:
        find_subject(tmp_path, "m_tokenizer", None)
    assert "m_tokenizer: runs on 'tokenizers', which has no settings" in error.value.message
    assert "or a pipeline that runs it: embed" in error.value.message
    with pytest.raises(InvalidConfig, match="m_x: runs on 'text'"):
        find_subject(tmp_path, "m_x", None)
