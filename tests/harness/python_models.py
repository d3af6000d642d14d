"""Model files as their authors would write them, in Triton's form and in ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

TRITON_ECHO = """
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            return [self.answer(request) for request in requests]

        def answer(self, request):
            numbers = pb_utils.get_input_tensor_by_name(request, "numbers").as_numpy()
            if 666 in numbers:
                error = pb_utils.TritonError("poisoned", pb_utils.TritonError.INVALID_ARG)
                return pb_utils.InferenceResponse(error=error)
            return pb_utils.InferenceResponse(
                [pb_utils.Tensor("same_" + t.name(), t.as_numpy()) for t in request.inputs()]
            )
"""

OWN_ECHO = """
    class Model:
        def execute(self, inputs):
            if 666 in inputs["numbers"]:
                raise ValueError("poisoned in /some/folder/words.txt")
            return {"same_" + name: array for name, array in inputs.items()}
"""

ECHOES: Mapping[str, str] = {"triton": TRITON_ECHO, "own": OWN_ECHO}


def write(folder: Path, code: str) -> None:
    """Write a version's model.py. folder: the version's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(dedent(code))


def config(
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    max_batch_size: int = 8,
    more: str = "",
) -> str:
    """A config.pbtxt of the Python backend. inputs, outputs: name -> type, all of dims [-1]."""
    tensors = "\n".join(
        f'{kind} {{ name: "{name}" data_type: {datatype} dims: [ -1 ] }}'
        for kind, named in (("input", inputs), ("output", outputs))
        for name, datatype in named.items()
    )
    return f'backend: "python"\nmax_batch_size: {max_batch_size}\n{tensors}\n{more}\n'


def add(repository: Path, name: str, code: str, text: str | None = None) -> None:
    """Write a model with one version. text: its config.pbtxt; None: FP32 IN to FP32 OUT."""
    write(repository / name / "1", code)
    if text is None:
        text = config(inputs={"IN": "TYPE_FP32"}, outputs={"OUT": "TYPE_FP32"})
    (repository / name / "config.pbtxt").write_text(text)
