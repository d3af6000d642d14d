"""A configuration in JSON, as clients send it with a load, to the text of a config.pbtxt."""

from __future__ import annotations

from google.protobuf import json_format, text_format

from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb
from trivet_protos.pool import POOL


def text_of_json(written: str, where: str, faults: Faults) -> str | None:
    """The same configuration as protobuf text; None, and a fault, if it cannot be read.

    where: how messages name it, e.g. "embed: parameter 'config'".
    """
    cure = "send the model's configuration as JSON, with the field names of config.pbtxt"
    try:
        message = json_format.Parse(written, pb.ModelConfig())
    except (json_format.ParseError, RecursionError, ValueError) as error:
        what = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        faults.add(where, f"does not parse: {what}", cure)
        return None
    return text_format.MessageToString(message)


def parses(text: str) -> bool:
    """Whether a config.pbtxt is protobuf text of a model's configuration at all."""
    try:
        text_format.Parse(text, pb.ModelConfig(), descriptor_pool=POOL)
    except (text_format.ParseError, ValueError):
        return False
    return True
