"""Values to protobuf messages and back: pure functions that both clients share.

`text`, `labels`, `pairs`, `vectors` and `tokens` for the tasks of trivet.v1.TextService, grouped as
the calls are; `tensors` for inference, `server` for states and statistics.
"""
