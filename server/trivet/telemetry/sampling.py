"""Which requests are traced: every so-manieth, by settings that may change while serving."""

from __future__ import annotations

from dataclasses import replace

from trivet.telemetry.trace_settings import Changes, TraceSettings, changed


class Sampler:
    """Counts requests under one set of settings."""

    def __init__(self, settings: TraceSettings, owner: str) -> None:
        """owner: the model whose own they are, or ""."""
        self.settings = settings
        self.owner = owner
        self.is_on = settings.are_on
        self._seen = 0

    def takes(self) -> bool:
        """Whether it is the next request's turn; counts it. Ask only one that is on."""
        settings = self.settings
        if not settings.rate or not settings.count:
            return False
        self._seen += 1
        if self._seen % settings.rate:
            return False
        if settings.count > 0:
            self.settings = replace(settings, count=settings.count - 1)
            self.is_on = self.settings.are_on
        return True


class Sampling:
    """The samplers of all models: the operator's settings, and what TraceSetting made of them.

    common: that of models without one of their own.
    """

    def __init__(self, settings: TraceSettings) -> None:
        """settings: the operator's, to which a cleared setting goes back."""
        self._default = settings
        self.common = Sampler(settings, "")
        self._changes: dict[str, dict[str, tuple[str, ...]]] = {}  # of models, by name
        self.own: dict[str, Sampler] = {}

    @property
    def is_on(self) -> bool:
        """Whether any request may be traced."""
        samplers = (self.common, *self.own.values())
        return any(sampler.is_on for sampler in samplers)

    def sampler(self, model: str) -> Sampler:
        """A model's own, or with an empty name, or where it has none, that of all."""
        return self.own.get(model, self.common)

    def update(self, model: str, changes: Changes) -> None:
        """Change settings. Raises InvalidInput or Unimplemented, and then changes nothing."""
        if model:
            self._update_model(model, changes)
            return
        new = changed(self.common.settings, changes, self._default)
        self.common = Sampler(new, "")
        for name, own in self._changes.items():  # what a model does not set itself follows
            left = self.own[name].settings.count
            again = changed(new, own, new)
            again = replace(again, count=left) if "trace_count" in own else again
            self.own[name] = Sampler(again, name)

    def _update_model(self, model: str, changes: Changes) -> None:
        common = self.common.settings
        new = changed(self.sampler(model).settings, changes, common)
        own = self._changes.get(model, {}) | {name: tuple(v) for name, v in changes.items()}
        own = {name: values for name, values in own.items() if values}  # cleared: the common one
        if own:
            self._changes[model], self.own[model] = own, Sampler(new, model)
        else:
            self._changes.pop(model, None)
            self.own.pop(model, None)
