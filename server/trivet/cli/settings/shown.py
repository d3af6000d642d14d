"""Settings for people to read, and as a file that says the same again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.unserved import FLAGS as UNSERVED
from trivet.cli.settings.settled import DEFAULT
from trivet.cli.settings.sources import Said

HEADINGS = ("SETTING", "VALUE", "FROM")


def rows(said: Iterable[Said]) -> Iterator[tuple[str, str, str]]:
    """Name, value and source of each, without secrets."""
    for each in _worth_telling(said):
        texts = [_redacted(each.flag, text) for text in each.texts]
        yield each.flag.name, "; ".join(texts) or "-", each.source


def as_toml(said: Iterable[Said]) -> str:
    """A settings file. What has no value, or a secret, stands there as a comment."""
    return "".join(f"{_line(each)}\n" for each in _worth_telling(said) if each.flag.by_file)


def _worth_telling(said: Iterable[Said]) -> Iterator[Said]:
    """Flags of Triton's without effect are told of if somebody said them."""
    return (each for each in said if each.source != DEFAULT or each.flag not in UNSERVED)


def _line(said: Said) -> str:
    flag = said.flag
    if any(_redacted(flag, text) != text for text in said.texts):
        return f"# {flag.name} is left out: it holds a secret ({said.source})"
    if not said.texts:
        return f"# {flag.name} ="
    values = [_literal(flag, text) for text in said.texts]
    value = f"[{', '.join(values)}]" if flag.repeated else values[0]
    return f"{flag.name} = {value}" + ("" if said.source == DEFAULT else f"  # {said.source}")


def _literal(flag: Flag, text: str) -> str:
    """Whole numbers and switches as such, all else as a text."""
    if text in ("true", "false") and flag.metavar in ("", "true|false"):
        return text
    if text.isascii() and text.isdecimal() and str(int(text)) == text:
        return text
    # JSON's texts are TOML's, but for a character that TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _redacted(flag: Flag, text: str) -> str:
    return flag.redacted(text) if flag.redacted else text
