"""Which load a request of a sequence goes to when there are several of its model.

A sequence's state is with the load that it began on. So its requests go there, although another
load of the version, or a newer version, has taken its place; new sequences go to the new one.
"""

from __future__ import annotations

from collections.abc import Iterator

from trivet.repository.entry import Entry
from trivet.request import InferRequest
from trivet.scheduling.sequences.keeping import OpenSequences
from trivet.scheduling.sequences.turns import starts


class Keepers:
    """The loads that keep sequences, by model."""

    def __init__(self) -> None:
        self._loads: dict[str, list[Entry]] = {}  # of each model the newest first

    def __bool__(self) -> bool:
        """Whether there is any; while there is none, no request need be looked at."""
        return bool(self._loads)

    def add(self, name: str, load: Entry) -> None:
        """A load was published."""
        if load.sequences is not None:
            self._loads[name] = [load, *self._loads.get(name, ())]
        alive = {name: [one for one in loads if one.model] for name, loads in self._loads.items()}
        self._loads = {name: loads for name, loads in alive.items() if loads}

    def keeper_of(self, request: InferRequest) -> Entry | None:
        """The load where the request's sequence is open; None if it is open nowhere, or starts."""
        if starts(request):
            return None
        return next((load for load, _ in self._with(request)), None)

    def given(self, request: InferRequest, to: Entry) -> None:
        """A request goes to this load; a sequence that starts there ends wherever it was open."""
        if starts(request):
            for load, sequences in self._with(request):
                if load is not to:
                    sequences.end(request)

    def end(self, name: str) -> None:
        """The model is taken out: its sequences are over, wherever they are."""
        for load in self._loads.get(name, ()):
            if load.sequences is not None:
                load.sequences.end_all()

    def _with(self, request: InferRequest) -> Iterator[tuple[Entry, OpenSequences]]:
        """The loads where the request's sequence is open."""
        for load in self._loads.get(request.model, ()):
            if load.sequences is not None and load.sequences.keeps(request):
                yield load, load.sequences
