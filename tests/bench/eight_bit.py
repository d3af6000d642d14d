"""8-bit weights on OpenVINO: the same server batching, and computing one text at a time.

The part is left out, by name, where the backend `openvino` or its engine is missing. The weights
become int8 with one scale per output channel, in a process of its own:

    python -m tests.bench.eight_bit MODEL.onnx MODEL.xml
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.callers import Callers, check_answers
from tests.bench.results import Row, at_least, ratios
from tests.bench.rivals import Rival, one_by_one, repository_of, started
from tests.bench.setting import Setting, say, timed_rounds
from tests.bench.subjects import ROOT, Subject
from trivet_backends.onnxruntime.bare import BareEngine, Split, cores
from trivet_protos.generated import model_config_pb2 as pb

BACKEND = "openvino"
ENGINE = "openvino"  # the package
FILE = "model.xml"
CHECKED_TEXTS = 32
ALIKE = 0.99  # cosine of 8-bit weights to FP32


def rows(setting: Setting) -> list[Row]:
    if missing := _missing():
        setting.notes.append(f"left out: 8-bit weights on OpenVINO, as there is no {missing}")
        say(setting.notes[-1])
        return []
    return [_row(subject, setting) for subject in setting.subjects]


def _missing() -> str:
    known = {point.name for point in entry_points(group="trivet.backends")}
    if BACKEND not in known:
        return f"backend '{BACKEND}'"
    return "" if find_spec(ENGINE) else f"package '{ENGINE}'"


def _row(subject: Subject, setting: Setting) -> Row:
    texts, name = setting.texts, f"{subject.name}, 8-bit weights on OpenVINO"
    folder = setting.scratch / f"{subject.encoder}-{BACKEND}"
    folder.mkdir()
    _compress(subject.graph, folder / FILE)
    rivals = (Rival("by length", _on_openvino), Rival("one at a time", _one_by_one))
    with ExitStack() as stack:
        callers, contestants = stack.enter_context(Callers()), {}
        for rival in rivals:
            repository = _repository_of(rival, subject, folder)
            server = stack.enter_context(started(repository, folder / f"{rival.name}.log"))
            contestants[rival.name] = callers.unary(server.address)
            few = texts[:CHECKED_TEXTS]
            engine = BareEngine(subject.graph, subject.tokenizer)
            check_answers(server.address, few, engine.embed(few, Split(1, cores(), 256)), ALIKE)
        seconds = timed_rounds(contestants, texts, setting.times(subject.rounds), name)
    by_length, alone = (seconds[rival.name] for rival in rivals)
    return Row(f"{name}: times as fast as one at a time", ratios(alone, by_length), at_least(1.15))


def _on_openvino(config: pb.ModelConfig) -> None:
    config.ClearField("platform")
    config.backend, config.default_model_filename = BACKEND, FILE


def _one_by_one(config: pb.ModelConfig) -> None:
    """One instance per core: the backend gives each its share of the cores, which is one."""
    _on_openvino(config)
    one_by_one(config)


def _repository_of(rival: Rival, subject: Subject, folder: Path) -> Path:
    """The subject's models with the compressed graph instead of every version's own."""
    repository = repository_of(rival, subject, folder / rival.name)
    for version in (repository / subject.encoder).glob("[0-9]*"):
        for file in folder.glob("model.*"):
            (version / file.name).hardlink_to(file)
    return repository


def _compress(graph: Path, into: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.eight_bit", str(graph), str(into)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"the weights of {graph} could not be compressed: {ended.stderr}")


def main() -> None:
    """Read an ONNX graph, write it as OpenVINO's own with 8-bit weights."""
    openvino = import_module("openvino")
    graph, into = sys.argv[1:]
    model = openvino.Core().read_model(graph)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            _compress_weights(node)
    openvino.save_model(model, into, compress_to_fp16=False)


def _compress_weights(product: Any) -> None:
    """Give a product with a constant matrix the form that the engine knows: int8 times scale."""
    opset = import_module("openvino.opset13")
    constant = product.input_value(1).get_node()
    if constant.get_type_name() != "Constant" or len(constant.get_output_shape(0)) != 2:
        return
    matrix = constant.get_data()
    inner = 1 if product.get_attributes()["transpose_b"] else 0
    scale = np.maximum(np.abs(matrix).max(axis=inner, keepdims=True), 1e-12) / 127
    whole = opset.convert(opset.constant(np.rint(matrix / scale).astype(np.int8)), "f32")
    dense = opset.multiply(whole, opset.constant(scale.astype(np.float32)))
    product.input(1).replace_source_output(dense.output(0))


if __name__ == "__main__":
    main()
