"""The flags of `trivet serve`, one module per subject; `groups` lists them all.

To add one: a `Flag` in the FLAGS of the module of its subject, read where `serve.run` builds the
configuration; if Triton has it, take it off `unserved`. Then write the page of flags again:
`python -m trivet.cli.flags.page > server/FLAGS.md`. --help and the tests read the same tables.
"""
