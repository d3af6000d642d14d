"""What every format is made from, and the names of the tensors that go in and come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trivet_backends.workshop import names
from trivet_backends.workshop.bert_config import BertConfig
from trivet_backends.workshop.checkpoint import Checkpoint
from trivet_backends.workshop.graph import heads
from trivet_backends.workshop.graph.embed import EMBEDDING, LAST_HIDDEN_STATE
from trivet_backends.workshop.graph.encoder import TOKEN_INPUTS
from trivet_backends.workshop.graph.fill_mask import MASK_POSITIONS, PROBABILITIES, TOKEN_IDS
from trivet_backends.workshop.options import GraphOptions, Task
from trivet_backends.workshop.tensor_files import Float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One checkpoint, read."""

    checkpoint: Checkpoint
    weights: Mapping[str, Float32]  # float32 by canonical name, those that the head needs
    options: GraphOptions

    @property
    def config(self) -> BertConfig:
        """The geometry."""
        return self.checkpoint.config


def read_source(checkpoint: Checkpoint, options: GraphOptions) -> Source:
    """Read the weights. Raises InvalidConfig if a file breaks while it is read."""
    weights = checkpoint.weights()
    if options.task is Task.EMBED:  # the checkpoint may have a fill-mask head, too
        weights = {name: weights[name] for name in names.encoder_shapes(checkpoint.config)}
    return Source(checkpoint=checkpoint, weights=weights, options=options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The names of a head's tensors in order; every input is int64 [batch, tokens or masks]."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def signature(options: GraphOptions) -> Signature:
    """The same inputs and outputs, whatever the format."""
    inputs, outputs = tuple(TOKEN_INPUTS), _OUTPUTS[options.task]
    if options.task is Task.FILL_MASK:
        inputs = (*inputs, MASK_POSITIONS)
    if options.hidden_state:
        outputs = (*outputs, LAST_HIDDEN_STATE)
    return Signature(inputs=inputs, outputs=outputs)


_OUTPUTS: Mapping[Task, tuple[str, ...]] = {
    Task.EMBED: (EMBEDDING,),
    Task.FILL_MASK: (TOKEN_IDS, PROBABILITIES),
    Task.CLASSIFY: (heads.LOGITS,),
    Task.TAG_TOKENS: (heads.LOGITS,),
    Task.ANSWER: (heads.START_LOGITS, heads.END_LOGITS),
    Task.NEXT_SENTENCE: (heads.PROBABILITIES,),
}
