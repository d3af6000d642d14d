"""Text to token ids, with a `tokenizer.json`."""

from trivet_backends.tokenizers.backend import TokenizersBackend

__all__ = ["TokenizersBackend"]
