"""Reading a model and compiling it, once for each of its lanes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig
from trivet.errors import Fault, InvalidConfig
from trivet_backends.checks import batches, not_installed
from trivet_backends.openvino.faults import plain_text
from trivet_backends.openvino.lanes import Lane
from trivet_backends.openvino.options import PRECISION, Layout, Options

if TYPE_CHECKING:
    import openvino

_DEVICE = "CPU"
_CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}


def new_core(options: Options, config: ModelConfig, context: LoadContext) -> openvino.Core:
    """The engine. Raises InvalidConfig: not installed, or the CPU lacks the precision asked for."""
    try:
        import openvino
    except ImportError as error:
        raise not_installed(context, "openvino", "openvino") from error
    core = openvino.Core()
    # Not mapped: whoever writes into a mapped file ends the process. It takes as much memory (PSS).
    core.set_property({"ENABLE_MMAP": "NO"})
    known = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if _CAPABILITIES[options.precision] not in known:  # the engine would take another, unasked
        where = f'{config.name}/config.pbtxt: parameters["{PRECISION.name}"]'
        what = f"this machine's CPU does not compute in {options.precision}"
        raise InvalidConfig([Fault(where, what, "use f32, or a machine that does")])
    return core


def read_model(
    core: openvino.Core, path: Path, config: ModelConfig, options: Options, context: LoadContext
) -> openvino.Model:
    """Read the graph and its weights.

    Raises InvalidConfig if it is no model this engine knows, or cannot have the config's dims.
    """
    where = f"{context.where}/{path.name}"
    if path.suffix == ".xml":
        _check_xml(path, context)
    try:
        model = _read_onnx(path) if path.suffix == ".onnx" else core.read_model(path)
    except Exception as error:  # the engine's exceptions share no base but this
        cure = "check that it is a whole .xml with its .bin, or a whole ONNX file"
        raise _refusal(error, "read", where, cure, context) from error
    if not model.outputs:
        raise InvalidConfig([Fault(where, "it has no outputs", "put a whole model there")])
    if options.reshape:
        shapes = {spec.name: [-1] * batches(config) + [*spec.dims] for spec in config.inputs}
        try:
            model.reshape(shapes)
        except Exception as error:
            cure = "correct dims in config.pbtxt, or leave RESHAPE_IO_LAYERS out"
            raise _refusal(error, "reshape", where, cure, context) from error
    return model


def compiled(
    core: openvino.Core,
    model: openvino.Model,
    layout: Layout,
    options: Options,
    where: str,
    context: LoadContext,
) -> Lane:
    """Compile the model for one layout. where: how messages name the file.

    Raises InvalidConfig: the engine cannot run one of its operators.
    """
    try:
        made = core.compile_model(model, _DEVICE, dict(options.properties(layout)))
    except Exception as error:
        cure = "convert the model with operators that this engine has"
        raise _refusal(error, "compile", where, cure, context) from error
    return Lane(layout.width, made)


def _read_onnx(path: Path) -> openvino.Model:
    """By the reader of ONNX alone: of a broken file, the others would show parts on stderr."""
    from openvino.frontend import FrontEndManager

    reader = FrontEndManager().load_by_framework("onnx")
    return reader.convert(reader.load(str(path)))


def _check_xml(path: Path, context: LoadContext) -> None:
    """For the same reason: see that it is XML, and that its weights are there."""
    with path.open("rb") as file:
        if not file.read(100).lstrip().startswith(b"<"):
            where, cure = f"{context.where}/{path.name}", "convert the model again"
            raise InvalidConfig([Fault(where, "it is no XML", cure)])
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        where = f"{context.where}/{weights.name}"
        raise InvalidConfig([Fault(where, "no such file", f"put it beside {path.name}")])


def _refusal(
    error: Exception, verb: str, where: str, cure: str, context: LoadContext
) -> InvalidConfig:
    import openvino

    version = openvino.__version__.partition("-")[0]
    what = f"OpenVINO {version} cannot {verb} it: {plain_text(error, context.path)}"
    return InvalidConfig([Fault(where, what, cure)])
