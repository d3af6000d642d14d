"""ONNX graphs written from weights: `builder` is the pen, `encoder` the model, others its ends."""
