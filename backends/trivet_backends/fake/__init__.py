"""A real and small backend for tests, examples and load runs: it echoes."""

from trivet_backends.fake.backend import Executed, FakeBackend

__all__ = ["Executed", "FakeBackend"]
