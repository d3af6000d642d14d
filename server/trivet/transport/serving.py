"""Serving on the transport that the options name."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from trivet.errors import Fault, InvalidConfig
from trivet.frontend.method import Methods
from trivet.transport.companion import Companion
from trivet.transport.options import Options, Transport


def serving(
    methods: Methods, options: Options, companion: Companion | None = None
) -> AbstractAsyncContextManager[int]:
    """Serve the methods until the block ends; gives the port, 0 for a Unix socket.

    companion: looks at messages in the processes that take connections, should there be several.

    Raises InvalidConfig if the address cannot be listened on, or the transport is not installed.
    """
    if options.processes > 1:
        from trivet.transport.processes import supervisor

        return supervisor.serving(methods, options, companion)
    if options.transport is Transport.GRPCIO:
        from trivet.transport import grpcio

        return grpcio.serving(methods, options)
    try:
        from trivet.transport.h2corn import server
    except ModuleNotFoundError as error:
        cure = "pip install 'trivet[server]', or serve with --transport grpcio"
        raise InvalidConfig(
            [Fault("--transport h2corn", f"{error.name} is missing", cure)]
        ) from None
    return server.serving(methods, options)
