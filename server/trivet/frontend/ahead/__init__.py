"""Texts that are tokenized where they arrive, in the processes that take connections.

`offering` is the owner's part: which tokenizers there are and who asks them, and what came back.
`tokenizing` is the front end's part, over `asked` (the texts of a message). `offer` and `sidecar`
are what the two say to one another. The transport carries it, and knows nothing of it.
"""
