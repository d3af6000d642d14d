"""What is asked of labels, as values: what is wrong with it, and from vectors to scores. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Protocol

import numpy as np

from trivet.errors import InvalidInput
from trivet.scheduling.labelling.scores import (
    Scored,
    nearest_centroid,
    nearest_neighbors,
    zero_shot,
)

DEFAULT_TEMPERATURE = 0.05  # sentence encoders are trained with cosines times 20
DEFAULT_TEMPLATE = "This text is about {}."
DEFAULT_NEIGHBORS = 5
MAX_TEMPLATE = 10_000  # characters; each label gets a copy
MAX_LABELS = 1000  # and examples: what one message may make the server embed for one text
# What one answer may hold: texts times labels, and the labels' names as often.
MAX_SCORES = 1_000_000
MAX_NAMES_BYTES = 64 << 20
_PLACE = "{}"  # of the label in a template
_SHOWN = 80  # characters of a label or template that a message repeats


class Labelling(Protocol):
    """Labels, however they are told."""

    @property
    def who(self) -> str:
        """What messages begin with."""

    @property
    def field(self) -> str:
        """What messages call the list of them."""

    @property
    def labels(self) -> Sequence[str]:
        """Each, perhaps several times."""

    @property
    def references(self) -> Sequence[str]:
        """The texts whose vectors a text's is compared with."""

    def check(self) -> None:
        """Raises InvalidInput for the first thing that is wrong, with its place and the cure."""

    def ranked(self, vector: np.ndarray, references: np.ndarray) -> list[Scored]:
        """The labels of a text, the best first. references: [references, width]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShot:
    """Labels that stand for themselves, each in a sentence that the template makes of it.

    template: empty for the usual one. temperature: 0 for the usual one.
    who, field: what messages begin with, and how they name the labels.
    """

    labels: Sequence[str]
    template: str = ""
    multi_label: bool = False
    temperature: float = 0
    who: str = "ZeroShot"
    field: str = "labels"

    @property
    def references(self) -> Sequence[str]:
        template = self.template or DEFAULT_TEMPLATE
        return [template.replace(_PLACE, label.strip()) for label in self.labels]

    def check(self) -> None:
        _check_count(len(self.labels), self.field, self.who)
        _temperature(self.temperature)
        self._check_labels()
        template = self.template or DEFAULT_TEMPLATE
        if len(template) > MAX_TEMPLATE:
            raise InvalidInput(
                f"{self.who}: the template has {len(template)} characters; send at most"
                f" {MAX_TEMPLATE:,}"
            )
        if (places := template.count(_PLACE)) != 1:
            raise InvalidInput(
                f"{self.who}: the template {template[:_SHOWN]!r} has {places} places for the label;"
                f" write {_PLACE} once, as in {DEFAULT_TEMPLATE!r}"
            )

    def _check_labels(self) -> None:
        """Each is there, and once; white space does not count."""
        places: dict[str, int] = {}
        for place, label in enumerate(self.labels):
            bare = label.strip()
            if not bare:
                raise InvalidInput(
                    f"{self.field}[{place}] is empty; send a word or more, or leave it out"
                )
            first = places.setdefault(bare, place)
            if first != place:
                raise InvalidInput(
                    f"{self.field}[{place}]: {bare[:_SHOWN]!r} is {self.field}[{first}] already;"
                    " send each once"
                )

    def ranked(self, vector: np.ndarray, references: np.ndarray) -> list[Scored]:
        return zero_shot(
            vector,
            self.labels,
            references,
            temperature=_temperature(self.temperature),
            multi_label=self.multi_label,
        )


def check_size(labelling: Labelling, texts: int) -> None:
    """Raises InvalidInput if so many texts would have an answer that is too large."""
    names = set(labelling.labels)
    size = sum(len(name.encode()) for name in names)
    if texts * len(names) > MAX_SCORES or texts * size > MAX_NAMES_BYTES:
        raise InvalidInput(
            f"{labelling.who}: {texts} texts with {len(names)} labels of {size} bytes are more than"
            f" {MAX_SCORES:,} scores, or {MAX_NAMES_BYTES:,} bytes of labels; split the request"
        )


class Method(StrEnum):
    """How a text is compared with examples."""

    NEAREST_CENTROID = "nearest_centroid"
    NEAREST_NEIGHBORS = "nearest_neighbors"


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShot:
    """Labels by examples: `texts`, each of the label at its place.

    neighbors: that decide; 0 for the usual number. temperature: 0 for the usual one.
    who, field: as of ZeroShot. text_at, label_at: how messages name those of one place.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    method: Method = Method.NEAREST_CENTROID
    neighbors: int = 0
    temperature: float = 0
    who: str = "FewShot"
    field: str = "examples"
    text_at: str = "examples[{}].text"
    label_at: str = "examples[{}].label"

    @property
    def references(self) -> Sequence[str]:
        return self.texts

    def check(self) -> None:
        count = len(self.texts)
        _check_count(count, self.field, self.who)
        _temperature(self.temperature)
        for place, (text, label) in enumerate(zip(self.texts, self.labels, strict=True)):
            for part, at in ((text, self.text_at), (label, self.label_at)):
                if not part.strip():
                    raise InvalidInput(
                        f"{at.format(place)} is empty; send a word or more, or leave it out"
                    )
        labels = {label.strip() for label in self.labels}
        if len(labels) == 1:
            raise InvalidInput(
                f"{self.who}: all {count} examples have the label {labels.pop()[:_SHOWN]!r}; send"
                " examples of at least two labels"
            )
        if not 0 <= self.neighbors <= count:
            raise InvalidInput(
                f"{self.who}: neighbors is {self.neighbors} and there are {count} examples; send at"
                " most as many"
            )

    def ranked(self, vector: np.ndarray, references: np.ndarray) -> list[Scored]:
        labels = [label.strip() for label in self.labels]
        temperature = _temperature(self.temperature)
        if self.method is Method.NEAREST_CENTROID:
            return nearest_centroid(vector, references, labels, temperature=temperature)
        neighbors = self.neighbors or min(DEFAULT_NEIGHBORS, len(labels))
        return nearest_neighbors(
            vector, references, labels, neighbors=neighbors, temperature=temperature
        )


def _temperature(asked: float) -> float:
    """Raises InvalidInput for one that divides nothing."""
    if asked == 0:
        return DEFAULT_TEMPERATURE
    if isfinite(asked) and asked > 0:
        return asked
    raise InvalidInput(
        f"temperature is {asked:g}; send a number above 0, or 0 for {DEFAULT_TEMPERATURE}"
    )


def _check_count(count: int, field: str, who: str) -> None:
    """Raises InvalidInput for none and for too many."""
    one = field.removesuffix("s")
    if not count:
        raise InvalidInput(f"{who}: {field} is empty; send at least one {one}")
    if count > MAX_LABELS:
        raise InvalidInput(f"{who}: {field} has {count} entries; at most {MAX_LABELS} are taken")
