"""One folder per engine, and the workshop, which writes what they run."""

import os

# From 1.32 on ONNX Runtime reports its use to its makers, by a thread that importing it starts. A
# server of other people's texts tells nobody; who wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
