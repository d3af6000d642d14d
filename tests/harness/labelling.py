"""A model that embeds by words it knows, and the configs of models that label texts with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.harness.frontend import ScriptedModel
from trivet.config import LabelTask, ModelConfig, Step, TensorSpec
from trivet.config_file import Faults, read_config
from trivet.errors import InvalidInput
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse, Stages
from trivet_backends.workshop.beside_configs import Names, few_shot_config, zero_shot_config

DEGREES = {"east": 0, "near": 20, "north": 90, "west": 180}
_NAMES = Names(encoder="minilm", tokenizer="minilm_tokenizer", pipeline="embed", usual=True)


def labelling_config(task: LabelTask) -> str:
    """As `trivet build` writes it, over the model "embed"; without a name of its own."""
    config = zero_shot_config if task is LabelTask.ZERO_SHOT else few_shot_config
    return config(_NAMES).replace(f'name: "{task}"\n', "")


def read_labelling(task: LabelTask) -> ModelConfig:
    """The same, read; named after its task."""
    faults = Faults()
    config = read_config(labelling_config(task), f"{task}/config.pbtxt", str(task), faults)
    faults.raise_if_any()
    assert config is not None
    return config


class Embedder(ScriptedModel):
    """Tells a text's direction by the words in it; refuses poison; remembers who asked.

    turned: degrees that are added, so that vectors of two of them do not compare.
    """

    def __init__(self, name: str = "embed", *, version: int = 1, turned: float = 0) -> None:
        config = ModelConfig(
            name=name,
            backend="fake",
            max_batch_size=8,
            inputs=(TensorSpec(name="TEXT", datatype="BYTES", dims=(1,)),),
            outputs=(TensorSpec(name="EMBEDDING", datatype="FP32", dims=(3,)),),
        )
        super().__init__(config, self._embed, version)
        self.requests: list[InferRequest] = []
        self.asked: Counter[str] = Counter()
        self._turned = turned

    async def _embed(self, request: InferRequest) -> InferResponse:
        text = request.inputs["TEXT"][0, 0].decode()
        self.requests.append(request)
        self.asked[text] += 1
        if "poison" in text:
            raise InvalidInput("this text is poison; send another")
        angle = math.radians(next(d for word, d in DEGREES.items() if word in text) + self._turned)
        vector = [3 * math.cos(angle), 3 * math.sin(angle), len(text) / 30]
        return InferResponse(
            model=request.model,
            version=self.version,
            outputs={"EMBEDDING": np.array([vector], np.float32)},
            parameters={"tokens": len(text.split()) + 2, "truncated": "long" in text},
            stages=Stages(queue_ns=10 * len(text), compute_infer_ns=5),
        )


class OverEncoder(ScriptedModel):
    """The model "embed", which asks the model "encoder" and stays when that is loaded anew."""

    def __init__(self, registry: Registry) -> None:
        step = Step(model="encoder", version=None, input_map={}, output_map={})
        config = replace(Embedder().config, platform="ensemble", backend="", steps=(step,))
        super().__init__(config, self._ask)
        self._registry = registry

    async def _ask(self, request: InferRequest) -> InferResponse:
        with self._registry.acquire("encoder") as encoder:
            return await encoder.infer(request)


def column(texts: Sequence[str]) -> np.ndarray:
    """Texts as the input TEXT: [texts, 1]."""
    return np.array([[text.encode()] for text in texts], object).reshape(len(texts), 1)


def row(texts: Sequence[str]) -> np.ndarray:
    """Labels or examples as an input: [texts]."""
    return np.array([text.encode() for text in texts], object)


def add_labelling(repository: Path, task: LabelTask) -> None:
    """Write such a model into a repository."""
    (repository / task / "1").mkdir(parents=True)
    (repository / task / "config.pbtxt").write_text(labelling_config(task))
