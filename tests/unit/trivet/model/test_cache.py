"""The response cache: what is the same question, what is kept, and how much."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trivet.errors import EngineFailed
from trivet.model.cache import CacheShare, ResponseCache, key_of
from trivet.request import InferRequest, InferResponse, Stages

ROOM = 1 << 20


def ask(**changes: object) -> InferRequest:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    texts = np.array([b"ab", b"c"], object)
    request = InferRequest(
        model="m", inputs={"X": x, "T": texts}, outputs=("Y",), parameters={"k": 1}
    )
    return request._replace(**changes)  # type: ignore[arg-type]


def inputs(**changes: np.ndarray) -> InferRequest:
    return ask(inputs={**ask().inputs, **changes})


def answer(array: np.ndarray, **parameters: int) -> InferResponse:
    stages = Stages(queue_ns=5)
    return InferResponse(
        model="m", version=1, outputs={"Y": array}, parameters=parameters, stages=stages
    )


def filled(bytes_each: int, keys: str, room: int) -> tuple[ResponseCache, CacheShare]:
    cache = ResponseCache(room)
    share = cache.share()
    for key in keys:
        share.put(key.encode(), ask(), answer(np.zeros(bytes_each, np.uint8)))
    return cache, share


def kept(share: CacheShare, keys: str) -> str:
    return "".join(key for key in keys if share.get(key.encode()))


def texts(*elements: bytes) -> np.ndarray:
    return np.array(elements, object)


X = np.asarray(ask().inputs["X"])

OTHERS: dict[str, Callable[[], InferRequest]] = {
    "model": lambda: ask(model="n"),
    "value": lambda: inputs(X=X + 1),
    "shape": lambda: inputs(X=X.reshape(3, 2)),
    "datatype": lambda: inputs(X=X.view(np.uint32)),
    "size of elements": lambda: inputs(X=X.reshape(-1).view(np.int64)),
    "name of an input": lambda: ask(inputs={"Z": X, "T": ask().inputs["T"]}),
    "an input more": lambda: inputs(U=np.zeros(0, np.int8)),
    "border between texts": lambda: inputs(T=texts(b"a", b"bc")),
    "empty text": lambda: inputs(T=texts(b"ab", b"c", b"")),
    "outputs": lambda: ask(outputs=("Y", "Z")),
    "all outputs": lambda: ask(outputs=()),
    "parameter": lambda: ask(parameters={"k": 2}),
    "type of a parameter": lambda: ask(parameters={"k": True}),
    "parameter as text": lambda: ask(parameters={"k": "1"}),
    "parameter as float": lambda: ask(parameters={"k": 1.0}),
    "no parameter": lambda: ask(parameters={}),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_question_has_another_key(other: str) -> None:
    assert key_of(OTHERS[other](), 1) != key_of(ask(), 1)


def test_another_version_has_another_key() -> None:
    assert key_of(ask(), 2) != key_of(ask(), 1)


SAME: dict[str, Callable[[], InferRequest]] = {
    "id": lambda: ask(id="another"),
    "version left to the server": lambda: ask(version=1),
    "order of inputs": lambda: ask(inputs=dict(reversed(ask().inputs.items()))),
    "layout in memory": lambda: inputs(X=np.asfortranarray(X)),
    "priority and timeout": lambda: ask(parameters={"k": 1, "priority": 2, "timeout": 5}),
    "order of outputs": lambda: ask(outputs=("Y",)),
    "text that is a str": lambda: inputs(T=np.array(["ab", "c"], object)),
}


@pytest.mark.parametrize("same", SAME)
def test_the_same_question_has_the_same_key(same: str) -> None:
    assert key_of(SAME[same](), 1) == key_of(ask(), 1)


def test_scalars_and_half_precision_have_keys() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    brief = np.array([1, 2], ml_dtypes.bfloat16)
    keys = {
        key_of(inputs(X=array), 1)
        for array in (np.array(3, np.int64), brief, brief.astype(np.float16), np.zeros((0, 4)))
    }
    assert len(keys) == 4


def test_an_answer_comes_back_as_it_was_but_for_its_stages() -> None:
    share = ResponseCache(ROOM).share()
    assert share.get(b"a") is None
    share.put(b"a", ask(), answer(np.array([1.5, 2.5], np.float32), tokens=12))
    found = share.get(b"a")
    assert found
    np.testing.assert_array_equal(found.outputs["Y"], np.array([1.5, 2.5], np.float32))
    assert found.outputs["Y"].dtype == np.float32
    assert dict(found.parameters) == {"tokens": 12}
    assert (found.model, found.version, found.stages) == ("m", 1, Stages())


def test_what_is_kept_is_a_copy_that_keeps_no_batch_alive() -> None:
    batch = np.zeros((64, 100), np.float32)
    share = ResponseCache(ROOM).share()
    share.put(b"a", ask(), answer(batch[3:4]))
    batch[:] = 7
    found = share.get(b"a")
    assert found
    array = found.outputs["Y"]
    assert not array.any()
    assert not np.shares_memory(array, batch)
    assert array.base is not None and array.base.nbytes == 400


def test_what_is_kept_cannot_be_written_to() -> None:
    share = ResponseCache(ROOM).share()
    share.put(b"a", ask(), answer(np.zeros(3), tokens=1))
    found = share.get(b"a")
    assert found
    with pytest.raises(ValueError, match="read-only"):
        found.outputs["Y"][0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.outputs["Y"].setflags(write=True)
    with pytest.raises(TypeError):
        found.parameters["tokens"] = 2  # type: ignore[index]
    with pytest.raises(TypeError):
        found.outputs["Y"] = np.zeros(3)  # type: ignore[index]


def test_only_the_outputs_asked_for_are_kept() -> None:
    response = answer(np.zeros(3))._replace(outputs={"Y": np.zeros(3), "Z": np.zeros(100_000)})
    cache = ResponseCache(ROOM)
    share = cache.share()
    share.put(b"some", ask(outputs=("Y",)), response)
    assert cache.size < 5_000
    share.put(b"all", ask(outputs=()), response)
    some, everything = share.get(b"some"), share.get(b"all")
    assert some and everything
    assert (set(some.outputs), set(everything.outputs)) == ({"Y"}, {"Y", "Z"})


def test_an_answer_without_an_output_asked_for_is_refused_and_not_kept() -> None:
    cache = ResponseCache(ROOM)
    share = cache.share()
    with pytest.raises(EngineFailed, match="model 'm' gave no output 'Z' to this request"):
        share.put(b"a", ask(outputs=("Y", "Z")), answer(np.zeros(3)))
    assert share.get(b"a") is None


def test_what_was_not_used_for_longest_makes_room() -> None:
    room = 3 * 12_000
    cache, share = filled(10_000, "abc", room)
    assert kept(share, "abc") == "abc"
    assert share.get(b"a")
    share.put(b"d", ask(), answer(np.zeros(10_000, np.uint8)))
    assert kept(share, "abcd") == "acd"
    assert cache.size <= room


def test_the_bound_holds_whatever_is_put_in() -> None:
    cache = ResponseCache(50_000)
    share = cache.share()
    random = np.random.default_rng(5)
    for number in range(300):
        size = int(random.integers(0, 20_000))
        share.put(str(number % 70).encode(), ask(), answer(np.zeros(size, np.uint8)))
        assert cache.size <= 50_000
        assert len(cache) > 0
    assert cache.size >= 25_000


def test_an_answer_larger_than_the_cache_is_not_kept_and_costs_no_other_its_place() -> None:
    cache, share = filled(1_000, "ab", 8_000)
    share.put(b"c", ask(), answer(np.zeros(8_000, np.uint8)))
    assert kept(share, "abc") == "ab"
    assert len(cache) == 2


def test_texts_count_with_what_they_hold() -> None:
    cache, share = ResponseCache(50_000), None
    share = cache.share()
    share.put(b"a", ask(), answer(texts(b"x" * 30_000)))
    assert cache.size > 30_000
    share.put(b"b", ask(), answer(texts(b"y" * 30_000)))
    assert kept(share, "ab") == "b"


def test_putting_an_answer_twice_counts_it_once_and_keeps_the_first() -> None:
    cache, share = filled(1_000, "a", ROOM)
    before = cache.size
    share.put(b"a", ask(), answer(np.ones(1_000, np.uint8)))
    found = share.get(b"a")
    assert found and not found.outputs["Y"].any()
    assert (cache.size, len(cache)) == (before, 1)


def test_a_version_loaded_again_does_not_see_what_it_said_before() -> None:
    cache, first = filled(1_000, "ab", ROOM)
    second = cache.share()
    assert second.get(b"a") is None
    second.put(b"a", ask(), answer(np.ones(10, np.uint8)))
    first.close()
    assert kept(first, "ab") == ""
    assert kept(second, "ab") == "a"
    second.close()
    assert (cache.size, len(cache)) == (0, 0)
