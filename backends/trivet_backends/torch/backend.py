"""TorchScript (model.pt) and torch.export (model.pt2) models on PyTorch, on the CPU or CUDA GPUs.

Both are programs: whoever may put one into the repository may run code in the server's process.

The instances on a device share the weights. The engine's threads belong to the thread that calls:
each instance has its own, and before every batch it takes as many as its share of the cores.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from trivet.backend.contract import Gpus, LoadContext, Signature
from trivet.backend.stacked import Stacked
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import EngineFailed, Fault, InvalidConfig, ServeError
from trivet.request import Tensors
from trivet_backends.checks import artifact_file, not_installed
from trivet_backends.memory import give_back
from trivet_backends.torch.faults import refusal
from trivet_backends.torch.model import Model, open_model, results
from trivet_backends.torch.options import INTER_OP_THREADS, Options
from trivet_backends.torch.symbols import with_symbols
from trivet_backends.torch.tensors import to_array, to_engine

_SPINS = "2000"
_SCRIPTED, _EXPORTED = "model.pt", "model.pt2"


class TorchBackend:
    """Opens `model.pt`, else `model.pt2`, or the file named in default_model_filename."""

    fields: Collection[str] = ()

    def gpus(self, config: ModelConfig) -> Gpus:
        """Those that torch as it is installed sees."""
        _let_threads_sleep()
        try:
            import torch
        except ImportError:
            cure = "pip install 'trivet[torch]', or write KIND_CPU"
            return Gpus(lacking="backend 'torch' is not installed", cure=cure)
        if torch.cuda.is_available():
            return Gpus(numbers=tuple(range(torch.cuda.device_count())))
        if torch.version.cuda is None:
            cure = "install a build of torch for CUDA, or write KIND_CPU"
            return Gpus(lacking="the torch that is installed computes on the CPU alone", cure=cure)
        cure = "see that nvidia-smi shows one, or write KIND_CPU"
        return Gpus(lacking="torch sees no GPU here", cure=cure)

    def open(self, config: ModelConfig, context: LoadContext) -> TorchArtifact:
        """Open a version's model.

        Raises InvalidConfig: engine not installed, no such file, no model it can load, tensors that
        the config does not tell and the model neither, a parameter out of its range.
        """
        options = Options.read(config)
        path = _file(config, context)
        _let_threads_sleep()
        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise not_installed(context, "torch", "torch") from error
        _set_inter_op_threads(options.inter_op_threads, config)
        device = "cpu" if context.gpu is None else f"cuda:{context.gpu}"
        model = open_model(path, device, [spec.name for spec in config.inputs], context)
        runner = _Runner(model, options, context)
        told = model.signature if model.signature.inputs else _tried(config, model, runner, context)
        instances = 1 if _is_alone(config, context) else context.cores.count
        return TorchArtifact(runner, told, instances)


class TorchArtifact:
    """One model with its weights, on one device."""

    def __init__(self, runner: _Runner, told: Signature, instances: int) -> None:
        self._runner = runner
        self._signature = told
        self.instances = instances

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self._signature

    def instance(self, config: ModelConfig) -> Stacked:
        """One more caller of the model, computing the outputs that the config names."""
        stream = self._runner.new_stream()
        run = partial(self._runner.run, config.outputs, config.max_batch_size > 0, stream)
        return Stacked(run, config)

    def close(self) -> None:
        """Let go of the weights, whoever may still hold an instance."""
        self._runner.close()


class _Runner:
    """Calls the model; from any thread, several at a time."""

    def __init__(self, model: Model, options: Options, context: LoadContext) -> None:
        self._model: Model | None = model
        self._options = options
        self._cores = context.cores
        self._gpu = context.gpu
        self._folder: Path = context.path

    def new_stream(self) -> Any:
        """Where an instance's work on a GPU queues; None on the CPU."""
        import torch

        return None if self._gpu is None else torch.cuda.Stream(torch.device("cuda", self._gpu))

    def run(
        self, outputs: Sequence[TensorSpec], batches: bool, stream: Any, inputs: Tensors
    ) -> Tensors:
        """The outputs, in arrays of their own. Raises InvalidInput, EngineFailed, InstanceDied."""
        model = self._model
        if model is None:
            raise EngineFailed("torch: called after it was closed")
        try:
            with self._settings(stream):
                given = {n: to_engine(n, array, self._gpu) for n, array in inputs.items()}
                found = results(model.run(given), [spec.name for spec in outputs])
                return {s.name: to_array(s, found[s.name], batches) for s in outputs}
        except ServeError:
            raise
        except Exception as error:  # the engine's exceptions share no base but this
            raise refusal(error, self._folder) from error

    def close(self) -> None:
        """Let go of the model and of the memory that it had."""
        model, self._model = self._model, None
        if model is not None:
            model.close()
        del model
        if self._gpu is not None:
            import torch

            torch.cuda.empty_cache()
        give_back()

    @contextmanager
    def _settings(self, stream: Any) -> Iterator[None]:
        import torch

        options = self._options
        for function, value in options.jit.items():
            getattr(torch._C, function)(value)
        with ExitStack() as stack:
            if self._gpu is None:
                share = stack.enter_context(self._cores.share())
                set_threads(min(share, options.intra_op_threads or share))
            else:
                torch._C._set_cudnn_enabled(options.cudnn)
                stack.enter_context(torch.cuda.device(self._gpu))
                stack.enter_context(torch.cuda.stream(stream))
            grad = torch.inference_mode if options.inference_mode else torch.no_grad
            stack.enter_context(grad())
            stack.enter_context(torch.jit.optimized_execution(options.optimized))
            yield
        if options.cache_cleaning and self._gpu is not None:
            torch.cuda.empty_cache()


def set_threads(count: int) -> None:
    """How many threads the engine takes for whatever the calling thread computes; 0.4 us.

    A thread's first operation would set its number to what any thread asked for last; asking for
    the number counts as that operation.
    """
    import torch

    torch.get_num_threads()
    torch.set_num_threads(count)


def _file(config: ModelConfig, context: LoadContext) -> Path:
    name = config.default_model_filename or _SCRIPTED
    exported = config.platform == "torch_aoti" or not (context.path / _SCRIPTED).exists()
    if not config.default_model_filename and exported and (context.path / _EXPORTED).exists():
        name = _EXPORTED
    return artifact_file(context, name)


def _tried(config: ModelConfig, model: Model, runner: _Runner, context: LoadContext) -> Signature:
    """The signature of a model that tells none: the config's tensors, and which sizes agree."""
    if not config.inputs or not config.outputs:
        names = ", ".join(argument.name for argument in model.arguments)
        what = "a TorchScript file tells no types and shapes of its tensors"
        cure = f"name its inputs (forward takes {names}) and its outputs"
        raise InvalidConfig([Fault(f"{config.name}/config.pbtxt", what, cure)])
    inputs = [spec for spec in config.inputs if not spec.optional]
    run = partial(runner.run, config.outputs, config.max_batch_size > 0, runner.new_stream())
    told = with_symbols(inputs, config.outputs, config.max_batch_size, run)
    batch = (-1,) if config.max_batch_size else ()
    optional = tuple(
        TensorSpec(
            name=spec.name,
            datatype=spec.datatype,
            dims=(*batch, *spec.dims),
            symbols=("",) * (len(batch) + len(spec.dims)),
            optional=True,
        )
        for spec in config.inputs
        if spec.optional
    )
    return Signature(inputs=(*told.inputs, *optional), outputs=told.outputs)


def _let_threads_sleep() -> None:
    """Have the engine's threads wait for each other asleep, after some spins; read at its import.

    By default they spin for long, which stands still where other work has one of the cores: MiniLM,
    20 tokens on two threads took 428 ms on a machine of two busy cores, and 28 ms so; one thread
    took 20 ms.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def _set_inter_op_threads(count: int, config: ModelConfig) -> None:
    """Of the whole process, and only before its first use, by the engine's own rule."""
    import torch

    if not count or torch.get_num_interop_threads() == count:
        return
    try:
        torch.set_num_interop_threads(count)
    except RuntimeError as error:
        where = f'{config.name}/config.pbtxt: parameters["{INTER_OP_THREADS.name}"]'
        what = f"the process has {torch.get_num_interop_threads()} by now, for all its models"
        raise InvalidConfig([Fault(where, what, "write the same in every model")]) from error


def _is_alone(config: ModelConfig, context: LoadContext) -> bool:
    """Whether one instance suits: on a GPU, and where the config says how much runs at a time."""
    alone = config.sequence_batching is not None or config.decoupled
    return alone or context.gpu is not None
