"""Values to protobuf messages and back: pure functions that both clients share.

`text` for trivet.v1.TextService, `tensors` for inference, `server` for states and statistics.
"""
