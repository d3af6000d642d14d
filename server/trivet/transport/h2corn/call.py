"""One RPC in progress on h2corn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trivet.transport.h2corn import metadata

if TYPE_CHECKING:
    from h2corn import HTTPScope


class H2cornCall:
    """What a method is lent; everything is looked up only when asked for."""

    __slots__ = ("_headers", "_scope", "deadline_s", "trailers")

    def __init__(
        self, scope: HTTPScope, headers: Mapping[bytes, bytes], deadline_s: float | None
    ) -> None:
        """headers: the last value of each. deadline_s: on the loop's clock; None without one."""
        self._scope = scope
        self._headers = headers
        self.deadline_s = deadline_s
        self.trailers: Sequence[tuple[str, str | bytes]] = ()

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        return metadata.read(self._scope["headers"])

    def header(self, name: str) -> str | bytes | None:
        value = self._headers.get(wanted := name.encode())
        return None if value is None else metadata.read([(wanted, value)]).get(name)

    @property
    def time_left_s(self) -> float | None:
        if self.deadline_s is None:
            return None
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    @property
    def peer(self) -> str:
        host, port = self._scope.get("client") or ("", 0)
        if not host:
            return "unix:"
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def set_trailers(self, trailers: Sequence[tuple[str, str | bytes]]) -> None:
        self.trailers = trailers
