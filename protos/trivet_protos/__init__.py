"""The wire contract of trivet: .proto files, the code generated from them, tensors as bytes.

`generated` holds one flat module per .proto file, `pool` the descriptor pool they live in, `wire`
the conversion between numpy arrays and the bytes of the KServe v2 protocol.
"""
