"""Results of FillMask, written from a model's tensors."""

from __future__ import annotations

import numpy as np
import pytest

from trivet.frontend.text_tasks.fill_mask import FILL_MASK
from trivet_protos.generated import text_pb2 as pb


def test_a_token_that_is_no_utf8_is_shown_as_well_as_can_be() -> None:
    result = pb.FillMaskResult()
    FILL_MASK.fill(
        result,
        {
            "MASK_POSITION": np.array([[4]]),
            "TOKEN": np.array([[[b"\xff"]]], object),
            "TOKEN_ID": np.array([[[9]]]),
            "PROBABILITY": np.array([[[0.5]]], np.float32),
        },
    )
    candidate = pb.Candidate(token="�", token_id=9, probability=0.5)
    assert list(result.masks) == [pb.Mask(position=4, candidates=[candidate])]


def test_outputs_that_disagree_are_never_told_as_an_answer() -> None:
    with pytest.raises(ValueError, match="shorter"):
        FILL_MASK.fill(
            pb.FillMaskResult(),
            {
                "MASK_POSITION": np.array([[4, 5]]),
                "TOKEN": np.array([[[b"a"]]], object),
                "TOKEN_ID": np.array([[[9]]]),
                "PROBABILITY": np.array([[[0.5]]], np.float32),
            },
        )
