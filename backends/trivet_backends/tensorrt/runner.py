"""One instance: its stream, its buffers, and an execution context for each profile it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trivet.errors import EngineFailed, InvalidInput
from trivet.request import Tensors
from trivet_backends.tensorrt.api import Api
from trivet_backends.tensorrt.engine import Engine
from trivet_backends.tensorrt.memory import Buffer
from trivet_backends.tensorrt.profiles import Profile, Shape, choose
from trivet_protos.wire import numpy_dtype


class Runner:
    """Runs batches on one GPU; made, called and closed by one thread.

    Copies in, the computation and copies out queue in the instance's own stream and are waited for
    once, at the end.
    """

    def __init__(
        self,
        api: Api,
        engine: Engine,
        profiles: Sequence[Profile],
        gpu: int,
        outputs: Sequence[str],
    ) -> None:
        """outputs: those that are given out; the engine writes the others, too."""
        self._api = api
        self._engine: Engine | None = engine
        self._profiles = profiles
        self._gpu = gpu
        self._given = outputs
        self._contexts: dict[int, Any] = {}
        self._dtypes = {
            tensor.name: np.dtype(numpy_dtype(tensor.datatype))
            for tensor in (*engine.inputs, *engine.outputs)
        }
        self._buffers = {name: Buffer(api) for name in self._dtypes}
        self._call("cudaSetDevice", gpu)
        self._stream = self._call("cudaStreamCreateWithFlags", api.cudart.cudaStreamNonBlocking)

    def run(self, inputs: Tensors) -> Tensors:
        """The outputs, in arrays of their own. Raises InvalidInput, EngineFailed, InstanceDied."""
        engine = self._open_engine()
        if missing := sorted({tensor.name for tensor in engine.inputs} - inputs.keys()):
            raise InvalidInput(f"tensorrt has no optional inputs; send {', '.join(missing)} too")
        self._call("cudaSetDevice", self._gpu)
        profile = choose(self._profiles, {name: a.shape for name, a in inputs.items()})
        context = self._context(engine, profile)
        shapes = output_shapes(context, engine, {name: a.shape for name, a in inputs.items()})
        self._reserve(inputs, shapes)
        for name, array in inputs.items():
            self._buffers[name].send(array, self._stream)
        for name, buffer in self._buffers.items():
            if not context.set_tensor_address(name, buffer.device):
                raise engine.messages.failed(f"no address for '{name}'")
        if not context.execute_async_v3(int(self._stream)):
            raise engine.messages.failed("the engine did not run")
        for name in self._given:
            self._buffers[name].fetch(self._nbytes(name, shapes[name]), self._stream)
        self._call("cudaStreamSynchronize", self._stream)
        # The next batch is written to where these lie.
        return {
            name: self._buffers[name].array(self._dtypes[name], shapes[name]).copy()
            for name in self._given
        }

    def close(self) -> None:
        """Give everything back; again does nothing."""
        if self._engine is None:
            return
        self._engine, self._contexts = None, {}
        self._call("cudaSetDevice", self._gpu)
        for buffer in self._buffers.values():
            buffer.free()
        self._call("cudaStreamDestroy", self._stream)

    def shapes_of(
        self, profile: Profile, shapes: Mapping[str, Shape]
    ) -> Mapping[str, Shape] | None:
        """The outputs' shapes for these of the inputs; None if they do not fit each other."""
        engine = self._open_engine()
        try:
            return output_shapes(self._context(engine, profile), engine, shapes)
        except EngineFailed:
            return None

    def _open_engine(self) -> Engine:
        if self._engine is None:
            raise EngineFailed("tensorrt: called after it was closed")
        return self._engine

    def _context(self, engine: Engine, profile: Profile) -> Any:
        if profile.index not in self._contexts:
            context = engine.handle.create_execution_context()
            if context is None:
                raise engine.messages.failed("no execution context could be made")
            if not context.set_optimization_profile_async(profile.index, int(self._stream)):
                raise engine.messages.failed(f"profile {profile.index} cannot be used")
            self._call("cudaStreamSynchronize", self._stream)
            self._contexts[profile.index] = context
        return self._contexts[profile.index]

    def _reserve(self, inputs: Tensors, shapes: Mapping[str, Shape]) -> None:
        for name, array in inputs.items():
            if array.dtype != self._dtypes[name]:
                raise InvalidInput(f"input '{name}' is {array.dtype}, not {self._dtypes[name]}")
            self._buffers[name].reserve(array.nbytes)
        for name, shape in shapes.items():
            self._buffers[name].reserve(self._nbytes(name, shape))

    def _nbytes(self, name: str, shape: Shape) -> int:
        return int(np.prod(shape)) * self._dtypes[name].itemsize

    def _call(self, function: str, *arguments: Any) -> Any:
        return self._api.called(getattr(self._api.cudart, function)(*arguments))


def output_shapes(context: Any, engine: Engine, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The outputs' shapes for these of the inputs, which the context keeps.

    Raises EngineFailed: they do not fit each other, or outputs depend on values.
    """
    for name, shape in shapes.items():
        if not context.set_input_shape(name, shape):
            raise engine.messages.failed(f"input '{name}' cannot be {list(shape)}")
    if context.infer_shapes():
        raise engine.messages.failed("the inputs' shapes do not fit each other")
    found = {one.name: tuple(context.get_tensor_shape(one.name)) for one in engine.outputs}
    for name, shape in found.items():
        if min(shape, default=0) < 0:
            raise EngineFailed(
                f"tensorrt: the size of output '{name}' depends on values, which is not served"
            )
    return found
