"""What the answers of all tasks of trivet.v1.TextService have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from trivet_client.errors import broken, code_of
from trivet_client.values import Cost, Failure
from trivet_protos.generated import text_pb2 as pb

_Result = TypeVar("_Result")


def listed(texts: str | Sequence[str]) -> Sequence[str]:
    """One text as a list of one."""
    return [texts] if isinstance(texts, str) else texts


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


def failure_of(error: pb.Error) -> Failure:
    return Failure(code=code_of(error.code), message=error.message)
