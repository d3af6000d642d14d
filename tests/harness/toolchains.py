"""Marks for tests that need what `make setup` does not install, with what brings it."""

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


def needs(what: str) -> pytest.MarkDecorator:
    """Leaves a test out where it is not installed, and says what.

    what: an extra of the project, or its dependency group `system`.
    """
    missing = find_spec(PACKAGES[what]) is None
    kind = "group" if what == "system" else "extra"
    reason = f"needs the {kind} '{what}'; `make test-all` installs it"
    return pytest.mark.skipif(missing, reason=reason)
