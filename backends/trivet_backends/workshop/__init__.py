"""The workshop: from a checkpoint folder to a checked, published repository entry.

The way through: `checkpoint` reads, `graph` writes ONNX, `precision` makes FP16 and INT8 of it,
`parity` compares with `numpy_bert`, `entry` publishes; `build` holds the thread and `command` is
`trivet build`.
"""
