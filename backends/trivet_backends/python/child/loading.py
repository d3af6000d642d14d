"""model.py: found, imported, and asked what it holds."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from trivet_backends.python.child import pb_utils
from trivet_backends.python.child.errors import log_traceback, told
from trivet_backends.python.child.model_config import Config, ModelConfig

TRITON, OWN = "TritonPythonModel", "Model"


class Unusable(Exception):
    """A model.py that cannot be served: what is wrong, and the cure."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.what, self.cure = what, cure


def imported(file: Path) -> ModuleType:
    """The module of a file, with `triton_python_backend_utils` to be had by it.

    Modules beside it, and in the model's folder, can be imported. Raises Unusable.
    """
    # A __pycache__ in the repository would look like a change of the model.
    sys.dont_write_bytecode = True
    sys.modules["triton_python_backend_utils"] = pb_utils
    pb_utils._model_dir = str(file.parent)
    sys.path += [str(file.parent), str(file.parent.parent)]
    spec = importlib.util.spec_from_file_location("model", file)
    if spec is None or spec.loader is None:
        raise Unusable("its name does not end in .py", "name it model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _not_imported(error, file) from error
    return module


def model_class(module: ModuleType) -> type:
    """The class that is the model: Triton's form, or ours. Raises Unusable."""
    found = [name for name in (TRITON, OWN) if inspect.isclass(getattr(module, name, None))]
    if len(found) != 1:
        what = f"has both a class {TRITON} and a class {OWN}" if found else ""
        what = what or f"has neither a class {TRITON} nor a class {OWN}"
        raise Unusable(what, "write one of them; README.md has an example")
    model: type = getattr(module, found[0])
    if not callable(getattr(model, "execute", None)):
        raise Unusable(f"class {found[0]} has no method execute", "write it")
    return model


def form_of(model: type) -> str:
    """How its execute is called: "triton", "stacked", "each" or "stream". Raises Unusable."""
    if model.__name__ == TRITON:
        return "triton"
    execute = model.execute  # type: ignore[attr-defined]
    given = len(inspect.signature(execute).parameters) - 1
    if given not in (1, 2):
        what = f"execute of class {OWN} takes {given} arguments"
        raise Unusable(what, "write execute(self, inputs) or execute(self, inputs, request)")
    if inspect.isasyncgenfunction(execute) or inspect.isgeneratorfunction(execute):
        return "stream"
    return "each" if given == 2 else "stacked"


def completed(model: type, config: Config, file: Path) -> Config | None:
    """What `auto_complete_config` makes of a config; None if there is none. Raises Unusable."""
    complete = getattr(model, "auto_complete_config", None)
    if complete is None:
        return None
    try:
        told: Any = complete(ModelConfig(config))
    except Exception as error:
        raise _failed("auto_complete_config", error, file) from error
    if not isinstance(told, ModelConfig):
        what = f"auto_complete_config returns a {type(told).__name__}"
        raise Unusable(what, "return the config that it was given")
    return told.as_dict()


def failed_to_start(error: BaseException, file: Path) -> Unusable:
    """The fault that a model raised while it was made or initialized."""
    return _failed("starting it", error, file)


def _failed(doing: str, error: BaseException, file: Path) -> Unusable:
    log_traceback(error)
    return Unusable(f"{doing} raised {told(error, file)}", "correct it")


def _not_imported(error: BaseException, file: Path) -> Unusable:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        text = (error.text or "").strip()
        return Unusable(f"line {error.lineno}: {error.msg}: {text}", "correct it")
    failed = _failed("importing it", error, file)
    if isinstance(error, ModuleNotFoundError):
        cure = f"install '{error.name}', or name an environment that has it in EXECUTION_ENV_PATH"
        return Unusable(failed.what, cure)
    return failed
