"""ONNX graphs on ONNX Runtime."""

from trivet_backends.onnxruntime.backend import OnnxRuntimeBackend

__all__ = ["OnnxRuntimeBackend"]
