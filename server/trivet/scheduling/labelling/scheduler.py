"""The scheduler of a model that labels texts: texts and labels run through another model's queue.

A pipeline of steps cannot do it: a request's tensors are the rows of one batch there, and there are
not as many labels as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trivet.config import LabelTask, ModelConfig
from trivet.errors import ServeError
from trivet.request import InferRequest, InferResponse, Parameters, Stages, Tensors
from trivet.scheduling.labelling.asked import Labelling, check_size
from trivet.scheduling.labelling.embedding import (
    TEXT,
    Loaded,
    Models,
    kept_vectors,
    makers_of,
    vector_of,
    with_one_model,
)
from trivet.scheduling.labelling.scores import Scored
from trivet.scheduling.labelling.tensors import answer_of, few_shot_of, flag, texts_of, zero_shot_of
from trivet.scheduling.labelling.vectors import Shelf, Vectors
from trivet.scheduling.many import answer_all
from trivet.telemetry.statistics import Statistics

_READ: Mapping[LabelTask, Callable[[InferRequest], Labelling]] = {
    LabelTask.ZERO_SHOT: zero_shot_of,
    LabelTask.FEW_SHOT: few_shot_of,
}
_PASSED_ON = ("priority", "timeout")  # parameters of the request that concern its queue


class LabelScheduler:
    """Has texts and labels embedded, each by a request of its own, and compares their vectors."""

    def __init__(
        self,
        config: ModelConfig,
        task: LabelTask,
        version: int,
        models: Models,
        vectors: Vectors,
        statistics: Statistics,
    ) -> None:
        """models: where the model of the config's one step is. vectors: of the server."""
        self._name = config.name
        self._read = _READ[task]
        self._version = version
        (self._step,) = config.steps
        self._models = models
        self._vectors = vectors
        self._statistics = statistics

    @property
    def pending(self) -> int:
        return 0  # who waits is counted where it waits: with the model that embeds

    async def infer(self, request: InferRequest) -> InferResponse:
        labelling = self._read(request)
        labelling.check()
        texts = texts_of(request)
        check_size(labelling, len(texts))
        truncate = flag(request.parameters, "truncate")
        with self._models.acquire(self._step.model, self._step.version) as encoder:
            asking = _Asking(request, encoder, self._models, self._vectors)

            async def ranked(shelf: Shelf) -> list[list[Scored]]:
                return await _ranked(asking, shelf, labelling, texts, truncate)

            outputs = answer_of(await with_one_model(asking, ranked))
        self._statistics.batch_done(1, asking.slowest)
        return InferResponse(
            model=self._name,
            version=self._version,
            outputs=outputs,
            parameters={"tokens": asking.tokens, "truncated": asking.truncated},
            stages=asking.slowest,
            steps={self._step.model: asking.slowest},
        )

    async def close(self) -> None:
        """It owns nothing: the model that embeds is closed for itself."""


async def _ranked(
    asking: _Asking, shelf: Shelf, labelling: Labelling, texts: Sequence[str], truncate: bool
) -> list[list[Scored]]:
    """Each text's labels, the best first."""
    references = await kept_vectors(
        asking, shelf, labelling.references, labelling.field, truncate, asking.count
    )
    ranked: list[list[Scored]] = [[] for _ in texts]

    async def rank(place: int, text: str) -> None:
        try:
            vector = await vector_of(asking, text, truncate, asking.count)
        except ServeError as error:
            raise error.prefixed(f"{TEXT}[{place}]: ") from None
        ranked[place] = labelling.ranked(vector, references)

    await answer_all(texts, rank)
    return ranked


class _Asking:
    """See `embedding.Asking`. Counts what the answers took.

    tokens: of all that was embedded. slowest: of the text that took longest, since they are
    embedded side by side.
    """

    def __init__(
        self, request: InferRequest, encoder: Loaded, models: Models, vectors: Vectors
    ) -> None:
        self._request = request
        self._encoder = encoder
        self._models = models
        self._vectors = vectors
        self._passed_on = {
            name: value for name, value in request.parameters.items() if name in _PASSED_ON
        }
        self.tokens = 0
        self.truncated = False
        self.slowest = Stages()

    async def infer(
        self, inputs: Tensors, outputs: Sequence[str], parameters: Parameters
    ) -> InferResponse:
        return await self._encoder.infer(
            InferRequest(
                model=self._encoder.config.name,
                id=self._request.id,
                inputs=inputs,
                outputs=tuple(outputs),
                parameters={**self._passed_on, **parameters},
            )
        )

    def shelf(self) -> Shelf:
        return self._vectors.shelf(makers_of(self._encoder, self._models))

    def count(self, response: InferResponse) -> None:
        self.tokens += int(response.parameters.get("tokens", 0))
        self.truncated |= bool(response.parameters.get("truncated", False))
        if response.stages.total_ns > self.slowest.total_ns:
            self.slowest = response.stages
