"""The model that the backend's page shows is served as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.harness import python_models
from tests.harness.server import serving

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "backends" / "trivet_backends" / "python" / "README.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_model_of_the_page_answers(tmp_path: Path) -> None:
    python_models.add(tmp_path, "similarity", block("py"), block("proto"))
    a, b = np.eye(2, 384, dtype=np.float32), np.ones((2, 384), np.float32)
    with (
        serving(tmp_path, "--allow-python-backend=true") as process,
        triton.InferenceServerClient(process.address) as client,
    ):
        inputs = [triton.InferInput(name, [2, 384], "FP32") for name in "AB"]
        for tensor, array in zip(inputs, (a, b), strict=True):
            tensor.set_data_from_numpy(array)
        answer = client.infer("similarity", inputs).as_numpy("COSINE")
    assert answer is not None
    assert answer.ravel().tolist() == pytest.approx([384**-0.5] * 2)
