"""What generated stubs call. Its names stay as they are: stubs live in other people's code."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing, closing
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from trivet_client.aio_client import AsyncClient
from trivet_client.client import Client
from trivet_client.errors import broken
from trivet_client.values import Failure, InferRequest, InferResult
from trivet_protos.wire import WireError, datatype_of

Result = TypeVar("Result")

# Text of an input; `str` travels as UTF-8.
Bytes = npt.NDArray[np.object_] | npt.NDArray[np.str_] | npt.NDArray[np.bytes_]


def present(inputs: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    """The inputs that are given."""
    return {name: array for name, array in inputs.items() if array is not None}


def output(result: InferResult, name: str, datatype: str) -> np.ndarray:
    """An output of the type it had when the stub was written. Raises Internal if it has not."""
    cure = f"run `trivet stub {result.model}` again"
    if name not in result.outputs:
        raise broken(f"model '{result.model}' answered without output '{name}'; {cure}")
    array = result.outputs[name]
    try:
        found = datatype_of(array)
    except WireError as error:
        raise broken(f"output '{name}': {error}") from error
    if found != datatype:
        raise broken(f"output '{name}' is {found} and was {datatype}; {cure}")
    return array


def answers(
    client: Client,
    request: InferRequest,
    timeout_s: float | None,
    result: Callable[[InferResult], Result],
) -> Generator[Result, None, None]:
    """Every answer to one request of a decoupled model. Raises TrivetError, also in between."""
    with closing(client.infer_stream([request], timeout_s=timeout_s)) as stream:
        for _, answer in stream:
            if isinstance(answer, Failure):
                raise answer.error()
            if answer.outputs:  # the last may only say that it is the last
                yield result(answer)


async def async_answers(
    client: AsyncClient,
    request: InferRequest,
    timeout_s: float | None,
    result: Callable[[InferResult], Result],
) -> AsyncGenerator[Result, None]:
    """As `answers`."""
    async with aclosing(client.infer_stream([request], timeout_s=timeout_s)) as stream:
        async for _, answer in stream:
            if isinstance(answer, Failure):
                raise answer.error()
            if answer.outputs:
                yield result(answer)
