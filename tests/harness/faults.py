"""Repositories with models that have faults, managed in this process, on the clock of a test."""

from __future__ import annotations

import asyncio

import numpy as np

from tests.harness.managed import Bed
from trivet.backend.contract import Backend
from trivet.model.model import Model
from trivet.request import InferRequest, InferResponse
from trivet_backends.onnxruntime import OnnxRuntimeBackend
from trivet_backends.python.backend import PythonBackend

SECONDS = 30  # nothing takes longer


class RealBed(Bed):
    """Models in Python and ONNX graphs beside fake ones."""

    def _load_backend(self, name: str) -> Backend:
        real: dict[str, Backend] = {
            "python": PythonBackend(),
            "onnxruntime": OnnxRuntimeBackend(),
        }
        return real.get(name, self.backend)

    def model(self, name: str = "m") -> Model:
        with self.registry.acquire(name) as found:
            return found

    async def infer(self, array: np.ndarray, name: str = "m") -> InferResponse:
        """Ask a model for OUT of IN."""
        async with asyncio.timeout(SECONDS):
            return await self.model(name).infer(InferRequest(model=name, inputs={"IN": array}))

    async def until(self, words: str) -> None:
        """Wait until the model's condition is of these words; "": all is well."""
        model = self.model()
        async with asyncio.timeout(SECONDS):
            while (words not in model.condition.reason) or (not words and model.condition.reason):
                await model.changed.wait()

    async def close(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.manager.unload_all()
