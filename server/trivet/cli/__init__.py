"""`trivet`, the command line: `main` finds the command, runs it and tells what went wrong."""

from trivet.cli.frame import main

__all__ = ["main"]
