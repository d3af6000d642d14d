"""TraceSetting and LogSettings of GRPCInferenceService: read and change them while serving."""

from __future__ import annotations

from dataclasses import replace

from trivet.errors import InvalidInput, NotFound, Unimplemented
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.refusal import parse
from trivet.repository.registry import Registry
from trivet.telemetry.logs import Log, LogFormat, LogSettings
from trivet.telemetry.tracing import Tracer
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"
_SHOWN = 40  # characters of a client's word that a message repeats
_SWITCHES = ("log_info", "log_warning", "log_error")
_VERBOSE, _FORMAT, _FILE = "log_verbose_level", "log_format", "log_file"

_LogValue = pb.LogSettingsRequest.SettingValue


class Settings:
    """Answers the two RPCs. A call with one wrong setting changes none."""

    def __init__(self, registry: Registry, tracer: Tracer, log: Log) -> None:
        self._registry = registry
        self._tracer = tracer
        self._log = log

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}TraceSetting": Unary(self.trace_setting),
            f"{_SERVICE}LogSettings": Unary(self.log_settings),
        }

    async def trace_setting(self, message: bytes, call: Call) -> bytes:
        """Raises InvalidInput, or Unimplemented for what only the operator may set."""
        asked = parse(pb.TraceSettingRequest, message)
        if asked.model_name:
            self._check_model(asked.model_name)
        if asked.settings:
            changes = {name: tuple(setting.value) for name, setting in asked.settings.items()}
            self._tracer.update(asked.model_name, changes)
        answer = pb.TraceSettingResponse()
        for name, values in self._tracer.settings(asked.model_name).told().items():
            answer.settings[name].value.extend(values)
        return answer.SerializeToString()

    async def log_settings(self, message: bytes, call: Call) -> bytes:
        """Raises InvalidInput, or Unimplemented for what only the operator may set."""
        asked = parse(pb.LogSettingsRequest, message)
        settings = self._log.settings
        for name, value in asked.settings.items():
            settings = _changed(settings, name, value)
        if asked.settings:
            self._log.change(settings)
        return _told(settings).SerializeToString()

    def _check_model(self, name: str) -> None:
        try:
            self._registry.versions(name)
        except NotFound:
            raise InvalidInput(
                f"Request for unknown model : {name[:_SHOWN]}; RepositoryIndex lists what there is"
            ) from None


def _changed(settings: LogSettings, name: str, value: _LogValue) -> LogSettings:
    """The settings with one of them changed. A setting without a value stays as it is."""
    field = value.WhichOneof("parameter_choice")
    if name == _FILE:
        raise Unimplemented(
            "log file location can not be updated through network protocol; start the server with"
            " --log-file=FILE"
        )
    if name not in (*_SWITCHES, _VERBOSE, _FORMAT):
        known = ", ".join((*_SWITCHES, _VERBOSE, _FORMAT))
        raise InvalidInput(f"unknown log setting '{name[:_SHOWN]}'; there are {known}")
    if field is None:
        return settings
    match name, field:
        case "log_info", "bool_param":
            return replace(settings, info=value.bool_param)
        case "log_warning", "bool_param":
            return replace(settings, warning=value.bool_param)
        case "log_error", "bool_param":
            return replace(settings, error=value.bool_param)
        case "log_verbose_level", "uint32_param":
            return replace(settings, verbose_level=value.uint32_param)
        case "log_format", "string_param":
            return replace(settings, format=_format(value.string_param))
    kind = {_VERBOSE: "uint32", _FORMAT: "string"}.get(name, "boolean")
    raise InvalidInput(f"expect {kind} for '{name}'; it came as {field}")


def _format(text: str) -> LogFormat:
    try:
        return LogFormat(text)
    except ValueError:
        known = " or ".join(f"'{one.value}'" for one in LogFormat)
        raise InvalidInput(
            f"invalid argument for log_format, got: {text[:_SHOWN]}; send {known}"
        ) from None


def _told(settings: LogSettings) -> pb.LogSettingsResponse:
    answer = pb.LogSettingsResponse()
    answer.settings[_FILE].string_param = settings.file
    answer.settings["log_info"].bool_param = settings.info
    answer.settings["log_warning"].bool_param = settings.warning
    answer.settings["log_error"].bool_param = settings.error
    answer.settings[_VERBOSE].uint32_param = settings.verbose_level
    answer.settings[_FORMAT].string_param = settings.format.value
    return answer
