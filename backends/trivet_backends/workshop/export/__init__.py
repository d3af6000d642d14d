"""`trivet export`: a checkpoint in the formats of other frameworks, each checked before it counts.

One plain BERT per framework (`plain_torch`, `plain_tf`, `plain_jax`); `formats` is the table of
what can be written, `export` the thread that `trivet export` follows.
"""
