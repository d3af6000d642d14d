"""Bidirectional streams for callers without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

import grpc

from trivet_client.errors import error_from_rpc
from trivet_client.streaming import (
    Answer,
    Dialect,
    Item,
    Outstanding,
    Request,
    Response,
    check_in_flight,
)

_Response = TypeVar("_Response", covariant=True)


class Responses(Protocol[_Response]):
    """A bidirectional call of grpc, as far as it is used here."""

    def __iter__(self) -> Iterator[_Response]: ...
    def cancel(self) -> object: ...


def exchange(
    open_call: Callable[[Iterator[Request]], Responses[Response]],
    items: Iterable[Item],
    dialect: Dialect[Item, Request, Response, Answer],
    in_flight: int,
    address: str,
) -> Generator[tuple[int, Answer], None, None]:
    """Send every item, yield (index of the item, answer) as answers come.

    What `items` raises is raised here, after the answers to the items before it. Closing the
    generator cancels the call.
    """
    check_in_flight(in_flight)
    outstanding = Outstanding()
    sender = _Sender(items, dialect, outstanding, in_flight)
    call = open_call(sender)
    try:
        for response in call:
            reply = dialect.reply(response)
            index = outstanding.answered(reply)
            if reply.final:
                sender.one_answered()
            yield index, reply.answer
        sender.raise_failure()
        outstanding.check_complete()
    except grpc.RpcError as error:
        raise error_from_rpc(error, address) from error
    finally:
        sender.close()
        call.cancel()


class _Sender(Generic[Item, Request]):
    """The requests of one stream, as grpc takes them from a thread of its own.

    That thread, not the reader's, pulls the items: answers are read while the next item is still
    being made, however long that takes.
    """

    def __init__(
        self,
        items: Iterable[Item],
        dialect: Dialect[Item, Request, Response, Answer],
        outstanding: Outstanding,
        in_flight: int,
    ) -> None:
        self._items = enumerate(items)
        self._write = dialect.request
        self._outstanding = outstanding
        self._free = threading.Semaphore(in_flight)
        self._closed = False
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        self._free.acquire()
        if self._closed:
            raise StopIteration
        try:
            index, item = next(self._items)
            request_id, request = self._write(item, index)
            self._outstanding.add(request_id, index)
        except StopIteration:
            self._outstanding.all_sent()
            raise
        except BaseException as error:  # the caller's own; grpc would log it and report UNKNOWN
            self._failure = error
            raise StopIteration from error
        return request

    def one_answered(self) -> None:
        self._free.release()

    def raise_failure(self) -> None:
        """Raise what the items raised, if they did."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Take no further item, and let grpc's thread go."""
        self._closed = True
        self._free.release()
