"""config.pbtxt, Triton's format, to `ModelConfig` and back. All faults of a file are told at once.

`text` parses, `enums` refuses numbers that stand for nothing, `served` what is not served yet;
`reader` reads (with `batching`, `ensemble`, `ragged` and `reshape`), `writer` writes, `backends`
tells the backend.
"""

from trivet.config_file.as_json import to_json
from trivet.config_file.backends import artifact_of, backend_of
from trivet.config_file.batching import check_padding
from trivet.config_file.datatypes import data_type, wire_name
from trivet.config_file.faults import Faults
from trivet.config_file.override import parses, text_of_json
from trivet.config_file.ragged import check_ragged
from trivet.config_file.reader import read_config
from trivet.config_file.writer import to_proto

__all__ = [
    "Faults",
    "artifact_of",
    "backend_of",
    "check_padding",
    "check_ragged",
    "data_type",
    "parses",
    "read_config",
    "text_of_json",
    "to_json",
    "to_proto",
    "wire_name",
]
