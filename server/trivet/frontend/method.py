"""What a transport calls, and what it lends a method while it runs.

A transport knows bytes and these types; a method knows no transport. So either can be replaced.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Call(Protocol):
    """One RPC in progress, as seen from a method.

    When the caller leaves or its deadline passes, the method's task is cancelled.
    """

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The request's headers, lower-case names; of a repeated one, the last."""

    def header(self, name: str) -> str | bytes | None:
        """One of them; costs a third of making all of them."""

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""

    @property
    def peer(self) -> str:
        """Who calls, e.g. "ipv4:127.0.0.1:40312"; for logs."""

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        """Metadata sent after the answer."""


class Accompanied(bytes):
    """A message, and what was found out about it before it came here.

    Bytes as any other to whoever does not ask: methods hand messages on through many hands.
    """

    beside: object
    beside_bytes: int  # that it took on the way

    @classmethod
    def by(cls, message: memoryview, beside: object, beside_bytes: int) -> Accompanied:
        made = cls(message)
        made.beside, made.beside_bytes = beside, beside_bytes
        return made


# A generator rather than any iterator: a transport closes it (`aclose`) when the call is over, so
# that what it holds is let go of at once and not when memory is collected.
Answers = AsyncGenerator[bytes, None]

UnaryHandler = Callable[[bytes, Call], Awaitable[bytes]]
ServerStreamHandler = Callable[[bytes, Call], Answers]
BidiStreamHandler = Callable[[AsyncIterator[bytes], Call], Answers]


@dataclass(frozen=True, slots=True)
class Unary:
    """One message in, one out. The handler raises ServeError to answer with a status."""

    handler: UnaryHandler


@dataclass(frozen=True, slots=True)
class ServerStream:
    """One message in, many out."""

    handler: ServerStreamHandler


@dataclass(frozen=True, slots=True)
class BidiStream:
    """Many in, many out, independently of one another."""

    handler: BidiStreamHandler


Method = Unary | ServerStream | BidiStream
Methods = Mapping[str, Method]  # by full name: "/inference.GRPCInferenceService/ModelInfer"
