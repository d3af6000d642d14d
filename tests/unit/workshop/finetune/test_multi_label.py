"""Several labels per text: read, split, scored, learned, built and served."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.harness.finetune import needs_finetune, trained
from tests.harness.server import serving
from tests.unit.workshop.checkpoints import write_checkpoint
from trivet.errors import InvalidConfig
from trivet_backends.workshop.finetune import metrics, split
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import read_examples
from trivet_backends.workshop.finetune.examples import HeadTask, MultiLabelled
from trivet_backends.workshop.finetune.in_place import check_labels
from trivet_client import Client


def read(path: Path, text: str, columns: Columns | None = None) -> list[MultiLabelled]:
    path.write_text(text, encoding="utf-8")
    rows = read_examples(path, HeadTask.MULTI_LABEL, columns or Columns(), None)
    return [row for row in rows if isinstance(row, MultiLabelled)]


def test_labels_are_a_list_or_have_a_separator_between(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.csv", "text,label\na,x | y\nb,x\nc,\n")
    assert [(row.line, row.labels) for row in rows] == [(2, ("x", "y")), (3, ("x",)), (4, ())]
    rows = read(tmp_path / "a.csv", 'text,label\na,"x;y"\n', Columns(separator=";"))
    assert rows[0].labels == ("x", "y")
    rows = read(tmp_path / "a.jsonl", '{"text": "a", "label": ["x", 2]}\n')
    assert rows[0].labels == ("x", "2")
    rows = read(tmp_path / "a.csv", "text,other,label\na,b,x\n", Columns(pair="other"))
    assert rows[0].pair == "b"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,x||y", "line 3: 'label' is empty; give a label"),
        ("a,x|y|x", "line 3: 'label' names 'x' twice; name it once"),
        (" ,x", "line 3: 'text' is empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        read(tmp_path / "a.csv", f"text,label\nfine,x\n{row}\n")
    assert told in error.value.message


def labelled(*sets: str) -> list[MultiLabelled]:
    return [
        MultiLabelled(line=line, text="a", pair=None, labels=tuple(labels.split()))
        for line, labels in enumerate(sets, 2)
    ]


def test_rows_are_parted_by_the_rarest_label_they_have() -> None:
    rows = labelled(*["often rare"] * 10, *["often"] * 40, *[""] * 10)
    parts = split.split(rows, 0.2, seed=0)
    held = Counter(" ".join(row.labels) for row in parts.validation if hasattr(row, "labels"))
    assert held == {"often rare": 2, "often": 8, "": 2}
    assert split.labels_of(rows, (), "f") == ("often", "rare")
    with pytest.raises(InvalidConfig, match="no row has a label"):
        split.labels_of(labelled("", ""), (), "f")
    weights = split.positive_weights({"often": 50, "rare": 10}, rows=60)
    assert weights == pytest.approx([10 / 50, 50 / 10])


def test_scores_count_every_choice() -> None:
    wanted = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    found = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 0]], bool)
    scores = metrics.multi_label(wanted, found)
    assert scores["exact_match"] == pytest.approx(2 / 3)
    assert scores["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert scores["macro_f1"] == pytest.approx((1 + 0) / 2)


def test_one_label_per_text_and_several_do_not_follow_each_other(tmp_path: Path) -> None:
    """Between two versions the scores of one would for a moment be made as the other's are."""
    folder = tmp_path / "models" / "mood_labels"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "labels.txt").write_text("high\nlow\n")
    line = 'parameters { key: "scoring" value { string_value: "sigmoid" } }'
    (folder / "config.pbtxt").write_text(line)
    check_labels(tmp_path / "models", "mood", HeadTask.MULTI_LABEL, ("high", "low"))
    with pytest.raises(InvalidConfig, match="models/mood: is served with scores by sigmoid"):
        check_labels(tmp_path / "models", "mood", HeadTask.CLASSIFY, ("high", "low"))
    with pytest.raises(InvalidConfig, match="is served with the labels high, low"):
        check_labels(tmp_path / "models", "mood", HeadTask.MULTI_LABEL, ("low", "high"))


def write_rows(path: Path, count: int) -> Path:
    """A text has a label for each kind of letter in it; pairs tell of both texts."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "other", "label"])
        for _ in range(count):
            kinds = [kind for kind in ("abc", "xyz") if rng.random() < 0.5]
            letters = [" ".join(rng.choice(list(kind), 3)) for kind in kinds] or ["m"]
            names = "|".join({"abc": "low", "xyz": "high"}[kind] for kind in kinds)
            writer.writerow([letters[0], letters[-1], names])
    return path


@pytest.mark.slow
@needs_finetune
def test_a_head_with_several_labels_is_served_as_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pairs of texts, too: both are what the head sees, and the server is asked for both."""
    rows, models = write_rows(tmp_path / "rows.csv", 160), tmp_path / "models"
    places = [f"--train={rows}", f"--output={tmp_path / 'out'}", f"--cache={tmp_path / 'cache'}"]
    flags = ["--unfreeze", "--balance", "--encoder-learning-rate=0.003", "--learning-rate=0.01"]
    flags += ["--epochs=6", "--pair-column=other", "--pooling=mean", "--dropout=0"]
    publishing = [f"--model-repository={models}", "--name=kinds"]
    source = write_checkpoint(tmp_path / "tiny")
    assert trained(source, "--task=multi_label", *places, *flags, *publishing) == 0
    told = capsys.readouterr()
    assert "labels: high" in told.err
    lines = metrics.read_lines(tmp_path / "out" / "metrics.jsonl")
    scores = [line for line in lines if line["kind"] == "validation"]
    assert float(scores[-1]["micro_f1"]) > 0.9 > 0.5 > float(scores[-1]["loss"])
    assert {"exact_match", "macro_f1"} < scores[-1].keys()

    pairs = (("a b", "x"), ("m", "n"), ("z", "y x"))
    wanted = [head_scores(tmp_path / "out" / "checkpoint", *pair) for pair in pairs]
    with serving(models, log=tmp_path / "log") as server, Client(server.address) as client:
        for pair, scores_of_head in zip(pairs, wanted, strict=True):
            answer = client.classify(pair, timeout_s=60).labels
            assert {one.label: one.score for one in answer} == pytest.approx(
                scores_of_head, abs=1e-4
            )


def head_scores(folder: Path, text: str, pair: str) -> dict[str, float]:
    """What transformers makes of the checkpoint, by label: a sigmoid each."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.problem_type == "multi_label_classification"
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, pair)
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([encoded.ids]), token_type_ids=torch.tensor([encoded.type_ids])
        ).logits[0]
    found = logits.sigmoid().tolist()
    return {model.config.id2label[place]: score for place, score in enumerate(found)}
