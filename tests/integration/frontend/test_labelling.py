"""zero_shot and few_shot as models, over sockets: the same numbers as TextService, bit for bit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton

from tests.harness.frontend import Served, publish, run_server
from tests.harness.labelling import Embedder, OverEncoder, column, read_labelling, row
from trivet.backend.cores import Cores
from trivet.clock import SystemClock
from trivet.config import LabelTask
from trivet.model.loading import Loader
from trivet.scheduling.labelling.vectors import Vectors
from trivet_protos.generated import text_pb2 as pb
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

TEXTS = ["go near", "west", "nearly north"]
LABELS = ["east", "west", "north"]
EXAMPLES = [("east one", "e"), ("near two", "e"), ("west three", "w")]


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
async def server(embedder: Embedder) -> AsyncIterator[Served]:
    vectors = Vectors()
    async with run_server(embedder, vectors=vectors) as served:
        loader = Loader(SystemClock(), Cores(1), vectors=vectors)
        for task in LabelTask:
            served.registry.publish(loader.pipeline(read_labelling(task), 1, served.registry))
        yield served


@pytest.fixture
async def peer(server: Served) -> AsyncIterator[Any]:
    async with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture
def stub(server: Served) -> TextServiceAsyncStub:
    return TextServiceAsyncStub(server.channel)


def inputs(**arrays: np.ndarray) -> list[Any]:
    made = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), "BYTES")
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def zero_shot(texts: list[str] = TEXTS, labels: list[str] = LABELS) -> list[Any]:
    return inputs(TEXT=column(texts), LABEL=row(labels))


def few_shot(texts: list[str] = TEXTS) -> list[Any]:
    shown, labels = zip(*EXAMPLES, strict=True)
    return inputs(TEXT=column(texts), EXAMPLE=row(shown), EXAMPLE_LABEL=row(labels))


def assert_equal(answer: Any, told: Any) -> None:
    """Labels, scores and cosines are those of TextService, to the last bit."""
    for name, field in (("LABEL", "label"), ("SCORE", "score"), ("SIMILARITY", "similarity")):
        expected = [[getattr(one, field) for one in result.labels] for result in told.results]
        found = answer.as_numpy(name)
        if name == "LABEL":
            assert [[label.decode() for label in text] for text in found] == expected
        else:
            assert found.dtype == np.float32
            assert found.tolist() == expected


@pytest.mark.parametrize(
    "parameters",
    [{}, {"multi_label": True}, {"template": "Go {}!"}, {"temperature": 0.5, "truncate": True}],
)
async def test_zero_shot_says_what_text_service_says(
    peer: Any, stub: TextServiceAsyncStub, parameters: dict[str, Any]
) -> None:
    answer = await peer.infer("zero_shot", zero_shot(), parameters=parameters)
    assert_equal(
        answer, await stub.ZeroShot(pb.ZeroShotRequest(texts=TEXTS, labels=LABELS, **parameters))
    )


@pytest.mark.parametrize("method", ["nearest_centroid", "nearest_neighbors"])
async def test_few_shot_says_what_text_service_says(
    peer: Any, stub: TextServiceAsyncStub, method: str
) -> None:
    answer = await peer.infer("few_shot", few_shot(), parameters={"method": method})
    request = pb.FewShotRequest(
        texts=TEXTS,
        examples=[pb.Example(text=text, label=label) for text, label in EXAMPLES],
        method=pb.FewShotMethod.Value(f"FEW_SHOT_METHOD_{method.upper()}"),
    )
    assert_equal(answer, await stub.FewShot(request))


async def test_both_doors_keep_vectors_in_one_place(
    peer: Any, stub: TextServiceAsyncStub, embedder: Embedder
) -> None:
    await peer.infer("zero_shot", zero_shot())
    told = await stub.ZeroShot(pb.ZeroShotRequest(texts=TEXTS, labels=LABELS))
    assert not any(result.HasField("labels_cost") for result in told.results)
    assert {embedder.asked[f"This text is about {label}."] for label in LABELS} == {1}
    assert {embedder.asked[text] for text in TEXTS} == {2}


async def test_a_new_encoder_is_not_compared_with_vectors_of_the_old_one(
    server: Served, peer: Any, stub: TextServiceAsyncStub
) -> None:
    publish(server.registry, Embedder("encoder"))
    publish(server.registry, OverEncoder(server.registry))
    asked = pb.ZeroShotRequest(texts=TEXTS, labels=LABELS)
    before = await stub.ZeroShot(asked)
    publish(server.registry, Embedder("encoder", version=2, turned=180))
    after = await stub.ZeroShot(asked)
    for old, new in zip(before.results, after.results, strict=True):
        assert [one.label for one in old.labels] == [one.label for one in new.labels]
    assert_equal(await peer.infer("zero_shot", zero_shot()), after)


async def test_a_stream_answers_each_and_goes_on_after_a_refusal(peer: Any) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for name, labels in (("a", LABELS), ("b", ["east", "east"]), ("c", LABELS)):
            yield {
                "model_name": "zero_shot",
                "inputs": zero_shot(["west"], labels),
                "request_id": name,
            }

    found = [one async for one in peer.stream_infer(requests())]
    first, (nothing, error), third = found
    assert nothing is None
    assert "LABEL[1]: 'east' is LABEL[0] already; send each once" in str(error)
    for answer, failure in (first, third):
        assert failure is None
        assert answer.as_numpy("LABEL")[0, 0] == b"west"


@pytest.mark.parametrize(
    ("model", "tensors", "parameters", "said"),
    [
        ("zero_shot", zero_shot(labels=[]), {}, "LABEL is empty; send at least one LABEL"),
        ("zero_shot", zero_shot(labels=["a", " "]), {}, "LABEL[1] is empty; send a word or more"),
        ("zero_shot", zero_shot(), {"template": "None."}, "has 0 places for the label; write {}"),
        ("zero_shot", zero_shot(texts=[]), {}, "TEXT is empty; send at least one text"),
        ("zero_shot", zero_shot(["east", "poison"]), {}, "TEXT[1]: this text is poison"),
        ("zero_shot", inputs(TEXT=column(TEXTS)), {}, "input 'LABEL' is missing"),
        ("zero_shot", inputs(TEXT=row(TEXTS), LABEL=row(LABELS)), {}, "expected [-1, 1], got [3]"),
        ("few_shot", few_shot(), {"neighbors": 4}, "neighbors is 4 and there are 3 examples"),
        ("few_shot", few_shot(), {"method": "x"}, "'x'; send nearest_centroid or nearest_neigh"),
        (
            "few_shot",
            inputs(TEXT=column(TEXTS), EXAMPLE=row([]), EXAMPLE_LABEL=row([])),
            {},
            "EXAMPLE is empty; send at least one EXAMPLE",
        ),
        (
            "few_shot",
            inputs(TEXT=column(TEXTS), EXAMPLE=row(["a"]), EXAMPLE_LABEL=row(["a", "b"])),
            {},
            "EXAMPLE has 1 entries and EXAMPLE_LABEL 2; send a label for each example",
        ),
        (
            "few_shot",
            inputs(TEXT=column(TEXTS), EXAMPLE=row(["a", "b"]), EXAMPLE_LABEL=row(["x", "x"])),
            {},
            "all 2 examples have the label 'x'; send examples of at least two labels",
        ),
    ],
)
async def test_bad_input_is_refused_with_the_place_and_the_cure(
    peer: Any, model: str, tensors: list[Any], parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(triton.InferenceServerException) as refused:
        await peer.infer(model, tensors, parameters=parameters)
    assert refused.value.status() == str(grpc.StatusCode.INVALID_ARGUMENT)
    assert said in refused.value.message()


async def test_the_model_tells_what_it_takes_and_is_counted(peer: Any) -> None:
    told = await peer.get_model_metadata("few_shot")
    assert (told.platform, list(told.versions)) == ("ensemble", ["1"])
    shapes = {spec.name: (spec.datatype, list(spec.shape)) for spec in told.inputs}
    assert shapes == {
        "TEXT": ("BYTES", [-1, 1]),
        "EXAMPLE": ("BYTES", [-1]),
        "EXAMPLE_LABEL": ("BYTES", [-1]),
    }
    shapes = {spec.name: (spec.datatype, list(spec.shape)) for spec in told.outputs}
    numbers = ("FP32", [-1, -1])
    assert shapes == {"LABEL": ("BYTES", [-1, -1]), "SCORE": numbers, "SIMILARITY": numbers}
    config = (await peer.get_model_config("few_shot")).config
    assert config.ensemble_scheduling.step[0].model_name == "embed"
    assert config.parameters["task"].string_value == "few_shot"
    await peer.infer("few_shot", few_shot())
    (statistics,) = (await peer.get_inference_statistics("few_shot")).model_stats
    counts = (statistics.inference_count, statistics.execution_count)
    assert (*counts, statistics.inference_stats.success.count) == (1, 1, 1)


async def test_only_what_is_asked_for_is_sent(peer: Any) -> None:
    wanted = [triton.InferRequestedOutput("LABEL")]
    answer = await peer.infer("zero_shot", zero_shot(), outputs=wanted)
    assert [one.name for one in answer.get_response().outputs] == ["LABEL"]
