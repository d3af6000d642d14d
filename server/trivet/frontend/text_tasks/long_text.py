"""What a request says of long texts, as parameters of a model's request."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidInput
from trivet.request import ParameterValue
from trivet_protos.generated import text_pb2 as pb

_LONG_TEXT: Mapping[int, str | None] = {
    pb.LONG_TEXT_UNSPECIFIED: None,
    pb.LONG_TEXT_REFUSE: "refuse",
    pb.LONG_TEXT_TRUNCATE: "truncate",
    pb.LONG_TEXT_WINDOW: "window",
}

Asked = pb.TagTokensRequest | pb.TagTokensStreamRequest | pb.AnswerRequest | pb.AnswerStreamRequest


def long_text(asked: Asked) -> dict[str, ParameterValue]:
    """What is said of it; nothing where that is the model's own. Raises InvalidInput."""
    parameters: dict[str, ParameterValue] = {}
    if (said := enum_value("long_text", asked.long_text, _LONG_TEXT)) is not None:
        parameters["long_text"] = said
    if asked.HasField("stride"):
        parameters["stride"] = asked.stride
    return parameters


def enum_value(field: str, number: int, known: Mapping[int, str | None]) -> str | None:
    """The word for an enum's number. Raises InvalidInput for one that is not known here."""
    if number not in known:
        words = ", ".join(word.upper() for word in known.values() if word)
        raise InvalidInput(f"{field} is {number}, which is unknown here; send one of {words}")
    return known[number]
