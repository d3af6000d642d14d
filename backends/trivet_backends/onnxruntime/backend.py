"""ONNX graphs on ONNX Runtime: its CPU engine, and the execution providers that are there.

The instances of a version share its weights, and its sessions, of which a lone batch takes the one
of all cores and a batch among others a narrower one (`lanes`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trivet.backend.contract import Gpus, LoadContext, Signature
from trivet.backend.placement import ACCELERATORS
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, InvalidInput
from trivet.request import Tensors
from trivet_backends.checks import artifact_file
from trivet_backends.memory import give_back
from trivet_backends.onnxruntime.faults import refusal
from trivet_backends.onnxruntime.lanes import Lanes
from trivet_backends.onnxruntime.options import Options
from trivet_backends.onnxruntime.sessions import chosen_providers, gpus_here, open_sessions
from trivet_backends.onnxruntime.signature import signature

if TYPE_CHECKING:
    import onnxruntime


class OnnxRuntimeBackend:
    """Opens `model.onnx`, or the file named in default_model_filename."""

    fields: Collection[str] = (ACCELERATORS,)

    def gpus(self, config: ModelConfig) -> Gpus:
        """Those that the engine as it is installed can use."""
        return gpus_here()

    def open(self, config: ModelConfig, context: LoadContext) -> OnnxArtifact:
        """Open a version's graph.

        Raises InvalidConfig: engine not installed, no such file, no graph this engine can run, a
        tensor type that cannot be served, a parameter out of its range, an execution provider that
        is not there or does not start.
        """
        options = Options.read(config)
        asked = chosen_providers(config, options, context)
        path = artifact_file(context, config.default_model_filename or "model.onnx")
        instances = config.instance_count or _instances_for(config, context)
        session, lanes = open_sessions(path, options, context, instances, asked)
        inputs = [*session.get_inputs(), *_inputs_with_defaults(session, config)]
        told = signature(inputs, session.get_outputs(), f"{context.where}/{path.name}")
        del session, inputs  # which hold on to the session, too
        give_back()
        return OnnxArtifact(lanes, told, context.path, instances, options.for_run(context.gpu))


class OnnxArtifact:
    """One graph with its weights."""

    def __init__(
        self,
        lanes: Lanes,
        told: Signature,
        folder: Path,
        instances: int,
        run_options: onnxruntime.RunOptions | None,
    ) -> None:
        self._lanes: Lanes | None = lanes
        self._run_options = run_options
        self._folder = folder
        self._signature = told
        self.instances = instances

    @property
    def signature(self) -> Signature:
        """The graph's inputs and outputs."""
        return self._signature

    def instance(self, config: ModelConfig) -> Stacked:
        """One more caller of the sessions, computing the outputs that the config names."""
        names = [spec.name for spec in config.outputs]
        strings = frozenset(spec.name for spec in config.inputs if spec.datatype == "BYTES")
        return Stacked(partial(self._run, names, strings), config)

    def close(self) -> None:
        """Let go of the weights, whoever may still hold an instance."""
        self._lanes = None
        give_back()

    def _run(self, names: Sequence[str], strings: Set[str], inputs: Tensors) -> Tensors:
        if self._lanes is None:
            raise EngineFailed("onnxruntime: called after it was closed")
        feed = {
            name: _texts(array, name) if name in strings else array
            for name, array in inputs.items()
        }
        try:
            with self._lanes.session() as session:
                outputs = session.run(names, feed, self._run_options)
        except Exception as error:  # the engine's exceptions share no base but this
            raise refusal(error, self._folder) from error
        return dict(zip(names, map(_wire_form, outputs), strict=True))


def _instances_for(config: ModelConfig, context: LoadContext) -> int:
    """One for every core, so that each can have a batch of its own; weights are shared.

    How many sequences and streams run at a time is the config's to say, so these have one.
    """
    alone = config.sequence_batching is not None or config.decoupled
    return 1 if alone else context.cores.count


def _inputs_with_defaults(
    session: onnxruntime.InferenceSession, config: ModelConfig
) -> list[onnxruntime.NodeArg]:
    """Inputs that have a value where a request sends none: those that the config names.

    The others are weights, which old exporters list among the inputs.
    """
    named = {spec.name for spec in config.inputs}
    return [node for node in session.get_overridable_initializers() if node.name in named]


def _texts(array: np.ndarray, name: str) -> np.ndarray:
    """BYTES elements as the `str` the engine takes; it would take b"a" for the text "b'a'"."""
    try:
        texts = [element.decode() for element in array.flat]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"input '{name}': an element is not UTF-8 at byte {error.start}; send UTF-8 text"
        ) from error
    return np.array(texts, dtype=object).reshape(array.shape)


def _wire_form(array: np.ndarray) -> np.ndarray:
    """An output as it was, or, where it holds strings, with `bytes` for its elements."""
    if array.dtype != object:
        return array
    elements = [text.encode() for text in array.flat]
    return np.array(elements, dtype=object).reshape(array.shape)
