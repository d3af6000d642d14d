"""TorchScript and torch.export models on PyTorch."""

from trivet_backends.torch.backend import TorchBackend

__all__ = ["TorchBackend"]
