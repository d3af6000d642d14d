"""OpenVINO models on OpenVINO's CPU engine.

The instances of a version share its compiled models, of which a lone batch takes the one of all
cores and a batch among others a narrower one (`lanes`); each has an infer request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trivet.backend.contract import LoadContext, Signature
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, InvalidInput
from trivet.request import Tensors
from trivet_backends.checks import artifact_file
from trivet_backends.memory import give_back
from trivet_backends.openvino.compiling import compiled, new_core, read_model
from trivet_backends.openvino.faults import plain_text
from trivet_backends.openvino.lanes import Lane, Lanes
from trivet_backends.openvino.options import Options
from trivet_backends.openvino.signature import port_names, signature
from trivet_backends.openvino.tables import Table, check_range, check_rows, watch_tables

if TYPE_CHECKING:
    import openvino


class OpenVinoBackend:
    """Opens `model.xml` with `model.bin`, or what default_model_filename names, ONNX included."""

    def open(self, config: ModelConfig, context: LoadContext) -> OpenVinoArtifact:
        """Open a version's model.

        Raises InvalidConfig: engine not installed, no such file, no model this engine can run, a
        tensor type that cannot be served, a parameter out of its range, a precision that this
        machine has not.
        """
        options = Options.read(config)
        path = artifact_file(context, config.default_model_filename or "model.xml")
        core = new_core(options, config, context)
        model = read_model(core, path, config, options, context)
        where = f"{context.where}/{path.name}"
        told = signature(model, where)
        ports = _Ports.of(model)
        instances = config.instance_count or _instances_for(config, context)
        lanes = [
            compiled(core, model, layout, options, where, context)
            for layout in options.layouts(context.cores.count, instances)
        ]
        del model
        give_back()
        return OpenVinoArtifact(Lanes(lanes, context.cores), told, ports, context.path, instances)


@dataclass(frozen=True, slots=True)
class _Ports:
    """Where each tensor is given and taken, and what is looked up."""

    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, model: openvino.Model) -> _Ports:
        """Adds the outputs that watch lookups to the model."""
        inputs, outputs = port_names(model.inputs), port_names(model.outputs)
        return cls(
            {name: index for index, name in enumerate(inputs)},
            {name: index for index, name in enumerate(outputs)},
            watch_tables(model),
        )


class OpenVinoArtifact:
    """One model with its weights."""

    def __init__(
        self, lanes: Lanes, told: Signature, ports: _Ports, folder: Path, instances: int
    ) -> None:
        self._lanes: Lanes | None = lanes
        self._signature = told
        self._ports = ports
        self._folder = folder
        self._callers: list[_Caller] = []
        self.instances = instances

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self._signature

    def instance(self, config: ModelConfig) -> Stacked:
        """One more caller of the lanes, computing the outputs that the config names."""
        if self._lanes is None:
            raise EngineFailed("openvino: called after it was closed")
        outputs = [spec.name for spec in config.outputs]
        caller = _Caller(self._lanes, self._ports, outputs, self._folder)
        self._callers.append(caller)
        return Stacked(caller.run, config, caller.close)

    def close(self) -> None:
        """Let go of the weights, whoever may still hold an instance."""
        for caller in self._callers:
            caller.close()
        self._lanes = None
        give_back()


class _Caller:
    """What one instance calls: an infer request on each lane, made when it is first needed."""

    def __init__(self, lanes: Lanes, ports: _Ports, outputs: Sequence[str], folder: Path) -> None:
        self._lanes: Lanes | None = lanes
        self._ports = ports
        self._outputs = outputs
        self._folder = folder
        self._requests: dict[Lane, openvino.InferRequest] = {}

    def run(self, inputs: Tensors) -> Tensors:
        """The outputs, in arrays of their own. Raises InvalidInput, or EngineFailed."""
        if self._lanes is None:
            raise EngineFailed("openvino: called after it was closed")
        self._check_complete(inputs)
        for name, array in inputs.items():
            check_range(name, array)
        feed = {self._ports.inputs[name]: array for name, array in inputs.items()}
        try:
            with self._lanes.lane() as lane:
                request = self._request(lane)
                request.infer(feed, share_inputs=True, share_outputs=True)
        except Exception as error:  # the engine's exceptions share no base but this
            raise EngineFailed(f"openvino: {plain_text(error, self._folder)}") from error
        check_rows(self._ports.tables, request)
        return {
            # The engine writes the next answer to where this one lies.
            name: request.get_output_tensor(self._ports.outputs[name]).data.copy()
            for name in self._outputs
        }

    def close(self) -> None:
        self._lanes = None
        self._requests = {}

    def _check_complete(self, inputs: Tensors) -> None:
        """For a missing input the engine would take what the request before had."""
        if missing := sorted(self._ports.inputs.keys() - inputs.keys()):
            raise InvalidInput(f"openvino has no optional inputs; send {', '.join(missing)} too")

    def _request(self, lane: Lane) -> openvino.InferRequest:
        if lane not in self._requests:
            self._requests[lane] = lane.compiled.create_infer_request()
        return self._requests[lane]


def _instances_for(config: ModelConfig, context: LoadContext) -> int:
    """One for every core, so that each can have a batch of its own; weights are shared.

    How many sequences and streams run at a time is the config's to say, so these have one.
    """
    alone = config.sequence_batching is not None or config.decoupled
    return 1 if alone else context.cores.count
