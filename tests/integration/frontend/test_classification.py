"""`classification`: the best classes of an output with their labels, as the peer's client asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.frontend import ScriptedModel, echo, echo_config, run_server
from trivet.config import TensorSpec

LABELS = ("cat", "dog", "maus: grüße")


def model(datatype: str, dims: tuple[int, ...] = (-1,), rows: int = 8) -> ScriptedModel:
    config = echo_config(
        max_batch_size=rows,
        inputs=(TensorSpec(name="IN", datatype=datatype, dims=dims),),
        outputs=(TensorSpec(name="OUT", datatype=datatype, dims=dims),),
    )
    return ScriptedModel(config, echo, labels={"OUT": LABELS})


async def classes(
    served: ScriptedModel, array: np.ndarray, datatype: str, count: int, **parameters: Any
) -> Any:
    async with (
        run_server(served) as server,
        triton_aio.InferenceServerClient(server.address) as client,
    ):
        given = triton.InferInput("IN", list(array.shape), datatype)
        given.set_data_from_numpy(array)
        output = triton.InferRequestedOutput("OUT", class_count=count)
        for name, value in parameters.items():
            output._get_tensor().parameters[name].string_param = value
        result = await client.infer("echo", [given], outputs=[output])
    assert result.get_output("OUT").datatype == "BYTES"
    return result.as_numpy("OUT")


async def test_each_row_has_its_best_classes_with_values_and_labels() -> None:
    array = np.array([[0.5, 2, -1], [3, 3, 4]], np.float32)
    found = await classes(model("FP32"), array, "FP32", 2)
    assert found.tolist() == [
        [b"2.000000:1:dog", b"0.500000:0:cat"],
        [b"4.000000:2:maus: gr\xc3\xbc\xc3\x9fe", b"3.000000:0:cat"],
    ]


async def test_a_model_that_does_not_batch_is_ranked_as_a_whole() -> None:
    array = np.array([[1, 7], [5, 3]], np.int32)
    found = await classes(model("INT32", (2, 2), rows=0), array, "INT32", 3)
    assert found.tolist() == [b"7:1:dog", b"5:2:maus: gr\xc3\xbc\xc3\x9fe", b"3:3"]


async def test_more_classes_than_there_are_means_all_of_them() -> None:
    found = await classes(model("FP64"), np.array([[1, 2.5]]), "FP64", 100)
    assert found.tolist() == [[b"2.500000:1:dog", b"1.000000:0:cat"]]


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [
        ("UINT8", np.uint8), ("UINT64", np.uint64), ("INT8", np.int8), ("INT64", np.int64),
        ("FP16", np.float16), ("BF16", ml_dtypes.bfloat16),
    ],
)  # fmt: skip
async def test_numbers_of_every_kind_are_ranked(datatype: str, dtype: Any) -> None:
    array = np.array([[1, 3, 2, 0]]).astype(dtype)
    found = await classes(model(datatype), array, datatype, 4)
    assert [text.split(b":")[1] for text in found[0]] == [b"1", b"2", b"0", b"3"]


async def test_extremes_are_in_order_and_what_is_no_number_comes_last() -> None:
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    found = await classes(model("INT64"), np.array([[0, low, high]]), "INT64", 3)
    assert [text.split(b":")[1] for text in found[0]] == [b"2", b"0", b"1"]
    array = np.array([[np.nan, -np.inf, np.inf]], np.float32)
    found = await classes(model("FP32"), array, "FP32", 3)
    assert [text.split(b":")[:2] for text in found[0]] == [
        [b"inf", b"2"],
        [b"-inf", b"1"],
        [b"nan", b"0"],
    ]


async def test_of_equal_values_the_first_comes_first() -> None:
    found = await classes(model("FP32"), np.zeros((1, 3), np.float32), "FP32", 2)
    assert [text.split(b":")[1] for text in found[0]] == [b"0", b"1"]


@pytest.mark.parametrize(
    ("datatype", "array"),
    [("BOOL", np.array([[True]])), ("BYTES", np.array([[b"a"]], object))],
)
async def test_what_has_no_order_is_refused(datatype: str, array: np.ndarray) -> None:
    with pytest.raises(InferenceServerException, match="'OUT': class result not available") as no:
        await classes(model(datatype), array, datatype, 1)
    assert no.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("count", [-1, 2**31])
async def test_an_impossible_count_is_refused(count: int) -> None:
    with pytest.raises(InferenceServerException, match="ask for at least one class"):
        await classes(model("FP32"), np.zeros((1, 1), np.float32), "FP32", count)


async def test_a_count_as_text_is_refused() -> None:
    text = "'classification' came as string_param; send it as int64_param"
    with pytest.raises(InferenceServerException, match=text):
        await classes(model("FP32"), np.zeros((1, 1), np.float32), "FP32", 1, classification="3")


async def test_streams_are_classified_too() -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        given = triton.InferInput("IN", [1, 2], "FP32")
        given.set_data_from_numpy(np.array([[1, 2]], np.float32))
        outputs = [triton.InferRequestedOutput("OUT", class_count=1)]
        yield {"model_name": "echo", "inputs": [given], "outputs": outputs}

    async with (
        run_server(model("FP32")) as server,
        triton_aio.InferenceServerClient(server.address) as client,
    ):
        async for result, error in client.stream_infer(requests()):
            assert error is None
            assert result.as_numpy("OUT").tolist() == [[b"2.000000:1:dog"]]
