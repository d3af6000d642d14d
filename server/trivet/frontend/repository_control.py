"""The model repository as clients see it: its index, loading and unloading."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidInput, Unavailable, Unimplemented
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.refusal import parse
from trivet.repository.control import Control
from trivet.repository.entry import State
from trivet.repository.overrides import PREFIX
from trivet.repository.registry import Registry
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"
_CONFIG = "config"
_DEPENDENTS = "unload_dependents"
_SHOWN = 60  # characters of a client's word that a message repeats

_Parameters = Mapping[str, pb.ModelRepositoryParameter]


class RepositoryControl:
    """RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload."""

    def __init__(self, registry: Registry, control: Control | None) -> None:
        """control: None where models are loaded when the server starts, and in no other way."""
        self._registry = registry
        self._control = control

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}RepositoryIndex": Unary(self.index),
            f"{_SERVICE}RepositoryModelLoad": Unary(self.load),
            f"{_SERVICE}RepositoryModelUnload": Unary(self.unload),
        }

    async def index(self, message: bytes, call: Call) -> bytes:
        """Every version known, with its state and, if it is not served as it lies there, why."""
        asked = parse(pb.RepositoryIndexRequest, message)
        _refuse_repository(asked.repository_name)
        if self._control:
            await self._control.refresh()
        entries = (
            pb.RepositoryIndexResponse.ModelIndex(
                name=entry.name,
                version=str(entry.version or ""),
                state=entry.state.value,
                reason=entry.reason,
            )
            for entry in self._registry.index()
            if entry.state is State.READY or not asked.ready
        )
        return pb.RepositoryIndexResponse(models=entries).SerializeToString()

    async def load(self, message: bytes, call: Call) -> bytes:
        """Load or reload a model; answered when it is ready. See `Control.load` for what it raises.

        Parameters: `config`, the configuration in JSON; `file:<version>/<name>`, a file's bytes.
        """
        asked = parse(pb.RepositoryModelLoadRequest, message)
        _refuse_repository(asked.repository_name)
        name, parameters = asked.model_name, asked.parameters
        for key in parameters:
            if key != _CONFIG and not key.startswith(PREFIX):
                raise InvalidInput(
                    f"failed to load '{name[:_SHOWN]}': there is no parameter '{key[:_SHOWN]}';"
                    f" send '{_CONFIG}' or '{PREFIX}<version>/<name>'"
                )
        config = None
        if _CONFIG in parameters:
            config = _value(parameters, _CONFIG, "string_param").string_param
        files = {
            key: _value(parameters, key, "bytes_param").bytes_param
            for key in parameters
            if key.startswith(PREFIX)
        }
        await self._controlled().load(name, config, files)
        return pb.RepositoryModelLoadResponse().SerializeToString()

    async def unload(self, message: bytes, call: Call) -> bytes:
        """Unload a model; answered when its last user has left.

        Parameter: `unload_dependents`, also what was loaded along with it.
        """
        asked = parse(pb.RepositoryModelUnloadRequest, message)
        _refuse_repository(asked.repository_name)
        name, parameters = asked.model_name, asked.parameters
        for key in parameters:
            if key != _DEPENDENTS:
                raise InvalidInput(
                    f"failed to unload '{name[:_SHOWN]}': there is no parameter '{key[:_SHOWN]}';"
                    f" send '{_DEPENDENTS}' or none"
                )
        dependents = False
        if _DEPENDENTS in parameters:
            dependents = _value(parameters, _DEPENDENTS, "bool_param").bool_param
        await self._controlled().unload(name, dependents=dependents)
        return pb.RepositoryModelUnloadResponse().SerializeToString()

    def _controlled(self) -> Control:
        if self._control is None:
            raise Unavailable("explicit model load / unload is not allowed on this server")
        return self._control


def _value(parameters: _Parameters, key: str, field: str) -> pb.ModelRepositoryParameter:
    """The parameter, whose value is in this field. Raises InvalidInput if it is in another."""
    came = parameters[key].WhichOneof("parameter_choice")
    if came != field:
        raise InvalidInput(
            f"parameter '{key[:_SHOWN]}' came as {came or 'nothing'}; send it as {field}"
        )
    return parameters[key]


def _refuse_repository(name: str) -> None:
    if name:
        raise Unimplemented(
            "repository_name would choose among several repositories, and this server has one;"
            " leave it empty"
        )
