"""The flags of `trivet serve`, one module per subject; `groups` lists them all.

To add one, add a `Flag` to the FLAGS of the module of its subject and read it where `serve.run`
builds the configuration; --help and the tests read the same tables.
"""
