"""Is a written graph the model it was made from? Run it, and compare it with plain numpy.

The batch has rows of mixed lengths, padded on the right, one padded on the left and one with holes.
Whatever misses its bar (`BARS`) is not published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trivet.errors import Fault, InvalidConfig
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.check_batch import CheckBatch
from trivet_backends.workshop.graph.embed import EMBEDDING, LAST_HIDDEN_STATE
from trivet_backends.workshop.graph.fill_mask import PROBABILITIES, TOKEN_IDS
from trivet_backends.workshop.graph.heads import (
    END_LOGITS,
    LOGITS,
    START_LOGITS,
)
from trivet_backends.workshop.graph.heads import PROBABILITIES as FOLLOWS
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.numpy_bert import NumpyBert, normalized, pooled, softmax
from trivet_backends.workshop.openvino_file import run_openvino
from trivet_backends.workshop.options import Format, GraphOptions, Precision, Task
from trivet_backends.workshop.tensor_files import Float32
from trivet_backends.workshop.tensorrt import run_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a precision must reach; a limit that does not apply lets everything pass."""

    max_difference: float = float("inf")  # absolute, over every output
    mean_cosine: float = -1.0  # over the rows of an embedding, or the masks of a fill-mask batch
    least_cosine: float = -1.0  # of any one of them


# FP32 promises the same numbers; the others are approximations and promise the direction. Measured:
# FP16 0.99999 and better. INT8: embeddings of MiniLM 0.991 in the mean and 0.980 at worst; the
# example masked language model 0.995 and 0.984 (0.989 and 0.937 with other neighbours in the
# batch), which are probabilities, where a small shift of a logit shows more; random weights 0.995.
BARS: Mapping[tuple[Precision, Task], Bar] = {
    (Precision.FP32, Task.EMBED): Bar(max_difference=1e-4),
    (Precision.FP32, Task.FILL_MASK): Bar(max_difference=1e-4),
    (Precision.FP16, Task.EMBED): Bar(mean_cosine=0.9999, least_cosine=0.9999),
    (Precision.FP16, Task.FILL_MASK): Bar(mean_cosine=0.9999, least_cosine=0.999),
    (Precision.INT8, Task.EMBED): Bar(mean_cosine=0.98, least_cosine=0.95),
    (Precision.INT8, Task.FILL_MASK): Bar(mean_cosine=0.95, least_cosine=0.8),
    # Of heads the numbers compared are their logits: all of a row, or of the batch where a row has
    # only a few, since the direction of two numbers near zero says nothing. MiniLM with random
    # heads: FP16 0.999999, INT8 0.988 in the mean and 0.976 at worst. How many answers change is
    # for labelled data to tell.
    **{(Precision.FP32, task): Bar(max_difference=1e-4) for task in HEADS},
    **{(Precision.FP16, task): Bar(mean_cosine=0.9999, least_cosine=0.999) for task in HEADS},
    **{(Precision.INT8, task): Bar(mean_cosine=0.95, least_cosine=0.9) for task in HEADS},
}


# OpenVINO's 8-bit weights do better: MiniLM 0.9993 in the mean and 0.9991 at worst, the example
# masked language model 0.9995 and 0.998, whatever the company.
OPENVINO_BARS: Mapping[tuple[Precision, Task], Bar] = {
    **BARS,
    (Precision.INT8, Task.EMBED): Bar(mean_cosine=0.997, least_cosine=0.99),
    (Precision.INT8, Task.FILL_MASK): Bar(mean_cosine=0.99, least_cosine=0.97),
    # Heads on MiniLM: 0.9993 and 0.9987.
    **{(Precision.INT8, task): Bar(mean_cosine=0.99, least_cosine=0.97) for task in HEADS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How near a graph came to the reference."""

    max_difference: float  # absolute, over every output
    mean_cosine: float
    least_cosine: float


def check_parity(
    path: Path,
    config: BertConfig,
    weights: Mapping[str, Float32],
    options: GraphOptions,
    precision: Precision,
    batch: CheckBatch,
) -> Parity:
    """Compare the graph at `path` with numpy, on the engine that its name tells.

    Raises InvalidConfig, with the numbers, on a miss.
    """
    outputs = _run(path, options, batch)
    reference = NumpyBert(config, weights)
    parity = COMPARE[options.task](outputs, reference, options, batch)
    cure = "nothing was published"
    if precision is not Precision.FP32:
        cure += "; use --precision fp32"
    bars = OPENVINO_BARS if path.name == Format.OPENVINO.file else BARS
    where = f"{path.parent.parent.name} in {precision}"
    _refuse(parity, bars[precision, options.task], where, cure)
    return parity


def _run(path: Path, options: GraphOptions, batch: CheckBatch) -> dict[str, np.ndarray]:
    inputs = dict(batch.tokens)
    if options.task is Task.FILL_MASK:
        inputs["mask_positions"] = batch.mask_positions
    return run_graph(path, inputs)


def run_graph(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every output of a graph by name, on the engine that its file is for."""
    if path.name == Format.TENSORRT.file:
        return run_plan(path, inputs)
    run = run_openvino if path.name == Format.OPENVINO.file else _run_onnx
    return run(path, inputs)


def _run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _compare_embed(
    outputs: Mapping[str, np.ndarray],
    reference: NumpyBert,
    options: GraphOptions,
    batch: CheckBatch,
) -> Parity:
    hidden = reference.hidden_states(**batch.tokens)
    expected = pooled(
        hidden,
        batch.tokens["attention_mask"],
        pooling=options.pooling,
        normalize=options.normalize,
    )
    difference = _difference(outputs[EMBEDDING], expected)
    if options.hidden_state:
        # At padding a hidden state means nothing, and rounding grows tenfold there.
        tokens = batch.tokens["attention_mask"] == 1
        found = outputs[LAST_HIDDEN_STATE][tokens]
        difference = max(difference, _difference(found, hidden[tokens]))
    return _parity(difference, outputs[EMBEDDING], expected)


def _compare_fill_mask(
    outputs: Mapping[str, np.ndarray],
    reference: NumpyBert,
    options: GraphOptions,
    batch: CheckBatch,
) -> Parity:
    """Compare the probabilities of the tokens named, and those of the best that should be named."""
    expected = reference.mask_probabilities(**batch.tokens, mask_positions=batch.mask_positions)
    real = batch.mask_positions >= 0
    ids, found = outputs[TOKEN_IDS][real], outputs[PROBABILITIES][real]
    named = np.take_along_axis(expected[real], ids, axis=1)
    best = -np.sort(-expected[real], axis=1)[:, : options.candidates]
    difference = max(_difference(found, named), _difference(found, best))
    return _parity(difference, found, named)


def _compare_head(
    outputs: Mapping[str, np.ndarray],
    reference: NumpyBert,
    options: GraphOptions,
    batch: CheckBatch,
) -> Parity:
    """Compare a head's numbers; those of tokens where there is one, as padding means nothing."""
    expected = reference.head_logits(options.task, **batch.tokens)
    match options.task:
        case Task.ANSWER:
            found = np.stack([outputs[START_LOGITS], outputs[END_LOGITS]], axis=2)
        case Task.NEXT_SENTENCE:
            found, expected = outputs[FOLLOWS], softmax(expected)
        case _:
            found = outputs[LOGITS]
    rows = 1
    if not HEADS[options.task].pooled:
        tokens = (batch.tokens["attention_mask"] == 1)[:, :, None]
        found, expected = np.where(tokens, found, 0), np.where(tokens, expected, 0)
        rows = len(tokens)
    vectors = found.reshape(rows, -1), expected.reshape(rows, -1)
    return _parity(_difference(found, expected), *vectors)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference; infinite where a number is missing."""
    difference = np.abs(found.astype(np.float64) - expected)
    return float(np.where(np.isfinite(difference), difference, np.inf).max())


def _parity(difference: float, found: np.ndarray, expected: np.ndarray) -> Parity:
    cosines = (normalized(np.nan_to_num(found)) * normalized(expected)).sum(axis=-1)
    return Parity(
        max_difference=difference,
        mean_cosine=float(cosines.mean()),
        least_cosine=float(cosines.min()),
    )


def _refuse(parity: Parity, bar: Bar, where: str, cure: str) -> None:
    faults = []
    if not parity.max_difference <= bar.max_difference:
        found = f"{parity.max_difference:.2e} away from numpy, {bar.max_difference:.0e} is allowed"
        faults.append(Fault(where, f"the graph is {found}", cure))
    for kind in ("mean_cosine", "least_cosine"):
        reached, asked = getattr(parity, kind), getattr(bar, kind)
        if not reached >= asked:
            found = f"its {kind.replace('_', ' ')} to numpy is {reached:.5f}, {asked} is asked"
            faults.append(Fault(where, found, cure))
    if faults:
        raise InvalidConfig(faults)


_Compare = Callable[[Mapping[str, np.ndarray], NumpyBert, GraphOptions, CheckBatch], Parity]

COMPARE: Mapping[Task, _Compare] = {
    Task.EMBED: _compare_embed,
    Task.FILL_MASK: _compare_fill_mask,
    **dict.fromkeys(HEADS, _compare_head),
}
