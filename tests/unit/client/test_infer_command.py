"""`trivet infer`: what it asks, what it prints, and one clear line for everything wrong."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fake_server import FakeServer
from trivet_client.commands import infer


@pytest.fixture
def trivet_infer(server: FakeServer) -> Callable[..., int]:
    def run(*argv: str) -> int:
        parser = argparse.ArgumentParser()
        infer.add_arguments(parser)
        return infer.run(parser.parse_args([*argv, "--url", server.address]))

    return run


def stdin(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_candidates_are_shown_with_their_probabilities(trivet_infer: Any, capsys: Any) -> None:
    assert trivet_infer("fill_mask", "--text", "He opened the [MASK].") == 0
    assert capsys.readouterr().out.splitlines() == [
        "He opened the [MASK].",
        "  mask 1  door   50.0%  ████████████",
        "          room   25.0%  ██████",
    ]


def test_answers_come_as_json_lines_too(trivet_infer: Any, capsys: Any) -> None:
    texts = ["--text", "a [MASK]", "--text", "b [MASK]"]
    assert trivet_infer("fill_mask", *texts, "--output-json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["text"], second["text"]) == ("a [MASK]", "b [MASK]")
    assert first["outputs"]["TOKEN"] == [[["door", "room"]]]
    assert first["outputs"]["TOKEN_ID"] == [[[5, 6]]]
    assert first["outputs"]["PROBABILITY"] == [[[0.5, 0.25]]]


def test_a_refused_text_is_one_line_and_the_others_are_answered(
    trivet_infer: Any, capsys: Any
) -> None:
    texts = ["--text", "a", "--text", "refuse", "--text", "b"]
    assert trivet_infer("fill_mask", *texts, "--output-json") == 1
    printed = capsys.readouterr()
    assert printed.err == "trivet: error: [request id: text 2] refused\n"
    assert [json.loads(line)["text"] for line in printed.out.splitlines()] == ["a", "b"]


def test_texts_are_read_from_standard_input(
    trivet_infer: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, "déjà\r\n\nvu".encode())
    assert trivet_infer("fill_mask", "--text", "-", "--output-json") == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert texts == ["déjà", "vu"]


def test_input_that_is_not_utf_8_is_named_by_line(
    trivet_infer: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b"fine\nbro\xffken\n")
    assert trivet_infer("fill_mask", "--text", "-") == 1
    assert "line 2 of standard input is not UTF-8" in capsys.readouterr().err


def test_tensors_are_made_as_the_metadata_asks(
    trivet_infer: Any, capsys: Any, server: FakeServer
) -> None:
    inputs = ["--input", "ids=[[101, 7592]]", "--input", "weight=[2]"]
    assert trivet_infer("encoder", *inputs, "--output-json", "--version", "2") == 0
    (request,) = server.requests
    assert [(i.name, i.datatype, list(i.shape)) for i in request.inputs] == [
        ("ids", "INT64", [1, 2]),
        ("weight", "FP32", [1]),
    ]
    answer = json.loads(capsys.readouterr().out)
    assert answer["outputs"] == {"ids": [[101, 7592]], "weight": [2.0]}
    assert answer["version"] == 2


def test_tensors_are_shown_in_one_line_each(trivet_infer: Any, capsys: Any) -> None:
    values = ", ".join(str(number) for number in range(100))
    assert trivet_infer("encoder", "--input", f"ids=[[{values}]]") == 0
    title, line = capsys.readouterr().out.splitlines()
    assert title == "encoder, version 3"
    assert line.startswith("  ids  INT64 [1, 100]  0 1 2 3")
    assert line.endswith("…")
    assert len(line) <= 80


def test_strings_bools_and_small_integers_are_made(
    trivet_infer: Any, capsys: Any, server: FakeServer
) -> None:
    inputs = ["--input", "x=[0, 255]", "--input", "flag=[true]", "--input", 'name=["é", ""]']
    assert trivet_infer("small", *inputs) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  x  UINT8 [2]  0 255",
        "  flag  BOOL [1]  True",
        '  name  BYTES [2]  "é" ""',
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"ids": [[1, 2]], "weight": [0.5]},
        {
            "inputs": [
                {"name": "ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]},
                {"name": "weight", "data": [0.5]},
            ]
        },
    ],
    ids=["by name", "as over REST"],
)
def test_tensors_are_read_from_a_file(
    trivet_infer: Any, capsys: Any, tmp_path: Path, document: Any
) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(document))
    assert trivet_infer("encoder", "--json", str(file), "--output-json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["outputs"] == {"ids": [[1, 2]], "weight": [0.5]}


def test_tensors_and_parameters_are_read_from_standard_input(
    trivet_infer: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [{"name": "weight", "data": [1]}]
    stdin(monkeypatch, json.dumps({"inputs": inputs, "parameters": {"k": 7}}).encode())
    assert trivet_infer("encoder", "--json", "-") == 0
    assert server.requests[0].parameters["k"].int64_param == 7


def test_parameters_are_sent_with_their_types(trivet_infer: Any, server: FakeServer) -> None:
    given = ["flag=true", "k=7", "ratio=0.5", "word=w", "list=[1]", "eq=a=b"]
    flags = [word for pair in given for word in ("--parameter", pair)]
    assert trivet_infer("encoder", "--input", "weight=[1]", *flags, "--top-k", "3") == 0
    sent = server.requests[0].parameters
    found = {key: getattr(sent[key], sent[key].WhichOneof("parameter_choice")) for key in sent}
    assert found == {
        "flag": True,
        "k": 7,
        "ratio": 0.5,
        "word": "w",
        "list": "[1]",
        "eq": "a=b",
        "top_k": 3,
    }


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["missing", "--text", "a"], "Request for unknown model: 'missing' is not found"),
        (
            ["encoder", "--text", "a"],
            "has no text input TEXT or QUESTION, its inputs are ids INT64 [-1, -1]",
        ),
        (
            ["fill_mask", "--text", "a", "--pair", "b"],
            "has no text input TEXT_PAIR or PASSAGE, its inputs are TEXT BYTES",
        ),
        (["encoder", "--input", "ids=[[1]]", "--pair", "b"], "--pair goes with --text"),
        (["encoder", "--input", "ids"], "--input ids is not NAME=JSON"),
        (["encoder", "--input", "ids=[1"], "--input ids is not JSON:"),
        (["encoder", "--input", "ids=" + "[" * 100_000], "--input ids is nested too deeply"),
        (["encoder", "--input", "IDS=[[1]]"], "model 'encoder' has no input 'IDS'"),
        (["encoder", "--input", "ids=[[1]]", "--input", "ids=[[1]]"], "ids is given twice"),
        (["encoder", "--input", "ids=[1, 2]"], "shape [2], but the model takes [-1, -1]"),
        (["encoder", "--input", "ids=7"], "shape [], but the model takes [-1, -1]"),
        (["encoder", "--input", "weight=[1, 2]"], "shape [2], but the model takes [1]"),
        (["encoder", "--input", "ids=[[1, 2], [3]]"], "'ids'[1] has 1 elements"),
        (["encoder", "--input", "ids=[[1, 2], 3]"], "'ids'[1] is 3, but its neighbours are lists"),
        (["encoder", "--input", "ids=[[1, [2]]]"], "'ids'[0][1] is a list"),
        (["encoder", "--input", "ids=[[1, 1.5]]"], "'ids'[0][1] is 1.5, but INT64 takes whole"),
        (["encoder", "--input", "ids=[[true]]"], "'ids'[0][0] is True, but INT64 takes numbers"),
        (["encoder", "--input", 'ids=[["a"]]'], "'ids'[0][0] is 'a', but INT64 takes numbers"),
        (["encoder", "--input", f"ids=[[{2**63}]]"], "but INT64 goes from"),
        (["encoder", "--input", "weight=[null]"], "'weight'[0] is None, but FP32 takes numbers"),
        (["encoder", "--input", "weight=[1e39]"], "beyond what FP32 can hold"),
        (["half", "--input", "x=[1, 70000]"], "beyond what FP16 can hold"),
        (["small", "--input", "x=[256]"], "'x'[0] is 256, but UINT8 goes from 0 to 255"),
        (["small", "--input", "flag=[1]"], "'flag'[0] is 1, but BOOL takes true and false"),
        (["small", "--input", "name=[1]"], "'name'[0] is 1, but BYTES takes strings"),
        (["encoder", "--json", "/nowhere.json"], "/nowhere.json cannot be read: No such file"),
        (["encoder", "--text", "a", "--parameter", "k"], "--parameter k is not KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_one_line_on_standard_error(
    trivet_infer: Any, capsys: Any, argv: list[str], line: str
) -> None:
    assert trivet_infer(*argv) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("trivet: error: ")
    assert line in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ("[1]", "holds no JSON object"),
        ("{", "is not JSON"),
        ('{"inputs": [{"name": "ids"}]}', "inputs[0] needs a name and data"),
        ('{"inputs": [{"name": "ids", "data": [1], "shape": [1, -1]}]}', "no list of sizes"),
        ('{"inputs": [{"name": "ids", "data": [1], "shape": [1, 2]}]}', "1 values, but shape"),
        ('{"inputs": [], "parameters": 7}', "parameters is no JSON object"),
    ],
)
def test_a_faulty_file_is_one_line_on_standard_error(
    trivet_infer: Any, capsys: Any, tmp_path: Path, document: str, line: str
) -> None:
    file = tmp_path / "request.json"
    file.write_text(document)
    assert trivet_infer("encoder", "--json", str(file)) == 1
    assert line in capsys.readouterr().err


def test_no_server_is_one_line_with_a_cure(capsys: Any) -> None:
    parser = argparse.ArgumentParser()
    infer.add_arguments(parser)
    assert infer.run(parser.parse_args(["m", "--text", "a", "--url", "127.0.0.1:1"])) == 1
    error = capsys.readouterr().err
    assert "no server answers at 127.0.0.1:1; start one with `trivet serve`" in error
    assert error.count("\n") == 1
