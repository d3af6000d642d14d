"""Results of Embed, written from a model's tensors."""

from __future__ import annotations

import numpy as np
import pytest

from trivet.frontend.text_tasks.embed import EMBED
from trivet_protos.generated import text_pb2 as pb


@pytest.mark.parametrize("width", [0, 1, 31, 32, 384, 768, 5000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_an_embedding_of_any_width_arrives_whole(width: int, dtype: type) -> None:
    vector = np.random.default_rng(width).standard_normal((1, width)).astype(dtype)
    result = pb.EmbedResult()
    EMBED.fill(result, {"EMBEDDING": vector})
    again = pb.EmbedResult.FromString(result.SerializeToString())
    np.testing.assert_array_equal(np.array(again.embedding, np.float32), vector[0].astype("f4"))


def test_an_embedding_that_is_a_strided_view_arrives_whole() -> None:
    wide = np.arange(20, dtype=np.float32).reshape(2, 10)
    result = pb.EmbedResult()
    EMBED.fill(result, {"EMBEDDING": wide[1:, ::3]})
    assert list(result.embedding) == [10, 13, 16, 19]
