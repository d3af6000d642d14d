"""Models written in Python: opens model.py in a process, and makes more of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trivet.backend.contract import (
    Gpus,
    Instance,
    LoadContext,
    Policies,
    Signature,
)
from trivet.backend.gpus import visible_gpus
from trivet.config import ModelConfig, TensorSpec
from trivet.config_file import to_json
from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends import named_dims
from trivet_backends.checks import artifact_file
from trivet_backends.parameters import Reader
from trivet_backends.python.calls import Calls
from trivet_backends.python.frames import Kind, Unreadable, Writer
from trivet_backends.python.instance import PythonInstance, PythonStacked, PythonStream, Talk
from trivet_backends.python.options import PARAMETERS, settings
from trivet_backends.python.process import Process, Settings

_WIRE = {"TYPE_STRING": "BYTES"}


class PythonBackend:
    """Opens `model.py`, or the file named in default_model_filename.

    It holds a class `TritonPythonModel`, as Triton's Python backend runs it, or a class `Model` of
    the simpler form that README.md describes.
    """

    runs_user_code: Literal[True] = True
    fields: tuple[str, ...] = ()

    def gpus(self, config: ModelConfig) -> Gpus:
        """Every GPU: the code is told which one its instance is for."""
        what = "there is no GPU that this process can see"
        return Gpus(numbers=visible_gpus(), lacking=what, cure="write KIND_CPU or KIND_AUTO")

    def open(self, config: ModelConfig, context: LoadContext) -> PythonArtifact:
        """Import the file in a process, and ask it what it holds.

        Raises InvalidConfig: file missing or not to be imported, neither class or both, a parameter
        out of its range, an interpreter that is not there, what `auto_complete_config` refuses.
        """
        name = config.default_model_filename or "model.py"
        file = artifact_file(context, name)
        reader = Reader(config)
        reader.look_for_typos(PARAMETERS)
        how = settings(reader, context)
        given = Signature()
        if any(key.startswith(named_dims.SYMBOLS) for key in config.parameters):
            given = named_dims.signature(config, reader)
        reader.done()
        source = Source(config, context, how, f"{context.where}/{name}", str(file))
        process, told = source.imported()
        return PythonArtifact(source, process, told["form"], _signature(config, told, given))


@dataclass(frozen=True, slots=True)
class Source:
    """Where processes of one version come from."""

    config: ModelConfig  # as written
    context: LoadContext
    settings: Settings
    where: str  # how messages name the file
    file: str

    def imported(self) -> tuple[Process, Mapping[str, Any]]:
        """A process that has imported the file, and what it told. Raises InvalidConfig."""
        told = {"model": self.config.name, "version": self.context.version}
        try:
            process = Process(self.settings, told)
        except EngineFailed as error:
            raise self._fault(error.message, "check limits and EXECUTION_ENV_PATH") from error
        asked = {"file": self.file, "config": to_json(self.config.reshaped)}
        return process, self.ask(process, Kind.DESCRIBE, asked)

    def ask(self, process: Process, kind: Kind, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a question and read what is told. Raises InvalidConfig; then the process is gone."""
        message = Writer(kind)
        message.json(value)
        limit_s = self.context.load_timeout_s
        too_long = threading.Timer(limit_s, process.end, [f"it took longer than {limit_s:g} s"])
        if limit_s:
            too_long.start()
        try:
            process.send(message)
            reply = process.receive()
            told: Mapping[str, Any] = {} if reply.kind is Kind.READY else reply.json()
        except (EngineFailed, Unreadable) as error:
            process.kill()
            cure = "the server's log has what it printed"
            raise self._fault(f"while it was loaded, {error}", cure) from error
        finally:
            too_long.cancel()
        if reply.kind is Kind.REFUSED:
            process.kill()
            raise self._fault(told["what"], told["cure"])
        return told

    def _fault(self, what: str, cure: str) -> InvalidConfig:
        return InvalidConfig([Fault(self.where, what, cure)])


class PythonArtifact:
    """A version's file. The process that was opened first becomes the first instance."""

    def __init__(self, source: Source, process: Process, form: str, told: Signature) -> None:
        self._source = source
        self._parked: Process | None = process
        self._form = form
        self._signature = told
        self._numbers: set[int] = set()  # of the instances that there are
        self._lock = threading.Lock()  # instances are closed by their own threads

    @property
    def signature(self) -> Signature:
        """What parameters and `auto_complete_config` tell; empty where they tell nothing."""
        return self._signature

    def instance(self, config: ModelConfig) -> Instance:
        """Raises InvalidConfig if the model cannot be initialized."""
        process = self._process()
        number = self._take_number()
        streams = config.decoupled and self._form in ("triton", "stream")
        try:
            self._source.ask(process, Kind.START, self._args(config, number, streams=streams))
        except InvalidConfig:
            self._give_number_back(number)
            raise
        talk = Talk(process, config, Calls(process, self._source.context.infer))

        def release() -> None:
            self._give_number_back(number)

        if self._form == "stacked":
            return PythonStacked(talk, config, release)
        return (PythonStream if streams else PythonInstance)(talk, release)

    def close(self) -> None:
        with self._lock:
            process, self._parked = self._parked, None
        if process is not None:
            process.close()

    def _process(self) -> Process:
        with self._lock:
            process, self._parked = self._parked, None
        if process is not None and process.is_alive:
            return process
        if process is not None:
            process.close()
        return self._source.imported()[0]

    def _args(self, config: ModelConfig, number: int, *, streams: bool) -> Mapping[str, Any]:
        """What `initialize` is given, as Triton names it."""
        context, written = self._source.context, to_json(config.reshaped)
        return {
            "decoupled": streams,
            "config": written,
            "args": {
                "model_config": json.dumps(written),
                "model_instance_kind": "CPU" if context.gpu is None else "GPU",
                "model_instance_device_id": str(context.gpu or 0),
                "model_instance_name": f"{config.name}_{number}",
                "model_repository": str(context.path.parent),
                "model_version": str(context.version),
                "model_name": config.name,
            },
        }

    def _take_number(self) -> int:
        with self._lock:
            number = next(n for n in range(len(self._numbers) + 1) if n not in self._numbers)
            self._numbers.add(number)
            return number

    def _give_number_back(self, number: int) -> None:
        with self._lock:
            self._numbers.discard(number)


def _signature(config: ModelConfig, told: Mapping[str, Any], given: Signature) -> Signature:
    """The tensors that config and file tell, and how the file wants to be scheduled."""
    complete = told["config"]
    if complete is None:
        if told["form"] != "stream":
            return given
        return replace(
            given, policies=Policies(max_batch_size=config.max_batch_size, decoupled=True)
        )
    rows = complete["max_batch_size"]
    whole = replace(
        config,
        max_batch_size=rows,
        inputs=_specs(config.inputs, complete["input"]),
        outputs=_specs(config.outputs, complete["output"]),
    )
    return replace(
        named_dims.signature(whole, Reader(whole)),
        policies=Policies(
            max_batch_size=rows,
            dynamic_batching="dynamic_batching" in complete,
            decoupled=complete["model_transaction_policy"].get("decoupled", False),
        ),
    )


def _specs(
    written: tuple[TensorSpec, ...], told: list[Mapping[str, Any]]
) -> tuple[TensorSpec, ...]:
    """The config's own tensors, and then those that only the file tells."""
    names = {spec.name for spec in written}
    return written + tuple(
        TensorSpec(
            name=one["name"],
            datatype=_WIRE.get(one["data_type"], one["data_type"].removeprefix("TYPE_")),
            dims=tuple(one["dims"]),
            optional=one.get("optional", False),
        )
        for one in told
        if one["name"] not in names
    )
