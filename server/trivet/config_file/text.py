"""Protobuf text format to an `inference.ModelConfig` message, going on after faults where it can.

protobuf's parser stops at the first fault. An unknown field or an impossible value does not hide
what follows, though: the field is blanked out, or a value that causes no further fault put in its
place, and the rest is parsed again, until the text parses, or a fault in the syntax itself leaves
no sure way on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from google.protobuf import text_format

from trivet.config_file.enums import mend_numbers, stand_in, told_of_no_value
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb
from trivet_protos.pool import POOL

_MAX_FAULTS = 20  # each costs one more parse; a file with more is no config.pbtxt

_UNKNOWN_FIELD = re.compile(r'Message type "(?P<owner>[\w.]+)" has no field named "(?P<name>\w+)"')
_UNKNOWN_NAME = re.compile(r'Enum type "(?P<owner>[\w.]+)" has no value named (?P<name>\w+)')
_SECOND_CHOICE = re.compile(r'Field "(?P<name>\w+)" is specified along with field "(?P<other>\w+)"')
_REPEATED = re.compile(r'should not have multiple "(?P<name>\w+)" fields')
_NO_INTEGER = re.compile(r"Couldn't parse integer|Value out of range")
_NO_STRING = re.compile(r"Expected string but found")
_NO_BOOLEAN = re.compile(r'Expected "true" or "false"')

_TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*)|(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<open>[{<\[])|(?P<close>[}>\]])|(?P<colon>:)|(?P<mark>[,;])|(?P<word>[^\s{}<>\[\]:,;\"'\#]+)"
)
_NAME_BEFORE = re.compile(r"\w+\s*:\s*\Z")


def parse(text: str, where: str, faults: Faults) -> pb.ModelConfig | None:
    """Parse a config.pbtxt; each fault is named by line and column.

    Returns what could be read beside the faults, so that its own faults can be told as well, or
    None when nothing sure could be read.
    """
    grown: dict[int, int] = {}  # line -> columns that mending has added to it so far
    for _ in range(_MAX_FAULTS):
        try:
            message = text_format.Parse(text, pb.ModelConfig(), descriptor_pool=POOL)
        except text_format.ParseError as error:
            line, column = error.GetLine() or 1, error.GetColumn() or 1
            # Faults come in the order of the text: all mending so far was left of this one.
            at = f"{where}: line {line}, column {column - grown.get(line, 0)}"
            what = _message(error, text)
            faults.add(at, *_told(what))
            edit = _mending(text, _position(text, line, column), what)
            if edit is None:
                return None
            text = text[: edit.start] + edit.text + text[edit.end :]
            grown[line] = grown.get(line, 0) + len(edit.text) - (edit.end - edit.start)
        except ValueError as error:  # characters that cannot be encoded
            faults.add(where, f"not readable as text ({type(error).__name__})", "save it as UTF-8")
            return None
        else:
            mend_numbers(message, where, faults)
            return message
    faults.add(where, "more faults follow", "mend these first")
    return None


@dataclass(frozen=True, slots=True)
class _Edit:
    """Put `text` in the place of text[start:end]; the number of lines stays."""

    start: int
    end: int
    text: str


def _position(text: str, line: int, column: int) -> int:
    before = text.split("\n")[: line - 1]
    return sum(len(other) + 1 for other in before) + column - 1


def _message(error: text_format.ParseError, text: str) -> str:
    """The parser's message without the position and the quoted line it begins with."""
    lines = text.split("\n")
    line = lines[min(error.GetLine() or 1, len(lines)) - 1]
    message = re.sub(r"\A\d+:\d+ : ", "", str(error))
    return message.removeprefix(f"'{line}': ").removeprefix("'': ").rstrip(".")


def _told(what: str) -> tuple[str, str]:
    """What is wrong in plain words, and the cure."""
    if match := _UNKNOWN_FIELD.search(what):
        message = POOL.FindMessageTypeByName(match["owner"])  # type: ignore[no-untyped-call]
        near = get_close_matches(match["name"], list(message.fields_by_name), 1, 0.5)
        cure = f"did you mean '{near[0]}'?" if near else "remove it or correct its name"
        return f"there is no field '{match['name']}' in {message.name}", cure
    if match := _UNKNOWN_NAME.search(what):
        enum = POOL.FindEnumTypeByName(match["owner"])  # type: ignore[no-untyped-call]
        return told_of_no_value(enum, match["name"])
    if match := _REPEATED.search(what):
        return f"'{match['name']}' is written twice", "keep one of them"
    if match := _SECOND_CHOICE.search(what):
        return f"'{match['name']}' and '{match['other']}' exclude each other", "keep one of them"
    if _NO_STRING.search(what):
        return what[:1].lower() + what[1:], "put it in quotes"
    return what[:1].lower() + what[1:], "correct it: this is protobuf text format"


def _mending(text: str, position: int, what: str) -> _Edit | None:
    """What makes the text go on as if this fault were not there; None where nothing sure does."""
    if _UNKNOWN_FIELD.search(what) or _SECOND_CHOICE.search(what):
        end = _field_end(text, position)
        return None if end is None else _blank(text, position, end)
    token = _TOKEN.match(text, position)
    if token is None or not (token["word"] or token["string"]):
        return None
    if _REPEATED.search(what):
        field = _NAME_BEFORE.search(text, max(0, position - 200), position)
        return _blank(text, field.start(), token.end()) if field else None
    stand_in = _stand_in(what, token[0])
    if stand_in is None or stand_in == token[0]:
        return None
    return _Edit(position, token.end(), stand_in)


def _blank(text: str, start: int, end: int) -> _Edit:
    return _Edit(start, end, re.sub(r"[^\n]", " ", text[start:end]))


def _stand_in(what: str, token: str) -> str | None:
    """The value that was meant, or one that no later check stumbles over."""
    if _NO_STRING.search(what):
        return f'"{token}"'
    if _NO_INTEGER.search(what):
        inner = token.strip("\"'")
        return inner if inner != token and inner.isdecimal() and len(inner) < 10 else "999999999"
    if _NO_BOOLEAN.search(what):
        return "false"
    if match := _UNKNOWN_NAME.search(what):
        return str(stand_in(match["owner"]))
    return None


def _field_end(text: str, start: int) -> int | None:
    """Where the field that begins at `start` ends: behind a {...}, a [...], strings or a word.

    A comma or semicolon behind it belongs to it. None where a bracket is never closed.
    """
    tokens = _tokens(text, start)
    end = next(tokens).end()  # its name
    token = next(tokens, None)
    if token and token["colon"]:
        token = next(tokens, None)
    if token and token["open"]:
        closed = _closing(tokens)
        if closed is None:
            return None
        end, token = closed, next(tokens, None)
    elif token and token["word"]:
        end, token = token.end(), next(tokens, None)
    while token and token["string"]:  # "a" "b" is one value
        end, token = token.end(), next(tokens, None)
    return token.end() if token and token["mark"] else end


def _closing(tokens: Iterator[re.Match[str]]) -> int | None:
    """Where the bracket that was just opened is closed."""
    depth = 1
    for token in tokens:
        depth += bool(token["open"]) - bool(token["close"])
        if depth == 0:
            return token.end()
    return None


def _tokens(text: str, start: int) -> Iterator[re.Match[str]]:
    return (token for token in _TOKEN.finditer(text, start) if not token["comment"])
