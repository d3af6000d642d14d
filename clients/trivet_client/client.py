"""The client for callers without an event loop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar, overload

import numpy as np

from trivet_client.connection import (
    READY_POLL_S,
    not_ready_in_time,
)
from trivet_client.errors import DeadlineExceeded, Unavailable
from trivet_client.head_calls import HeadCalls
from trivet_client.messages import server, tensors, text
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import (
    Embedding,
    Embeddings,
    Failure,
    FilledText,
    InferRequest,
    InferResult,
    ModelConfig,
    ModelCost,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Parameters,
    ServerMetadata,
)
from trivet_client.vector_calls import VectorCalls
from trivet_client.vector_values import Pooling
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import server_pb2

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Client(HeadCalls, VectorCalls):
    """Talks to one server. Threads may share it; `close()` it, or use it in a `with` block.

    address: HOST:PORT, or unix:/PATH. Nothing is connected before the first call.
    timeout_s: of every unary call that names none, in seconds; `math.inf` waits for ever. Streams
    have no timeout unless they name one.
    metadata: headers of every call, names in lower case.
    tls: encrypt, e.g. `Tls(root=Path("ca.pem"))`; None: unencrypted.
    token: shown with every call. Without `tls` whoever listens on the way can read it.
    credentials: instead of `tls`, any of grpc's.
    max_receive_bytes: of one message; -1 for no limit.

    Every call raises TrivetError (see `trivet_client.errors`).
    """

    # Text in, answers out.

    @overload  # a str is a Sequence[str] too, hence the overlap: the first one decides
    def embed(  # type: ignore[overload-overlap]
        self,
        texts: str,
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        timeout_s: float | None = None,
    ) -> Embedding: ...
    @overload
    def embed(
        self,
        texts: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        timeout_s: float | None = None,
    ) -> Embeddings: ...
    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        timeout_s: float | None = None,
    ) -> Embedding | Embeddings:
        """Turn one text into a vector [width], or several into an array [texts, width].

        version: None for the latest ready one. truncate: cut a text that is longer than the model
        can take; otherwise it is refused. One text that cannot be served fails the whole call:
        `embed_stream` fails that text alone.
        pooling, normalize, layer: None for as the model was built; anything else needs a model
        built with `trivet build --hidden-states`, such as "embed_inspect" (see `inspect`).
        """
        how = text.How(pooling=pooling, normalize=normalize, layer=layer)
        request = text.embed_request(texts, model, version, truncate, how)
        response = self._call(self._text.Embed, request, timeout_s)
        if isinstance(texts, str):
            return text.one_embedding(response)
        return text.embeddings(response, len(texts))

    def embed_stream(
        self,
        texts: Iterable[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, Embedding | Failure], None, None]:
        """Embed any number of texts; yield (index of the text, answer) as answers are ready.

        texts: taken one at a time, from a thread of its own, as answers make room: at most
        `in_flight` texts wait for theirs. What it raises is raised here.
        timeout_s: of the whole stream. Closing the generator cancels the stream.
        """
        how = text.How(pooling=pooling, normalize=normalize, layer=layer)
        dialect = text.EmbedDialect(model, version, truncate, how)
        return self._stream(self._text.EmbedStream, texts, dialect, in_flight, timeout_s)

    @overload
    def fill_mask(  # type: ignore[overload-overlap]
        self,
        texts: str,
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> FilledText: ...
    @overload
    def fill_mask(
        self,
        texts: Sequence[str],
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[FilledText, ...]: ...
    def fill_mask(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> FilledText | tuple[FilledText, ...]:
        """Predict the token behind every [MASK] of one text, or of several.

        top_k: candidates per mask. targets: the only candidates, words that are one token each.
        The rest as in `embed`.
        """
        request = text.fill_mask_request(texts, model, version, top_k, truncate, targets)
        response = self._call(self._text.FillMask, request, timeout_s)
        filled = text.filled_texts(response, len(request.texts))
        return filled[0] if isinstance(texts, str) else filled

    def fill_mask_stream(
        self,
        texts: Iterable[str],
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, FilledText | Failure], None, None]:
        """Fill the masks of any number of texts, as `embed_stream` embeds them."""
        dialect = text.FillMaskDialect(model, version, top_k, truncate, targets)
        return self._stream(self._text.FillMaskStream, texts, dialect, in_flight, timeout_s)

    # Tensors in, tensors out.

    def infer(
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

        inputs: with a batch dimension where the model has one; text as str or object arrays.
        version: its number, or one of the aliases that the model's config gives to versions.
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
        response = self._call(self._inference.ModelInfer, message, timeout_s)
        return tensors.infer_result(response)

    def infer_stream(
        self,
        requests: Iterable[InferRequest],
        *,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, InferResult | Failure], None, None]:
        """Send any number of requests; yield (index of the request, answer) as answers come.

        Answers come in the order of the requests; those of decoupled models, which may be several
        to one request, as they are ready. The rest as in `embed_stream`.
        """
        dialect = tensors.InferDialect()
        return self._stream(
            self._inference.ModelStreamInfer, requests, dialect, in_flight, timeout_s
        )

    # The server and its models.

    def server_live(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server runs. Raises Unavailable where none answers."""
        response = self._call(self._inference.ServerLive, pb.ServerLiveRequest(), timeout_s)
        return response.live

    def server_ready(self, *, timeout_s: float | None = None) -> bool:
        """Whether the server takes requests."""
        response = self._call(self._inference.ServerReady, pb.ServerReadyRequest(), timeout_s)
        return response.ready

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Return when the server is there and ready. Raises DeadlineExceeded if it takes longer."""
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            request = pb.ServerReadyRequest()
            # Unavailable: it went away while it was asked, which the next question will show.
            with suppress(DeadlineExceeded, Unavailable):
                response = self._call(
                    self._inference.ServerReady, request, left_s, wait_for_server=True
                )
                if response.ready:
                    return
            time.sleep(min(READY_POLL_S, left_s))
        raise not_ready_in_time(self._connection.address, timeout_s)

    def model_ready(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Whether a model takes requests; False for one that does not exist."""
        request = pb.ModelReadyRequest(name=model, version=tensors.version_text(version))
        response = self._call(self._inference.ModelReady, request, timeout_s)
        return response.ready

    def server_metadata(self, *, timeout_s: float | None = None) -> ServerMetadata:
        """Name, version and extensions of the server."""
        request = pb.ServerMetadataRequest()
        response = self._call(self._inference.ServerMetadata, request, timeout_s)
        return server.server_metadata(response)

    def model_metadata(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> ModelMetadata:
        """Inputs and outputs of a model."""
        request = pb.ModelMetadataRequest(name=model, version=tensors.version_text(version))
        response = self._call(self._inference.ModelMetadata, request, timeout_s)
        return server.model_metadata(response)

    def model_config(
        self, model: str, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> ModelConfig:
        """The configuration a model runs with."""
        request = pb.ModelConfigRequest(name=model, version=tensors.version_text(version))
        response = self._call(self._inference.ModelConfig, request, timeout_s)
        return server.model_config(response.config)

    def repository_index(
        self, *, ready: bool = False, timeout_s: float | None = None
    ) -> tuple[ModelState, ...]:
        """Every version the server knows of, or those that are ready."""
        request = pb.RepositoryIndexRequest(ready=ready)
        response = self._call(self._inference.RepositoryIndex, request, timeout_s)
        return server.model_states(response)

    def statistics(
        self, model: str = "", *, version: int | None = None, timeout_s: float | None = None
    ) -> tuple[ModelStatistics, ...]:
        """What a model did since the server started, per version; of all models without a name."""
        request = pb.ModelStatisticsRequest(name=model, version=tensors.version_text(version))
        response = self._call(self._inference.ModelStatistics, request, timeout_s)
        return server.statistics(response)

    def model_costs(
        self, model: str = "", *, version: int | None = None, timeout_s: float | None = None
    ) -> tuple[ModelCost, ...]:
        """What a model computed since it was loaded: tokens and padding, per version.

        Of all models without a name. Raises Unimplemented where the server is no trivet.
        """
        request = server_pb2.ModelCostRequest(model=model, version=version or 0)
        response = self._call(self._server.ModelCost, request, timeout_s)
        return server.model_costs(response)
