# Written by clients/write_sync.py from aio_calls/connected.py. Do not edit.
"""A connection to one server, for callers without an event loop: what every call goes through."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from typing import Self, TypeVar

import grpc

from trivet_client.connection import ADDRESS, TIMEOUT_S, Headers, connection, finite
from trivet_client.errors import error_from_rpc
from trivet_client.security import Tls
from trivet_client.streaming import Answer, Dialect, Item
from trivet_client.sync_streams import exchange
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from trivet_protos.generated.server_pb2_grpc import ServerServiceStub
from trivet_protos.generated.text_pb2_grpc import TextServiceStub

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Connected:
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
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self._text = TextServiceStub(self._channel)
        self._inference = GRPCInferenceServiceStub(self._channel)
        self._server = ServerServiceStub(self._channel)

    def close(self) -> None:
        """Cancel what is in flight and disconnect. A second call does nothing."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        timeout_s: float | None,
        *,
        wait_for_server: bool = False,
    ) -> _Response:
        try:
            return method(
                request,
                timeout=self._connection.timeout(timeout_s),
                metadata=self._connection.metadata,
                wait_for_ready=wait_for_server,
            )
        except grpc.RpcError as error:
            raise error_from_rpc(error, self._connection.address) from error

    def _stream(
        self,
        method: grpc.StreamStreamMultiCallable[_Request, _Response],
        items: Iterable[Item],
        dialect: Dialect[Item, _Request, _Response, Answer],
        in_flight: int,
        timeout_s: float | None,
    ) -> Generator[tuple[int, Answer], None, None]:
        return exchange(
            partial(method, timeout=finite(timeout_s), metadata=self._connection.metadata),
            items,
            dialect,
            in_flight,
            self._connection.address,
        )
