"""What watchers of the page are sent, and when nothing is looked at."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from tests.harness.frontend import ScriptedModel, echo_model
from trivet.errors import Code, ResourceExhausted
from trivet.frontend.access import Access
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.request import Stages
from trivet.status import view
from trivet.status.feed import EVERY_NS, KEPT_NS, MAX_BEHIND, MAX_TOLD, MAX_WATCHERS, Event, Feed
from trivet.status.options import PageOptions
from trivet.status.sources import Sources
from trivet.telemetry.calls import CALL, Calls
from trivet.testing.clock import ManualClock, settle

SECOND_US = EVERY_NS // 1000
STAGES = Stages(1_000_000, 2_000_000, 3_000_000, 4_000_000)
Told = list[tuple[str, Any]]


class Counted(ScriptedModel):
    """A version whose queue holds as much as a test says."""

    pending = 0
    posts = ()


def counted(version: int = 1) -> Counted:
    echo = echo_model(version=version)
    return Counted(echo.config, echo.infer, version=version)


class Watched:
    """A feed over a registry and counters, and time that a test moves."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Registry()
        self.calls = Calls(self.clock)
        self.sources = Sources(
            registry=self.registry,
            started=asyncio.Event(),
            draining=asyncio.Event(),
            clock=self.clock,
            calls=self.calls,
        )
        self.feed = Feed(self.sources)

    async def second(self) -> None:
        await settle()
        await self.clock.advance(us=SECOND_US)

    def publish(self, model: ScriptedModel) -> None:
        self.registry.publish(cast(Model, model))


@pytest.fixture
async def watched() -> Watched:
    return Watched()


def told(events: asyncio.Queue[Event]) -> Told:
    """All that has come: names and values."""
    found = []
    while not events.empty():
        event = events.get_nowait()
        if event is None:
            found.append(("end", None))
            continue
        name, data = event.decode().removesuffix("\n\n").split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def names(found: Told) -> list[str]:
    return [name for name, _ in found]


async def test_who_comes_is_told_all_there_is_and_then_each_second(watched: Watched) -> None:
    watched.publish(counted())
    with watched.feed.watcher() as events:
        first = told(events)
        assert names(first) == ["state", "failures", "history"]
        (shown,) = first[0][1]["models"]
        assert (shown["name"], shown["version"], shown["state"]) == ("echo", 1, "READY")
        for _ in range(2):
            await watched.second()
        assert names(told(events)) == ["sample", "sample"]


async def test_a_sample_says_what_its_second_brought(watched: Watched) -> None:
    model, idle = counted(), counted(version=2)
    watched.publish(model)
    watched.publish(idle)
    model.statistics.request_done(3, 1, STAGES)  # before anybody looked
    kind = watched.calls.kind("Infer", CALL)
    with watched.feed.watcher() as events:
        await settle()
        told(events)
        for _ in range(4):
            with kind.one():
                await watched.clock.advance(us=2000)
            model.statistics.request_done(1, 8_000_000, STAGES)
        model.statistics.batch_done(4, STAGES)
        model.statistics.tokens_computed(30, 10)
        model.pending = 5
        await watched.clock.advance(us=SECOND_US - 8000)
        ((name, sample),) = told(events)
    assert name == "sample"
    assert sample["at_ms"] == 1000
    assert (sample["all"]["requests"], sample["all"]["failures"]) == (4, 0)
    assert 1 < sample["all"]["ms"]["request"][1] <= 2.5
    (version,) = sample["versions"]  # the idle one is not told
    assert (version["name"], version["version"], version["waiting"]) == ("echo", 1, 5)
    assert (version["requests"], version["rows"], version["padding"]) == (4, 4, 25)
    assert 5 < version["ms"]["request"][0] <= 10


async def test_of_very_many_versions_the_busiest_are_told(watched: Watched) -> None:
    for version in range(1, MAX_TOLD + 51):
        model = counted(version)
        model.pending = version
        watched.publish(model)
    with watched.feed.watcher() as events:
        await watched.second()
        versions = dict(told(events))["sample"]["versions"]
    assert {each["version"] for each in versions} == set(range(51, MAX_TOLD + 51))


async def test_a_version_that_is_loaded_anew_begins_at_nothing(watched: Watched) -> None:
    old = counted()
    for _ in range(100):
        old.statistics.request_done(1, 1, STAGES)
    watched.publish(old)
    with watched.feed.watcher() as events:
        await settle()
        new = counted()
        new.statistics.request_done(1, 1, STAGES)
        watched.publish(new)
        await watched.second()
        sample = dict(told(events))["sample"]
    assert sample["versions"][0]["requests"] == 1


async def test_states_and_failures_are_told_when_they_change(watched: Watched) -> None:
    with watched.feed.watcher() as one:
        await watched.second()
        told(one)
        watched.registry.failed("broken", 1, "<script>alert(1)</script>\nno file")
        with pytest.raises(KeyError), watched.calls.kind("Embed", CALL).one():
            raise KeyError("secret")
        with watched.feed.watcher() as other:  # who comes in between takes nothing from the first
            assert "no file" in dict(told(other))["state"]["models"][0]["reason"]
            await watched.second()
            found = told(one)
            assert names(found) == ["state", "failures", "sample"]
            assert found[0][1]["models"][0]["reason"] == "<script>alert(1)</script>\nno file"
            (failure,) = found[1][1]
            assert (failure["code"], failure["count"]) == (Code.INTERNAL.name, 1)
            assert names(told(other)) == ["sample"]
        await watched.second()
        assert names(told(one)) == ["sample"]


async def test_all_watchers_are_told_the_same_bytes(watched: Watched) -> None:
    with watched.feed.watcher() as one, watched.feed.watcher() as other:
        told(one), told(other)
        await watched.second()
        assert one.get_nowait() is other.get_nowait()


async def test_nothing_is_looked_at_while_nobody_watches(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched.feed.watcher():
        await watched.second()

    def index() -> list[Any]:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(watched.registry, "index", index)
    monkeypatch.setattr(watched.registry, "models", index)
    for _ in range(3):
        await watched.second()
    assert len(asyncio.all_tasks()) == 1


async def test_two_minutes_are_kept_for_who_comes_later(watched: Watched) -> None:
    with watched.feed.watcher() as first:
        for _ in range(KEPT_NS // EVERY_NS + 10):
            await watched.second()
            told(first)
        with watched.feed.watcher() as later:
            history = dict(told(later))["history"]
    assert [sample["at_ms"] for sample in history] == [1000 * at for at in range(11, 131)]
    await watched.clock.advance(us=100 * SECOND_US)
    with watched.feed.watcher() as again:
        assert len(dict(told(again))["history"]) == 20


async def test_watchers_are_as_many_as_there_may_be(watched: Watched) -> None:
    entered = [watched.feed.watcher() for _ in range(MAX_WATCHERS)]
    for watcher in entered:
        watcher.__enter__()
    with pytest.raises(ResourceExhausted, match="close one"), watched.feed.watcher():
        pass
    entered.pop().__exit__(None, None, None)
    with watched.feed.watcher():
        pass
    for watcher in entered:
        watcher.__exit__(None, None, None)


async def test_one_that_does_not_read_is_let_go_and_holds_nobody_back(watched: Watched) -> None:
    with watched.feed.watcher() as slow, watched.feed.watcher() as quick:
        for _ in range(3 * MAX_BEHIND):
            await watched.second()
            assert "sample" in names(told(quick))
        left = names(told(slow))
    assert len(left) == MAX_BEHIND
    assert left[-1] == "end"


async def test_all_end_when_the_pages_end(watched: Watched) -> None:
    with watched.feed.watcher() as events:
        await settle()
        watched.sources.over.set()
        await settle()
        assert names(told(events))[-1] == "end"
    await settle()
    assert len(asyncio.all_tasks()) == 1


async def test_a_reader_that_takes_nothing_loses_its_connection(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "SLOW_S", 0.0)
    routes = view.view(
        watched.sources, Access(restrictions={}, tokens=None), PageOptions(any_host=True), {}
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await asyncio.get_running_loop().create_future()

    async def receive() -> Any:
        raise AssertionError("nothing is asked")

    scope = {"path": "/page/events", "method": "GET", "headers": []}
    await asyncio.wait_for(routes["/page/events"].handler(scope, receive, send), 10)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"], "its end is not a whole answer"
