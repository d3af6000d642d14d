# Written by clients/write_sync.py. Do not edit.
"""The calls of `Client`, by subject."""
