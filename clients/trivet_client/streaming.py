"""What the streams of both clients share: who waits for an answer, and the bound on how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from trivet_client.errors import broken, invalid

# Requests of one stream in flight at most. Enough that the server's batcher has a choice among
# lengths on several instances, few enough that nothing piles up.
IN_FLIGHT = 256

Item = TypeVar("Item")
Request = TypeVar("Request")
Response = TypeVar("Response")
Answer = TypeVar("Answer")
_Item = TypeVar("_Item", contravariant=True)
_Request = TypeVar("_Request", covariant=True)
_Response = TypeVar("_Response", contravariant=True)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Reply(Generic[_Answer]):
    """A response taken apart. final: no other response to the same request follows."""

    request_id: str
    answer: _Answer
    final: bool = True


class Dialect(Protocol[_Item, _Request, _Response, _Answer]):
    """How the items of one kind of stream are written down, and its responses read."""

    def request(self, item: _Item, index: int) -> tuple[str, _Request]:
        """The id and the message of item number `index`. Called from the sending side."""

    def reply(self, response: _Response) -> Reply[_Answer]:
        """Called from the receiving side."""


class Outstanding:
    """The requests of one stream that wait for an answer, by the id they travel under.

    Ids are added on the sending side and removed on the receiving side, which may be two threads:
    each step is one operation of a dict, and those are atomic.
    """

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}
        self._all_sent = False

    def add(self, request_id: str, index: int) -> None:
        """Raises InvalidArgument if another request in flight has the same id."""
        if self._indexes.setdefault(request_id, index) != index:
            raise invalid(f"request id '{request_id}' is in flight already; give each its own")

    def answered(self, reply: Reply[_Answer]) -> int:
        """The index of the item that a reply answers. Raises Internal for an id that none has."""
        index = self._indexes.get(reply.request_id)
        if index is None:
            raise broken(
                f"an answer to '{reply.request_id}' came, which is not in flight: {reply.answer}"
            )
        if reply.final:
            del self._indexes[reply.request_id]
        return index

    def all_sent(self) -> None:
        """No further id will be added."""
        self._all_sent = True

    def check_complete(self) -> None:
        """Raises Internal if the stream ended while requests waited, or were still to be sent."""
        if self._indexes:
            raise broken(f"the stream ended with {len(self._indexes)} requests unanswered")
        if not self._all_sent:
            raise broken("the server ended the stream before all requests were sent")


def check_in_flight(in_flight: int) -> None:
    """Raises InvalidArgument for a bound under which nothing would ever be sent."""
    if in_flight < 1:
        raise invalid(f"in_flight is {in_flight}; at least 1 request must be in flight")
