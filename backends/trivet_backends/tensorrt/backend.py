"""TensorRT engines (model.plan) on NVIDIA GPUs; on nothing else, and never on anything slower.

The instances on a GPU share the engine with its weights; each has a stream, buffers and execution
contexts of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from trivet.backend.contract import Gpus, LoadContext, Signature
from trivet.backend.gpus import visible_gpus
from trivet.backend.placement import PROFILE
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.checks import artifact_file
from trivet_backends.memory import give_back
from trivet_backends.tensorrt.api import CURE, Api, NotThere, installed
from trivet_backends.tensorrt.engine import Engine, open_engine, usable_profiles
from trivet_backends.tensorrt.profiles import Profile
from trivet_backends.tensorrt.runner import Runner
from trivet_backends.tensorrt.signature import signature


class TensorRtBackend:
    """Opens `model.plan`, or the file named in default_model_filename."""

    fields: Collection[str] = (PROFILE,)

    def __init__(
        self,
        find: Callable[[], Api] = installed,
        see: Callable[[], tuple[int, ...]] = visible_gpus,
    ) -> None:
        """find: gets the packages, see: the numbers of the GPUs; others than the real for tests."""
        self._find = find
        self._see = see

    def gpus(self, config: ModelConfig) -> Gpus:
        """Those the driver offers, if the packages are there."""
        try:
            self._find()
        except NotThere as error:
            return Gpus(lacking=str(error), cure=CURE)
        if not (numbers := self._see()):
            what = "no NVIDIA GPU is to be seen here, or its driver is missing"
            return Gpus(lacking=what, cure="see that nvidia-smi shows one, or serve it elsewhere")
        return Gpus(numbers=numbers)

    def open(self, config: ModelConfig, context: LoadContext) -> TensorRtArtifact:
        """Read a version's plan onto a GPU.

        Raises InvalidConfig: no GPU, packages missing, no such file, no plan of this version and
        GPU, tensors that cannot be served, profiles that there are not or that take too few rows.
        """
        if context.gpu is None:
            raise InvalidConfig([self._no_gpu(config, context)])
        path = artifact_file(context, config.default_model_filename or "model.plan")
        api = self._find()
        api.called(api.cudart.cudaSetDevice(context.gpu))
        engine = open_engine(api, path, context)
        where = f"{context.where}/{path.name}"
        for index, group in enumerate(config.instance_groups):
            place = f"{config.name}/config.pbtxt: instance_group[{index}].profile"
            usable_profiles(engine, group.profiles, config.max_batch_size, where, place)
        return TensorRtArtifact(api, engine, context.gpu, where)

    def _no_gpu(self, config: ModelConfig, context: LoadContext) -> Fault:
        found = self.gpus(config)
        if found.numbers:  # and yet a group is of KIND_CPU
            cure = "write KIND_GPU or KIND_AUTO"
            return Fault(context.where, "backend 'tensorrt' computes on GPUs alone", cure)
        return Fault(context.where, found.lacking, found.cure)


class TensorRtArtifact:
    """One engine with its weights, on one GPU."""

    instances = 1

    def __init__(self, api: Api, engine: Engine, gpu: int, where: str) -> None:
        self._api = api
        self._engine: Engine | None = engine
        self._gpu = gpu
        self._where = where
        self._signature = self._told(engine)

    @property
    def signature(self) -> Signature:
        """The engine's inputs and outputs."""
        return self._signature

    def instance(self, config: ModelConfig) -> Stacked:
        """One more set of buffers, stream and contexts, for the profiles of the instance's group.

        Raises InstanceDied if the GPU has no memory for it.
        """
        engine = self._engine
        if engine is None:
            raise EngineFailed("tensorrt: called after it was closed")
        outputs = [spec.name for spec in config.outputs]
        runner = Runner(self._api, engine, self._profiles(engine, config), self._gpu, outputs)
        return Stacked(runner.run, config, runner.close)

    def close(self) -> None:
        """Let go of the engine; instances that are still open keep it until they are closed."""
        self._engine = None
        give_back()

    def _profiles(self, engine: Engine, config: ModelConfig) -> Sequence[Profile]:
        wanted = config.instance_groups[0].profiles if config.instance_groups else ()
        place = f"{config.name}/config.pbtxt: instance_group.profile"
        return usable_profiles(engine, wanted, config.max_batch_size, self._where, place)

    def _told(self, engine: Engine) -> Signature:
        runner = Runner(self._api, engine, engine.profiles, self._gpu, ())
        try:
            return signature(engine, engine.profiles, runner.shapes_of)
        finally:
            runner.close()
