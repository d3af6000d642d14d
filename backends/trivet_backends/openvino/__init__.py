"""OpenVINO models and ONNX graphs on OpenVINO's CPU engine."""

from trivet_backends.openvino.backend import OpenVinoBackend

__all__ = ["OpenVinoBackend"]
