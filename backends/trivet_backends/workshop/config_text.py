"""The text of the config.pbtxt files a build writes: Triton's schema, laid out to be edited.

The first line of each carries a checksum of the rest, so that a later build can tell a file as it
wrote it from one that somebody has edited, and leave that one alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Rows of one batch. Length-aware batches are bounded by their tokens long before.
MAX_BATCH_SIZE = 64
_SIGNATURE = "# Written by `trivet build`, and kept as it is once edited ("


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output as config.pbtxt has it; dims without the batch, -1 for any size."""

    name: str
    type: str  # without TYPE_: INT64, FP32, STRING ...
    dims: tuple[int, ...]
    optional: bool = False  # of an input


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a pipeline: the model's tensor names, each with the pipeline's name for it."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def model_config(
    name: str,
    about: str,
    backend: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    parameters: Mapping[str, tuple[str, str]],
) -> str:
    """The config of a model with a backend. parameters: name -> (value, why), in order."""
    sections = [
        _head(name, about, f'backend: "{backend}"'),
        _tensors("input", inputs),
        _tensors("output", outputs),
        "# Requests that wait together are computed together.\ndynamic_batching { }",
        "\n".join(_parameter(key, value, why) for key, (value, why) in parameters.items()),
    ]
    return _signed(sections)


def pipeline_config(
    name: str,
    about: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    steps: Sequence[Step],
) -> str:
    """The config of an ensemble whose steps run the newest version of their models."""
    return _signed(_ensemble(name, about, MAX_BATCH_SIZE, inputs, outputs, steps))


def labelling_config(
    name: str,
    about: str,
    task: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    step: Step,
) -> str:
    """The config of an ensemble that compares vectors of its one step; dims are whole shapes."""
    why = "Each text, label or example is a request of its own to the step's model."
    sections = _ensemble(name, about, 0, inputs, outputs, [step])
    return _signed([*sections, _parameter("task", task, why)])


def is_of_a_build(text: str) -> bool:
    """Whether a build wrote it, edited since or not."""
    return text.startswith(_SIGNATURE)


def is_untouched(text: str) -> bool:
    """Whether a config.pbtxt is exactly as a build wrote it."""
    first, _, rest = text.partition("\n")
    return first == _signature(rest)


def resigned(text: str) -> str:
    """A config that a build wrote, changed by another tool of the workshop, as if built so."""
    return _signed([text.partition("\n")[2].rstrip("\n")])


def _ensemble(
    name: str,
    about: str,
    rows: int,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    steps: Sequence[Step],
) -> list[str]:
    return [
        _head(name, about, 'platform: "ensemble"', rows),
        _tensors("input", inputs),
        _tensors("output", outputs),
        "ensemble_scheduling {\n  step [\n" + ",\n".join(map(_step, steps)) + "\n  ]\n}",
    ]


def _head(name: str, about: str, engine: str, rows: int = MAX_BATCH_SIZE) -> str:
    return f'# {about}\nname: "{name}"\n{engine}\nmax_batch_size: {rows}'


def _tensors(field: str, tensors: Sequence[Tensor]) -> str:
    lines = (
        f'  {{ name: "{tensor.name}" data_type: TYPE_{tensor.type} '
        f"dims: [ {', '.join(map(str, tensor.dims))} ]{' optional: true' * tensor.optional} }}"
        for tensor in tensors
    )
    return f"{field} [\n" + ",\n".join(lines) + "\n]"


def _parameter(key: str, value: str, why: str) -> str:
    comment = f"# {why}\n" if why else ""
    return f'{comment}parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def _step(step: Step) -> str:
    lines = [
        "    {",
        f'      model_name: "{step.model}"',
        "      model_version: -1",
        *(_mapped("input_map", *names) for names in step.inputs.items()),
        *(_mapped("output_map", *names) for names in step.outputs.items()),
        "    }",
    ]
    return "\n".join(lines)


def _mapped(field: str, inside: str, outside: str) -> str:
    return f'      {field} {{ key: "{inside}" value: "{outside}" }}'


def _signed(sections: Sequence[str]) -> str:
    text = "\n\n".join(sections) + "\n"
    return f"{_signature(text)}\n{text}"


def _signature(text: str) -> str:
    return f"{_SIGNATURE}{hashlib.sha256(text.encode()).hexdigest()[:12]})."
