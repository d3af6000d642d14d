"""What another process of this machine has to know to answer as a loaded model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet.backend.contract import Artifact, LoadContext, PortableArtifact
from trivet.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Portable:
    """A load, as a value that can be sent to other processes.

    config: complete. version, path, where: as of `LoadContext`. digest: of what was read of its
    files, which may be others by now.
    """

    config: ModelConfig
    version: int
    path: Path
    where: str
    digest: bytes

    def context(self) -> LoadContext:
        """Where it is opened: by a process that computes for others, too, hence with one thread."""
        return LoadContext(version=self.version, path=self.path, where=self.where, threads=1)


def portable_of(artifact: Artifact, config: ModelConfig, context: LoadContext) -> Portable | None:
    """None for a load that is its own process's matter: most are.

    config: complete. One whose answers depend on earlier requests, come in any number or are kept
    in the response cache, stays where all its requests come together.
    """
    if not isinstance(artifact, PortableArtifact):
        return None
    if config.response_cache or config.decoupled or config.sequence_batching:
        return None
    return Portable(
        config=config,
        version=context.version,
        path=context.path.resolve(),
        where=context.where,
        digest=artifact.digest,
    )
