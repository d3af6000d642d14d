"""The client for callers without an event loop."""

from __future__ import annotations

from trivet_client.sync_calls.labels import LabelCalls
from trivet_client.sync_calls.pairs import PairCalls
from trivet_client.sync_calls.server import ServerCalls
from trivet_client.sync_calls.tensors import TensorCalls
from trivet_client.sync_calls.text import TextCalls
from trivet_client.sync_calls.tokens import TokenCalls
from trivet_client.sync_calls.vectors import VectorCalls


class Client(
    TextCalls,
    LabelCalls,
    PairCalls,
    VectorCalls,
    TokenCalls,
    TensorCalls,
    ServerCalls,
):
    """Talks to one server. Threads may share it; `close()` it, or use it in a `with` block.

    Every call raises TrivetError (see `trivet_client.errors`). What a stream sends is taken from
    its iterable in a thread of its own.
    """
