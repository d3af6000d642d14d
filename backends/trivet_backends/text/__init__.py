"""What follows a model: its numbers become words, vectors, labels."""

from trivet_backends.text.backend import TextBackend

__all__ = ["TextBackend"]
