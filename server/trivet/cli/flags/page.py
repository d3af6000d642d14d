"""The flags as a page of markdown: `python -m trivet.cli.flags.page > server/FLAGS.md`."""

from __future__ import annotations

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.groups import GROUPS

_HEAD = """\
# The flags of `trivet serve`

Written from the code by `python -m trivet.cli.flags.page > server/FLAGS.md`; a test compares them.

Each is taken as `--name=value` and as `--name value`. What Triton's `tritonserver` has too is
spelled as there and means the same; a start line of Triton's is taken as it is. Some defaults
differ: the address is this machine's own, and pings are sent and taken more often.
"""


def page() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *(_section(group.title, group.flags) for group in GROUPS)))


def _section(title: str, flags: tuple[Flag, ...]) -> str:
    rows = "\n".join(f"| {_names(flag)} | {_cell(flag.described)} |" for flag in flags)
    return f"## {title[0].upper()}{title[1:]}\n\n| flag | what it does |\n|---|---|\n{rows}\n"


def _names(flag: Flag) -> str:
    value = f" {flag.metavar}" if flag.metavar else ""
    return ", ".join(f"`--{name}{_cell(value)}`" for name in (flag.name, *flag.aliases))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
