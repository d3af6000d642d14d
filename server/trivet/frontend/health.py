"""grpc.health.v1.Health: is the server, or one model, ready to be asked?"""

from __future__ import annotations

import asyncio

from trivet.errors import NotFound
from trivet.frontend.method import Answers, Call, Methods, ServerStream, Unary
from trivet.frontend.refusal import parse
from trivet.repository.registry import Registry
from trivet_protos.generated import health_pb2 as pb

_SERVICE = "/grpc.health.v1.Health/"

Response = pb.HealthCheckResponse
Status = Response.ServingStatus


class Health:
    """The state of the registry in the words of the health protocol."""

    def __init__(self, registry: Registry, draining: asyncio.Event) -> None:
        """draining: once set, nothing is SERVING any more, and Watch says so and ends."""
        self._registry = registry
        self._draining = draining

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}Check": Unary(self.check),
            f"{_SERVICE}Watch": ServerStream(self.watch),
        }

    async def check(self, message: bytes, call: Call) -> bytes:
        """Answer once. Raises NotFound for a name that is no model's."""
        name = parse(pb.HealthCheckRequest, message).service
        status = self._status(name)
        if status == Response.SERVICE_UNKNOWN:
            raise NotFound(
                f"nothing named '{name}' is served here; ask for a model, or for \"\", the server"
            )
        return Response(status=status).SerializeToString()

    async def watch(self, message: bytes, call: Call) -> Answers:
        """Answer now and after every change of the answer, until the caller leaves.

        A server that drains says NOT_SERVING and ends the stream: it must not wait for watchers.
        """
        name = parse(pb.HealthCheckRequest, message).service
        told: Status | None = None
        while True:
            changed = asyncio.create_task(self._registry.wait_changed())
            drained = asyncio.create_task(self._draining.wait())
            try:
                await asyncio.sleep(0)  # now both tasks listen: no change after this goes unseen
                if (status := self._status(name)) != told:
                    told = status
                    yield Response(status=status).SerializeToString()
                if self._draining.is_set():
                    return
                await asyncio.wait((changed, drained), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
                drained.cancel()

    def _status(self, name: str) -> Status:
        if name and not self._known(name):
            return Response.SERVICE_UNKNOWN
        ready = self._registry.is_ready(name) if name else self._registry.all_ready()
        return Response.SERVING if ready and not self._draining.is_set() else Response.NOT_SERVING

    def _known(self, name: str) -> bool:
        try:
            self._registry.versions(name)
        except NotFound:
            return False
        return True
