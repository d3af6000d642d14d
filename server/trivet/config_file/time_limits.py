"""How long a model's engine may take before it counts as hanging.

parameters { key: "execution_timeout_seconds" value { string_value: "30" } }    0: for ever
parameters { key: "load_timeout_seconds" value { string_value: "600" } }
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from trivet.config import Platform
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

EXECUTION = "execution_timeout_seconds"
LOAD = "load_timeout_seconds"

_LEAST_S = 0.001
_MOST_S = 1e6  # eleven days


def time_limit(
    name: str,
    message: pb.ModelConfig,
    parameters: Mapping[str, str],
    where: str,
    faults: Faults,
) -> float | None:
    """Seconds; None where the config leaves it to the server. name: EXECUTION or LOAD."""
    written = parameters.get(name)
    if written is None:
        return None
    at = f'{where}: parameters["{name}"]'
    if message.platform == Platform.ENSEMBLE.value:
        faults.add(at, "a pipeline computes nothing itself", "set it on the pipeline's members")
    try:
        seconds = float(written)
    except ValueError:
        seconds = -1
    if not isfinite(seconds) or not (seconds == 0 or _LEAST_S <= seconds <= _MOST_S):
        what = f"'{written}' is no number of seconds from {_LEAST_S:g} to {_MOST_S:g}"
        faults.add(at, what, "write one, or 0 for no limit")
        return None
    return seconds
