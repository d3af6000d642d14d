"""Pipelines that label texts: what their config.pbtxt has to say."""

from __future__ import annotations

import pytest

from tests.harness.labelling import labelling_config
from trivet.config import LabelTask, ModelConfig
from trivet.config_file import Faults, read_config, to_proto


def read(text: str) -> tuple[ModelConfig | None, list[str]]:
    faults = Faults()
    return read_config(text, "labels/config.pbtxt", "labels", faults), [str(f) for f in faults]


@pytest.mark.parametrize("task", LabelTask)
def test_a_config_as_it_is_built_has_no_fault_and_is_given_back(task: LabelTask) -> None:
    config, faults = read(labelling_config(task))
    assert config is not None, faults
    assert (config.label_task, config.steps[0].model) == (task, "embed")
    again, faults = read(str(to_proto(config)))
    assert again == config, faults


def test_a_task_of_another_name_is_an_ensemble_like_any() -> None:
    config, faults = read(labelling_config(LabelTask.ZERO_SHOT).replace('"zero_shot"', '"other"'))
    assert config is None
    assert "labels/config.pbtxt: output[1]: no step produces 'SCORE'" in "\n".join(faults)


MORE = """step { model_name: "embed" model_version: -1
  input_map { key: "TEXT" value: "LABEL" } output_map { key: "EMBEDDING" value: "E" } }"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "max_batch_size: 0",
            "max_batch_size: 8",
            "max_batch_size: is 8, but labels are not rows of a batch; write 0",
        ),
        (
            "ensemble_scheduling {",
            f"ensemble_scheduling {{ {MORE}",
            "ensemble_scheduling.step: task 'zero_shot' has one step, not 2",
        ),
        (
            'value: "EMBEDDING"',
            'value: "VECTOR"',
            "step[0]: task 'zero_shot' asks a model with TEXT and EMBEDDING for vectors; map TEXT",
        ),
        (
            'name: "LABEL" data_type: TYPE_STRING dims: [ -1 ]',
            'name: "LABEL" data_type: TYPE_STRING dims: [ 3 ]',
            "labels/config.pbtxt: input: task 'zero_shot' has inputs of its own; write { name:"
            ' "TEXT" data_type: TYPE_STRING dims: [ -1, 1 ] }, { name: "LABEL" data_type:',
        ),
        (
            'name: "SCORE" data_type: TYPE_FP32',
            'name: "SCORE" data_type: TYPE_FP64',
            "labels/config.pbtxt: output: task 'zero_shot' has outputs of its own",
        ),
        ('model_name: "embed"', "", "step[0].model_name: is missing"),
    ],
)
def test_what_the_task_cannot_do_with_is_a_fault(old: str, new: str, said: str) -> None:
    text = labelling_config(LabelTask.ZERO_SHOT)
    assert text.count(old) == 1
    config, faults = read(text.replace(old, new))
    assert config is None
    assert said in "\n".join(faults)
