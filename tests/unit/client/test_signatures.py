"""Calls that take one text or several: what type checkers read, and what `help()` shows."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any, assert_type, get_overloads, get_type_hints

import pytest

from trivet_client import (
    AsyncClient,
    ClassifiedText,
    Client,
    Embedding,
    Embeddings,
    FilledText,
    Similarities,
    SimilarTexts,
)

CALLS = (
    "embed inspect fill_mask classify tag_tokens answer next_sentence similarity zero_shot few_shot"
    " tokenize"
).split()


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("call", CALLS)
def test_type_checkers_know_the_keywords_that_help_shows(client: type, call: str) -> None:
    method: Any = getattr(client, call)
    hints = get_type_hints(method)
    shown = {
        name: hints[name]
        for name, parameter in signature(method).parameters.items()
        if parameter.kind is Parameter.KEYWORD_ONLY
    }
    one, several = get_overloads(method)
    for overload in (one, several):
        (options,) = get_type_hints(overload)["options"].__args__  # Unpack[EmbedOptions]
        assert get_type_hints(options) == shown


@pytest.mark.parametrize("call", CALLS)
def test_both_clients_take_the_same(call: str) -> None:
    own, awaited = signature(getattr(Client, call)), signature(getattr(AsyncClient, call))
    assert own == awaited


async def typed(client: Client, aio: AsyncClient) -> None:
    """Never called: mypy reads it."""
    assert_type(client.embed("a"), Embedding)
    assert_type(client.embed(["a"], model="m", timeout_s=1), Embeddings)
    assert_type(await aio.embed("a", pooling="mean"), Embedding)
    assert_type(await aio.fill_mask(("a", "b"), top_k=3), tuple[FilledText, ...])
    assert_type(client.classify(("a", "b")), ClassifiedText)
    assert_type(client.classify([("a", "b")]), tuple[ClassifiedText, ...])
    assert_type(client.similarity("a", "b"), SimilarTexts)
    assert_type(client.similarity("a", ["b"]), Similarities)
    client.embed("a", colour="red")  # type: ignore[call-overload]
    client.embed("a", version="1")  # type: ignore[call-overload]
    client.few_shot("a", [("b", "c")], method="svm")  # type: ignore[call-overload]
