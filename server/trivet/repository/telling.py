"""What keeps models from being served: shown in the registry, logged once, kept for who asks."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

from trivet.errors import Fault
from trivet.repository.entries import NO_VERSION
from trivet.repository.entry import State
from trivet.repository.layout import Snapshot
from trivet.repository.registry import Registry

log = logging.getLogger(__name__)

IDLE = "not loaded; RepositoryModelLoad loads it"


class Telling:
    """Notes faults while versions are made equal to a snapshot, and cleans up behind."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._logged: dict[tuple[str, int], str] = {}  # what the log was told last
        self._noted: set[str] = set()
        self._away: Mapping[str, str] = {}  # models that serve on, and why they cannot be seen
        self._left_out: list[Fault] = []
        self._quiet = False
        self.faults: dict[str, list[Fault]] = {}  # by model; "" for what belongs to none

    def begin(self, *, quiet: bool) -> None:
        """Forget the faults of the last attempt. quiet: the log is told of none of the new ones."""
        self.faults = {}
        self._quiet = quiet

    def looked(self, unreadable: Iterable[Fault], snapshot: Snapshot) -> None:
        """What was passed over and left out when the repositories were read."""
        notes = {note for folder in snapshot.folders for note in folder.notes}
        for note in sorted(notes - self._noted):
            log.warning("version_ignored", extra={"note": note})
        self._noted = notes
        self._left_out = [fault for fault in unreadable if fault not in snapshot.broken.values()]

    def left_out(self, *, everything: bool) -> None:
        """Tell of what has no name to be served by. everything: all that lies there is wanted."""
        faults = self._left_out if everything else []
        if faults:
            self.faults[""] = list(faults)
        self._log("model_left_out", "", NO_VERSION, faults)

    def failed(
        self,
        name: str,
        version: int,
        faults: Collection[Fault],
        cause: Exception | None = None,
    ) -> None:
        """A version, or with NO_VERSION a model, cannot be loaded.

        cause: what an engine raised; its traceback goes to the log in any case.
        """
        self.faults.setdefault(name, []).extend(faults)
        self._registry.failed(name, version, _joined(faults))
        self._log("model_not_loaded", name, version, faults, cause)

    def mended(self, name: str, version: int) -> None:
        """Nothing is wrong any more with a version, or with NO_VERSION the model's config."""
        self._logged.pop((name, version), None)
        self._registry.mended(name, version)

    def away(self, reasons: Mapping[str, Fault]) -> None:
        """Models that serve on although their repository cannot be read; all others are back."""
        away = {name: str(fault) for name, fault in reasons.items()}
        for name in self._away.keys() - away.keys():
            self._registry.back(name, self._away[name])
        for name, reason in away.items():
            self._registry.away(name, reason)
        for reason in sorted(set(away.values()) - set(self._away.values())):
            log.error("repository_away", extra={"fault": reason})
        self._away = away

    def clean_up(self, snapshot: Snapshot, names: Collection[str] | None) -> None:
        """Show no more what is neither served nor there; show what is there and not asked for."""
        there = {folder.name: folder.versions for folder in snapshot.folders}
        for entry in self._registry.index():
            if entry.state is not State.UNAVAILABLE or entry.name in snapshot.broken:
                continue
            versions = there.get(entry.name, ())
            if entry.name not in there or entry.version not in (NO_VERSION, *versions):
                self._registry.forget(entry.name, entry.version)
                self._logged.pop((entry.name, entry.version), None)
        if names is not None:
            for name in there.keys() - set(names):
                self._registry.idle(name, IDLE)

    def _log(
        self,
        event: str,
        name: str,
        version: int,
        faults: Collection[Fault],
        cause: Exception | None = None,
    ) -> None:
        """Log what was not logged before of this version."""
        told = _joined(faults)
        if self._logged.get((name, version), "") == told:
            return
        self._logged[name, version] = told
        if self._quiet and cause is None:
            return
        where = {"model": name, "version": version} if name else {}
        for fault in faults:
            log.error(event, exc_info=cause, extra={**where, "fault": str(fault)})


def _joined(faults: Iterable[Fault]) -> str:
    return "; ".join(map(str, faults))
