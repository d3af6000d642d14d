"""trivet.v1.ServerService: tokens and padding, told so that a load tool can subtract."""

from __future__ import annotations

import grpc
import pytest

from tests.harness.frontend import Served, echo_model, run_server
from trivet_protos.generated.server_pb2 import ModelCost, ModelCostRequest
from trivet_protos.generated.server_pb2_grpc import ServerServiceAsyncStub

Status = grpc.StatusCode


async def test_tokens_and_padding_are_told_by_model_and_version() -> None:
    first, second, other = echo_model(), echo_model(version=2), echo_model("other")
    first.statistics.tokens_computed(tokens=20, padding=4)
    second.statistics.tokens_computed(tokens=7, padding=0)
    async with run_server(second, other, first) as served:
        stub = ServerServiceAsyncStub(served.channel)

        async def told(model: str = "", version: int = 0) -> list[ModelCost]:
            request = ModelCostRequest(model=model, version=version)
            return list((await stub.ModelCost(request)).models)

        echo_1 = ModelCost(model_name="echo", model_version=1, tokens=20, padding_tokens=4)
        echo_2 = ModelCost(model_name="echo", model_version=2, tokens=7)
        assert await told() == [echo_1, echo_2, ModelCost(model_name="other", model_version=1)]
        assert await told("echo") == [echo_1, echo_2]
        assert await told("echo", 1) == [echo_1]
        first.statistics.tokens_computed(tokens=10, padding=2)
        (later,) = await told("echo", 1)
        assert (later.tokens, later.padding_tokens) == (30, 6)


@pytest.mark.parametrize(
    ("model", "version", "status", "fragment"),
    [
        ("nobody", 0, Status.NOT_FOUND, "Request for unknown model: 'nobody'"),
        ("echo", 9, Status.NOT_FOUND, "version 9 is not found"),
        ("late", 0, Status.UNAVAILABLE, "is not ready"),
        ("echo", -1, Status.INVALID_ARGUMENT, "version -1 names no version of model 'echo'"),
        ("", 1, Status.INVALID_ARGUMENT, "send a model"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_its_reason(
    server: Served, model: str, version: int, status: Status, fragment: str
) -> None:
    server.registry.loading("late", 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        request = ModelCostRequest(model=model, version=version)
        await ServerServiceAsyncStub(server.channel).ModelCost(request)
    assert refused.value.code() == status
    assert fragment in (refused.value.details() or "")
