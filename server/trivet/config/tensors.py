"""A model's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

Dims = tuple[int, ...]  # -1 is a dimension that varies


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output.

    datatype: the wire's name, e.g. "FP32", "INT64", "BYTES".
    dims: without the batch dimension when the model batches.
    symbols: a name per dimension that varies, where the artifact tells one ("tokens"), else "".
    reshape: the dims that the engine takes or gives in place of `dims`; None: the same.
    ragged: of an input; requests of any shapes share a batch, joined flat without padding.
    """

    name: str
    datatype: str
    dims: Dims
    symbols: tuple[str, ...] = ()
    optional: bool = False
    label_filename: str = ""
    reshape: Dims | None = None
    ragged: bool = False

    @property
    def reshaped(self) -> TensorSpec:
        """The other side's view: `dims` and `reshape` exchanged, symbols in their order."""
        if self.reshape is None:
            return self
        named = zip(self.symbols, self.dims, strict=False)
        symbols = iter([symbol for symbol, dim in named if dim == -1])
        return replace(
            self,
            dims=self.reshape,
            reshape=self.dims,
            symbols=tuple(next(symbols, "") if dim == -1 else "" for dim in self.reshape),
        )


class BatchInputKind(Enum):
    """What a batch input tells of the requests of a batch; the values are config.pbtxt's."""

    ELEMENT_COUNT = "BATCH_ELEMENT_COUNT"
    ACCUMULATED_ELEMENT_COUNT = "BATCH_ACCUMULATED_ELEMENT_COUNT"
    ACCUMULATED_ELEMENT_COUNT_WITH_ZERO = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
    MAX_ELEMENT_COUNT_AS_SHAPE = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
    ITEM_SHAPE = "BATCH_ITEM_SHAPE"
    ITEM_SHAPE_FLATTEN = "BATCH_ITEM_SHAPE_FLATTEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchInput:
    """Inputs of the engine that the server makes of each batch; no client sends or sees them."""

    kind: BatchInputKind
    targets: tuple[str, ...]  # the engine's inputs that get the values
    datatype: str  # "INT32" or "FP32"
    source: str  # the input whose sizes they tell


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """Outputs of a whole batch, flat; each request gets the part that its source's shape tells."""

    targets: tuple[str, ...]
    source: str  # an input
