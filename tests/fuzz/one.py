"""One target under atheris: python -m tests.fuzz.one TARGET [flags of libFuzzer] CORPUS"""

from __future__ import annotations

import logging
import sys

import atheris

# Only what is imported in here is watched for new ways through it.
with atheris.instrument_imports(include=["trivet", "trivet_protos", "google.protobuf.text_format"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    logging.getLogger("trivet").setLevel(logging.CRITICAL)
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
