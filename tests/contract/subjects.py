"""The backends under test: each with an artifact, a config, and requests of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness import (
    artifacts,
    backend_page,
    openvino_artifacts,
    python_models,
    torch_artifacts,
)
from trivet.backend.contract import Backend, LoadContext, Rows, Signature
from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.model import completion
from trivet_backends.fake import FakeBackend
from trivet_backends.onnxruntime import OnnxRuntimeBackend
from trivet_backends.openvino import OpenVinoBackend
from trivet_backends.python.backend import PythonBackend
from trivet_backends.text import TextBackend
from trivet_backends.tokenizers import TokenizersBackend
from trivet_backends.torch import TorchBackend

CANDIDATES = 6


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One backend with all the suite needs to know of it."""

    name: str
    backend: Callable[[], Backend]
    write: Callable[[Path], object] = lambda folder: None  # puts the artifact there
    artifact: str = ""  # the file whose absence must be refused, if there is one
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    wrong_parameter: tuple[str, str]  # a name it knows, and nonsense for it
    request: Callable[[int, int], Rows]  # length, rows -> a request
    bad: Rows
    batch_is_in_dims: bool = False  # without max_batch_size, arrays are as with it
    tolerance: float = 0.0
    marks: tuple[pytest.MarkDecorator, ...] = ()  # where an engine may be missing

    @property
    def config(self) -> ModelConfig:
        return ModelConfig(
            name="subject",
            backend=self.name.split("/")[0],
            max_batch_size=16,
            inputs=self.inputs,
            outputs=self.outputs,
            parameters=self.parameters,
        )

    @property
    def config_without_batching(self) -> ModelConfig:
        if not self.batch_is_in_dims:
            return replace(self.config, max_batch_size=0)
        inputs, outputs = map(_with_batch, (self.inputs, self.outputs))
        return replace(self.config, max_batch_size=0, inputs=inputs, outputs=outputs)

    def without_batch(self, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """A one-row request's arrays as a model that does not batch takes and gives them."""
        if self.batch_is_in_dims:
            return tensors
        return {name: array[0] for name, array in tensors.items()}


def context(folder: Path) -> LoadContext:
    return LoadContext(version=1, path=folder, where="subject/1", threads=1)


def completed(config: ModelConfig, told: Signature) -> ModelConfig:
    """The config with what the artifact tells."""
    faults = Faults()
    complete = completion.completed(config, told, "subject/1", faults)
    faults.raise_if_any()
    return complete


def spec(name: str, datatype: str, *dims: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims)


def _with_batch(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(replace(spec, dims=(-1, *spec.dims)) for spec in specs)


def _random(length: int, rows: int) -> np.random.Generator:
    return np.random.default_rng([length, rows])


def _ids(length: int, rows: int) -> Rows:
    ids = _random(length, rows).integers(1, 50, (rows, length))
    return Rows({"input_ids": ids, "attention_mask": np.ones_like(ids)})


def _texts(length: int, rows: int) -> Rows:
    """`length` words, then a mask; later rows are shorter."""
    words = _random(length, rows).choice(artifacts.WORDS[:6], (rows, length))
    texts = [" ".join([*row[i:], "[MASK]"]).encode() for i, row in enumerate(words)]
    return Rows({"TEXT": np.array(texts, dtype=object).reshape(rows, 1)})


def _candidates(length: int, rows: int, top_k: int = 2) -> Rows:
    """`length` masks."""
    random = _random(length, rows)
    shape = (rows, length, CANDIDATES)
    return Rows(
        {
            "token_ids": random.integers(0, len(artifacts.VOCABULARY), shape),
            "probabilities": random.random(shape, dtype=np.float32),
            "mask_positions": random.integers(-1, 9, shape[:2]),
        },
        {"top_k": top_k},
    )


def _hidden(length: int, rows: int) -> Rows:
    random = _random(length, rows)
    hidden = random.normal(size=(rows, length, 4)).astype(np.float32)
    return Rows({"last_hidden_state": hidden, "attention_mask": np.ones((rows, length), np.int64)})


def _numbers_and_words(length: int, rows: int) -> Rows:
    numbers = _random(length, rows).integers(1, 50, (rows, length))
    words = np.array([b"%d" % n for n in numbers.flat], dtype=object).reshape(rows, length)
    return Rows({"numbers": numbers, "words": words})


def _changed(request: Rows, **inputs: Any) -> Rows:
    return Rows({**request.inputs, **inputs}, request.parameters)


SUBJECTS = (
    Subject(
        name="onnxruntime",
        backend=OnnxRuntimeBackend,
        write=lambda folder: artifacts.write_pooling_graph(folder / "model.onnx"),
        artifact="model.onnx",
        inputs=(spec("input_ids", "INT64", -1), spec("attention_mask", "INT64", -1)),
        outputs=(spec("hidden", "FP32", -1, 4), spec("embedding", "FP32", 4)),
        wrong_parameter=("intra_op_thread_count", "many"),
        request=_ids,
        bad=_changed(_ids(2, 1), input_ids=np.array([[1, 50]])),
        batch_is_in_dims=True,
        tolerance=1e-6,
    ),
    Subject(
        name="openvino",
        backend=OpenVinoBackend,
        write=openvino_artifacts.write_pooling_model,
        artifact="model.xml",
        inputs=(spec("input_ids", "INT64", -1), spec("attention_mask", "INT64", -1)),
        outputs=(spec("hidden", "FP32", -1, 4), spec("embedding", "FP32", 4)),
        wrong_parameter=("NUM_STREAMS", "many"),
        request=_ids,
        bad=_changed(_ids(2, 1), input_ids=np.array([[1, 50]])),
        batch_is_in_dims=True,
        tolerance=1e-6,
        marks=(openvino_artifacts.needs_openvino,),
    ),
    Subject(
        name="torch/scripted",
        backend=TorchBackend,
        write=torch_artifacts.write_scripted_pooling,
        artifact="model.pt",
        inputs=(spec("input_ids", "INT64", -1), spec("attention_mask", "INT64", -1)),
        outputs=(spec("hidden", "FP32", -1, 4), spec("embedding", "FP32", 4)),
        wrong_parameter=("INTRA_OP_THREAD_COUNT", "many"),
        request=_ids,
        bad=_changed(_ids(2, 1), input_ids=np.array([[1, 50]])),
        batch_is_in_dims=True,
        tolerance=1e-6,
        marks=(torch_artifacts.needs_torch,),
    ),
    Subject(
        name="torch/exported",
        backend=TorchBackend,
        write=torch_artifacts.write_exported_pooling,
        inputs=(spec("input_ids", "INT64", -1), spec("attention_mask", "INT64", -1)),
        outputs=(spec("hidden", "FP32", -1, 4), spec("embedding", "FP32", 4)),
        wrong_parameter=("INFERENCE_MODE", "perhaps"),
        request=_ids,
        bad=_changed(_ids(2, 1), input_ids=np.array([[1, 50]])),
        batch_is_in_dims=True,
        tolerance=1e-6,
        marks=(torch_artifacts.needs_torch,),
    ),
    Subject(
        name="tokenizers",
        backend=TokenizersBackend,
        write=artifacts.write_tokenizer,
        artifact="tokenizer.json",
        inputs=(spec("TEXT", "BYTES", 1),),
        outputs=(
            spec("input_ids", "INT64", -1),
            spec("attention_mask", "INT64", -1),
            spec("token_type_ids", "INT64", -1),
            spec("mask_positions", "INT64", -1),
        ),
        wrong_parameter=("max_tokens", "2"),
        request=_texts,
        bad=Rows({"TEXT": np.array([[b""]], dtype=object)}),
    ),
    Subject(
        name="text/fill_mask",
        backend=TextBackend,
        write=artifacts.write_tokenizer,
        artifact="tokenizer.json",
        inputs=(
            spec("token_ids", "INT64", -1, -1),
            spec("probabilities", "FP32", -1, -1),
            spec("mask_positions", "INT64", -1),
        ),
        outputs=(
            spec("TOKEN", "BYTES", -1, -1),
            spec("TOKEN_ID", "INT64", -1, -1),
            spec("PROBABILITY", "FP32", -1, -1),
            spec("MASK_POSITION", "INT64", -1),
        ),
        parameters={"task": "fill_mask"},
        wrong_parameter=("task", "sing"),
        request=_candidates,
        bad=_candidates(2, 1, top_k=CANDIDATES + 1),
    ),
    Subject(
        name="text/pool",
        backend=TextBackend,
        inputs=(spec("last_hidden_state", "FP32", -1, 4), spec("attention_mask", "INT64", -1)),
        outputs=(spec("EMBEDDING", "FP32", 4),),
        parameters={"task": "pool"},
        wrong_parameter=("pooling", "median"),
        request=_hidden,
        bad=_changed(_hidden(2, 1), attention_mask=np.ones((1, 3), np.int64)),
    ),
    Subject(
        name="static",  # of backends/README.md
        backend=backend_page.backend,
        write=backend_page.write_table,
        artifact="vectors.npy",
        inputs=(spec("input_ids", "INT64", -1), spec("attention_mask", "INT64", -1)),
        outputs=(spec("embedding", "FP32", backend_page.WIDTH),),
        wrong_parameter=("normalize", "perhaps"),
        request=_ids,
        bad=_changed(_ids(2, 1), input_ids=np.array([[1, backend_page.VOCABULARY]])),
        batch_is_in_dims=True,
        tolerance=1e-6,
    ),
    *(
        Subject(
            name=f"python/{form}",
            backend=PythonBackend,
            write=lambda folder, code=code: python_models.write(folder, code),
            artifact="model.py",
            inputs=(spec("numbers", "INT64", -1), spec("words", "BYTES", -1)),
            outputs=(spec("same_numbers", "INT64", -1), spec("same_words", "BYTES", -1)),
            parameters={
                f"symbols.{prefix}{name}": "length"
                for prefix in ("", "same_")
                for name in ("numbers", "words")
            },
            wrong_parameter=("close_timeout_s", "-1"),
            request=_numbers_and_words,
            bad=_changed(_numbers_and_words(2, 1), numbers=np.array([[1, 666]])),
        )
        for form, code in python_models.ECHOES.items()
    ),
    Subject(
        name="fake",
        backend=FakeBackend,
        inputs=(spec("numbers", "INT64", -1), spec("words", "BYTES", -1)),
        outputs=(spec("same_numbers", "INT64", -1), spec("same_words", "BYTES", -1)),
        parameters={
            "poison": "666",
            **{f"symbols.{prefix}numbers": "length" for prefix in ("", "same_")},
            **{f"symbols.{prefix}words": "length" for prefix in ("", "same_")},
        },
        wrong_parameter=("delay_us", "-1"),
        request=_numbers_and_words,
        bad=_changed(_numbers_and_words(2, 1), numbers=np.array([[1, 666]])),
    ),
)


def parameters(subjects: Iterable[Subject]) -> list[Any]:
    """The subjects for pytest, each under its name, left out where its engine is missing."""
    return [pytest.param(subject, id=subject.name, marks=subject.marks) for subject in subjects]
