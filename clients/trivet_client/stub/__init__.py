"""Typed Python clients of single models, written from their metadata: what `trivet stub` does.

`description` asks the server, `names` makes identifiers, `module` writes the code, and `runtime` is
what the written code calls.
"""
