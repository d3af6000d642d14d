"""Where instances run: the cores they are kept to.

parameters { key: "cpu_affinity" value { string_value: "0-3,8" } }    as taskset writes them
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trivet.config import Platform
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

AFFINITY = "cpu_affinity"

_PART = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")


def cpu_affinity(
    message: pb.ModelConfig, parameters: Mapping[str, str], where: str, faults: Faults
) -> tuple[int, ...]:
    """The cores a model's instances, and the threads of their engine, are kept to; ascending.

    Whether the process may use them is known at load.
    """
    written = parameters.get(AFFINITY)
    if written is None:
        return ()
    at = f'{where}: parameters["{AFFINITY}"]'
    if message.platform == Platform.ENSEMBLE.value:
        faults.add(at, "a pipeline has no instances", "set it on the pipeline's members")
    cores: set[int] = set()
    for part in written.split(","):
        found = _PART.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            faults.add(at, f"'{written}' names no cores", 'write them so: "0-3,8"')
            return ()
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))
