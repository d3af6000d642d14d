"""PyTorch served, by Triton's client: TorchScript with a config, torch.export without one.

On one transport: an engine sees none.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.artifacts import EMBEDDINGS
from tests.harness.server import ServerProcess, serving
from tests.harness.torch_artifacts import (
    needs_torch,
    write_exported_pooling,
    write_scripted_pooling,
)

pytestmark = needs_torch

SCRIPTED = """
platform: "pytorch_libtorch"
max_batch_size: 32
input [
  { name: "INPUT__0" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "INPUT__1" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [
  { name: "hidden" data_type: TYPE_FP32 dims: [ -1, 4 ] },
  { name: "embedding" data_type: TYPE_FP32 dims: [ 4 ] }
]
dynamic_batching { max_queue_delay_microseconds: 2000 }
parameters { key: "max_batch_tokens" value { string_value: "256" } }
parameters { key: "INFERENCE_MODE" value { string_value: "true" } }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("torch")
    for model, write in (
        ("scripted", write_scripted_pooling),
        ("exported", write_exported_pooling),
    ):
        version = folder / "models" / model / "1"
        version.mkdir(parents=True)
        write(version)
    (folder / "models" / "scripted" / "config.pbtxt").write_text(SCRIPTED)
    with serving(folder / "models", log=folder / "stderr.log") as running:
        yield running


def ask(client: triton.InferenceServerClient, model: str, ids: np.ndarray) -> np.ndarray:
    names = ("INPUT__0", "INPUT__1") if model == "scripted" else ("input_ids", "attention_mask")
    inputs = [triton.InferInput(name, list(ids.shape), "INT64") for name in names]
    for tensor, array in zip(inputs, (ids, np.ones_like(ids)), strict=True):
        tensor.set_data_from_numpy(array)
    found: np.ndarray = client.infer(model, inputs).as_numpy("hidden")
    return found


@pytest.mark.parametrize("model", ["scripted", "exported"])
def test_many_callers_get_their_own_rows_cut_to_their_own_length(
    server: ServerProcess, model: str
) -> None:
    requests = [np.arange(1, 2 + n % 9).reshape(1, -1) for n in range(64)]
    with (
        triton.InferenceServerClient(server.address) as client,
        ThreadPoolExecutor(16) as callers,
    ):
        answers = list(callers.map(lambda ids: ask(client, model, ids), requests))
    for ids, found in zip(requests, answers, strict=True):
        np.testing.assert_allclose(found, EMBEDDINGS[ids])


def test_a_folder_with_nothing_but_an_exported_program_is_served(server: ServerProcess) -> None:
    with triton.InferenceServerClient(server.address) as client:
        told = client.get_model_config("exported", as_json=True)["config"]
        assert told["backend"] == "pytorch"
        assert [tensor["name"] for tensor in told["input"]] == ["input_ids", "attention_mask"]
        with pytest.raises(triton.InferenceServerException, match="index out of range"):
            ask(client, "exported", np.array([[50]]))
