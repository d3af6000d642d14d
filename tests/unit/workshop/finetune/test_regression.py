"""A number per text, and whether a text follows on another: read, learned, built and served."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pytest

from tests.harness.finetune import needs_finetune, trained
from tests.harness.server import serving
from tests.unit.workshop.checkpoints import write_checkpoint
from trivet.cli import main as trivet
from trivet.errors import InvalidConfig
from trivet_backends.workshop.finetune import metrics
from trivet_backends.workshop.finetune.columns import Columns
from trivet_backends.workshop.finetune.data import read_examples
from trivet_backends.workshop.finetune.display import Silence
from trivet_backends.workshop.finetune.examples import HeadTask, Labelled, Rated
from trivet_backends.workshop.finetune.flags import parser as flags
from trivet_backends.workshop.finetune.in_place import check_labels
from trivet_backends.workshop.finetune.prepare import prepare
from trivet_client import Client

FLAGS = ["--unfreeze", "--encoder-learning-rate=0.003", "--learning-rate=0.01", "--epochs=8"]
FLAGS += ["--dropout=0", "--pooling=mean"]


def test_a_label_is_a_number(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a", "label": 3}\n{"text": "b", "label": "-0.5"}\n')
    rows = read_examples(file, HeadTask.REGRESSION, Columns(), None)
    assert [row.value for row in rows if isinstance(row, Rated)] == [3, -0.5]
    for bad in ("true", '"high"', "NaN", "1e999", "[1]", "null"):
        file.write_text(f'{{"text": "a", "label": {bad}}}\n')
        with pytest.raises(InvalidConfig, match=r"line 1: the label '.*' is no number; give a"):
            read_examples(file, HeadTask.REGRESSION, Columns(), None)


def test_a_pair_follows_or_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, columns = tmp_path / "a.csv", Columns(pair="next")
    file.write_text("text,next,label\na,b,True\nc,d,false\n")
    rows = read_examples(file, HeadTask.NEXT_SENTENCE, columns, None)
    assert [row.label for row in rows if isinstance(row, Labelled)] == ["true", "false"]
    file.write_text("text,next,label\na,b,1\n")
    with pytest.raises(InvalidConfig, match="line 2: 'label' is '1'; give true if the second"):
        read_examples(file, HeadTask.NEXT_SENTENCE, columns, None)
    asked = ["finetune", "x", "--task=next_sentence", f"--train={file}", f"--output={tmp_path}/o"]
    assert trivet(asked) == 2
    assert "--pair-column: next_sentence is learned from pairs; name" in capsys.readouterr().err


def test_correlations() -> None:
    wanted = np.array([1.0, 2, 3, 4])
    assert metrics.regression(wanted, wanted**3)["spearman"] == pytest.approx(1)
    assert metrics.regression(wanted, wanted**3)["pearson"] == pytest.approx(0.9514, abs=1e-4)
    assert metrics.regression(wanted, np.ones(4)) == {"pearson": 0, "spearman": 0}


def test_numbers_do_not_follow_on_probabilities(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "stars_labels" / "1"
    folder.mkdir(parents=True)
    (folder / "labels.txt").write_text("stars\n")
    with pytest.raises(InvalidConfig, match="is served with scores by softmax"):
        check_labels(tmp_path / "models", "stars", HeadTask.REGRESSION, ("stars",))


def write_rows(path: Path, task: str) -> Path:
    """The number is how many low letters there are; a text follows that has the same letters."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "next", "stars"])
        for _ in range(200):
            low, other = int(rng.integers(6)), bool(rng.integers(2))
            letters = list(rng.choice(list("abc"), low)) + list(rng.choice(list("xyz"), 5 - low))
            if task == "regression":
                writer.writerow([" ".join(letters), "m", low])
            else:
                one, two = ("a b", "x y") if other else ("a b", "b a")
                writer.writerow([one, two, str(not other)])
    return path


@pytest.mark.slow
@needs_finetune
@pytest.mark.parametrize("task", ["regression", "next_sentence"])
def test_a_head_is_served_as_it_was_trained(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, models = write_rows(tmp_path / "rows.csv", task), tmp_path / "models"
    places = [f"--train={rows}", f"--output={tmp_path / 'out'}", f"--cache={tmp_path / 'cache'}"]
    columns = ["--pair-column=next", "--label-column=stars"]
    publishing = [f"--model-repository={models}", "--name=head"]
    source = write_checkpoint(tmp_path / "tiny")
    assert trained(source, f"--task={task}", *places, *columns, *FLAGS, *publishing) == 0
    told = capsys.readouterr()
    best = {"regression": "spearman", "next_sentence": "accuracy"}[task]
    (score,) = [line.split()[1] for line in told.out.splitlines() if line.startswith(best)]
    assert float(score) > 0.9
    pair = ("a b c x y", "m") if task == "regression" else ("a b", "x y")
    wanted = logits(tmp_path / "out" / "checkpoint", task, *pair)
    with serving(models, log=tmp_path / "log") as server, Client(server.address) as client:
        if task == "regression":
            assert "numbers: 0 to 5" in told.err
            (answer,) = client.classify(pair, timeout_s=60).labels
            assert answer.label == "stars"
            assert answer.score == pytest.approx(wanted[0], abs=1e-4), "the number itself"
            assert answer.score > 1.5, "and no share of one"
        else:
            found = client.next_sentence(*pair, timeout_s=60).probability
            shares = np.exp(wanted) / np.exp(wanted).sum()
            assert found == pytest.approx(shares[0], abs=1e-4)
            assert found < 0.5


def logits(folder: Path, task: str, text: str, pair: str) -> np.ndarray:
    """What transformers makes of the checkpoint."""
    import torch
    import transformers
    from tokenizers import Tokenizer

    kind = {"regression": "SequenceClassification", "next_sentence": "NextSentencePrediction"}[task]
    model = getattr(transformers, f"BertFor{kind}").from_pretrained(folder).eval()
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, pair)
    ids, types = torch.tensor([encoded.ids]), torch.tensor([encoded.type_ids])
    with torch.inference_mode():
        found: np.ndarray = model(input_ids=ids, token_type_ids=types).logits[0].numpy()
    return found


def test_a_model_with_few_positions_is_taught_with_rows_that_fit(
    tmp_path: Path,
) -> None:
    class Heard(Silence):
        def say(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    typed = argparse.ArgumentParser()
    flags.add_arguments(typed)
    rows, source = write_rows(tmp_path / "r.csv", "regression"), write_checkpoint(tmp_path / "tiny")
    asked = [str(source), "--task=regression", f"--train={rows}", "--label-column=stars"]
    options = flags.options_of(typed.parse_args([*asked, f"--output={tmp_path / 'out'}"]))
    assert prepare(options, Heard()).decisive["max_tokens"] == 48
    assert "rows: of 48 tokens at most, the model's positions, not of 128" in said
