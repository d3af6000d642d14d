"""A server under everything at once for a long time: no wrong answer, and nothing that grows."""
