"""The repository that is served: real weights, a tiny head, and models that do as they are told.

Everything that changes during a run is changed by `Changes`, as a person would change it: written
beside its place and renamed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.harness import python_models
from tests.harness.accumulator import add_accumulator, write_version
from tests.harness.artifacts import write_graph
from tests.harness.head_checkpoints import write_head_checkpoint
from tests.harness.repositories import add_model, fake_config, pipeline_config
from trivet_backends.workshop.build import build
from trivet_backends.workshop.options import BuildOptions, Task

EXAMPLES = (
    *("minilm", "minilm_tokenizer", "embed", "zero_shot", "tokenize"),
    *("minilm_mlm", "minilm_mlm_tokenizer", "minilm_mlm_candidates", "fill_mask"),
)
DECOUPLED = "model_transaction_policy { decoupled: true }"
COUNTED = f'{DECOUPLED} input {{ name: "COUNT" data_type: TYPE_INT32 dims: [ 1 ] }}'
POISON = 666
ROWS = 8
BOUND = 8  # requests that the queue of "bounded" holds
MARKS = (0.5, 0.25)  # of "sums", by turns
VERSIONED = """
backend: "onnxruntime"
max_batch_size: 8
input { name: "IN" data_type: TYPE_FP32 dims: [ -1 ] }
output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }
dynamic_batching {}
"""
# As many answers as IN says, from a thread that outlives execute.
REPEATING = """
    import threading
    import numpy as np
    import triton_python_backend_utils as pb_utils

    class TritonPythonModel:
        def execute(self, requests):
            for request in requests:
                threading.Thread(target=self.answer, args=(request,)).start()

        def answer(self, request):
            sender = request.get_response_sender()
            count = int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0, 0])
            for number in range(count):
                out = pb_utils.Tensor("OUT", np.array([[number]], np.float32))
                sender.send(pb_utils.InferenceResponse([out]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_repository(folder: Path, examples: Path) -> None:
    """Write all models. examples: the example repository, built."""
    for name in EXAMPLES:
        _copy_newest(examples / name, folder / name)
    checkpoint = write_head_checkpoint(folder.parent / "checkpoint", Task.CLASSIFY)
    build(checkpoint, folder, BuildOptions(name="tiny", pipeline="classify"), lambda _: None)
    for name in ("echo", "first", "second", "come_and_go"):
        add_model(folder, name)
    add_model(folder, "pipeline", pipeline_config(["first", "second"]))
    add_model(folder, "picky", fake_config(poison=f"{POISON}.0"))
    add_model(folder, "slow", fake_config(delay_us=20_000))
    bound = f"dynamic_batching {{ default_queue_policy {{ max_queue_size: {BOUND} }} }}"
    add_model(folder, "bounded", fake_config(batching=bound, delay_us=5_000))
    add_model(folder, "repeat", fake_config(more=COUNTED, answers_input="COUNT"))
    echo = python_models.config(
        inputs={"numbers": "TYPE_FP32"},
        outputs={"same_numbers": "TYPE_FP32"},
        more="dynamic_batching {}",
    )
    python_models.add(folder, "python", python_models.TRITON_ECHO, echo)
    repeating = python_models.config(inputs={"IN": "TYPE_FP32"}, outputs={"OUT": "TYPE_FP32"})
    python_models.add(folder, "python_repeat", REPEATING, repeating + DECOUPLED)
    strategy = "oldest { max_candidate_sequences: 256 }"
    add_accumulator(folder / "sums", rows=ROWS, strategy=strategy, mark=MARKS[1])
    _replace(folder / "sums" / "config.pbtxt", "60000000", "20000000")  # those left in the middle
    add_model(folder, "versioned", VERSIONED, versions=())
    _write_versioned(folder / "versioned" / "1", 1)


class Changes:
    """What is changed on disk while it is served."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.parent / "aside"
        self._aside.mkdir(exist_ok=True)
        self._number = 1

    def next_number(self) -> int:
        """Another one for each change."""
        self._number += 1
        return self._number

    def new_version(self) -> int:
        """A newer version of "versioned"; the three newest stay. Returns the new one."""
        number = self.next_number()
        _write_versioned(self._aside / "version", number)
        model = self._folder / "versioned"
        (self._aside / "version").rename(model / str(number))
        self._keep_newest(model, 3)
        return number

    def new_sums(self) -> None:
        """A newer version of "sums", with the other mark."""
        number = self.next_number()
        write_version(self._aside / "version", rows=ROWS, mark=MARKS[number % 2])
        model = self._folder / "sums"
        (self._aside / "version").rename(model / str(number))
        self._keep_newest(model, 3)

    def new_config(self, model: str) -> None:
        """Another revision of a model, which answers the same."""
        path = self._folder / model / "config.pbtxt"
        text = re.sub(r'\nparameters \{ key: "soak\..*', "", path.read_text())
        # Nobody reads the parameter; it makes it another config.
        value = f'{{ string_value: "{self.next_number()}" }}'
        text += f'\nparameters {{ key: "soak.change" value {value} }}'
        self._put(path, text)

    def take_away(self, model: str) -> None:
        """A model's folder goes, for `bring_back`."""
        (self._folder / model).rename(self._aside / model)

    def bring_back(self, model: str) -> None:
        (self._aside / model).rename(self._folder / model)

    def break_model(self) -> None:
        """A model with a config that does not parse."""
        (self._folder / "broken" / "1").mkdir(parents=True, exist_ok=True)
        self._put(self._folder / "broken" / "config.pbtxt", f"max_batch_size: {{ {self._number}")

    def remove_broken(self) -> None:
        self._remove(self._folder / "broken")

    def _keep_newest(self, model: Path, count: int) -> None:
        for old in sorted(_versions(model))[:-count]:
            self._remove(model / str(old))

    def _put(self, path: Path, text: str) -> None:
        beside = self._aside / "text"
        beside.write_text(text)
        beside.replace(path)

    def _remove(self, folder: Path) -> None:
        gone = self._aside / "gone"
        folder.rename(gone)
        shutil.rmtree(gone)


def _copy_newest(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    shutil.copy(source / "config.pbtxt", target)
    newest = str(max(_versions(source)))
    shutil.copytree(source / newest, target / newest)


def _versions(model: Path) -> list[int]:
    return [int(each.name) for each in model.iterdir() if each.name.isdigit()]


def _write_versioned(folder: Path, number: int) -> None:
    """OUT = IN + number: FP32 [batch, any]."""
    folder.mkdir(parents=True)
    shape = ["batch", "size"]
    write_graph(
        folder / "model.onnx",
        [helper.make_node("Add", ["IN", "number"], ["OUT"])],
        [helper.make_tensor_value_info("IN", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("OUT", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array(number, np.float32), "number")],
    )


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise ValueError(f"{path.name} has no {old!r}")
    path.write_text(text.replace(old, new))
