"""Models that remember: requests of one sequence run in order, one at a time, on one instance.

`scheduler` drives, `running` runs one batch; `table` knows the sequences and their places, `policy`
decides what leaves, `tensors` adds what the model needs beside the client's inputs.
"""
