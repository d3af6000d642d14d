"""Marks for tests that need another framework, with the extra that brings it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

PACKAGES = {
    "coreml": "coremltools",
    "finetune": "transformers",
    "hub": "huggingface_hub",
    "jax": "jax",
    "openvino": "openvino",
    "plot": "matplotlib",
    "system": "envoy",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "workshop": "onnx",
}


def needs(extra: str) -> pytest.MarkDecorator:
    """Leaves a test out where the extra is not installed, and says which."""
    missing = find_spec(PACKAGES[extra]) is None
    reason = f"needs the extra '{extra}'; `make test-all` installs it"
    return pytest.mark.skipif(missing, reason=reason)
