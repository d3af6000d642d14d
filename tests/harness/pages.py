"""What a browser would read of the page, over a socket of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """An answer of HTTP. headers: by lower-case name."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def value(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Page:
    """A server's page. token: sent with every request; "" for none."""

    url: str
    token: str = ""

    def get(self, path: str, method: str = "GET", **headers: str) -> Told:
        return self._ask(method, path, None, headers)

    def ask(self, task: str, request: object, **headers: str) -> Told:
        """A question as the playground sends it. request: bytes go as they are."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        headers = {"content_type": "application/json", **headers}
        return self._ask("POST", f"/page/ask/{task}", body, headers)

    @contextmanager
    def events(self, timeout_s: float = 20) -> Iterator[Iterator[tuple[str, Any]]]:
        """The server's events, as they come: names and values; ends when the stream does."""
        connection = self._connection(timeout_s)
        try:
            connection.request("GET", "/page/events", headers=self._headers({}))
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield _events(answer)
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Told:
        connection = self._connection(30)
        try:
            connection.request(method, path, body, self._headers(headers))
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Told(answer.status, answer.read(), told)
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout_s)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {"authorization": f"Bearer {self.token}", **named} if self.token else named


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    while line := answer.readline().decode():
        field, _, value = line.rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
        else:
            assert not field, line


def wait_for(events: Iterator[tuple[str, Any]], wanted: str) -> Any:
    """The next value of an event."""
    return next(value for name, value in events if name == wanted)
