"""TensorRT engines on NVIDIA GPUs."""

from trivet_backends.tensorrt.backend import TensorRtBackend

__all__ = ["TensorRtBackend"]
