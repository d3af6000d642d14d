"""Models written in Python: model.py, run in a process of its own for each instance.

`backend`, `instance`, `process` and the modules they use belong to the server. `child` runs in the
model's process, whose interpreter may be another one and has numpy and nothing else of ours, so
this package imports nothing, and `ring` and `frames`, which both ends use, only numpy.
"""
