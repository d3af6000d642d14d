"""Models in processes of their own, which end, hang and are killed: seen at once, and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from tests.harness import python_models
from tests.harness.faults import SECONDS, RealBed
from tests.harness.repositories import add_model
from trivet.backend.contract import ProcessInstance
from trivet.errors import ServeError
from trivet.request import InferRequest

HANGS, DIES, WELL = 666, 667, 5
LIMIT_S = 8

CODE = """
    import os, signal, time
    import numpy as np

    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    class Model:
        def execute(self, inputs):
            value = inputs["IN"].flat[0]
            while value == 666:
                time.sleep(3600)
            if value == 667:
                os.kill(os.getpid(), signal.SIGKILL)
            return {"OUT": np.full_like(inputs["IN"], os.getpid())}
"""
RESHAPED = """
    backend: "python"
    max_batch_size: 8
    input { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] } }
    output { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] } }
"""
STREAMS = """
    import os, time
    import numpy as np

    class Model:
        def execute(self, inputs):
            yield {"OUT": np.full_like(inputs["IN"], os.getpid())}
            while inputs["IN"].flat[0] == 666:
                time.sleep(3600)
"""


class PythonBed(RealBed):
    async def ask(self, value: float, width: int = 2) -> int:
        """The number of the process that answers."""
        answer = await self.infer(np.full((1, width), value, np.float32))
        return int(answer.outputs["OUT"].flat[0])


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncGenerator[PythonBed, None]:
    made = PythonBed(tmp_path, installed=("fake", "python"))
    add_model(tmp_path, "neighbour")
    yield made
    await made.close()


def limits(**seconds: float) -> str:
    return "\n".join(
        f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'
        for name, value in seconds.items()
    )


def config(more: str) -> str:
    inputs, outputs = {"IN": "TYPE_FP32"}, {"OUT": "TYPE_FP32"}
    return python_models.config(inputs=inputs, outputs=outputs, more=more)


async def serve(bed: PythonBed, folder: Path, code: str = CODE, more: str = "") -> None:
    text = config(more + limits(execution_timeout_seconds=LIMIT_S))
    python_models.add(folder, "m", code, text)
    async with asyncio.timeout(SECONDS):
        await bed.follow()


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_an_idle_process_that_is_killed_is_replaced_before_anybody_asks(
    bed: PythonBed, tmp_path: Path
) -> None:
    await serve(bed, tmp_path)
    pid = await bed.ask(WELL)
    os.kill(pid, signal.SIGKILL)
    await bed.until("its process was killed by SIGKILL, probably for want of memory")
    assert bed.index()["m/1"].startswith("READY its only instance is being replaced: its process")
    await bed.until("")
    assert bed.model().posts[0].vacancy is None
    assert dict(bed.model().deaths) == {"died": 1, "hung": 0}
    assert await bed.ask(WELL) != pid


async def test_one_that_dies_again_and_again_while_idle_is_not_made_without_a_pause(
    bed: PythonBed, tmp_path: Path
) -> None:
    await serve(bed, tmp_path)
    os.kill(await bed.ask(WELL), signal.SIGKILL)
    await bed.until("killed by SIGKILL")
    await bed.until("")
    instance = bed.model().posts[0].instance
    assert isinstance(instance, ProcessInstance)
    instance.end("a test says so")
    await bed.until("its process was ended, since a test says so")
    await bed.clock.advance(us=99_999)
    assert bed.model().posts[0].vacancy is not None
    await bed.clock.advance(us=1)
    await bed.until("")
    assert await bed.ask(WELL)


async def test_a_process_that_hangs_is_killed_and_no_thread_is_left(
    bed: PythonBed, tmp_path: Path
) -> None:
    await serve(bed, tmp_path)
    pid = await bed.ask(WELL)
    guilty = asyncio.create_task(bed.ask(HANGS))
    async with asyncio.timeout(SECONDS):
        while bed.model().posts[0].since_ns is None:
            await asyncio.sleep(0.001)
    await bed.clock.advance(us=LIMIT_S * 1_000_000)
    await bed.until("an execution took longer than 8 s")
    assert await bed.echo("neighbour") == 1
    await bed.until("")
    async with asyncio.timeout(SECONDS):
        while is_there(pid) or bed.model().posts[0].since_ns is None:
            await asyncio.sleep(0.001)
    await bed.clock.advance(us=LIMIT_S * 1_000_000)  # the second that it hangs
    with pytest.raises(ServeError, match=r"two instances died .* an execution took longer"):
        await guilty
    await bed.clock.advance(us=100_000)
    assert await bed.ask(WELL) != pid
    async with asyncio.timeout(SECONDS):
        while bed.model().hung_threads:
            await asyncio.sleep(0.001)
    assert dict(bed.model().deaths) == {"died": 0, "hung": 2}


async def test_one_that_is_killed_while_it_computes_is_told_as_such(
    bed: PythonBed, tmp_path: Path
) -> None:
    await serve(bed, tmp_path)
    guilty = asyncio.create_task(bed.ask(DIES))
    await bed.until("its process was killed by SIGKILL, probably for want of memory")
    await bed.clock.advance(us=100_000)
    with pytest.raises(ServeError, match="killed by SIGKILL, probably for want of memory; it is"):
        await guilty
    await bed.clock.advance(us=200_000)
    assert await bed.ask(WELL)


async def test_a_stream_that_hangs_between_answers_is_ended_and_its_process_killed(
    bed: PythonBed, tmp_path: Path
) -> None:
    await serve(bed, tmp_path, STREAMS, "model_transaction_policy { decoupled: true }")
    request = InferRequest(model="m", inputs={"IN": np.full((1, 2), HANGS, np.float32)})
    answers = bed.model().stream(request)
    async with asyncio.timeout(SECONDS):
        pid = int((await anext(answers)).outputs["OUT"].flat[0])
        await bed.clock.advance(us=LIMIT_S * 1_000_000)
        with pytest.raises(ServeError, match="died before all answers were there: an execution"):
            await anext(answers)
        await bed.until("")
        while is_there(pid):
            await asyncio.sleep(0.001)


async def test_a_reshaped_instance_is_watched_as_well(bed: PythonBed, tmp_path: Path) -> None:
    code = CODE.replace('inputs["IN"].flat[0]', "0")
    python_models.add(tmp_path, "m", code, RESHAPED)
    await bed.follow()
    pid = await bed.ask(WELL, width=1)
    os.kill(pid, signal.SIGKILL)
    await bed.until("its process was killed by SIGKILL")
    await bed.until("")
    assert await bed.ask(WELL, width=1) != pid


@pytest.mark.parametrize(
    "code",
    [
        "import time\ntime.sleep(3600)\n",
        "import time\nclass Model:\n  def __init__(self): time.sleep(3600)\n"
        "  def execute(self, inputs): return {}\n",
    ],
)
async def test_a_file_that_hangs_while_it_is_loaded_is_given_up_and_its_process_killed(
    bed: PythonBed, tmp_path: Path, code: str
) -> None:
    python_models.write(tmp_path / "m" / "1", code)
    text = config(limits(load_timeout_seconds=0.5))
    (tmp_path / "m" / "config.pbtxt").write_text(text)
    async with asyncio.timeout(SECONDS):
        await bed.follow()  # the process is ended by the backend's own timer
    assert bed.index()["m/1"] == (
        "UNAVAILABLE m/1/model.py: while it was loaded, its process was ended, since it took longer"
        " than 0.5 s; the server's log has what it printed"
    )
    assert await bed.echo("neighbour") == 1
