"""The backends and their parameters: `python -m trivet_backends.page > backends/PARAMETERS.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from trivet_backends.fake import behaviour
from trivet_backends.onnxruntime import options as onnxruntime
from trivet_backends.openvino import options as openvino
from trivet_backends.parameters import Parameter
from trivet_backends.python import options as python
from trivet_backends.text.backend import TASK
from trivet_backends.text.tasks import TASKS
from trivet_backends.tokenizers import backend as tokenizers
from trivet_backends.torch import options as torch

_HEAD = """\
# The backends and their parameters

Written from the code by `python -m trivet_backends.page > backends/PARAMETERS.md`; a test compares
them.

`backend: "NAME"` in config.pbtxt chooses one. The artifact lies in the version's folder;
`default_model_filename` names another file. Parameters are
`parameters { key: "NAME" value { string_value: "VALUE" } }`; a name that is almost one of these is
refused, others are passed over, since the server and other tools keep theirs there.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One backend. extra: of the package trivet; empty if its base suffices."""

    name: str
    artifact: str
    does: str
    extra: str = ""
    parameters: Sequence[Parameter[Any]] = ()


BACKENDS = (
    Described(
        name="onnxruntime",
        artifact="`model.onnx`",
        does="ONNX graphs on ONNX Runtime: CPU; CUDA and TensorRT (not yet run on a GPU)",
        extra="onnxruntime",
        parameters=onnxruntime.PARAMETERS,
    ),
    Described(
        name="openvino",
        artifact="`model.xml` with `model.bin`, or ONNX",
        does="OpenVINO on the CPU; with 8-bit weights the fastest on x86",
        extra="openvino",
        parameters=openvino.PARAMETERS,
    ),
    Described(
        name="torch",
        artifact="`model.pt` (TorchScript), else `model.pt2` (torch.export)",
        does="PyTorch on the CPU; CUDA (not yet run on a GPU)",
        extra="torch",
        parameters=torch.PARAMETERS,
    ),
    Described(name="pytorch", artifact="as `torch`", does="Triton's name for it", extra="torch"),
    Described(
        name="tensorrt",
        artifact="`model.plan`",
        does="TensorRT engines on NVIDIA GPUs (not yet run on a GPU); `profile` of `instance_group`"
        " is its one setting",
        extra="tensorrt",
    ),
    Described(
        name="tokenizers",
        artifact="`tokenizer.json`",
        does="texts to token ids, windows over long texts, ids back to texts",
        extra="server",
        parameters=tokenizers.PARAMETERS,
    ),
    Described(
        name="text",
        artifact="none, `labels.txt` or `tokenizer.json`, by task",
        does="what follows an encoder: candidates, labels, spans, vectors",
        extra="server",
        parameters=(TASK,),
    ),
    Described(
        name="python",
        artifact="`model.py`",
        does="code, each instance a process of its own; only with --allow-python-backend=true"
        " ([its page](trivet_backends/python/README.md))",
        parameters=python.PARAMETERS,
    ),
    Described(
        name="fake",
        artifact="none",
        does="echoes its inputs, and fails as it is told to: for tests",
        parameters=behaviour.PARAMETERS,
    ),
)


def page() -> str:
    """The whole page."""
    return "\n".join((_HEAD, _backends(), *_sections()))


def _backends() -> str:
    rows = (
        (
            f"`{one.name}`",
            one.artifact,
            f"`pip install 'trivet[{one.extra}]'`" if one.extra else "",
            one.does,
        )
        for one in BACKENDS
    )
    return _table(("backend", "artifact", "needs", "what it does"), rows)


def _sections() -> Iterable[str]:
    for one in BACKENDS:
        if one.parameters:
            yield f"## {one.name}\n"
            yield _parameters(one.parameters)
        if one.name == "text":
            yield from _tasks()


def _tasks() -> Iterable[str]:
    for name, task in TASKS.items():
        if task.parameters:
            yield f"### text, task {name}\n"
            yield _parameters(task.parameters)


def _parameters(parameters: Sequence[Parameter[Any]]) -> str:
    rows = ((f"`{one.name}`", one.expects, _default(one), one.meaning) for one in parameters)
    return _table(("parameter", "value", "default", "what it does"), rows)


def _default(parameter: Parameter[Any]) -> str:
    """As config.pbtxt would say it; of several words the longest, "true" rather than "1"."""
    value, choice = parameter.default, parameter.expects.removeprefix("one of ")
    if choice == parameter.expects:
        return "" if value is None else str(value)
    words = [word for word in choice.split(", ") if parameter.read(word) == value]
    return max(words, key=len, default="")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
