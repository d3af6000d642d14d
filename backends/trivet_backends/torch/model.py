"""A model as it was saved: what it tells of itself, and how it is called."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trivet.backend.contract import LoadContext, Signature
from trivet.config import TensorSpec
from trivet.errors import EngineFailed, Fault, InvalidConfig
from trivet_backends.torch.faults import plain_text
from trivet_backends.torch.naming import Argument, call_for, in_order
from trivet_backends.torch.tensors import DATATYPES

if TYPE_CHECKING:
    import torch

_COMPILED = "data/aotinductor/"
Inputs = Mapping[str, Any]  # tensors and lists of str, by the config's names


class Model(Protocol):
    """What TorchScript and torch.export have in common."""

    @property
    def signature(self) -> Signature:
        """Empty where the file tells nothing."""

    @property
    def arguments(self) -> Sequence[Argument]:
        """Those of forward."""

    def run(self, inputs: Inputs) -> Any:
        """Whatever the model answers."""

    def close(self) -> None:
        """Let go of the weights; nothing runs any more."""


class ScriptedModel:
    """TorchScript: it knows the names of its arguments, and no shapes or types."""

    signature = Signature()

    def __init__(self, path: Path, device: str, names: Sequence[str], where: str) -> None:
        """names: of the config's inputs, in its order. where: how messages name the file."""
        import torch

        with warnings.catch_warnings():  # that TorchScript is deprecated is its author's to know
            warnings.simplefilter("ignore", DeprecationWarning)
            self._module = torch.jit.load(str(path), map_location=device)
        if getattr(self._module, "training", False):
            self._module.eval()
        told = self._module.forward.schema.arguments[1:]
        self.arguments = tuple(Argument(a.name, a.has_default_value()) for a in told)
        self._takes_a_dict = len(told) == 1 and told[0].type.kind() == "DictType"
        by_key = self._takes_a_dict or not names
        self._call = None if by_key else call_for(names, self.arguments, where)

    def run(self, inputs: Inputs) -> Any:
        if self._takes_a_dict:
            return self._module(dict(inputs))
        assert self._call is not None
        positional = [inputs[name] for name in self._call.positional]
        return self._module(*positional, **{n: inputs[n] for n in self._call.named if n in inputs})

    def close(self) -> None:
        """They go with the last reference to this."""


class ExportedModel:
    """A program of torch.export: it knows names, shapes and types of all its tensors."""

    def __init__(self, path: Path, device: str, names: Sequence[str], where: str) -> None:
        import torch
        from torch.export.passes import move_to_device_pass

        program = torch.export.load(str(path))
        if device != "cpu":
            program = move_to_device_pass(program, device)
        self._module = program.module()
        self._in_spec, nodes = program.call_spec.in_spec, {n.name: n for n in program.graph.nodes}
        told = program.graph_signature
        self._inputs = _leaf_names(self._in_spec, told.user_inputs, "")
        outputs = _leaf_names(program.call_spec.out_spec, told.user_outputs, "OUTPUT__")
        faults = [
            *_faults(zip(self._inputs, told.user_inputs, strict=True), nodes, where),
            *_faults(zip(outputs, told.user_outputs, strict=True), nodes, where),
        ]
        if faults:
            raise InvalidConfig(faults)
        self.arguments = tuple(Argument(name) for name in self._inputs)
        self._order = self._config_names(names, where)
        self.signature = Signature(
            inputs=_specs(self._order, told.user_inputs, nodes),
            outputs=_specs(outputs, told.user_outputs, nodes),
        )

    def _config_names(self, names: Sequence[str], where: str) -> list[str]:
        """What the config calls the program's inputs, in the program's order."""
        if not names or set(names) == set(self._inputs):
            return self._inputs
        call = call_for(names, self.arguments, where)
        return list(call.positional)

    def run(self, inputs: Inputs) -> Any:
        from torch.utils import _pytree

        if missing := [name for name in self._order if name not in inputs]:
            raise EngineFailed(f"torch: input '{missing[0]}' of the exported program is missing")
        leaves = [inputs[name] for name in self._order]
        positional, named = _pytree.tree_unflatten(leaves, self._in_spec)
        return self._module(*positional, **named)

    def close(self) -> None:
        """The program holds on to itself; MiniLM kept 87 MB until the garbage collector came by."""
        import torch

        for tensor in (*self._module.parameters(), *self._module.buffers()):
            tensor.data = torch.empty(0)


def open_model(path: Path, device: str, names: Sequence[str], context: LoadContext) -> Model:
    """Load the file onto a device ("cpu" or "cuda:0"). names: of the config's inputs.

    Raises InvalidConfig if it is neither of the two forms, or does not fit the config.
    """
    where = f"{context.where}/{path.name}"
    exported = path.suffix == ".pt2"
    if exported:
        _refuse_compiled(path, where)
    try:
        if exported:
            return ExportedModel(path, device, names, where)
        return ScriptedModel(path, device, names, where)
    except InvalidConfig:
        raise
    except Exception as error:  # the engine's exceptions share no base but this
        form = "torch.export.save" if exported else "torch.jit.save"
        what = f"torch cannot load it: {plain_text(error, context.path)}"
        cure = f"check that it is a whole file of {form}"
        raise InvalidConfig([Fault(where, what, cure)]) from error


def _refuse_compiled(path: Path, where: str) -> None:
    """Raise InvalidConfig for a package of AOTInductor, which is called .pt2, too.

    Compiled code takes the sizes of its inputs on trust, and a caller could have it read beyond
    them. Its own check (AOTI_RUNTIME_CHECK_INPUTS of torch 2.13) refuses every batch of one row.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(_COMPILED in name for name in archive.namelist()):
            what = "is a package of AOTInductor, which does not check the inputs it is given"
            cure = "serve the program itself: torch.export.save"
            raise InvalidConfig([Fault(where, what, cure)])


def results(answer: Any, names: Sequence[str]) -> dict[str, Any]:
    """The outputs of the config by name. Raises EngineFailed if there are not so many."""
    if isinstance(answer, Mapping):
        if missing := [name for name in names if name not in answer]:
            known = ", ".join(map(str, answer))
            raise EngineFailed(f"torch: the model answers no '{missing[0]}', but {known}")
        return {name: answer[name] for name in names}
    is_text = isinstance(answer, list) and all(isinstance(one, str) for one in answer)
    several = list(answer) if isinstance(answer, tuple | list) and not is_text else [answer]
    order = in_order(names)
    if missing := [name for name in names if order[name] >= len(several)]:
        told = f"output '{missing[0]}' is number {order[missing[0]]}"
        raise EngineFailed(f"torch: {told}, and the model has {len(several)}, counted from 0")
    return {name: several[order[name]] for name in names}


def _leaf_names(spec: Any, nodes: Sequence[str], numbered: str) -> list[str]:
    """What each leaf of the program's arguments or answer is called: its key in a dict, else its
    argument's name, or its number.
    """
    from torch.utils import _pytree

    tree = _pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    leaves, _ = _pytree.tree_flatten_with_path(tree)
    return [
        str(path[-1].key)
        if path and isinstance(path[-1], _pytree.MappingKey)
        else (f"{numbered}{index}" if numbered else nodes[index])
        for path, index in leaves
    ]


def _faults(leaves: Any, nodes: Mapping[str, torch.fx.Node], where: str) -> list[Fault]:
    return [
        Fault(
            f"{where}: tensor '{name}'",
            f"it is no tensor of a type that can be served: {_value(nodes.get(node))}",
            "export the model again with tensors of " + ", ".join(DATATYPES.values()),
        )
        for name, node in leaves
        if str(getattr(_value(nodes.get(node)), "dtype", "")) not in DATATYPES
    ]


def _value(node: torch.fx.Node | None) -> Any:
    return node.meta.get("val") if node is not None else None


def _specs(
    names: Sequence[str], leaves: Sequence[str], nodes: Mapping[str, torch.fx.Node]
) -> tuple[TensorSpec, ...]:
    values = (_value(nodes[leaf]) for leaf in leaves)
    return tuple(
        TensorSpec(
            name=name,
            datatype=DATATYPES[str(value.dtype)],
            dims=tuple(size if isinstance(size, int) else -1 for size in value.shape),
            symbols=tuple("" if isinstance(size, int) else str(size) for size in value.shape),
        )
        for name, value in zip(names, values, strict=True)
    )
