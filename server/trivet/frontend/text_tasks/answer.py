"""Answer: the parts of a passage that answer a question."""

from __future__ import annotations

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.long_text import long_text
from trivet.frontend.text_tasks.task import Messages, Task, one_pair
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

QUESTION = "QUESTION"
PASSAGE = "PASSAGE"

# Characters of passages that a call makes the server read: as many as a large message brings where
# each question has its own. Without a bound a small message would keep it busy for hours.
MAX_SHARED = 1 << 26

Item = tuple[str, str]


def _items(asked: pb.AnswerRequest) -> list[Item]:
    questions, passages = asked.questions, asked.passages
    if len(passages) not in (1, len(questions)):
        raise InvalidInput(
            f"Answer: {len(questions)} questions and {len(passages)} passages; send a passage for"
            " each question, or one for all"
        )
    shared = len(passages) == 1
    if shared and len(questions) * len(passages[0]) > MAX_SHARED:
        raise InvalidInput(
            f"Answer: {len(questions)} questions on one passage of {len(passages[0])} characters"
            f" are more than {MAX_SHARED} characters to read; send fewer questions in a call"
        )
    return [(q, passages[0] if shared else passages[i]) for i, q in enumerate(questions)]


def _inputs(item: Item) -> Tensors:
    for name, text in zip(("question", "passage"), item, strict=True):
        if not text.strip():
            raise InvalidInput(f"the {name} is empty; send a {name} of at least one word")
    return one_pair(*item, names=(QUESTION, PASSAGE))


def _parameters(asked: pb.AnswerRequest | pb.AnswerStreamRequest) -> Parameters:
    parameters = long_text(asked)
    for name in ("window", "top_k", "max_answer_tokens"):
        if value := getattr(asked, name):
            parameters[name] = value
    if asked.HasField("no_answer_threshold"):
        parameters["no_answer_threshold"] = asked.no_answer_threshold
    return parameters


def _fill_answers(result: pb.AnswerResult, outputs: Tensors) -> None:
    """ANSWER, PROBABILITY, START, END: [1, k], best first; NO_ANSWER: [1, 1]."""
    answers = zip(
        outputs["ANSWER"][0].tolist(),
        outputs["PROBABILITY"][0].tolist(),
        outputs["START"][0].tolist(),
        outputs["END"][0].tolist(),
        strict=True,
    )
    for text, probability, start, end in answers:
        if start < 0:  # fills up the row of a question with fewer answers
            break
        result.answers.add(
            text=text.decode("utf-8", "replace"), probability=probability, start=start, end=end
        )
    result.no_answer_probability = outputs["NO_ANSWER"][0, 0]


ANSWER: Task[Item, pb.AnswerResult] = Task(
    name="Answer",
    default_model="answer",
    messages=Messages(
        request=pb.AnswerRequest,
        response=pb.AnswerResponse,
        stream_request=pb.AnswerStreamRequest,
        stream_response=pb.AnswerStreamResponse,
    ),
    items=_items,
    item=lambda asked: (asked.question, asked.passage),
    field="questions",
    fields_per_item=2,
    inputs=_inputs,
    needs=(QUESTION, PASSAGE),
    outputs={"ANSWER": 1, "PROBABILITY": 1, "START": 1, "END": 1, "NO_ANSWER": 1},
    parameters=_parameters,
    fill=_fill_answers,
)
