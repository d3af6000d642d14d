"""`trivet infer`: ask a served model from the shell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from trivet_client.client import Client
from trivet_client.commands.arguments import version
from trivet_client.commands.infer_labels import labelled, labels_as_json, labels_as_text
from trivet_client.commands.json_tensors import requested, tensor
from trivet_client.commands.render import as_json, as_text
from trivet_client.connection import ADDRESS, TIMEOUT_S
from trivet_client.errors import TrivetError, invalid
from trivet_client.security import add_login_arguments, login
from trivet_client.values import (
    Failure,
    InferRequest,
    InferResult,
    ModelMetadata,
    Parameters,
    ParameterValue,
    TensorMetadata,
)

NAME = "infer"
HELP = "ask a served model from the shell: text or JSON tensors in, tables or JSON out"
DESCRIPTION = """\
Ask a model of a running server. Text goes to the model's input TEXT, one request per text, all on
one stream, so that they are batched; answers are printed in their order as they come. Tensors are
nested JSON lists; the model's metadata tells their data types.
"""
EPILOG = """\
examples:
  trivet infer fill_mask --text "The cat sat on the [MASK]." --top-k 3
  trivet infer embed --text "one text" --text "another" --output-json
  trivet infer embed --text - --output-json < sentences.txt > vectors.jsonl
  trivet infer embed --text "Shares fell sharply." --label sport --label finance
  trivet infer answer --text "Where was she born?" --pair "Ada was born in London." --top-k 3
  trivet infer minilm --input 'input_ids=[[101, 7592, 102]]' \\
      --input 'attention_mask=[[1, 1, 1]]' --input 'token_type_ids=[[0, 0, 0]]'
  trivet infer minilm --json request.json

A JSON file holds {"NAME": nested lists, ...}, or a request as KServe v2 spells it over REST:
{"inputs": [{"name": ..., "shape": [...], "data": [...]}], "parameters": {...}}.

exit status: 0 all answered; 1 something was refused, one line each on standard error.
"""

TEXT_INPUTS = ("TEXT", "QUESTION")  # what pipelines call their text
PAIR_INPUTS = ("TEXT_PAIR", "PASSAGE")  # and the second text of a pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--text",
        metavar="TEXT",
        action="append",
        help="a text; may be given several times; - reads one per line from standard input",
    )
    parser.add_argument(
        "--pair",
        metavar="TEXT",
        action="append",
        default=[],
        help="the second text of a pair, or the passage of a question: one for all texts, or once "
        "for each --text in their order",
    )
    asked.add_argument(
        "--input",
        metavar="NAME=JSON",
        action="append",
        help="an input tensor as nested lists; once per input",
    )
    asked.add_argument("--json", metavar="FILE", help="all input tensors; - is standard input")
    parser.add_argument(
        "--top-k",
        metavar="N",
        type=int,
        help="candidates per mask, labels or answers; short for --parameter top_k=N",
    )
    parser.add_argument(
        "--label",
        metavar="LABEL",
        action="append",
        help="score labels for each text by what they mean; once per label. The model has to be one"
        " that embeds",
    )
    parser.add_argument(
        "--parameter",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a request parameter: true, false, a number, or else a string; once per parameter",
    )
    parser.add_argument(
        "--version",
        metavar="N",
        type=version,
        help="version of the model, by number or alias (default: the latest)",
    )
    parser.add_argument(
        "--url", metavar="HOST:PORT", default=ADDRESS, help="the server (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help=f"for all answers together (default: {TIMEOUT_S:g}; with --text - none)",
    )
    add_login_arguments(parser)
    parser.add_argument(
        "--output-json", action="store_true", help="print one JSON object per answer"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, print; 1 if anything was refused."""
    try:
        known = login(args)
        with Client(args.url, tls=known.tls, token=known.token) as client:
            if args.label:
                return _ask_labels(client, args)
            return _ask_texts(client, args) if args.text else _ask_tensors(client, args)
    except TrivetError as error:
        _complain(error.message)
        return 1


def _ask_texts(client: Client, args: argparse.Namespace) -> int:
    parameters = _parameters(args)
    metadata = client.model_metadata(args.model, version=args.version)
    spec = _text_input(metadata, TEXT_INPUTS)
    pair = _text_input(metadata, PAIR_INPUTS) if args.pair else None
    _check_pairs(args)
    waiting: dict[int, str] = {}  # texts in flight, by number

    def requests() -> Iterator[InferRequest]:
        for index, text in enumerate(_texts(args.text)):
            waiting[index] = text
            yield InferRequest(
                model=args.model,
                inputs=_texts_of(spec, text)
                | (_texts_of(pair, _pair(args, index)) if pair else {}),
                version=args.version,
                parameters=parameters,
                request_id=f"text {index + 1}",
            )

    refused = 0
    endless = "-" in args.text
    timeout_s = args.timeout or (None if endless else TIMEOUT_S)
    for index, answer in client.infer_stream(requests(), timeout_s=timeout_s):
        final = isinstance(answer, Failure) or answer.final
        text = waiting.pop(index) if final else waiting[index]
        if isinstance(answer, Failure):
            _complain(answer.message)
            refused += 1
        else:
            _show(answer, text, args)
    return 1 if refused else 0


def _ask_labels(client: Client, args: argparse.Namespace) -> int:
    if not args.text:
        raise invalid("--label scores labels for texts; give them with --text")
    timeout_s = args.timeout or (None if "-" in args.text else TIMEOUT_S)
    refused = 0
    answers = labelled(
        client,
        _texts(args.text),
        args.label,
        model=args.model,
        version=args.version,
        timeout_s=timeout_s,
    )
    for number, (text, answer) in enumerate(answers, 1):
        if isinstance(answer, Failure):
            _complain(f"text {number}: {answer.message}")
            refused += 1
        else:
            show = labels_as_json if args.output_json else labels_as_text
            print(show(answer, text), flush=True)
    return 1 if refused else 0


def _ask_tensors(client: Client, args: argparse.Namespace) -> int:
    if args.pair:
        raise invalid("--pair goes with --text; give the tensor of second texts with --input")
    values, parameters = _json_request(args)
    metadata = client.model_metadata(args.model, version=args.version)
    result = client.infer(
        args.model,
        _arrays(values, metadata),
        version=args.version,
        parameters={**parameters, **_parameters(args)},
        timeout_s=args.timeout,
    )
    _show(result, None, args)
    return 0


def _show(result: InferResult, text: str | None, args: argparse.Namespace) -> None:
    print(as_json(result, text) if args.output_json else as_text(result, text), flush=True)


def _complain(message: str) -> None:
    print(f"trivet: error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _text_input(metadata: ModelMetadata, names: Sequence[str]) -> TensorMetadata:
    """The input of one of these names that takes text. Raises InvalidArgument if there is none."""
    for spec in metadata.inputs:
        if spec.name in names and spec.datatype == "BYTES":
            return spec
    raise invalid(
        f"model '{metadata.name}' has no text input {' or '.join(names)}, its inputs are "
        f"{_listed(metadata.inputs)}; give tensors with --input, or ask a pipeline over it"
    )


def _texts_of(spec: TensorMetadata, text: str) -> dict[str, np.ndarray]:
    return {spec.name: np.full([1] * len(spec.shape), text, object)}


def _check_pairs(args: argparse.Namespace) -> None:
    """Raises InvalidArgument unless there is one for all, or one for each text."""
    if len(args.pair) > 1 and ("-" in args.text or len(args.pair) != len(args.text)):
        raise invalid(
            f"--pair is given {len(args.pair)} times and --text {len(args.text)} times; give one"
            " --pair for all texts, or one for each --text"
        )


def _pair(args: argparse.Namespace, index: int) -> str:
    return str(args.pair[index if len(args.pair) > 1 else 0])


def _texts(given: Iterable[str]) -> Iterator[str]:
    for text in given:
        if text == "-":
            yield from _lines()
        else:
            yield text


def _lines() -> Iterator[str]:
    """Lines of standard input that are not empty, as they come."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise invalid(
                f"line {number} of standard input is not UTF-8 ({error.reason} at byte "
                f"{error.start}); convert it, for example with iconv"
            ) from error
        if text:
            yield text


def _parameters(args: argparse.Namespace) -> Parameters:
    found: dict[str, ParameterValue] = dict(_parameter(given) for given in args.parameter)
    return found if args.top_k is None else {**found, "top_k": args.top_k}


def _parameter(given: str) -> tuple[str, ParameterValue]:
    key, equals, text = given.partition("=")
    if not key or not equals:
        raise invalid(f"--parameter {given} is not KEY=VALUE")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return key, value if isinstance(value, bool | int | float) else text


def _json_request(args: argparse.Namespace) -> tuple[Mapping[str, object], Parameters]:
    if args.json:
        return requested(_read(args.json), args.json)
    values: dict[str, object] = {}
    for given in args.input:
        name, equals, text = given.partition("=")
        if not name or not equals:
            raise invalid(f"--input {given} is not NAME=JSON, for example 'IDS=[[101, 102]]'")
        if name in values:
            raise invalid(f"--input {name} is given twice; nest the rows in one list")
        values[name] = _parsed(text, f"--input {name}")
    return values, {}


def _read(file: str) -> object:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise invalid(f"--json {file} cannot be read: {error.strerror}") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"--json {file} is not UTF-8 (byte {error.start}); convert it") from error
    return _parsed(text, f"--json {file}")


def _parsed(text: str, where: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise invalid(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise invalid(f"{where} is nested too deeply; a tensor has a few dimensions") from error
    return value


def _arrays(values: Mapping[str, object], metadata: ModelMetadata) -> dict[str, np.ndarray]:
    specs = {spec.name: spec for spec in metadata.inputs}
    for name in values:
        if name not in specs:
            raise invalid(
                f"model '{metadata.name}' has no input '{name}', its inputs are "
                f"{_listed(metadata.inputs)}"
            )
    return {name: tensor(value, specs[name]) for name, value in values.items()}


def _listed(specs: Iterable[TensorMetadata]) -> str:
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs)
