"""What is quantized: the FP32 graph of a repository's model, with its tokenizer and pipelines.

A checkpoint folder becomes such models first, as `trivet build` makes them, in a folder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.build_file import Json, read_build_file
from trivet_backends.workshop.heads import Scoring, written_scoring
from trivet_backends.workshop.options import BuildOptions, Precision, Task
from trivet_backends.workshop.progress import Announce
from trivet_backends.workshop.quantize.options import QuantizeOptions

CONFIG = "config.pbtxt"
_EIGHT_BIT = ("DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QAttention")
_POSITIONS = "position_embeddings.weight"
_START_AGAIN = "start from the FP32 model: trivet build CHECKPOINT --precision fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """repository: where model, tokenizer and pipelines lie. recipe: the source's own."""

    repository: Path
    model: str
    version: int
    origin: str  # the name of the checkpoint's folder, as the build told it
    task: Task
    recipe: Mapping[str, Json]
    checkpoint: Path | None  # None: the repository's model is the source

    @property
    def graph(self) -> Path:
        """The FP32 ONNX file."""
        return self.repository / self.model / str(self.version) / "model.onnx"

    @property
    def config(self) -> str:
        """The text of its config.pbtxt."""
        return (self.repository / self.model / CONFIG).read_text(encoding="utf-8")

    @property
    def tokenizer(self) -> Path:
        """tokenizer.json of the model's tokenizer."""
        return newest(self.repository / f"{self.model}_tokenizer") / "tokenizer.json"

    @property
    def labels(self) -> list[str]:
        """The names of the head's outputs; none where it has none of its own."""
        file = newest(self.repository / f"{self.model}_labels") / "labels.txt"
        return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []

    @property
    def scoring(self) -> Scoring:
        """How the logits of classify become scores, as the config of its last step says."""
        config = self.repository / f"{self.model}_labels" / CONFIG
        return written_scoring(config.read_text(encoding="utf-8") if config.is_file() else "")

    @property
    def pipelines(self) -> list[str]:
        """The pipelines that run it, sorted."""
        step = re.compile(rf'^\s*model_name: "{re.escape(self.model)}"$', re.MULTILINE)
        configs = sorted(self.repository.glob(f"*/{CONFIG}"))
        return [
            path.parent.name
            for path in configs
            if step.search(path.read_text(encoding="utf-8", errors="replace"))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a graph takes and gives, in order, and the positions it has."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_tokens: int


@contextmanager
def found_source(options: QuantizeOptions, announce: Announce) -> Iterator[Source]:
    """The source, for as long as the block lasts.

    Raises InvalidConfig: no such model or checkpoint, not of a build, not FP32, not ONNX.
    """
    path = Path(options.model)
    if (path / "config.json").is_file():
        with TemporaryDirectory(prefix="trivet-quantize-") as scratch:
            yield _built(path, Path(scratch), options, announce)
        return
    folder = path if (path / CONFIG).is_file() else _in_repository(options)
    yield _of_model(folder)


def signature_of(path: Path) -> Signature:
    """Of an ONNX file of a build; max_tokens as its table of positions tells."""
    import onnx

    graph = onnx.load(path).graph
    tables = [t.dims[0] for t in graph.initializer if t.name.endswith(_POSITIONS)]
    return Signature(
        inputs=tuple(tensor.name for tensor in graph.input),
        outputs=tuple(tensor.name for tensor in graph.output),
        max_tokens=int(tables[0]) if tables else 512,
    )


def newest(folder: Path) -> Path:
    """The folder of a model's newest version; version 0, which is never there, if it has none."""
    names = (path.name for path in folder.glob("[1-9]*") if path.is_dir())
    return folder / str(max((int(name) for name in names if name.isdecimal()), default=0))


def _in_repository(options: QuantizeOptions) -> Path:
    if options.repository is not None and (options.repository / options.model / CONFIG).is_file():
        return options.repository / options.model
    cure = (
        "give a checkpoint folder (with config.json), a model's folder (with config.pbtxt), or a "
        "model's name and --model-repository"
    )
    raise InvalidConfig([Fault(options.model, "is no model and no checkpoint", cure)])


def _built(folder: Path, scratch: Path, options: QuantizeOptions, announce: Announce) -> Source:
    from trivet_backends.workshop.build import build

    asked = BuildOptions(
        name=options.name,
        pipeline=options.pipeline,
        task=options.task,
        precisions=(Precision.FP32,),
    )
    published = build(folder, scratch, asked, announce)
    encoder = next(model.model for model in published if model.build.kind == "encoder")
    return _of_model(scratch / encoder, folder)


def _of_model(folder: Path, checkpoint: Path | None = None) -> Source:
    version = newest(folder)
    build, where = read_build_file(version), f"{folder.name}/{version.name}"
    if (version / "model.xml").is_file():
        raise InvalidConfig([Fault(where, "is an OpenVINO model already", _START_AGAIN)])
    if not (version / "model.onnx").is_file():
        cure = "name the model with the graph (an encoder, no pipeline and no tokenizer)"
        raise InvalidConfig([Fault(where, "there is no model.onnx", cure)])
    _check_precision(version / "model.onnx", where)
    options = build.recipe.get("options") if build else None
    if build is None or not isinstance(options, Mapping) or "task" not in options:
        cure = "give the checkpoint folder instead: quantize builds it first"
        raise InvalidConfig([Fault(where, "was not written by trivet build", cure)])
    source = Source(
        repository=folder.parent,
        model=folder.name,
        version=int(version.name),
        origin=build.source,
        task=Task(str(options["task"])),
        recipe=build.recipe,
        checkpoint=checkpoint,
    )
    if not source.tokenizer.is_file():
        cure = f"put {folder.name}_tokenizer beside it, or give the checkpoint folder"
        raise InvalidConfig([Fault(folder.name, "its tokenizer is not in the repository", cure)])
    return source


def _check_precision(graph: Path, where: str) -> None:
    """Refuse what is quantized already: its errors would be taken for the truth."""
    import onnx

    try:
        model = onnx.load(graph)
    except Exception as error:  # protobuf's and onnx's share no base but this
        cure = "put a whole ONNX file there"
        raise InvalidConfig([Fault(where, f"model.onnx cannot be read ({error})", cure)]) from error
    matrices = [tensor for tensor in model.graph.initializer if len(tensor.dims) > 1]
    eight = onnx.TensorProto.INT8, onnx.TensorProto.UINT8
    if any(node.op_type in _EIGHT_BIT for node in model.graph.node) or any(
        tensor.data_type in eight for tensor in matrices
    ):
        raise InvalidConfig([Fault(where, "is INT8 already", _START_AGAIN)])
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in matrices):
        raise InvalidConfig([Fault(where, "is FP16 already", _START_AGAIN)])
