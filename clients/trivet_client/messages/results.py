"""What the answers of all tasks of trivet.v1.TextService have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from trivet_client.errors import broken, code_of
from trivet_client.streaming import Reply
from trivet_client.values import Cost, Failure
from trivet_protos.generated import text_pb2 as pb

_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)
_Answer = TypeVar("_Answer")


class Response(Protocol):
    """Any response: it says who answered."""

    @property
    def model_name(self) -> str: ...
    @property
    def model_version(self) -> int: ...


class ListResponse(Response, Protocol[_Result_co]):
    """The response of a unary call: a result for each text, in their order."""

    @property
    def results(self) -> Sequence[_Result_co]: ...


class StreamResponse(Response, Protocol[_Result_co]):
    """A response of a stream: to one text, a result or an error."""

    @property
    def id(self) -> str: ...
    @property
    def result(self) -> _Result_co: ...
    @property
    def error(self) -> pb.Error: ...
    def HasField(self, field_name: str) -> bool: ...  # noqa: N802 - protobuf's name


Read = Callable[[Response, _Result], _Answer]  # a task's result as a value


def answers_of(
    response: ListResponse[_Result], asked: int, read: Read[_Result, _Answer]
) -> tuple[_Answer, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(read(response, result) for result in counted(response.results, asked))


def reply_of(
    response: StreamResponse[_Result], read: Read[_Result, _Answer]
) -> Reply[_Answer | Failure]:
    """The answer to one text of a stream, or why there is none."""
    if response.HasField("error"):
        error = response.error
        return Reply(response.id, Failure(code=code_of(error.code), message=error.message))
    return Reply(response.id, read(response, response.result))


def counted(results: Sequence[_Result], asked: int) -> Sequence[_Result]:
    """The results. Raises Internal if there are more or fewer than asked."""
    if len(results) != asked:
        raise broken(f"{asked} texts were asked, but the server answered {len(results)}")
    return results


def cost_of(cost: pb.Cost) -> Cost:
    return Cost(
        tokens=cost.tokens,
        truncated=cost.truncated,
        queue_us=cost.queue_us,
        tokenize_us=cost.tokenize_us,
        compute_us=cost.compute_us,
        windows=cost.windows or 1,  # 0: a server older than the field
    )
