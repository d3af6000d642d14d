"""Which tasks a model can be asked for, from its config alone."""

from __future__ import annotations

from typing import Any

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.fill_mask import TARGET
from trivet.frontend.text_tasks.table import TASKS
from trivet.frontend.text_tasks.task import TEXT_PAIR, Task


def tasks_of(config: ModelConfig) -> list[str]:
    """Their names, in the order of the table.

    A task whose outputs are some of another's is left out: who tags tokens has labels and scores,
    too, but classifies nothing.
    """
    fitting = [task for task in TASKS if _fits(task, config)]
    return [
        task.name
        for task in fitting
        if not any(set(task.outputs) < set(other.outputs) for other in fitting)
    ]


def _fits(task: Task[Any, Any], config: ModelConfig) -> bool:
    brought = {*task.needs, TEXT_PAIR, TARGET}
    if config.decoupled or any(not i.optional and i.name not in brought for i in config.inputs):
        return False
    try:
        Task.check(task, config, None)  # what a request asks for is looked at by the tasks' own
    except InvalidInput:
        return False
    return True
