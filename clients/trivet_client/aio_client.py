"""The client for callers on an event loop: the methods of `Client`, to be awaited."""

from __future__ import annotations

from trivet_client.aio_calls.labels import AsyncLabelCalls
from trivet_client.aio_calls.pairs import AsyncPairCalls
from trivet_client.aio_calls.server import AsyncServerCalls
from trivet_client.aio_calls.tensors import AsyncTensorCalls
from trivet_client.aio_calls.text import AsyncTextCalls
from trivet_client.aio_calls.tokens import AsyncTokenCalls
from trivet_client.aio_calls.vectors import AsyncVectorCalls


class AsyncClient(
    AsyncTextCalls,
    AsyncLabelCalls,
    AsyncPairCalls,
    AsyncVectorCalls,
    AsyncTokenCalls,
    AsyncTensorCalls,
    AsyncServerCalls,
):
    """Talks to one server, from one event loop; `close()` it, or use it in an `async with` block.

    Every call raises TrivetError (see `trivet_client.errors`). Cancelling the task that awaits a
    call cancels it at the server too. What a stream sends may come from an async iterable; what
    blocks belongs in one.
    """
