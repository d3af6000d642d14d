"""The executor: one thread, whatever is thrown in it, and nothing kept longer than needed."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from trivet.errors import InvalidInput
from trivet.scheduling.executor import Executor


@pytest_asyncio.fixture
async def executor() -> AsyncIterator[Executor]:
    made = Executor("worker-7")
    yield made
    await made.close()


class Result:
    """Something that can be watched as it goes."""


async def test_every_call_runs_in_the_one_thread_of_that_name(executor: Executor) -> None:
    threads = await asyncio.gather(*(executor.run(threading.current_thread) for _ in range(20)))
    assert len(set(threads)) == 1
    assert threads[0].name == "worker-7"
    assert threads[0] is not threading.current_thread()


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's own on Linux alone")
async def test_it_and_the_threads_of_engines_give_way_to_the_event_loop(executor: Executor) -> None:
    def nice_here_and_in_a_further_thread() -> list[int]:
        seen = [_niceness()]
        further = threading.Thread(target=lambda: seen.append(_niceness()))
        further.start()
        further.join()
        return seen

    seen = await executor.run(nice_here_and_in_a_further_thread)
    assert seen == [min(19, _niceness() + 10)] * 2


def _niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_calls_run_in_the_order_given_with_their_arguments(executor: Executor) -> None:
    seen: list[tuple[int, str]] = []

    def note(number: int, *, word: str) -> int:
        seen.append((number, word))
        return number * 2

    results = await asyncio.gather(*(executor.run(note, n, word=str(n)) for n in range(10)))
    assert results == [n * 2 for n in range(10)]
    assert seen == [(n, str(n)) for n in range(10)]


async def test_an_error_reaches_its_caller_and_the_thread_goes_on(executor: Executor) -> None:
    def fail() -> None:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput, match="no"):
        await executor.run(fail)
    assert await executor.run(lambda: 5) == 5


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()]
)
async def test_an_error_that_means_something_to_the_loop_is_an_error_like_others(
    executor: Executor, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__) as told:
        await executor.run(fail)
    assert told.value.__cause__ is error
    assert await executor.run(lambda: 5) == 5


async def test_a_caller_who_leaves_does_not_stop_the_work_behind(executor: Executor) -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return gate.wait(10)

    leaving = asyncio.create_task(executor.run(wait))
    assert await asyncio.to_thread(begun.wait, 10)
    staying = asyncio.create_task(executor.run(lambda: 5))
    leaving.cancel()
    gate.set()
    assert await staying == 5
    assert leaving.cancelled()


async def test_a_result_is_not_kept_alive(executor: Executor) -> None:
    result = await executor.run(Result)
    watched = weakref.ref(result)
    del result
    await executor.run(threading.current_thread)  # the first call is over for good
    gc.collect()
    assert watched() is None


async def test_an_argument_is_not_kept_alive(executor: Executor) -> None:
    argument = Result()
    watched = weakref.ref(argument)
    await executor.run(id, argument)
    del argument
    # Idle, not busy with a next call: this is how a thread spends most of its time.
    for _ in range(1000):
        if watched() is None:
            break
        await asyncio.sleep(0.001)
    assert watched() is None


async def test_closing_finishes_what_was_given_and_ends_the_thread() -> None:
    executor = Executor("worker-8")
    thread = await executor.run(threading.current_thread)
    gate = threading.Event()
    given = [asyncio.create_task(executor.run(gate.wait, 10)) for _ in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(executor.close())
    gate.set()
    await closing
    assert not thread.is_alive()
    assert await asyncio.gather(*given) == [True] * 3


def test_a_thread_whose_loop_is_gone_ends_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    gate, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        gate.wait(10)

    async def leave() -> threading.Thread:
        executor = Executor("worker-9")
        thread = await executor.run(threading.current_thread)
        task = asyncio.create_task(executor.run(wait))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        executor._work.put(None)
        return thread

    thread = asyncio.run(leave())
    gate.set()
    thread.join(10)
    assert not thread.is_alive()
    assert "Traceback" not in capfd.readouterr().err
