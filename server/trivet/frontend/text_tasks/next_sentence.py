"""NextSentence: how likely a second text follows on a first."""

from __future__ import annotations

from trivet.frontend.text_tasks.pairs import paired
from trivet.frontend.text_tasks.task import TEXT, TEXT_PAIR, Messages, Task, one_pair
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

Item = tuple[str, str]


def _items(asked: pb.NextSentenceRequest) -> list[Item]:
    return paired("NextSentence", "texts", asked.texts, "next_texts", asked.next_texts)


def _parameters(asked: pb.NextSentenceRequest | pb.NextSentenceStreamRequest) -> Parameters:
    return {"truncate": asked.truncate}


def _fill_probability(result: pb.NextSentenceResult, outputs: Tensors) -> None:
    """PROBABILITY: [1, 2], that it follows and that it does not."""
    result.probability = outputs["PROBABILITY"][0, 0]


NEXT_SENTENCE: Task[Item, pb.NextSentenceResult] = Task(
    name="NextSentence",
    default_model="next_sentence",
    messages=Messages(
        request=pb.NextSentenceRequest,
        response=pb.NextSentenceResponse,
        stream_request=pb.NextSentenceStreamRequest,
        stream_response=pb.NextSentenceStreamResponse,
    ),
    items=_items,
    item=lambda asked: (asked.text, asked.next_text),
    fields_per_item=2,
    inputs=lambda item: one_pair(*item),
    needs=(TEXT, TEXT_PAIR),
    outputs={"PROBABILITY": 1},
    parameters=_parameters,
    fill=_fill_probability,
)
