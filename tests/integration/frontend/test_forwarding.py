"""Headers that become parameters of the request, where the operator lets them through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from tests.harness.frontend import ScriptedModel, echo, echo_config, run_server
from trivet.errors import InvalidConfig
from trivet.frontend.extras import Extras
from trivet.frontend.forwarding import HeaderForwarder
from trivet.request import InferRequest, InferResponse

HEADERS = {"x-tenant": "blue", "my-x-tenant": "red", "other": "1", "priority": "1", "x-b-bin": b"1"}


def given() -> Any:
    return triton.InferInput("IN", [1, 1], "FP32").set_data_from_numpy(np.ones((1, 1), np.float32))


async def seen_with(pattern: str | None, **parameters: Any) -> list[dict[str, Any]]:
    """What the model sees of a unary call, a stream's request and a decoupled one's."""
    seen: list[dict[str, Any]] = []

    async def answer(request: InferRequest) -> InferResponse:
        seen.append(dict(request.parameters))
        return await echo(request)

    models = (
        ScriptedModel(echo_config(), answer),
        ScriptedModel(echo_config("many", decoupled=True), answer),
    )

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for model in ("echo", "many"):
            yield {"model_name": model, "inputs": [given()], "parameters": parameters or None}

    extras = Extras(forwarder=HeaderForwarder(pattern) if pattern is not None else None)
    async with (
        run_server(*models, extras=extras) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        await client.infer("echo", [given()], headers=HEADERS, parameters=parameters or None)
        async for _, error in client.stream_infer(requests(), headers=HEADERS):
            assert error is None
    return seen


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (None, set()),
        ("X-TENANT", {"x-tenant", "my-x-tenant"}),  # in any case, anywhere in the name
        ("^x-tenant$", {"x-tenant"}),
        ("(?-i)X-TENANT", set()),
        ("(?-i)^x-t", {"x-tenant"}),
        ("other|^x-b|priority", {"other"}),  # neither bytes nor what the protocol acts on
    ],
)
async def test_headers_that_match_become_parameters(pattern: str | None, names: set[str]) -> None:
    expected = {name: HEADERS[name] for name in names}
    assert await seen_with(pattern) == [expected] * 3


async def test_a_header_replaces_a_parameter_of_its_name() -> None:
    seen = await seen_with("^x-tenant$", **{"x-tenant": "mine", "top_k": 3})
    assert seen == [{"x-tenant": "blue", "top_k": 3}] * 3


def test_a_pattern_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidConfig, match="--grpc-header-forward-pattern: '\\(' is no regular"):
        HeaderForwarder("(")
