"""Calls of any model by tensors, for callers on an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence

import numpy as np

from trivet_client.aio_calls.connected import AsyncConnected
from trivet_client.messages import tensors
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import Failure, InferRequest, InferResult, Parameters


class AsyncTensorCalls(AsyncConnected):
    """Tensors in, tensors out."""

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, np.ndarray],
        *,
        version: int | str | None = None,
        outputs: Sequence[str] = (),
        parameters: Parameters | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> InferResult:
        """Run one model on arrays by name.

        version: its number, or one of the aliases that the model's config gives to versions.
        inputs: with a batch dimension where the model has one; text as str or object arrays.
        outputs: names wanted; empty means all.
        """
        request = InferRequest(
            model=model,
            inputs=inputs,
            version=version,
            outputs=tuple(outputs),
            parameters=parameters or {},
            request_id=request_id,
        )
        message = tensors.infer_request(request, request_id)
        response = await self._call(self._inference.ModelInfer, message, timeout_s)
        return tensors.infer_result(response)

    def infer_stream(
        self,
        requests: Iterable[InferRequest] | AsyncIterable[InferRequest],
        *,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, InferResult | Failure], None]:
        """Send any number of requests; yield (index of the request, answer) as answers come.

        Answers come in the order of the requests; those of decoupled models, which may be several
        to one request, as they are ready. The rest as in `embed_stream`.
        """
        dialect = tensors.InferDialect()
        return self._stream(
            self._inference.ModelStreamInfer, requests, dialect, in_flight, timeout_s
        )
