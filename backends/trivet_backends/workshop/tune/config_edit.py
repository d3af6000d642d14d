"""A config.pbtxt with other settings, and everything else as somebody wrote it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trivet.config_file.faults import Faults
from trivet.config_file.text import parse
from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.tune.space import Candidate
from trivet_protos.generated import model_config_pb2 as pb

_GROUP = "instance_group"
# What each engine calls its threads: of one instance, or of all together.
_THREADS = {"onnxruntime": "intra_op_thread_count", "openvino": "INFERENCE_NUM_THREADS"}
_TOGETHER = ("openvino",)
_TOKEN = re.compile(r"""\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{}\[\]]|\w+|\s+|.""")


def edited(text: str, candidate: Candidate) -> str:
    """The config with the candidate's settings: lines that have one are changed, others added.

    Raises InvalidConfig if the result is not the same config but for these settings: then the text
    is written in a way that this does not know.
    """
    before = _parsed(text)
    engine = candidate.engine or before.backend
    result = text
    if candidate.engine and candidate.engine != before.backend:
        result = re.sub(r'^(\s*backend\s*:\s*)"[^"]*"', rf'\1"{engine}"', result, flags=re.M)
    if candidate.instances is not None:
        result = _with_instances(result, candidate.instances)
    for key, value in settings(candidate, engine).items():
        result = _with_parameter(result, key, value)
    wanted = pb.ModelConfig()
    wanted.CopyFrom(before)
    _apply(wanted, candidate, engine)
    if _parsed(result) != wanted:
        cure = "write instance_group as one block and parameters one by one, as trivet build does"
        raise InvalidConfig([Fault("config.pbtxt", "cannot be edited as it is written", cure)])
    return result


def settings(candidate: Candidate, engine: str) -> dict[str, str]:
    """The parameters a candidate sets; "" for one that is to be left to the load."""
    found: dict[str, str] = {}
    for key, value in (
        ("max_batch_tokens", candidate.max_batch_tokens),
        ("max_padding_percent", candidate.max_padding_percent),
    ):
        if value is not None:
            found[key] = str(value)
    for name, key in _THREADS.items():
        if candidate.instances is None:
            continue
        threads = candidate.threads or 0
        if name in _TOGETHER:
            threads *= candidate.instances
        found[key] = str(threads) if name == engine and threads else ""
    return found


def _parsed(text: str) -> pb.ModelConfig:
    faults = Faults()
    message = parse(text, "config.pbtxt", faults)
    if message is None:
        raise InvalidConfig(list(faults))
    return message


def _apply(config: pb.ModelConfig, candidate: Candidate, engine: str) -> None:
    if candidate.engine:
        config.backend = engine
    if candidate.instances is not None:
        config.ClearField(_GROUP)
        if candidate.instances:
            kind = pb.ModelInstanceGroup.KIND_CPU
            config.instance_group.add(kind=kind, count=candidate.instances)
    for key, value in settings(candidate, engine).items():
        if value:
            config.parameters[key].string_value = value
        elif key in config.parameters:
            del config.parameters[key]


def _with_instances(text: str, count: int) -> str:
    block = f"{_GROUP} [ {{ kind: KIND_CPU count: {count} }} ]" if count else ""
    blocks = list(_blocks(text, _GROUP))
    if not blocks:
        return _appended(text, block) if block else text
    for start, end in reversed(blocks[1:]):
        text = text[:start] + text[end:]
    start, end = blocks[0]
    return text[:start] + block + text[end:]


def _with_parameter(text: str, key: str, value: str) -> str:
    quoted = f"[\"']{re.escape(key)}[\"']"
    found = re.compile(
        rf'(key\s*:\s*{quoted}\s*,?\s*value\s*:?\s*\{{\s*string_value\s*:\s*)(?:"[^"]*"|\'[^\']*\')'
    )
    if value:
        changed, count = found.subn(rf'\g<1>"{value}"', text)
        line = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        return changed if count else _appended(text, line)
    for start, end in reversed(list(_blocks(text, "parameters"))):
        if found.search(text[start:end]) and text[start:end].count("key") == 1:
            text = text[:start] + text[end:].removeprefix("\n")
    return text


def _appended(text: str, line: str) -> str:
    return f"{text.rstrip()}\n{line}\n"


def _blocks(text: str, field: str) -> Iterator[tuple[int, int]]:
    """From where to where each block of a field at the top goes, its name included."""
    depth, start = 0, None
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in "{[" and len(word) == 1:
            depth += 1
        elif word in "}]" and len(word) == 1:
            depth -= 1
            if depth == 0 and start is not None:
                yield start, token.end()
                start = None
        elif depth == 0 and word == field:
            start = token.start()
