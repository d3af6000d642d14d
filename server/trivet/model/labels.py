"""Names of classes: the label files that a config gives its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trivet.config import ModelConfig
from trivet.config_file import Faults

Labels = Mapping[str, tuple[str, ...]]  # by output; the n-th names the n-th value of a row


def labels_of(config: ModelConfig, folder: Path, faults: Faults) -> Labels:
    """The labels of the outputs that have them, one a line; a file that cannot be read is a fault.

    folder: the model's own, in which the files lie; no link is followed out of it.
    """
    labels = {}
    for index, spec in enumerate(config.outputs):
        if not spec.label_filename:
            continue
        where = f"{config.name}/config.pbtxt: output[{index}].label_filename"
        path = (folder / spec.label_filename).resolve()
        if not path.is_relative_to(folder.resolve()):
            what = f"'{spec.label_filename}' lies outside of the model's folder"
            faults.add(where, what, "put the file itself into it")
            continue
        try:
            labels[spec.name] = tuple(path.read_text("utf-8").splitlines())
        except UnicodeDecodeError:
            faults.add(where, f"'{spec.label_filename}' is not UTF-8", "convert it")
        except OSError as error:
            what = f"'{spec.label_filename}': {error.strerror}"
            faults.add(where, what, "add the file, one label a line, or remove the field")
    return labels
