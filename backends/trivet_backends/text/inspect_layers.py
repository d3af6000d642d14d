"""All hidden states of an encoder to what a request asks of them: any pooling, any layer, maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.backend.contract import LoadContext
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet.request import Parameters, Tensors
from trivet_backends.parameters import Reader
from trivet_backends.text.pool import NORMALIZE, POOLING, POOLINGS, Pool, Pooling

INPUTS = (
    TensorSpec(
        name="hidden_states",
        datatype="FP32",
        dims=(-1, -1, -1, -1),
        symbols=("batch", "states", "tokens", "width"),
    ),
    TensorSpec(name="attention_mask", datatype="INT64", dims=(-1, -1), symbols=("batch", "tokens")),
    TensorSpec(
        name="attentions",
        datatype="FP32",
        dims=(-1, -1, -1, -1, -1),
        symbols=("batch", "layers", "heads", "tokens", "tokens"),
        optional=True,
    ),
)
OUTPUTS = (
    TensorSpec(name="EMBEDDING", datatype="FP32", dims=(-1, -1), symbols=("batch", "width")),
    TensorSpec(name="HIDDEN_STATE", datatype="FP32", dims=(-1, -1, -1), symbols=("batch", "", "")),
    TensorSpec(
        name="ATTENTION", datatype="FP32", dims=(-1, -1, -1, -1), symbols=("batch", "", "", "")
    ),
)


def make(config: ModelConfig, context: LoadContext, reader: Reader) -> Inspect:
    """Read the parameters `pooling` and `normalize`, which hold where a request says nothing."""
    return Inspect(reader.value(POOLING), reader.value(NORMALIZE))


@dataclass(frozen=True, slots=True)
class Inspect:
    """pooling, normalize: where a request says nothing."""

    pooling: Pooling
    normalize: bool

    def __call__(self, inputs: Tensors, parameters: Parameters) -> Tensors:
        """What the request's parameters ask of one layer.

        hidden_states: float32 [rows, layers + 1, tokens, width], the embeddings first;
        attention_mask: int64 [rows, tokens]; attentions, where the model has them: float32 [rows,
        layers, heads, tokens, tokens].
        Parameters: `layer` (a whole number; 0 the embeddings, -1 the last; the last), `pooling`
        (mean, cls, max), `normalize`, `hidden_state` and `attention` (true or false).
        Returns EMBEDDING [rows, width]; HIDDEN_STATE [rows, tokens, width] and ATTENTION [rows,
        heads, tokens, tokens], with no tokens where they were not asked for.
        Raises InvalidInput: a layer out of range, a pooling that there is not, maps asked of a
        model without, shapes that disagree.
        """
        states, mask = inputs["hidden_states"], inputs["attention_mask"]
        layer = _layer(parameters, states.shape[1])
        hidden = states[:, layer]
        pool = Pool(
            _pooling(parameters, self.pooling), _switch(parameters, "normalize", self.normalize)
        )
        outputs = dict(pool({"last_hidden_state": hidden, "attention_mask": mask}, {}))
        wants_hidden = _switch(parameters, "hidden_state", False)
        outputs["HIDDEN_STATE"] = np.ascontiguousarray(hidden) if wants_hidden else hidden[:, :0]
        outputs["ATTENTION"] = np.zeros((len(states), 0, 0, 0), dtype=np.float32)
        if _switch(parameters, "attention", False):
            outputs["ATTENTION"] = _attention(inputs, layer)
        return outputs


def _layer(parameters: Parameters, states: int) -> int:
    layer = parameters.get("layer", -1)
    if isinstance(layer, bool) or not isinstance(layer, int) or not -states <= layer < states:
        raise InvalidInput(
            f"parameter 'layer' is {layer!r}; the model has {states - 1} layers: send 1 to "
            f"{states - 1}, 0 for the embeddings, or -1 for the last layer down to -{states}"
        )
    return layer % states


def _attention(inputs: Tensors, layer: int) -> np.ndarray:
    maps = inputs.get("attentions")
    if maps is None:
        raise InvalidInput(
            "attention maps are asked of a model that does not give them out; build it with"
            " trivet build --attentions"
        )
    if layer == 0:
        raise InvalidInput(
            f"layer 0 is the embeddings, which have no attention map; send 1 to {maps.shape[1]}"
        )
    return np.ascontiguousarray(maps[:, layer - 1])


def _pooling(parameters: Parameters, default: Pooling) -> Pooling:
    name = parameters.get("pooling")
    if name is None:
        return default
    if isinstance(name, str) and name in POOLINGS:
        return POOLINGS[name]
    raise InvalidInput(f"parameter 'pooling' is {name!r}; send one of {', '.join(POOLINGS)}")


def _switch(parameters: Parameters, name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if isinstance(value, bool):
        return value
    raise InvalidInput(f"parameter '{name}' is {value!r}; send true or false")
