"""The fast transport: h2corn speaks HTTP/2 in Rust, and here is gRPC's part above it.

`server` runs it, `app` answers calls; `call`, `frames`, `compression`, `metadata` and `wording`
are what a call consists of. `settings` says what of the options h2corn can do.
"""
