"""What an operator and a caller may see of a server, and what to do: tables, and their page.

The page is server/REFERENCE.md, written by `python -m trivet.cli.reference.page`. Tests hold the
tables against the code: each event that is logged, each error, state and attribute is in them.
"""
