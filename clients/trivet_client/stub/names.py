"""Python names for what models and tensors are called, which may be anything."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Collection, Iterable, Mapping


def arguments(names: Iterable[str], kind: str, reserved: Collection[str]) -> Mapping[str, str]:
    """A lower-case identifier for each name, all different, none a keyword or reserved.

    kind: leads a name that begins with a digit, and stands for one without a letter: "input".
    Names that meet are told apart by a number in their order: text, text_2.
    """
    chosen: dict[str, str] = {}
    for name in names:
        chosen[name] = _free(_argument(name, kind), reserved, chosen.values())
    return chosen


def class_name(model: str, reserved: Collection[str]) -> str:
    """The name of a model's class: fill_mask is FillMask, 3d-bert is Model3dBert."""
    words = _identifier_characters(model).split("_")
    name = "".join(word[:1].upper() + word[1:] for word in words)
    name = unicodedata.normalize("NFKC", name)
    if not name.isidentifier():
        name = f"Model{name}"
    return f"{name}Model" if name in reserved or keyword.iskeyword(name) else name


def _free(base: str, reserved: Collection[str], taken: Collection[str]) -> str:
    # A trailing underscore is Python's own way out of a reserved word.
    found = f"{base}_" if base in reserved or keyword.iskeyword(base) else base
    number = 1
    while found in taken:
        number += 1
        found = f"{base}_{number}"
    return found


def _argument(name: str, kind: str) -> str:
    # Lower-casing may leave normal form, and Python compares identifiers in it.
    lower = unicodedata.normalize("NFKC", _identifier_characters(name).lower())
    # Leading underscores would be private, or mangled; trailing ones look like a keyword's.
    stripped = lower.strip("_")
    if not stripped:
        return kind
    return stripped if stripped.isidentifier() else f"{kind}_{stripped}"


def _identifier_characters(name: str) -> str:
    """The name in normal form, with underscores for all that cannot be in an identifier."""
    normal = unicodedata.normalize("NFKC", name)
    return "".join(c if f"a{c}".isidentifier() else "_" for c in normal)
