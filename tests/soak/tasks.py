"""How each task is asked, and its answer checked. A call returns what it came to, or raises.

Each takes what it needs (`Asking`), a number that chooses among texts and sizes, and the seconds it
may take. It raises Wrong for a wrong answer; any TrivetError is judged by the caller.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.utils.shared_memory as shm

from tests.soak import expected as due
from tests.soak.bad_input import BAD, refused
from tests.soak.expected import Expected
from tests.soak.repository import MARKS, POISON, ROWS
from tests.soak.tally import Came, Wrong
from trivet_client import AsyncClient, Failure, InferRequest, InferResult
from trivet_client.errors import NotFound, Unavailable

ANSWERS = 6  # of decoupled models, at most
MESSAGES = 8  # of streams, at most
STEPS = 8  # of sequences, at most
_names = (f"trivet-soak-{os.getpid()}-{number}" for number in count())


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One connection, and what its answers have to be."""

    client: AsyncClient
    channel: grpc.aio.Channel
    peer: triton_aio.InferenceServerClient
    expected: Expected
    sequences: count[int] = field(default_factory=lambda: count(1))  # numbers of their own


Ask = Callable[[Asking, int, float], Awaitable[Came]]


def numbers_of(number: int) -> np.ndarray:
    """FP32 [1 to 8 rows, 1 to 200], no value of which poisons."""
    rng = np.random.default_rng(number)
    shape = (1 + number % ROWS, 1 + int(rng.lognormal(3, 1)) % 200)
    return rng.uniform(-POISON / 2, POISON / 2, shape).astype(np.float32)


def check_equal(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    if found.shape != wanted.shape or not (found == wanted).all():
        raise Wrong(f"{what}: {found.shape} {found!s:.200} instead of {wanted!s:.200}")


async def embed(asking: Asking, number: int, timeout_s: float) -> Came:
    places = [(number + step) % len(due.EMBEDDED) for step in range(1 + number % 3)]
    texts = [due.EMBEDDED[place] for place in places]
    answer = await asking.client.embed(texts, timeout_s=timeout_s)
    for place, vector in zip(places, answer.vectors, strict=True):
        asking.expected.check_embedding(place, vector)
    return Came.RIGHT


async def embed_stream(asking: Asking, number: int, timeout_s: float) -> Came:
    places = [(number + step) % len(due.EMBEDDED) for step in range(1 + number % MESSAGES)]
    texts = [due.EMBEDDED[place] for place in places]
    answers = asking.client.embed_stream(texts, timeout_s=timeout_s)
    seen = []
    async with contextlib.aclosing(answers):
        async for index, answer in answers:
            if isinstance(answer, Failure):
                raise answer.error()
            asking.expected.check_embedding(places[index], answer.vector)
            seen.append(index)
    check_equal(np.sort(seen), np.arange(len(places)), "texts of a stream that were answered")
    return Came.RIGHT


async def fill_mask(asking: Asking, number: int, timeout_s: float) -> Came:
    place = number % len(due.MASKED)
    answer = await asking.client.fill_mask(due.MASKED[place], top_k=due.TOP, timeout_s=timeout_s)
    asking.expected.check_masks(place, answer)
    return Came.RIGHT


async def zero_shot(asking: Asking, number: int, timeout_s: float) -> Came:
    place = number % len(due.LABELLED)
    text = due.LABELLED[place]
    answer = await asking.client.zero_shot(text, due.LABELS, timeout_s=timeout_s)
    asking.expected.check_labels(place, answer)
    return Came.RIGHT


async def classify(asking: Asking, number: int, timeout_s: float) -> Came:
    places = [(number + step) % len(due.CLASSIFIED) for step in range(1 + number % 5)]
    texts = [due.CLASSIFIED[place] for place in places]
    answers = await asking.client.classify(texts, timeout_s=timeout_s)
    for place, answer in zip(places, answers, strict=True):
        asking.expected.check_classes(place, answer)
    return Came.RIGHT


async def tokenize(asking: Asking, number: int, timeout_s: float) -> Came:
    place = number % len(due.TOKENIZED)
    answer = await asking.client.tokenize(due.TOKENIZED[place], timeout_s=timeout_s)
    asking.expected.check_tokens(place, answer)
    return Came.RIGHT


def _echo(model: str, sent: str = "IN", given: str = "OUT") -> Ask:
    async def ask(asking: Asking, number: int, timeout_s: float) -> Came:
        numbers = numbers_of(number)
        answer = await asking.client.infer(model, {sent: numbers}, timeout_s=timeout_s)
        check_equal(answer.outputs[given], numbers, f"echo of {model!r}")
        return Came.RIGHT

    return ask


async def come_and_go(asking: Asking, number: int, timeout_s: float) -> Came:
    """Its model is loaded and unloaded all the time: an echo, or that it is not there."""
    try:
        return await _echo("come_and_go")(asking, number, timeout_s)
    except (NotFound, Unavailable) as error:
        if "'come_and_go'" not in str(error):
            raise
        return Came.REFUSED


async def versioned(asking: Asking, number: int, timeout_s: float) -> Came:
    """Every version adds its own number."""
    numbers = np.floor(numbers_of(number))
    answer = await asking.client.infer("versioned", {"IN": numbers}, timeout_s=timeout_s)
    if answer.version is None:
        raise Wrong("'versioned' does not say which version answered")
    check_equal(answer.outputs["OUT"], numbers + np.float32(answer.version), "sum of 'versioned'")
    return Came.RIGHT


async def raw_stream(asking: Asking, number: int, timeout_s: float) -> Came:
    """Several models on one stream, one of which refuses what is poisoned."""
    models = [("echo", "pipeline", "picky")[(number + n) % 3] for n in range(1 + number % MESSAGES)]
    sent = [numbers_of(number + step)[:1] for step in range(len(models))]
    poisoned = [model == "picky" and (number + step) % 2 for step, model in enumerate(models)]
    for array, bad in zip(sent, poisoned, strict=True):
        array[0, 0] = POISON if bad else array[0, 0]
    requests = [InferRequest(model=m, inputs={"IN": a}) for m, a in zip(models, sent, strict=True)]
    answers = asking.client.infer_stream(requests, timeout_s=timeout_s)
    seen = []
    async with contextlib.aclosing(answers):
        async for index, answer in answers:
            seen.append(index)
            if isinstance(answer, Failure):
                if poisoned[index] and "poisoned" in answer.message:
                    continue
                raise answer.error()
            check_equal(
                answer.outputs["OUT"], sent[index], f"echo of {models[index]!r} in a stream"
            )
            if poisoned[index]:
                raise Wrong("what is poisoned was answered")
    check_equal(np.array(seen), np.arange(len(sent)), "order of a stream")
    return Came.RIGHT


async def bad_stream(asking: Asking, number: int, timeout_s: float) -> Came:
    """A wrong message between good ones is refused alone."""
    numbers = numbers_of(number)
    good = InferRequest(model="echo", inputs={"IN": numbers})
    bad = InferRequest(model="echo", inputs={"IN": numbers.astype(np.int16)})
    answers = asking.client.infer_stream([good, bad, good], timeout_s=timeout_s)
    came = []
    async with contextlib.aclosing(answers):
        async for _, answer in answers:
            if isinstance(answer, InferResult):
                check_equal(answer.outputs["OUT"], numbers, "echo beside a bad message")
            elif "expected 'FP32'" not in answer.message:
                raise answer.error()
            came.append(isinstance(answer, InferResult))
    if came != [True, False, True]:
        raise Wrong(f"answers to good, bad and good were right: {came}")
    return Came.RIGHT


async def decoupled(asking: Asking, number: int, timeout_s: float) -> Came:
    wanted, numbers = number % ANSWERS, numbers_of(number)[:1]
    counted = np.array([[wanted]], np.int32)
    request = InferRequest(model="repeat", inputs={"IN": numbers, "COUNT": counted})
    answers = await _answers(asking, request, timeout_s)
    for answer in answers:
        check_equal(answer.outputs["OUT"], numbers, "an answer of 'repeat'")
    check_equal(np.array([a.parameters["answer"] for a in answers]), np.arange(wanted), "'repeat'")
    return Came.RIGHT


async def python_decoupled(asking: Asking, number: int, timeout_s: float) -> Came:
    wanted = number % ANSWERS
    request = InferRequest(model="python_repeat", inputs={"IN": np.array([[wanted]], np.float32)})
    answers = await _answers(asking, request, timeout_s)
    found = np.array([answer.outputs["OUT"].item() for answer in answers])
    check_equal(found, np.arange(wanted), "answers of 'python_repeat'")
    return Came.RIGHT


async def _answers(asking: Asking, request: InferRequest, timeout_s: float) -> list[InferResult]:
    """All that a decoupled model answers; the empty one at the end is left out."""
    stream = asking.client.infer_stream([request], timeout_s=timeout_s)
    answers = []
    async with contextlib.aclosing(stream):
        async for _, answer in stream:
            if isinstance(answer, Failure):
                raise answer.error()
            answers.append(answer)
    if any(answer.final for answer in answers[:-1]):
        raise Wrong(f"{request.model!r} answered after its last answer")
    return [answer for answer in answers if answer.outputs]


async def sequence(asking: Asking, number: int, timeout_s: float) -> Came:
    """A sum that begins at 100; the first answer carries the mark of its version."""
    own, steps = next(asking.sequences), 2 + number % (STEPS - 1)
    total, version = 100.0, None
    for step in range(steps):
        added = float((number >> step) % 100)
        flags = {"sequence_start": step == 0, "sequence_end": step == steps - 1}
        answer = await asking.client.infer(
            "sums",
            {"X": np.array([[added]], np.float32)},
            parameters={"sequence_id": own, **flags},
            timeout_s=timeout_s,
        )
        total += added
        found = float(answer.outputs["Y"].item())
        if found not in ([total + mark for mark in MARKS] if step == 0 else [total]):
            raise Wrong(f"sequence {own}, step {step} of {steps}: {found} instead of {total}")
        if answer.outputs["ID"].item() != own:
            raise Wrong(f"sequence {own} has the id {answer.outputs['ID'].item()}")
        if version not in (None, answer.version):
            raise Wrong(f"sequence {own} went from version {version} to {answer.version}")
        version = answer.version
    return Came.RIGHT


async def shared_memory(asking: Asking, number: int, timeout_s: float) -> Came:
    """A region of its own, given and taken back, with the peer's client."""
    numbers, name = numbers_of(number), next(_names)
    size = numbers.nbytes
    region = shm.create_shared_memory_region(name, name, 2 * size)
    try:
        shm.set_shared_memory_region(region, [numbers])
        await asking.peer.register_system_shared_memory(name, name, 2 * size)
        tensor = triton.InferInput("IN", list(numbers.shape), "FP32")
        tensor.set_shared_memory(name, size, 0)
        wanted = triton.InferRequestedOutput("OUT")
        wanted.set_shared_memory(name, size, size)
        await asking.peer.infer("echo", [tensor], outputs=[wanted], client_timeout=timeout_s)
        await asking.peer.unregister_system_shared_memory(name)
        found = shm.get_contents_as_numpy(region, np.float32, list(numbers.shape), offset=size)
        check_equal(found, numbers, "echo through shared memory")
    finally:
        shm.destroy_shared_memory_region(region)
    return Came.RIGHT


async def bad_input(asking: Asking, number: int, timeout_s: float) -> Came:
    name = list(BAD)[number % len(BAD)]
    if fault := await refused(asking.channel, BAD[name], timeout_s):
        raise Wrong(f"{name}: {fault}")
    return Came.REFUSED


TASKS: Mapping[str, Ask] = {
    "embed": embed,
    "embed_stream": embed_stream,
    "fill_mask": fill_mask,
    "zero_shot": zero_shot,
    "classify": classify,
    "tokenize": tokenize,
    "echo": _echo("echo"),
    "pipeline": _echo("pipeline"),
    "versioned": versioned,
    "come_and_go": come_and_go,
    "raw_stream": raw_stream,
    "python": _echo("python", "numbers", "same_numbers"),
    "python_decoupled": python_decoupled,
    "decoupled": decoupled,
    "sequence": sequence,
    "shared_memory": shared_memory,
    "bad_input": bad_input,
    "bad_stream": bad_stream,
}
