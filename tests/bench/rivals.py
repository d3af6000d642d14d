"""The same server under other configs, as repositories that share the artifacts' files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from google.protobuf import text_format

from tests.bench.subjects import Subject
from tests.harness.server import ServerProcess, serving
from trivet_protos.generated import model_config_pb2 as pb

BY_LENGTH = ("max_batch_tokens", "max_padding_percent", "batch_window")


@dataclass(frozen=True, slots=True)
class Rival:
    """A variant of the encoder's config.pbtxt, and of the server's flags."""

    name: str
    edit: Callable[[pb.ModelConfig], None]
    flags: tuple[str, ...] = ()


def _as_built(config: pb.ModelConfig) -> None:
    """Nothing is changed."""


def _fifo_8(config: pb.ModelConfig) -> None:
    _drop(config, *BY_LENGTH)
    config.max_batch_size = 8
    config.parameters["batch_order"].string_value = "arrival"


def one_by_one(config: pb.ModelConfig) -> None:
    """No batches; one instance per core, each with the one thread that calls the engine."""
    _drop(config, *BY_LENGTH)
    config.ClearField("dynamic_batching")
    _set_instances(config, len(os.sched_getaffinity(0)))


def _one_by_one(config: pb.ModelConfig) -> None:
    one_by_one(config)
    config.parameters["intra_op_thread_count"].string_value = "1"


LENGTH_AWARE = Rival("by length (as built)", _as_built)
FIFO_8 = Rival("first in, first out, batches of 8", _fifo_8)
ONE_BY_ONE = Rival("one at a time, one single-thread worker per core", _one_by_one)


def instances(count: int) -> Rival:
    """As built, with so many instances."""
    return Rival(f"{count} instances", lambda config: _set_instances(config, count))


def bounded(count: int) -> Rival:
    """As built, on a server that lets in at most so many requests at a time."""
    return Rival(f"{count} at a time", _as_built, ("--max-inflight-requests", str(count)))


def repository_of(rival: Rival, subject: Subject, into: Path) -> Path:
    """Copy the subject's models with the rival's config; artifacts are hard links if possible."""
    for model in subject.models:
        shutil.copytree(subject.repository / model, into / model, copy_function=_link)
    edit_config(into / subject.encoder / "config.pbtxt", rival.edit)
    return into


@contextmanager
def served(rival: Rival, subject: Subject, scratch: Path) -> Iterator[ServerProcess]:
    """A server of the subject under the rival's config; its files lie in `scratch`."""
    folder = Path(mkdtemp(dir=scratch, prefix=f"{subject.encoder}-"))
    repository = repository_of(rival, subject, folder / "models")
    with started(repository, folder / "log", *rival.flags) as server:
        yield server


@contextmanager
def started(repository: Path, log: Path, *flags: str) -> Iterator[ServerProcess]:
    """`serving`; where it does not come up, its log tells why, as the file will be gone."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serving(repository, *flags, log=log))
        except RuntimeError as error:
            error.add_note(log.read_text())
            raise
        yield server


def edit_config(path: Path, edit: Callable[[pb.ModelConfig], None]) -> None:
    """Change a config in its place; a file that is linked to another is not changed there."""
    config = text_format.Parse(path.read_text(), pb.ModelConfig())
    edit(config)
    path.unlink()
    path.write_text(text_format.MessageToString(config))


def _drop(config: pb.ModelConfig, *parameters: str) -> None:
    for name in parameters:
        config.parameters.pop(name, None)


def _set_instances(config: pb.ModelConfig, count: int) -> None:
    config.ClearField("instance_group")
    config.instance_group.add(count=count, kind=pb.ModelInstanceGroup.KIND_CPU)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
