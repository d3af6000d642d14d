"""A server of this process, on a free port, over models made of one coroutine each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import grpc

from tests.harness.transports import chosen, chosen_processes
from trivet.config import ModelConfig, TensorSpec
from trivet.frontend import services
from trivet.frontend.admission import Admission, AdmissionLimits
from trivet.frontend.extras import Extras
from trivet.model.model import Model
from trivet.model.validation import Validator
from trivet.repository.registry import Registry
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.labelling.vectors import Vectors
from trivet.scheduling.supervision import WELL
from trivet.telemetry.statistics import Statistics
from trivet.transport.options import Options
from trivet.transport.serving import serving

Answer = Callable[[InferRequest], Awaitable[InferResponse]]
Stream = Callable[[InferRequest], AsyncGenerator[InferResponse, None]]


class ScriptedModel:
    """A version that validates as the real one does, and answers as a coroutine says."""

    def __init__(
        self,
        config: ModelConfig,
        answer: Answer,
        version: int = 1,
        stream: Stream | None = None,
        labels: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """stream: gives the answers of a decoupled model; None: the one of `answer`."""
        self.config = config
        self.version = version
        self.statistics = Statistics()
        self.labels = labels or {}
        self.sequences = None
        self.condition = WELL
        self.changed = asyncio.Event()
        self._answer = answer
        self._stream = stream
        self._validator = Validator(config)

    async def infer(self, request: InferRequest) -> InferResponse:
        self._validator.check(request)
        return await self._answer(request)

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        if self._stream is None:
            yield await self.infer(request)
            return
        self._validator.check(request)
        async with aclosing(self._stream(request)) as responses:
            async for response in responses:
                yield response


@dataclass
class Served:
    """A running server, as a test needs it."""

    port: int
    registry: Registry
    draining: asyncio.Event
    channel: grpc.aio.Channel
    admission: Admission

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def echo_config(name: str = "echo", **changes: object) -> ModelConfig:
    """One FP32 vector in, the same out; up to 8 rows."""
    defaults = {
        "name": name,
        "backend": "fake",
        "max_batch_size": 8,
        "inputs": (TensorSpec(name="IN", datatype="FP32", dims=(-1,)),),
        "outputs": (TensorSpec(name="OUT", datatype="FP32", dims=(-1,)),),
    }
    return ModelConfig(**{**defaults, **changes})  # type: ignore[arg-type]


async def echo(request: InferRequest) -> InferResponse:
    return InferResponse(
        model=request.model, version=1, outputs={"OUT": next(iter(request.inputs.values()))}
    )


def echo_model(name: str = "echo", version: int = 1, **changes: object) -> ScriptedModel:
    return ScriptedModel(echo_config(name, **changes), echo, version)


def publish(registry: Registry, model: ScriptedModel) -> None:
    registry.publish(cast(Model, model))


@asynccontextmanager
async def run_server(
    *models: ScriptedModel,
    max_message_bytes: int = 1 << 20,
    grace_s: float = 5.0,
    extras: Extras | None = None,
    vectors: Vectors | None = None,
    admission: AdmissionLimits | None = None,
) -> AsyncIterator[Served]:
    registry, draining = Registry(), asyncio.Event()
    for model in models:
        publish(registry, model)
    options = Options(
        port=0,
        max_message_bytes=max_message_bytes,
        grace_s=grace_s,
        closing_s=0,
        transport=chosen(),
        processes=chosen_processes(),
    )
    let_in = Admission(registry, admission)
    methods = services.methods(
        registry, draining=draining, extras=extras, vectors=vectors, admission=let_in
    )
    async with serving(methods, options) as port:
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=limits) as channel:
            yield Served(port, registry, draining, channel, let_in)
