"""The one place where a call is let in or refused, whichever transport brings it.

`guarded` wraps the table of methods; without restrictions and tokens it is the table itself.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from trivet.errors import PermissionDenied, Unauthenticated, Unavailable
from trivet.frontend.access_rules import Group, Role, Rule, rule_of
from trivet.frontend.method import (
    Answers,
    BidiStream,
    BidiStreamHandler,
    Call,
    Method,
    Methods,
    ServerStream,
    ServerStreamHandler,
    Unary,
    UnaryHandler,
)

TOKEN_HEADER = "authorization"
RESTRICTED_PREFIX = "triton-grpc-protocol-"
_SCHEME = "bearer"

_Check = Callable[[], None]  # raises what the caller is refused with


class Tokens(Protocol):
    """What `access_tokens.TokenFile` offers."""

    def roles(self, token: str) -> frozenset[Role] | None:
        """What a token is good for; None for one that is not known."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """A header that a call must bring, and its value.

    key: as the operator writes it; the header is RESTRICTED_PREFIX and the key.
    """

    key: str
    value: str = field(repr=False)

    @property
    def header(self) -> str:
        return RESTRICTED_PREFIX + self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is asked of callers.

    restrictions: by group, headers as Triton's --grpc-restricted-protocol asks for them.
    tokens: None: nobody needs one.
    """

    restrictions: Mapping[Group, Restriction]
    tokens: Tokens | None


def guarded(methods: Methods, access: Access) -> Methods:
    """The same methods for those who may call them.

    A stream is checked when it begins, and again with each of its messages, so that it does not
    outlive its token: what was sent before is answered, then it ends.
    """
    if not access.restrictions and access.tokens is None:
        return methods
    return {name: _guarded(name, method, access) for name, method in methods.items()}


def check_bearer(what: str, roles: frozenset[Role], access: Access, header: str) -> None:
    """The same check for what is no method of gRPC. header: the value of `authorization`.

    Raises Unauthenticated or PermissionDenied.
    """
    if access.tokens is not None and roles:
        _check_token(what, Rule(None, roles), access.tokens, _token(header))


def _guarded(name: str, method: Method, access: Access) -> Method:
    rule = rule_of(name)
    if not _needs(rule, access):
        return method

    def check_of(call: Call) -> _Check:
        return _check(name.rpartition("/")[2], rule, access, call.metadata)

    match method:
        case Unary(unary):
            return Unary(_unary(unary, check_of))
        case ServerStream(server_stream):
            return ServerStream(_server_stream(server_stream, check_of))
        case BidiStream(bidi_stream):
            return BidiStream(_bidi_stream(bidi_stream, check_of))


def _unary(handler: UnaryHandler, check_of: Callable[[Call], _Check]) -> UnaryHandler:
    async def answer(message: bytes, call: Call) -> bytes:
        check_of(call)()
        return await handler(message, call)

    return answer


def _server_stream(
    handler: ServerStreamHandler, check_of: Callable[[Call], _Check]
) -> ServerStreamHandler:
    def answers(message: bytes, call: Call) -> Answers:
        check_of(call)()
        return handler(message, call)

    return answers


def _bidi_stream(
    handler: BidiStreamHandler, check_of: Callable[[Call], _Check]
) -> BidiStreamHandler:
    def answers(messages: AsyncIterator[bytes], call: Call) -> Answers:
        check = check_of(call)
        check()
        return handler(_checked(messages, check), call)

    return answers


async def _checked(messages: AsyncIterator[bytes], check: _Check) -> AsyncIterator[bytes]:
    async for message in messages:
        check()
        yield message


def _needs(rule: Rule, access: Access) -> bool:
    """Whether anything is asked of who calls such a method."""
    return bool(rule.roles and access.tokens) or rule.group in access.restrictions


def _check(method: str, rule: Rule, access: Access, metadata: Mapping[str, str | bytes]) -> _Check:
    """The check of one call; may be made several times."""
    tokens = access.tokens if rule.roles else None
    token = _token(metadata.get(TOKEN_HEADER))
    restriction = access.restrictions.get(rule.group) if rule.group else None
    brought = metadata.get(restriction.header, "") if restriction else ""

    def check() -> None:
        if tokens is not None:
            _check_token(method, rule, tokens, token)
        if restriction is not None and not _same(brought, restriction.value):
            raise Unavailable(
                f"This protocol is restricted, expecting header '{restriction.header}'"
                f" for {method}, with the value that this server's operator has set"
            )

    return check


def _check_token(method: str, rule: Rule, tokens: Tokens, token: str | None) -> None:
    if token is None:
        raise Unauthenticated(
            f"{method} needs a token; send the header '{TOKEN_HEADER}: Bearer TOKEN' with one that"
            " this server's operator has issued"
        )
    roles = tokens.roles(token)
    if roles is None:
        raise Unauthenticated(
            f"{method}: this token is not, or no longer, known here; ask this server's operator"
            " for one"
        )
    if not roles & rule.roles:
        raise PermissionDenied(
            f"{method} needs a token with the role {_listed(rule.roles)}, this one has"
            f" {_listed(roles)}; ask this server's operator for another"
        )


def _token(header: str | bytes | None) -> str | None:
    """What follows Bearer; None without one."""
    if not isinstance(header, str):
        return None
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == _SCHEME and token.strip() else None


def _same(brought: str | bytes, wanted: str) -> bool:
    """Compared in constant time."""
    given = brought if isinstance(brought, bytes) else brought.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given, wanted.encode("utf-8", "surrogatepass"))


def _listed(roles: frozenset[Role]) -> str:
    return " or ".join(role for role in Role if role in roles)
