"""The calls of `AsyncClient`, by subject; clients/write_sync.py makes those of `Client` of them."""
