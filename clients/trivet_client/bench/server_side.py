"""What a run cost the server.

CPU seconds through /proc, batches by its statistics, tokens and padding by its ServerService.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from trivet_client.client import Client
from trivet_client.connection import is_loopback
from trivet_client.errors import TrivetError
from trivet_client.values import ModelCost
from trivet_protos.generated import model_config_pb2 as config_pb

_PROC = Path("/proc")
_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp writes it

Batches = Mapping[str, Mapping[int, int]]  # model -> rows of a batch -> how many such batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a model computed: its requests' tokens, and padding beside them."""

    tokens: int
    padding_tokens: int

    @property
    def padding_ratio(self) -> float | None:
        """The share of padding in all that was computed; None if nothing was."""
        computed = self.tokens + self.padding_tokens
        return self.padding_tokens / computed if computed else None


Costs = Mapping[str, Tokens]  # by model


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A model that computes, and what runs it."""

    model: str
    backend: str
    versions: tuple[int, ...]  # those that are ready


def pid_behind(address: str) -> int | None:
    """The process that listens on HOST:PORT of this machine; None if it is not to be found."""
    port = address.rpartition(":")[2]
    if not is_loopback(address) or not port.isdigit():
        return None
    sockets = set(_listening(int(port)))
    return next((pid for pid in _pids() if sockets & set(_sockets(pid))), None)


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process and its children so far; None once it is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        children = [
            int(child)
            for task in (_PROC / str(pid) / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return None
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) or 0.0 for child in children)


def steps(client: Client, model: str, version: int | None = None) -> list[Step]:
    """The models behind a model, each once: a pipeline's steps, else the model itself.

    Raises TrivetError if the server does not tell its configs.
    """
    found: dict[str, Step] = {}
    _add_steps(client, model, version, found)
    return list(found.values())


def batches(client: Client, behind: Sequence[Step]) -> Batches:
    """How many batches of each size the steps executed so far."""
    counts: dict[str, dict[int, int]] = {}
    for step in behind:
        sizes = counts.setdefault(step.model, {})
        for version in client.statistics(step.model):
            for batch in version.batches:
                number = batch.compute_infer.count
                sizes[batch.batch_size] = sizes.get(batch.batch_size, 0) + number
    return counts


def costs(client: Client, behind: Sequence[Step]) -> Costs:
    """How many tokens the steps computed so far, over all their versions.

    Raises TrivetError, Unimplemented if the server is no trivet.
    """
    return {step.model: total(map(_tokens, client.model_costs(step.model))) for step in behind}


def total(parts: Iterable[Tokens]) -> Tokens:
    """All of them together."""
    several = list(parts)
    return Tokens(
        tokens=sum(part.tokens for part in several),
        padding_tokens=sum(part.padding_tokens for part in several),
    )


def added(before: Costs, after: Costs) -> dict[str, Tokens]:
    """What was computed in between. Models that computed no token are left out."""
    none = Tokens(tokens=0, padding_tokens=0)
    growth = {
        model: Tokens(
            tokens=now.tokens - before.get(model, none).tokens,
            padding_tokens=now.padding_tokens - before.get(model, none).padding_tokens,
        )
        for model, now in after.items()
    }
    # Negative where a version was replaced meanwhile: then nothing can be said.
    return {model: grown for model, grown in growth.items() if grown.tokens > 0}


def _tokens(cost: ModelCost) -> Tokens:
    return Tokens(tokens=cost.tokens, padding_tokens=cost.padding_tokens)


def _add_steps(client: Client, model: str, version: int | None, found: dict[str, Step]) -> None:
    if model in found:
        return
    told = client.model_config(model, version=version)
    config = text_format.Parse(told.text, config_pb.ModelConfig())
    if config.ensemble_scheduling.step:
        for step in config.ensemble_scheduling.step:
            _add_steps(client, step.model_name, None, found)
        return
    try:
        versions = client.model_metadata(model, version=version).versions
    except TrivetError:  # the config is enough to count its batches
        versions = ()
    found[model] = Step(model=model, backend=told.backend, versions=versions)


def _listening(port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on a port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _pids() -> Iterator[int]:
    if _PROC.is_dir():
        yield from (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _sockets(pid: int) -> Iterator[str]:
    """Inodes of the sockets a process holds; none if it may not be looked at."""
    try:
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            kind, _, inode = str(descriptor.readlink()).partition(":")
            if kind == "socket":
                yield inode.strip("[]")
    except OSError:
        return
