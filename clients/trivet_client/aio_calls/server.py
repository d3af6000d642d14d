"""Calls about the server and its models, for callers on an event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from trivet_client.aio_calls.connected import AsyncConnected
from trivet_client.connection import READY_POLL_S, not_ready_in_time
from trivet_client.errors import DeadlineExceeded, Unavailable
from trivet_client.messages import server, tensors
from trivet_client.values import (
    ModelConfig,
    ModelCost,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ServerMetadata,
)
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import server_pb2


class AsyncServerCalls(AsyncConnected):
    """What there is, whether it is ready, and what it has done."""

    async def server_live(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server runs. Raises Unavailable where none answers."""
        response = await self._call(self._inference.ServerLive, pb.ServerLiveRequest(), timeout_s)
        return response.live

    async def server_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests."""
        response = await self._call(self._inference.ServerReady, pb.ServerReadyRequest(), timeout_s)
        return response.ready

    async def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when the server is there and ready. Raises DeadlineExceeded if it takes longer."""
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            request = pb.ServerReadyRequest()
            # Unavailable: it went away while it was asked, which the next question will show.
            with suppress(DeadlineExceeded, Unavailable):
                response = await self._call(
                    self._inference.ServerReady, request, left_s, wait_for_server=True
                )
                if response.ready:
                    return
            await asyncio.sleep(min(READY_POLL_S, left_s))
        raise not_ready_in_time(self._connection.address, timeout_s)

    async def model_ready(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Whether a model takes requests; False for one that does not exist."""
        request = pb.ModelReadyRequest(name=model, version=tensors.version_text(version))
        response = await self._call(self._inference.ModelReady, request, timeout_s)
        return response.ready

    async def server_metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Name, version and extensions of the server."""
        request = pb.ServerMetadataRequest()
        response = await self._call(self._inference.ServerMetadata, request, timeout_s)
        return server.server_metadata(response)

    async def model_metadata(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> ModelMetadata:
        """Inputs and outputs of a model."""
        request = pb.ModelMetadataRequest(name=model, version=tensors.version_text(version))
        response = await self._call(self._inference.ModelMetadata, request, timeout_s)
        return server.model_metadata(response)

    async def model_config(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> ModelConfig:
        """The configuration a model runs with."""
        request = pb.ModelConfigRequest(name=model, version=tensors.version_text(version))
        response = await self._call(self._inference.ModelConfig, request, timeout_s)
        return server.model_config(response.config)

    async def repository_index(
        self, *, ready: bool = False, timeout_s: float | None = None
    ) -> tuple[ModelState, ...]:
        """Every version the server knows of, or those that are ready."""
        request = pb.RepositoryIndexRequest(ready=ready)
        response = await self._call(self._inference.RepositoryIndex, request, timeout_s)
        return server.model_states(response)

    async def statistics(
        self, model: str = "", *, version: int | None = None, timeout_s: float | None = None
    ) -> tuple[ModelStatistics, ...]:
        """What a model did since the server started, per version; of all models without a name."""
        request = pb.ModelStatisticsRequest(name=model, version=tensors.version_text(version))
        response = await self._call(self._inference.ModelStatistics, request, timeout_s)
        return server.statistics(response)

    async def model_costs(
        self, model: str = "", *, version: int | None = None, timeout_s: float | None = None
    ) -> tuple[ModelCost, ...]:
        """What a model computed since it was loaded: tokens and padding, per version.

        Of all models without a name. Raises Unimplemented where the server is no trivet.
        """
        request = server_pb2.ModelCostRequest(model=model, version=version or 0)
        response = await self._call(self._server.ModelCost, request, timeout_s)
        return server.model_costs(response)
