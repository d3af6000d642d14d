"""Small model repositories of the fake backend, written as a user would write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def fake_config(
    *,
    datatype: str = "FP32",
    max_batch_size: int = 8,
    batching: str = "dynamic_batching {}",
    more: str = "",
    **parameters: object,
) -> str:
    """A config.pbtxt of a model that echoes IN as OUT, both [-1].

    parameters: of the fake backend, and of batching. more: text that is added as it is.
    """
    written = "\n".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in parameters.items()
    )
    return f"""
        backend: "fake"
        max_batch_size: {max_batch_size}
        input {{ name: "IN" data_type: {_type(datatype)} dims: [ -1 ] }}
        output {{ name: "OUT" data_type: {_type(datatype)} dims: [ -1 ] }}
        {batching if max_batch_size else ""}
        {written}
        {more}
    """


def pipeline_config(members: Sequence[str], datatype: str = "FP32", max_batch_size: int = 8) -> str:
    """A config.pbtxt that sends IN through models with IN and OUT, one after another, to OUT."""
    names = ["IN", *(f"t{number}" for number in range(1, len(members))), "OUT"]
    steps = "\n".join(
        f"""step {{
            model_name: "{member}" model_version: -1
            input_map {{ key: "IN" value: "{names[number]}" }}
            output_map {{ key: "OUT" value: "{names[number + 1]}" }}
        }}"""
        for number, member in enumerate(members)
    )
    return f"""
        platform: "ensemble"
        max_batch_size: {max_batch_size}
        input {{ name: "IN" data_type: {_type(datatype)} dims: [ -1 ] }}
        output {{ name: "OUT" data_type: {_type(datatype)} dims: [ -1 ] }}
        ensemble_scheduling {{ {steps} }}
    """


def add_model(
    repository: Path, name: str, config: str | None = None, versions: Sequence[int] = (1,)
) -> Path:
    """Write a model's folder and its versions, which are empty; returns the folder.

    config: None for `fake_config()`.
    """
    folder = repository / name
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pbtxt").write_text(fake_config() if config is None else config)
    return folder


def _type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
