"""OpenVINO served: built, tokenized, batched, and by Triton's client as a bare model folder.

On one transport: an engine sees none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness.openvino_artifacts import needs_openvino, write_pooling_model
from tests.harness.server import ServerProcess, serving
from tests.unit.workshop.checkpoints import TINY, Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet_client import Client, FilledText, TrivetError

pytestmark = needs_openvino

WORDS = replace(TINY, vocab_size=65)  # those of its tokenizer, so that each has a word

TEXTS = [" ".join(["cat", "sat", "on", "mat"][: 1 + n % 4] * (1 + n % 3)) for n in range(40)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same encoder as `plain` (ONNX, FP32) and `quick` (OpenVINO, 8-bit), one that fills masks
    in FP32 on both, and a bare folder."""
    folder = tmp_path_factory.mktemp("openvino")
    repository = folder / "models"
    checkpoint = write_checkpoint(folder / "tiny", Recipe(head=False))
    build = ["build", str(checkpoint), "--model-repository", str(repository)]
    assert trivet([*build, "--name", "plain", "--pipeline", "embed_plain"]) == 0
    quick = ["--name", "quick", "--pipeline", "embed_quick", "--to", "openvino"]
    assert trivet([*build, *quick, "--precision", "int8"]) == 0
    masked = ["build", str(write_checkpoint(folder / "masked", Recipe(config=WORDS)))]
    masked += ["--model-repository", str(repository), "--candidates", "20"]
    assert trivet([*masked, "--name", "words", "--pipeline", "fill_plain"]) == 0
    quick = ["--name", "words_quick", "--pipeline", "fill_quick", "--to", "openvino"]
    assert trivet([*masked, *quick]) == 0
    (repository / "bare" / "1").mkdir(parents=True)
    write_pooling_model(repository / "bare" / "1")
    shutil.copytree(repository / "bare", repository / "other")
    (repository / "other" / "config.pbtxt").write_text(
        'backend: "openvino" max_batch_size: 8 dynamic_batching { }\n'
        'parameters { key: "NUM_STREAMS" value { string_value: "2" } }\n'
        'parameters { key: "HINT_BF16" value { string_value: "NO" } }'
    )
    with serving(repository, log=folder / "stderr.log") as running:
        yield running


def test_many_callers_get_the_embeddings_of_the_fp32_graph(server: ServerProcess) -> None:
    with Client(server.address) as client, ThreadPoolExecutor(8) as callers:
        plain = client.embed(TEXTS, model="embed_plain").vectors
        quick = callers.map(lambda text: client.embed(text, model="embed_quick").vector, TEXTS)
        cosines = [float(one @ other) for one, other in zip(plain, quick, strict=True)]
    assert min(cosines) > 0.99


def test_a_folder_with_nothing_but_model_xml_and_its_weights_is_served(
    server: ServerProcess,
) -> None:
    ids = np.array([[1, 2, 3]])
    with triton.InferenceServerClient(server.address) as client:
        assert client.get_model_config("bare", as_json=True)["config"]["backend"] == "openvino"
        answers = []
        for model in ("bare", "other"):
            arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            inputs = [triton.InferInput(name, [1, 3], "INT64") for name in arrays]
            for tensor, array in zip(inputs, arrays.values(), strict=True):
                tensor.set_data_from_numpy(array)
            answers.append(client.infer(model, inputs).as_numpy("embedding"))
    np.testing.assert_array_equal(*answers)


def test_an_id_the_model_does_not_know_is_refused_by_name(server: ServerProcess) -> None:
    inputs = {"input_ids": np.array([[1, 50]]), "attention_mask": np.array([[1, 1]])}
    with (
        Client(server.address) as client,
        pytest.raises(TrivetError, match="row 50 of the model's table"),
    ):
        client.infer("bare", inputs)


def test_targets_are_the_only_candidates_and_as_likely_as_on_onnx_runtime(
    server: ServerProcess,
) -> None:
    """Texts with several masks, with targets of several numbers and without, in one batch."""
    text = "the [MASK] sat on the [MASK]"
    asked = [None, ["a"], ["b", "##c", "d"], ["e", "f"]] * 5
    with Client(server.address) as client, ThreadPoolExecutor(8) as callers:

        def filled(targets: list[str] | None) -> list[FilledText]:
            models = ("fill_plain", "fill_quick")
            return [client.fill_mask(text, model=model, targets=targets) for model in models]

        for targets, (plain, quick) in zip(asked, callers.map(filled, asked), strict=True):
            for one, other in zip(plain.masks, quick.masks, strict=True):
                expected = {found.token: found.probability for found in one.candidates}
                told = {found.token: found.probability for found in other.candidates}
                assert told == pytest.approx(expected, abs=1e-5)
                assert targets is None or set(told) == set(targets)


def test_a_target_that_is_no_token_is_refused_and_none_is_none(server: ServerProcess) -> None:
    ids = np.array([[1, 2, 3]])
    inputs = {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": np.ones_like(ids)}
    inputs["mask_positions"] = np.array([[1]])
    with Client(server.address) as client:
        none = client.infer("words_quick", {**inputs, "target_ids": np.array([[-1]])}).outputs
        assert none["token_ids"].shape == (1, 1, 20)
        with pytest.raises(TrivetError, match="GatherElement"):
            client.infer("words_quick", {**inputs, "target_ids": np.array([[10**6]])})
        with pytest.raises(TrivetError, match="input 'target_ids' is missing"):
            client.infer("words_quick", inputs)
