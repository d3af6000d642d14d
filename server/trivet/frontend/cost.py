"""trivet.v1.ServerService: what the models computed, told so that a load tool can subtract."""

from __future__ import annotations

from collections.abc import Iterable

from trivet.errors import InvalidInput
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.refusal import parse
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet_protos.generated import server_pb2 as pb

_SERVICE = "/trivet.v1.ServerService/"


class Cost:
    """Tells tokens and padding: ModelStatistics is Triton's message and has no field for them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def methods(self) -> Methods:
        return {f"{_SERVICE}ModelCost": Unary(self.model_cost)}

    async def model_cost(self, message: bytes, call: Call) -> bytes:
        asked = parse(pb.ModelCostRequest, message)
        models = map(_cost, self._asked_for(asked.model, asked.version))
        return pb.ModelCostResponse(models=models).SerializeToString()

    def _asked_for(self, name: str, version: int) -> Iterable[Model]:
        """Raises InvalidInput, NotFound or Unavailable."""
        if version < 0 or (version and not name):
            raise InvalidInput(
                f"version {version} names no version of model '{name}'; send a model and a"
                " positive version, or 0 for all that are ready"
            )
        if not name:
            return self._registry.models()
        with self._registry.acquire(name, version or None) as model:
            return [model] if version else self._registry.versions(name).values()


def _cost(model: Model) -> pb.ModelCost:
    return pb.ModelCost(
        model_name=model.config.name,
        model_version=model.version,
        tokens=model.statistics.tokens,
        padding_tokens=model.statistics.padding_tokens,
    )
