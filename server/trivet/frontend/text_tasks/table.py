"""Every task of trivet.v1.TextService. One more task is one more module, and one more line here."""

from __future__ import annotations

from typing import Any

from trivet.frontend.text_tasks.answer import ANSWER
from trivet.frontend.text_tasks.classify import CLASSIFY
from trivet.frontend.text_tasks.embed import EMBED
from trivet.frontend.text_tasks.few_shot import FEW_SHOT
from trivet.frontend.text_tasks.fill_mask import FILL_MASK
from trivet.frontend.text_tasks.next_sentence import NEXT_SENTENCE
from trivet.frontend.text_tasks.similarity import SIMILARITY
from trivet.frontend.text_tasks.tag_tokens import TAG_TOKENS
from trivet.frontend.text_tasks.task import Task
from trivet.frontend.text_tasks.tokenize import DETOKENIZE, TOKENIZE
from trivet.frontend.text_tasks.zero_shot import ZERO_SHOT

TASKS: tuple[Task[Any, Any], ...] = (
    FILL_MASK,
    EMBED,
    SIMILARITY,
    ZERO_SHOT,
    FEW_SHOT,
    TOKENIZE,
    DETOKENIZE,
    CLASSIFY,
    TAG_TOKENS,
    ANSWER,
    NEXT_SENTENCE,
)
