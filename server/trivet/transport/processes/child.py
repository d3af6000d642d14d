"""What a front-end process runs. It imports the transport, and nothing of models and engines."""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from trivet import interpreter
from trivet.errors import InvalidConfig
from trivet.transport.companion import Front
from trivet.transport.options import Options
from trivet.transport.processes import frames
from trivet.transport.processes.forwarding import Forwarding, Names
from trivet.transport.processes.frames import Kind
from trivet.transport.processes.link import RING_BYTES, Link
from trivet.transport.processes.output import ToOwner
from trivet.transport.processes.ring import Damaged, Path, Reading, Writing
from trivet.transport.serving import serving

log = logging.getLogger("trivet.transport")


def main(argv: Sequence[str]) -> int:
    """argv: the descriptors of the memory and of four eventfds."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are the owner's, who says when we end
    logging.basicConfig(level=logging.INFO, handlers=[ToOwner()], force=True)
    # The owner is who started us, and may say anything; what we tell him is never unpickled.
    options, names, make_front = pickle.load(sys.stdin.buffer)
    interpreter.set_up()
    threading.Thread(target=_end_with_the_owner, name="lifeline", daemon=True).start()
    memory_fd, *eventfds = map(int, argv)
    memory = memoryview(mmap.mmap(memory_fd, 2 * RING_BYTES))
    os.close(memory_fd)
    return asyncio.run(_serve(options, names, make_front, memory, eventfds))


async def _serve(
    options: Options,
    names: Names,
    make_front: Callable[[], Front] | None,
    memory: memoryview,
    eventfds: Sequence[int],
) -> int:
    """Take connections until the owner says that it is enough; gives the exit status."""
    front = make_front() if make_front else None
    stopped, forwarding = asyncio.Event(), Forwarding(front)

    def on_frame(kind: int, number: int, data: bytes, at: int, end: int) -> None:
        if kind == Kind.STOP:
            stopped.set()
        elif kind == Kind.BEAT:
            link.send(frames.bare(Kind.BEAT))
        elif kind == Kind.TOLD and front is not None:
            front.told(data[at:end])
        else:
            forwarding.on_frame(kind, number, data, at, end)

    filled, freed, back_filled, back_freed = eventfds
    link = forwarding.link = Link(
        Writing(Path(memory[RING_BYTES:], back_filled, back_freed)),
        Reading(Path(memory[:RING_BYTES], filled, freed)),
        on_frame,
        _damaged,
    )
    try:
        async with serving(forwarding.methods(names), options):
            link.send(frames.bare(Kind.READY))
            await stopped.wait()
    except InvalidConfig as error:
        faults = [[fault.where, fault.what, fault.cure] for fault in error.faults]
        link.send(frames.bare(Kind.FAILED, body=json.dumps(faults).encode()))
        link.flush()
        return 1
    return 0


def _damaged(damaged: Damaged) -> None:
    log.error("frontend_ring_damaged", extra={"why": str(damaged)})
    os._exit(1)


def _end_with_the_owner() -> None:
    """End when the owner's end of a pipe is closed, however it ended, whatever the loop does."""
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
