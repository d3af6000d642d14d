"""Inference: ModelInfer and ModelStreamInfer of inference.GRPCInferenceService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

from trivet.errors import ServeError, Unimplemented
from trivet.frontend.admission import Admission
from trivet.frontend.ahead.offering import known_of
from trivet.frontend.codec import SERVICE, fill_response, request_of, version_of
from trivet.frontend.concurrency import answer_stream
from trivet.frontend.counted import messages_of
from trivet.frontend.delivery import NONE, Deliveries, deliveries_of
from trivet.frontend.extras import Extras
from trivet.frontend.method import Answers, BidiStream, Call, Methods, Unary
from trivet.frontend.refusal import SHOWN_ID, infer_refusal, parse
from trivet.model.model import Model
from trivet.repository.registry import Registry
from trivet.request import InferRequest, Known, Parameters
from trivet.scheduling.many import MAX_IN_FLIGHT
from trivet_protos.generated import grpc_service_pb2 as pb

_TENSORS = (
    pb.ModelInferRequest.INPUTS_FIELD_NUMBER,
    pb.ModelInferRequest.OUTPUTS_FIELD_NUMBER,
)
_FINAL = "triton_final_response"
_WANT_FINAL = "triton_enable_empty_final_response"


class Inference:
    """Decodes requests, hands them to the models, encodes what they answer."""

    def __init__(
        self,
        registry: Registry,
        draining: asyncio.Event,
        extras: Extras | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        admission: Admission | None = None,
    ) -> None:
        """max_in_flight: requests of one stream read and not yet answered.

        admission: of the messages of streams.
        """
        self._registry = registry
        self._draining = draining
        extras = extras or Extras()
        self._regions, self._forwarder = extras.regions, extras.forwarder
        self._tracer, self._limits = extras.tracer, extras.limits
        self._max_in_flight = max_in_flight
        self._admission = admission or Admission(registry)
        self._kind = messages_of(extras.calls, "ModelStreamInfer")

    def methods(self) -> Methods:
        return {
            f"{SERVICE}ModelInfer": Unary(self.model_infer),
            f"{SERVICE}ModelStreamInfer": BidiStream(self.model_stream_infer),
        }

    async def model_infer(self, message: bytes, call: Call) -> bytes:
        """Answer one request. Raises ServeError with the status that the contract asks for."""
        asked = answer = None
        try:
            asked = self._read(message)
            answer = pb.ModelInferResponse()
            await self._infer(asked, answer, self._forwarded(call), known_of(message), unary=True)
            return answer.SerializeToString()
        except Exception as error:
            raise _refusal(error, asked) from None

    def model_stream_infer(self, messages: AsyncIterator[bytes], call: Call) -> Answers:
        """Answer each request of a stream, many at a time.

        Answers leave in the requests' order; those of decoupled models, which may be none or many
        to one request, as they come. A request that fails is answered in-band and the stream goes
        on; with the header `triton_grpc_error: true` it ends the stream with its status.
        """
        in_band = call.metadata.get("triton_grpc_error") != "true"
        forwarded = self._forwarded(call)
        return answer_stream(
            messages,
            lambda message: self._streamed(message, forwarded, in_band=in_band),
            in_order=True,
            draining=self._draining,
            limit=self._max_in_flight,
            unread=self._admission.unread,
        )

    def _streamed(
        self, message: bytes, forwarded: Parameters | None, *, in_band: bool
    ) -> Coroutine[Any, Any, bytes] | Answers:
        try:
            asked = self._read(message)
        except Exception as error:
            with self._kind.one() as one:
                one.failed(error)
            return _refused(error, in_band=in_band)
        if self._is_decoupled(asked):
            return self._many(asked, len(message), forwarded, in_band=in_band)
        return self._one(asked, message, forwarded, in_band=in_band)

    def _read(self, message: bytes) -> pb.ModelInferRequest:
        return parse(pb.ModelInferRequest, message, self._limits.max_fields, _TENSORS)

    def _is_decoupled(self, asked: pb.ModelInferRequest) -> bool:
        try:
            version = version_of(asked.model_version, asked.model_name)
            with self._registry.acquire(asked.model_name, version) as model:
                return model.config.decoupled
        except ServeError:
            return False  # it is refused when its turn comes

    async def _one(
        self,
        asked: pb.ModelInferRequest,
        message: bytes,
        forwarded: Parameters | None,
        *,
        in_band: bool,
    ) -> bytes:
        with self._kind.one() as one:
            try:
                answer = pb.ModelStreamInferResponse()
                with self._admission.let_in(asked.model_name, len(message)):
                    known = known_of(message)
                    await self._infer(asked, answer.infer_response, forwarded, known, unary=False)
                # One answer per request: each is its request's last.
                answer.infer_response.parameters[_FINAL].bool_param = True
                return answer.SerializeToString()
            except Exception as error:
                one.failed(error)
                return _told(error, asked, in_band=in_band).SerializeToString()

    async def _many(
        self, asked: pb.ModelInferRequest, size: int, forwarded: Parameters | None, *, in_band: bool
    ) -> Answers:
        """The answers of a decoupled model to one request."""
        with self._kind.one() as one:
            try:
                request, final = self._request(asked, forwarded), False
                with (
                    self._admission.let_in(request.model, size),
                    self._registry.acquire_for(request) as model,
                    self._tracer.many(model, request),
                ):
                    deliveries = self._deliveries(asked, model)
                    async with aclosing(model.stream(request)) as responses:
                        async for response in responses:
                            answer = pb.ModelStreamInferResponse()
                            fill_response(answer.infer_response, request, response, deliveries)
                            final = response.final
                            answer.infer_response.parameters[_FINAL].bool_param = final
                            yield answer.SerializeToString()
                    if not final and _wants_empty_final(asked):
                        yield _empty_final(asked, model.version)
            except Exception as error:
                one.failed(error)
                failure = _told(error, asked, in_band=in_band)
                # Whoever waits for a decoupled request's last answer waits for this one, too.
                failure.infer_response.parameters[_FINAL].bool_param = True
                yield failure.SerializeToString()

    async def _infer(
        self,
        asked: pb.ModelInferRequest,
        answer: pb.ModelInferResponse,
        forwarded: Parameters | None,
        known: Known | None,
        *,
        unary: bool,
    ) -> None:
        request = self._request(asked, forwarded)
        if known:
            request = request._replace(known=known)
        with self._registry.acquire_for(request) as model:
            if unary and model.config.decoupled:
                raise Unimplemented(
                    f"model '{request.model}': ModelInfer cannot carry the answers of a decoupled"
                    " model; ask it through ModelStreamInfer"
                )
            deliveries = self._deliveries(asked, model)
            response = await self._tracer.infer(model, request)
        fill_response(answer, request, response, deliveries)

    def _forwarded(self, call: Call) -> Parameters | None:
        return self._forwarder.parameters(call.metadata) if self._forwarder else None

    def _request(self, asked: pb.ModelInferRequest, forwarded: Parameters | None) -> InferRequest:
        request = request_of(asked, self._regions, self._limits)
        if forwarded:
            return request._replace(parameters={**request.parameters, **forwarded})
        return request

    def _deliveries(self, asked: pb.ModelInferRequest, model: Model) -> Deliveries:
        if not asked.outputs:
            return NONE
        return deliveries_of(asked, model.config, model.labels, self._regions)


async def _refused(error: Exception, *, in_band: bool) -> bytes:
    """The answer to bytes that are no request, in its turn."""
    return _told(error, None, in_band=in_band).SerializeToString()


def _told(
    error: Exception, asked: pb.ModelInferRequest | None, *, in_band: bool
) -> pb.ModelStreamInferResponse:
    """The answer that tells of a failure. Raises it instead unless it is told in-band."""
    refused = _refusal(error, asked)
    if not in_band:
        raise refused from None
    answer = pb.ModelStreamInferResponse(error_message=refused.message)
    answer.infer_response.id = asked.id[:SHOWN_ID] if asked else ""
    return answer


def _wants_empty_final(asked: pb.ModelInferRequest) -> bool:
    return _WANT_FINAL in asked.parameters and asked.parameters[_WANT_FINAL].bool_param


def _empty_final(asked: pb.ModelInferRequest, version: int) -> bytes:
    """What follows answers of which none was known to be the last."""
    answer = pb.ModelStreamInferResponse()
    answer.infer_response.id = asked.id
    answer.infer_response.model_name = asked.model_name
    answer.infer_response.model_version = str(version)
    answer.infer_response.parameters[_FINAL].bool_param = True
    return answer.SerializeToString()


def _refusal(error: Exception, asked: pb.ModelInferRequest | None) -> ServeError:
    return infer_refusal(error, asked.id if asked else "", asked.model_name if asked else "")
