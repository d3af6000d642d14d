"""Every method of a server as `trivet serve` puts it together, over models that answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from tests.harness.frontend import ScriptedModel, echo, echo_config, publish
from tests.harness.managed import Bed
from tests.harness.repositories import add_model
from trivet.config import TensorSpec
from trivet.frontend import services
from trivet.frontend.extras import Extras
from trivet.frontend.method import Methods
from trivet.frontend.regions import Regions
from trivet.repository.control import Control
from trivet.repository.options import ControlMode, ControlOptions
from trivet.request import InferRequest, InferResponse

_BYTES = "BYTES"


def _specs(**tensors: tuple[str, int]) -> tuple[TensorSpec, ...]:
    """name=(data type, dimensions that vary)"""
    return tuple(
        TensorSpec(name=name, datatype=datatype, dims=(-1,) * rank)
        for name, (datatype, rank) in tensors.items()
    )


async def _embed(request: InferRequest) -> InferResponse:
    rows = len(request.inputs["TEXT"])
    return InferResponse(
        model=request.model, version=1, outputs={"EMBEDDING": np.ones((rows, 2), np.float32)}
    )


async def _fill(request: InferRequest) -> InferResponse:
    rows = len(request.inputs["TEXT"])
    return InferResponse(
        model=request.model,
        version=1,
        outputs={
            "MASK_POSITION": np.zeros((rows, 1), np.int64),
            "TOKEN": np.full((rows, 1, 1), b"cat", object),
            "TOKEN_ID": np.zeros((rows, 1, 1), np.int64),
            "PROBABILITY": np.ones((rows, 1, 1), np.float32),
        },
    )


def _models() -> tuple[ScriptedModel, ...]:
    text = TensorSpec(name="TEXT", datatype=_BYTES, dims=(1,))
    filled = _specs(
        MASK_POSITION=("INT64", 1),
        TOKEN=(_BYTES, 2),
        TOKEN_ID=("INT64", 2),
        PROBABILITY=("FP32", 2),
    )
    embedded = _specs(EMBEDDING=("FP32", 1))
    return (
        ScriptedModel(echo_config(), echo),
        ScriptedModel(echo_config("many", decoupled=True), echo),
        ScriptedModel(echo_config("embed", inputs=(text,), outputs=embedded), _embed),
        ScriptedModel(echo_config("fill_mask", inputs=(text,), outputs=filled), _fill),
    )


@asynccontextmanager
async def whole_table(folder: Path) -> AsyncIterator[Methods]:
    """The table with everything switched on: shared memory, loads by clients, uploads."""
    add_model(folder, "loaded")
    bed = Bed(folder)
    options = ControlOptions(mode=ControlMode.EXPLICIT, load_models=("loaded",), allow_upload=True)
    control = Control(bed.manager, bed.clock, options)
    await control.scan()
    assert await control.start(quiet=True) == []
    for model in _models():
        publish(bed.registry, model)
    extras = Extras(regions=Regions())
    try:
        yield services.methods(
            bed.registry, draining=asyncio.Event(), extras=extras, control=control
        )
    finally:
        await control.close()
