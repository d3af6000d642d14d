"""Inference: ModelInfer and ModelStreamInfer of inference.GRPCInferenceService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from trivet.errors import ServeError, Unimplemented
from trivet.frontend.codec import fill_response, request_of
from trivet.frontend.concurrency import MAX_IN_FLIGHT, answer_stream
from trivet.frontend.method import Answers, BidiStream, Call, Methods, Unary
from trivet.frontend.refusal import infer_refusal, parse
from trivet.repository.registry import Registry
from trivet_protos.generated import grpc_service_pb2 as pb

_SERVICE = "/inference.GRPCInferenceService/"


class Inference:
    """Decodes requests, hands them to the models, encodes what they answer."""

    def __init__(
        self, registry: Registry, draining: asyncio.Event, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        """max_in_flight: requests of one stream read and not yet answered."""
        self._registry = registry
        self._draining = draining
        self._max_in_flight = max_in_flight

    def methods(self) -> Methods:
        return {
            f"{_SERVICE}ModelInfer": Unary(self.model_infer),
            f"{_SERVICE}ModelStreamInfer": BidiStream(self.model_stream_infer),
        }

    async def model_infer(self, message: bytes, call: Call) -> bytes:
        """Answer one request. Raises ServeError with the status that the contract asks for."""
        asked = answer = None
        try:
            asked = parse(pb.ModelInferRequest, message)
            answer = pb.ModelInferResponse()
            await self._infer(asked, answer, unary=True)
            return answer.SerializeToString()
        except Exception as error:
            raise _refusal(error, asked) from None

    def model_stream_infer(self, messages: AsyncIterator[bytes], call: Call) -> Answers:
        """Answer each request of a stream, in the requests' order, many at a time.

        A request that fails is answered in-band and the stream goes on; with the header
        `triton_grpc_error: true` it ends the stream with its status.
        """
        in_band = call.metadata.get("triton_grpc_error") != "true"
        return answer_stream(
            messages,
            self._answer_in_band if in_band else self._answer_or_raise,
            in_order=True,
            draining=self._draining,
            limit=self._max_in_flight,
        )

    async def _answer_in_band(self, message: bytes) -> bytes:
        asked = None
        try:
            asked = parse(pb.ModelInferRequest, message)
            return await self._answer_streamed(asked)
        except Exception as error:
            answer = pb.ModelStreamInferResponse(error_message=_refusal(error, asked).message)
            answer.infer_response.id = asked.id if asked else ""
            return answer.SerializeToString()

    async def _answer_or_raise(self, message: bytes) -> bytes:
        asked = None
        try:
            asked = parse(pb.ModelInferRequest, message)
            return await self._answer_streamed(asked)
        except Exception as error:
            raise _refusal(error, asked) from None

    async def _answer_streamed(self, asked: pb.ModelInferRequest) -> bytes:
        answer = pb.ModelStreamInferResponse()
        await self._infer(asked, answer.infer_response, unary=False)
        # One answer per request: each is its request's last.
        answer.infer_response.parameters["triton_final_response"].bool_param = True
        return answer.SerializeToString()

    async def _infer(
        self, asked: pb.ModelInferRequest, answer: pb.ModelInferResponse, *, unary: bool
    ) -> None:
        request = request_of(asked)
        with self._registry.acquire(request.model, request.version) as model:
            if unary and model.config.decoupled:
                raise Unimplemented(
                    f"model '{request.model}': ModelInfer cannot carry the answers of a decoupled"
                    " model; ask it through ModelStreamInfer"
                )
            response = await model.infer(request)
        fill_response(answer, request, response)


def _refusal(error: Exception, asked: pb.ModelInferRequest | None) -> ServeError:
    return infer_refusal(error, asked.id if asked else "", asked.model_name if asked else "")
