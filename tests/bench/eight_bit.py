"""8-bit weights on OpenVINO: the same server batching, and computing one text at a time.

The part is left out, by name, where the backend `openvino` or its engine is missing. The weights
become 8 bits as `trivet build` makes them, in a process of its own, whose memory goes with it:

    python -m tests.bench.eight_bit MODEL.onnx MODEL.xml
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from tests.bench.callers import Callers, check_answers
from tests.bench.results import Row, at_least, ratios
from tests.bench.rivals import Rival, one_by_one, repository_of, started
from tests.bench.setting import Setting, say, timed_rounds
from tests.bench.subjects import ROOT, Subject
from trivet_backends.onnxruntime.bare import BareEngine, Split, cores
from trivet_backends.workshop.openvino_file import write_openvino
from trivet_backends.workshop.options import Precision
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
    """One instance per core, and each text on its instance's share of the cores, which is one."""
    _on_openvino(config)
    one_by_one(config)
    config.parameters["PERFORMANCE_HINT"].string_value = "throughput"


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
    """Write a graph as `trivet build --to openvino --precision int8` does."""
    graph, into = map(Path, sys.argv[1:])
    write_openvino(graph, Precision.INT8, into)


if __name__ == "__main__":
    main()
