"""Tasks of models with a trained head, from a checkpoint to an answer, by every door.

What is answered is compared with loops in plain Python over the logits of plain numpy, and over
those of transformers where that is installed. On one transport: models see none, and test_answers
asks on both.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.command import trivet
from tests.harness.head_checkpoints import CLASS_LABELS, NER_LABELS, write_head_checkpoint
from tests.harness.head_reference import (
    Found,
    Logits,
    answers_of,
    needs_transformers,
    numpy_logits,
    of_row,
    softmax,
    spans_of,
    tokenizer_of,
    transformers_logits,
)
from tests.harness.server import ServerProcess, serving
from trivet_backends.workshop.build import build
from trivet_backends.workshop.options import BuildOptions, Precision, Task
from trivet_client import AsyncClient, Client, Failure, InferRequest
from trivet_client.errors import InvalidArgument
from trivet_client.head_values import Aggregation

POSITIONS = 64
TEXTS = [
    "Ada Lovelace of London.",
    "the cat sat on the mat",
    "Café in Paris, 東京💡 and É́a!",
    "a",
    "ada love ada love, london paris london; the cafe? ada.",
]
QUESTIONS = ["who is ada", "where is the café in 東京"]
PASSAGE = "Ada Lovelace of London. The cat sat in a café of Paris, 東京💡 is far. " * 4
AGGREGATIONS: tuple[Aggregation, ...] = ("none", "simple", "first", "max", "average")
PAIR = ("the cat sat", "on the mat of ada")


@dataclass(frozen=True)
class Heads:
    """Checkpoints, and a server of what was built from them."""

    folder: Path
    server: ServerProcess

    def checkpoint(self, name: str) -> Path:
        return self.folder / name

    def logits(self, name: str, task: Task, engine: str) -> Logits:
        make = numpy_logits if engine == "numpy" else transformers_logits
        return make(self.checkpoint(name), task)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heads]:
    folder = tmp_path_factory.mktemp("heads")
    repository = folder / "models"
    checkpoints = [
        write_head_checkpoint(folder / "classify", Task.CLASSIFY),
        write_head_checkpoint(
            folder / "topics", Task.CLASSIFY, problem_type="multi_label_classification", seed=1
        ),
        write_head_checkpoint(folder / "tag_tokens", Task.TAG_TOKENS, seed=5),
        write_head_checkpoint(folder / "answer", Task.ANSWER, seed=2),
        write_head_checkpoint(folder / "next_sentence", Task.NEXT_SENTENCE),
    ]
    for checkpoint in checkpoints:
        options = BuildOptions(name=f"tiny_{checkpoint.name}", pipeline=checkpoint.name)
        build(checkpoint, repository, options, lambda _: None)
    with serving(repository, log=folder / "stderr.log") as server:
        yield Heads(folder, server)
        assert server.process.poll() is None, "the server died while it was tested"


@pytest.fixture(scope="module")
def client(heads: Heads) -> Iterator[Client]:
    with Client(heads.server.address, timeout_s=30) as client:
        yield client


@pytest.fixture(params=["numpy", pytest.param("transformers", marks=needs_transformers)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_labels_and_scores_are_those_of_the_head(heads: Heads, client: Client, engine: str) -> None:
    logits = heads.logits("classify", Task.CLASSIFY, engine)
    tokenizer = tokenizer_of(heads.checkpoint("classify"))
    for text, answer in zip(TEXTS, client.classify(TEXTS), strict=True):
        expected = dict(
            zip(CLASS_LABELS, softmax(of_row(logits, tokenizer.encode(text)).tolist()), strict=True)
        )
        found = {one.label: one.score for one in answer.labels}
        assert found == pytest.approx(expected, abs=1e-4)
        assert [one.score for one in answer.labels] == sorted(found.values(), reverse=True)


def test_a_pair_is_classified_with_its_segments(heads: Heads, client: Client, engine: str) -> None:
    logits = heads.logits("classify", Task.CLASSIFY, engine)
    encoding = tokenizer_of(heads.checkpoint("classify")).encode(*PAIR)
    assert set(encoding.type_ids) == {0, 1}
    expected = softmax(of_row(logits, encoding).tolist())
    found = {one.label: one.score for one in client.classify(PAIR).labels}
    assert [found[label] for label in CLASS_LABELS] == pytest.approx(expected, abs=1e-4)


def test_each_of_several_labels_has_a_score_of_its_own(
    heads: Heads, client: Client, engine: str
) -> None:
    logits = heads.logits("topics", Task.CLASSIFY, engine)
    encoding = tokenizer_of(heads.checkpoint("topics")).encode(TEXTS[0])
    expected = [1 / (1 + math.exp(-value)) for value in of_row(logits, encoding).tolist()]
    found = {one.label: one.score for one in client.classify(TEXTS[0], model="topics").labels}
    assert [found[label] for label in CLASS_LABELS] == pytest.approx(expected, abs=1e-4)
    assert abs(sum(expected) - 1) > 0.01  # what a softmax would give


def test_the_second_text_follows_as_the_head_says(
    heads: Heads, client: Client, engine: str
) -> None:
    logits = heads.logits("next_sentence", Task.NEXT_SENTENCE, engine)
    encoding = tokenizer_of(heads.checkpoint("next_sentence")).encode(*PAIR)
    expected = softmax(of_row(logits, encoding).tolist())[0]
    assert client.next_sentence(*PAIR).probability == pytest.approx(expected, abs=1e-4)
    turned = client.next_sentence(*PAIR[::-1]).probability
    assert turned != pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_spans_are_those_of_the_head(
    heads: Heads, client: Client, engine: str, aggregation: Aggregation
) -> None:
    logits = heads.logits("tag_tokens", Task.TAG_TOKENS, engine)
    tokenizer = tokenizer_of(heads.checkpoint("tag_tokens"))
    answers = client.tag_tokens(TEXTS, aggregation=aggregation)
    count = 0
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = spans_of(logits, tokenizer.encode(text), NER_LABELS, aggregation)
        found = [Found(s.label, s.start, s.end, s.score) for s in answer.spans]
        assert _places(found) == _places(expected)
        scores = [one.score for one in expected]
        assert [one.score for one in found] == pytest.approx(scores, abs=1e-4)
        assert [s.text for s in answer.spans] == [text[s.start : s.end] for s in answer.spans]
        count += len(found)
    assert count > len(TEXTS)  # else nothing has been compared


@pytest.mark.parametrize("threshold", [None, -50.0])
def test_answers_are_the_best_spans_over_all_windows(
    heads: Heads, client: Client, engine: str, threshold: float | None
) -> None:
    logits = heads.logits("answer", Task.ANSWER, engine)
    tokenizer = tokenizer_of(heads.checkpoint("answer"))
    tokenizer.enable_truncation(POSITIONS, stride=16, strategy="only_second")
    answers = client.answer(
        QUESTIONS, PASSAGE, top_k=5, stride=16, max_answer_tokens=8, no_answer_threshold=threshold
    )
    for question, answer in zip(QUESTIONS, answers, strict=True):
        encoding = tokenizer.encode(question, PASSAGE)
        windows = [encoding, *encoding.overflowing]
        assert answer.cost.windows == len(windows) > 2
        expected, no_answer = answers_of(logits, windows, max_answer_tokens=8, threshold=threshold)
        best = [one.score for one in expected[:5]]
        assert [one.probability for one in answer.answers] == pytest.approx(best, rel=1e-3)
        assert answer.no_answer_probability == pytest.approx(no_answer, rel=1e-3)
        by_place = {(one.start, one.end): one.score for one in expected}
        for one in answer.answers:
            assert one.probability == pytest.approx(by_place[one.start, one.end], rel=1e-3)
            assert one.text == PASSAGE[one.start : one.end]


def test_a_passage_that_fits_is_one_window(heads: Heads, client: Client) -> None:
    short = "Ada of 東京💡."
    answer = client.answer("who", short, top_k=3)
    assert answer.cost.windows == 1
    assert not answer.cost.truncated
    assert [one.text for one in answer.answers] == [
        short[one.start : one.end] for one in answer.answers
    ]


def test_no_answer_is_told_where_the_threshold_says_so(heads: Heads, client: Client) -> None:
    none = client.answer("who is ada", PASSAGE, no_answer_threshold=1000.0)
    assert none.answers == ()
    assert 0 < none.no_answer_probability < 1
    assert len(client.answer("who is ada", PASSAGE, no_answer_threshold=-1000.0).answers) == 1


def test_windows_give_a_long_text_the_spans_of_its_parts(heads: Heads, client: Client) -> None:
    text = " ".join(TEXTS) * 3
    told = client.tag_tokens(text, long_text="window", stride=20, aggregation="none")
    assert told.cost.windows > 2
    spans = [(span.start, span.end) for span in told.spans]
    assert spans == sorted(set(spans))  # each once, though windows share tokens
    tokenizer = tokenizer_of(heads.checkpoint("tag_tokens"))
    tokenizer.enable_truncation(POSITIONS, stride=20)
    encoding = tokenizer.encode(text)
    logits = heads.logits("tag_tokens", Task.TAG_TOKENS, "numpy")
    by_window = [
        {(one.start, one.end): one for one in spans_of(logits, window, NER_LABELS, "none")}
        for window in (encoding, *encoding.overflowing)
    ]
    for span in told.spans:
        seen = [
            found[span.start, span.end] for found in by_window if (span.start, span.end) in found
        ]
        assert any(
            one.label == span.label and one.score == pytest.approx(span.score, abs=1e-4)
            for one in seen
        )


def test_truncation_is_told(heads: Heads, client: Client) -> None:
    answer = client.answer("who is ada", PASSAGE, long_text="truncate")
    assert (answer.cost.truncated, answer.cost.windows, answer.cost.tokens) == (True, 1, POSITIONS)
    pair = client.classify((PASSAGE, "the cat"), truncate=True)
    assert (pair.cost.truncated, pair.cost.tokens) == (True, POSITIONS)


def test_streams_answer_as_calls_do_and_a_refused_item_fails_alone(
    heads: Heads, client: Client
) -> None:
    streamed = dict(client.tag_tokens_stream([*TEXTS, " "]))
    for index, alone in enumerate(client.tag_tokens(TEXTS)):
        told = streamed[index]
        assert not isinstance(told, Failure)
        assert _rounded(told.spans) == _rounded(alone.spans)
    failed = streamed[len(TEXTS)]
    assert isinstance(failed, Failure)
    assert "nothing but white space" in failed.message
    answered = dict(client.answer_stream([(QUESTIONS[0], PASSAGE), ("who", "")]))
    best = client.answer(QUESTIONS[0], PASSAGE)
    assert _rounded(answered[0].answers) == _rounded(best.answers)  # type: ignore[union-attr]
    assert isinstance(answered[1], Failure)
    assert "the passage is empty" in answered[1].message
    classified = dict(client.classify_stream([TEXTS[0], PAIR]))
    assert _rounded(classified[1].labels) == _rounded(client.classify(PAIR).labels)  # type: ignore[union-attr]
    follows = dict(client.next_sentence_stream([PAIR]))
    assert follows[0].probability == pytest.approx(  # type: ignore[union-attr]
        client.next_sentence(*PAIR).probability, abs=1e-6
    )


async def test_the_asyncio_client_is_answered_the_same(heads: Heads, client: Client) -> None:
    async with AsyncClient(heads.server.address, timeout_s=30) as waiting:
        labels, spans, best, follows = await asyncio.gather(
            waiting.classify(TEXTS, top_k=1),
            waiting.tag_tokens(TEXTS[0], aggregation="max"),
            waiting.answer(QUESTIONS, [PASSAGE, TEXTS[0]]),
            waiting.next_sentence([PAIR[0]], [PAIR[1]]),
        )
        tagged = {index async for index, _ in waiting.tag_tokens_stream(TEXTS)}
        asked = {index async for index, _ in waiting.answer_stream([(QUESTIONS[0], TEXTS[0])])}
        seen = {index async for index, _ in waiting.classify_stream(TEXTS)}
        pairs = {index async for index, _ in waiting.next_sentence_stream([PAIR])}
    alone = client.classify(TEXTS, top_k=1)
    assert [text.labels[0].label for text in labels] == [text.labels[0].label for text in alone]
    expected = client.tag_tokens(TEXTS[0], aggregation="max")
    assert _rounded(spans.spans) == _rounded(expected.spans)
    assert best[0].answers[0].text == client.answer(QUESTIONS[0], PASSAGE).answers[0].text
    assert len(follows) == 1
    assert (len(tagged), len(asked), len(seen), len(pairs)) == (len(TEXTS), 1, len(TEXTS), 1)


def test_a_plain_triton_client_gets_tensors(heads: Heads, client: Client) -> None:
    inputs = []
    for name, texts in (("QUESTION", QUESTIONS), ("PASSAGE", [PASSAGE, TEXTS[0]])):
        tensor = triton.InferInput(name, [2, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()] for text in texts], object))
        inputs.append(tensor)
    with triton.InferenceServerClient(heads.server.address) as asking:
        result = asking.infer("answer", inputs, parameters={"top_k": 2})
    for row, passage in enumerate((PASSAGE, TEXTS[0])):
        alone = client.answer(QUESTIONS[row], passage, top_k=2)
        assert [text.decode() for text in result.as_numpy("ANSWER")[row]] == [
            one.text for one in alone.answers
        ]
        starts = result.as_numpy("START")[row].tolist()
        assert starts == [one.start for one in alone.answers]


def test_rows_with_fewer_spans_are_filled_up(heads: Heads, client: Client) -> None:
    texts = np.array([[text] for text in TEXTS], object)
    outputs = client.infer("tag_tokens", {"TEXT": texts}).outputs
    for row, alone in enumerate(client.tag_tokens(TEXTS)):
        count = len(alone.spans)
        assert outputs["START"][row, :count].tolist() == [span.start for span in alone.spans]
        assert set(outputs["START"][row, count:].tolist()) <= {-1}
        assert set(outputs["LABEL"][row, count:].tolist()) <= {b""}


def test_the_shell_asks_questions_of_a_passage(heads: Heads, client: Client) -> None:
    address = heads.server.address
    asked = ["--text", QUESTIONS[0], "--pair", PASSAGE, "--top-k", "2", "--url", address]
    ended = trivet("infer", "answer", *asked)
    assert ended.status == 0, ended.err
    alone = client.answer(QUESTIONS[0], PASSAGE, top_k=2)
    title, *lines = ended.out.splitlines()
    assert title == QUESTIONS[0]
    assert [line.split("%")[1].split()[0] for line in lines] == [
        f"{one.start}-{one.end}" for one in alone.answers
    ]
    pairs = ["--pair", "a", "--pair", "b"]
    refused = trivet("infer", "classify", "--text", "a", *pairs, "--url", address)
    assert refused.errors == [
        "--pair is given 2 times and --text 1 times; give one --pair for all texts, or one for each"
        " --text"
    ]


@pytest.mark.parametrize(
    ("model", "inputs", "parameters", "told"),
    [
        ("answer", {"QUESTION": "who"}, {}, "input 'PASSAGE' is missing"),
        ("answer", {"QUESTION": "who", "PASSAGE": ""}, {}, "the second text is empty"),
        ("answer", {"QUESTION": "who", "PASSAGE": "a"}, {"top_k": 0}, "send a whole number from 1"),
        (
            "answer",
            {"QUESTION": "who", "PASSAGE": "a"},
            {"no_answer_threshold": "high"},
            "'no_answer_threshold' is 'high'; send a number",
        ),
        (
            "answer",
            {"QUESTION": "who " * 70, "PASSAGE": "a"},
            {},
            "leaves no room for the second",
        ),
        ("answer", {"QUESTION": "who", "PASSAGE": "a"}, {"stride": 64}, "send a stride of at most"),
        ("tag_tokens", {"TEXT": "a"}, {"aggregation": "last"}, "send one of none, simple, first"),
        ("tag_tokens", {"TEXT": "a " * 70}, {}, "send long_text=truncate or window"),
        ("classify", {"TEXT": "a"}, {"top_k": 4}, "send 1 to 3, the number of labels"),
        ("classify", {"TEXT": "a"}, {"long_text": "window"}, "nothing puts the windows of this"),
        ("next_sentence", {"TEXT": "a"}, {}, "input 'TEXT_PAIR' is missing"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_cure(
    client: Client,
    model: str,
    inputs: dict[str, str],
    parameters: dict[str, str | int],
    told: str,
) -> None:
    arrays = {name: np.array([[text]], object) for name, text in inputs.items()}
    with pytest.raises(InvalidArgument) as refused:
        client.infer(model, arrays, parameters=parameters)
    assert told in refused.value.message


def test_one_refused_text_of_a_call_is_named(client: Client) -> None:
    with pytest.raises(InvalidArgument, match=r"^questions\[1\]: the question is empty"):
        client.answer(["who", " "], "Ada.")
    with pytest.raises(InvalidArgument, match=r"3 questions and 2 passages; send a passage for"):
        client.answer(["a", "b", "c"], ["d", "e"])
    with pytest.raises(InvalidArgument, match=r"2 texts and 1 text_pairs|1 of 2 are pairs"):
        client.classify(["a", ("b", "c")])
    with pytest.raises(InvalidArgument, match=r"1 texts and 2 next_texts; send one of next_texts"):
        client.next_sentence(["a"], ["b", "c"])


def test_company_of_many_lengths_changes_nothing(heads: Heads, client: Client) -> None:
    texts = [" ".join(TEXTS[:n]) for n in (1, 2, 1, 3, 2, 1)] * 6
    alone = {text: client.tag_tokens(text, long_text="window").spans for text in set(texts)}
    requests = [
        InferRequest(model="classify", inputs={"TEXT": np.array([["company"]])}) for _ in texts
    ]
    labels = dict(client.infer_stream(requests))
    for index, told in client.tag_tokens_stream(texts, long_text="window"):
        assert not isinstance(told, Failure)
        assert _rounded(told.spans) == _rounded(alone[texts[index]])
    assert len(labels) == len(texts)


@needs_transformers
def test_transformers_own_pipelines_say_the_same(heads: Heads, client: Client) -> None:
    import transformers

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(heads.checkpoint("classify") / "tokenizer.json"),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    for name in ("classify", "topics"):
        model = transformers.BertForSequenceClassification.from_pretrained(heads.checkpoint(name))
        pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
        for text in TEXTS:
            theirs = {one["label"]: one["score"] for one in pipeline(text, top_k=None)}
            ours = {one.label: one.score for one in client.classify(text, model=name).labels}
            assert ours == pytest.approx(theirs, abs=1e-4)
    model = transformers.BertForTokenClassification.from_pretrained(heads.checkpoint("tag_tokens"))
    tagger = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer)
    for aggregation in AGGREGATIONS:
        for text in (TEXTS[0], TEXTS[1], TEXTS[3], TEXTS[4]):  # it takes accents for word pieces
            ours_spans = client.tag_tokens(text, aggregation=aggregation).spans
            theirs_spans = tagger(text, aggregation_strategy=aggregation)
            key = "entity" if aggregation == "none" else "entity_group"
            assert [(s.label, s.start, s.end) for s in ours_spans] == [
                (one[key], one["start"], one["end"]) for one in theirs_spans
            ]
            assert [s.score for s in ours_spans] == pytest.approx(
                [float(one["score"]) for one in theirs_spans], abs=1e-4
            )


def test_other_precisions_are_built_and_checked(heads: Heads, tmp_path: Path) -> None:
    for name in ("tag_tokens", "answer"):
        published = build(
            heads.checkpoint(name),
            tmp_path / "models",
            BuildOptions(
                name=name, pipeline=f"p_{name}", precisions=(Precision.FP16, Precision.INT8)
            ),
            lambda _: None,
        )
        assert [p.model for p in published if "mean_cosine" in p.build.measured] == [
            name,
            f"{name}_int8",
        ]


def _places(found: Sequence[Found]) -> list[tuple[str, int, int]]:
    return [(one.label, one.start, one.end) for one in found]


def _rounded(values: Sequence[object]) -> list[tuple[object, ...]]:
    """Their fields, numbers as far as an engine agrees with itself in other company."""
    return [
        tuple(
            round(field, 4) if isinstance(field, float) else field
            for field in (getattr(value, name) for name in sorted(type(value).__slots__))  # type: ignore[attr-defined]
        )
        for value in values
    ]
