"""A connection to one server, for callers on an event loop: what every call goes through."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from functools import partial
from typing import Self, TypeVar

import grpc
import grpc.aio

from trivet_client.aio_streams import exchange
from trivet_client.connection import ADDRESS, TIMEOUT_S, Headers, connection, finite
from trivet_client.errors import error_from_rpc
from trivet_client.security import Tls
from trivet_client.streaming import Answer, Dialect, Item
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub
from trivet_protos.generated.server_pb2_grpc import ServerServiceAsyncStub
from trivet_protos.generated.text_pb2_grpc import TextServiceAsyncStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AsyncConnected:
    """What the calls of a client share: the channel, its stubs, errors and timeouts."""

    def __init__(
        self,
        address: str = ADDRESS,
        *,
        timeout_s: float = TIMEOUT_S,
        metadata: Headers | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        max_receive_bytes: int = -1,
    ) -> None:
        """Nothing is connected before the first call.

        address: HOST:PORT, or unix:/PATH.
        timeout_s: of every unary call that names none, in seconds; `math.inf` waits for ever.
        Streams have no timeout unless they name one.
        metadata: headers of every call, names in lower case.
        tls: encrypt, e.g. `Tls(root=Path("ca.pem"))`; None: unencrypted.
        token: shown with every call. Without `tls` whoever listens on the way can read it.
        credentials: instead of `tls`, any of grpc's.
        max_receive_bytes: of one message; -1 for no limit.
        """
        self._connection = connection(
            address, timeout_s, metadata, max_receive_bytes, credentials, tls, token
        )
        credentials = self._connection.credentials
        options = self._connection.options()
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options)
        )
        self._text = TextServiceAsyncStub(self._channel)
        self._inference = GRPCInferenceServiceAsyncStub(self._channel)
        self._server = ServerServiceAsyncStub(self._channel)

    async def close(self) -> None:
        """Cancel what is in flight and disconnect. A second call does nothing."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_s: float | None,
        *,
        wait_for_server: bool = False,
    ) -> _Response:
        try:
            return await method(
                request,
                timeout=self._connection.timeout(timeout_s),
                metadata=self._connection.metadata,
                wait_for_ready=wait_for_server,
            )
        except grpc.RpcError as error:
            raise error_from_rpc(error, self._connection.address) from error

    def _stream(
        self,
        method: grpc.aio.StreamStreamMultiCallable[_Request, _Response],
        items: Iterable[Item] | AsyncIterable[Item],
        dialect: Dialect[Item, _Request, _Response, Answer],
        in_flight: int,
        timeout_s: float | None,
    ) -> AsyncGenerator[tuple[int, Answer], None]:
        return exchange(
            partial(method, timeout=finite(timeout_s), metadata=self._connection.metadata),
            items,
            dialect,
            in_flight,
            self._connection.address,
        )
