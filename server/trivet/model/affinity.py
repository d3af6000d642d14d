"""Keeping instances, and the threads of their engine, to the cores that a config names."""

from __future__ import annotations

import os
from collections.abc import Collection

from trivet.config import ModelConfig
from trivet.config_file import Faults


def usable_cores() -> frozenset[int]:
    """The cores this thread may use; of the main thread: the process."""
    return frozenset(os.sched_getaffinity(0))


def check_affinity(config: ModelConfig, usable: Collection[int], faults: Faults) -> None:
    """The cores that the config names are such as the process may use."""
    if unusable := sorted(set(config.cpu_affinity) - set(usable)):
        where = f'{config.name}/config.pbtxt: parameters["cpu_affinity"]'
        what = f"the process may not use core {', '.join(map(str, unusable))}"
        faults.add(where, what, f"name some of {', '.join(map(str, sorted(usable)))}")


def keep_to(cores: Collection[int]) -> None:
    """Keep the calling thread, and every thread it starts from now on, to these cores.

    An engine starts its threads while it opens a model, and a thread inherits the cores of the one
    that starts it. So this holds for every engine, whatever its own setting for it is called.
    cores: none: wherever it is.
    """
    if cores:
        os.sched_setaffinity(0, cores)
