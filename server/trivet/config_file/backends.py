"""Which backend runs a model: said by `backend`, by Triton's `platform`, or by a file's name."""

from __future__ import annotations

from collections.abc import Collection

from trivet.config import ModelConfig

# Triton's older way to name a backend and its format in one word.
BACKEND_BY_PLATFORM = {
    "libtorch": "pytorch",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
    "torch_aoti": "pytorch",
}

# Where one backend takes several formats, the platform tells which file it is.
_ARTIFACT_BY_PLATFORM = {
    "tensorflow_graphdef": "model.graphdef",
    "tensorflow_savedmodel": "model.savedmodel",
    "torch_aoti": "model.pt2",
}

# What a version folder holds when default_model_filename says nothing. In order of preference: a
# folder with model.onnx and tokenizer.json is a model that keeps its tokenizer beside it.
ARTIFACT_BY_BACKEND = {
    "onnxruntime": "model.onnx",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
    "pytorch": "model.pt",
    "torch": "model.pt",
    "python": "model.py",
    "tokenizers": "tokenizer.json",
}

# What some take as well, where that is there and the usual file is not.
_OTHERWISE = {"pytorch": "model.pt2", "torch": "model.pt2"}


def backend_of(config: ModelConfig, filenames: Collection[str]) -> str:
    """The backend's name: as written, else told by a file's name; "" where nothing tells it.

    filenames: what lies in the version's folder. A pipeline has no backend.
    """
    if config.backend or config.is_pipeline:
        return config.backend
    if config.default_model_filename:
        return _backend_by_name(config.default_model_filename)
    names = (*ARTIFACT_BY_BACKEND.items(), *_OTHERWISE.items())
    return next((backend for backend, name in names if name in filenames), "")


def artifact_of(config: ModelConfig, backend: str, filenames: Collection[str] = ()) -> str:
    """The file (or folder) a version must hold; "" where the backend alone knows.

    filenames: what lies in the version's folder.
    """
    usual = _ARTIFACT_BY_PLATFORM.get(config.platform) or ARTIFACT_BY_BACKEND.get(backend, "")
    other = _OTHERWISE.get(backend, "")
    if usual not in filenames and other in filenames:
        usual = other
    return config.default_model_filename or usual


def _backend_by_name(filename: str) -> str:
    """By the whole name, else by its ending: bert.int8.onnx runs like model.onnx."""
    stem, _, ending = filename.rpartition(".")
    usual = f"model.{ending}" if stem else ""
    for backend, name in (*ARTIFACT_BY_BACKEND.items(), *_OTHERWISE.items()):
        if name in (filename, usual):
            return backend
    return ""
