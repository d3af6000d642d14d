"""FewShot: labels by a few examples of each."""

from __future__ import annotations

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.by_vectors import (
    EMBEDDING,
    VectorTask,
    check_count,
    fill_labels,
    kept_vectors,
    temperature_of,
    vector_of,
)
from trivet.frontend.text_tasks.scores import nearest_centroid, nearest_neighbors
from trivet.frontend.text_tasks.task import Asking, Messages
from trivet_protos.generated import text_pb2 as pb

DEFAULT_NEIGHBORS = 5

Asked = pb.FewShotRequest | pb.FewShotStreamRequest

_METHODS = (
    pb.FEW_SHOT_METHOD_UNSPECIFIED,
    pb.FEW_SHOT_METHOD_NEAREST_CENTROID,
    pb.FEW_SHOT_METHOD_NEAREST_NEIGHBORS,
)


def _verify(asked: Asked) -> None:
    examples = asked.examples
    check_count(len(examples), "examples", "FewShot")
    temperature_of(asked)
    for place, example in enumerate(examples):
        for part in ("text", "label"):
            if not getattr(example, part).strip():
                raise InvalidInput(
                    f"examples[{place}].{part} is empty; send a word or more, or leave it out"
                )
    labels = {example.label.strip() for example in examples}
    if len(labels) == 1:
        raise InvalidInput(
            f"FewShot: all {len(examples)} examples have the label {labels.pop()[:80]!r}; send"
            " examples of at least two labels"
        )
    if asked.method not in _METHODS:
        raise InvalidInput(
            f"FewShot: method {asked.method} is none; send NEAREST_CENTROID (1) or"
            " NEAREST_NEIGHBORS (2)"
        )
    if asked.neighbors > len(examples):
        raise InvalidInput(
            f"FewShot: neighbors is {asked.neighbors} and there are {len(examples)} examples; send"
            " at most as many"
        )


async def _score(asking: Asking, text: str, asked: Asked, result: pb.FewShotResult) -> None:
    texts = [example.text for example in asked.examples]
    labels = [example.label.strip() for example in asked.examples]
    examples = await kept_vectors(
        asking, texts, "examples", asked.truncate, result, "examples_cost"
    )
    vector = await vector_of(asking, text, asked.truncate, result.cost)
    temperature = temperature_of(asked)
    if asked.method == pb.FEW_SHOT_METHOD_NEAREST_NEIGHBORS:
        neighbors = asked.neighbors or min(DEFAULT_NEIGHBORS, len(texts))
        scored = nearest_neighbors(
            vector, examples, labels, neighbors=neighbors, temperature=temperature
        )
    else:
        scored = nearest_centroid(vector, examples, labels, temperature=temperature)
    fill_labels(result, scored)


FEW_SHOT: VectorTask[str, pb.FewShotResult] = VectorTask(
    name="FewShot",
    messages=Messages(
        request=pb.FewShotRequest,
        response=pb.FewShotResponse,
        stream_request=pb.FewShotStreamRequest,
        stream_response=pb.FewShotStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    fields_per_item=3,  # an example is three
    inside=frozenset({pb.FewShotRequest.EXAMPLES_FIELD_NUMBER}),
    outputs={EMBEDDING: 1},
    verify=_verify,
    score=_score,
)
