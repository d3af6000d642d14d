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

Whatever is a flag is a variable of the environment, and a line of the settings file, too:

| where | how | several values |
|---|---|---|
| on the command line | `--grpc-port=9000` | `--load-model=a --load-model=b` |
| as a variable | `TRIVET_GRPC_PORT=9000` | `TRIVET_LOAD_MODEL="a;b"` |
| in TOML, given by `--settings-file` | `grpc-port = 9000` | `load-model = ["a", "b"]` |

The upper line wins over the lower, and all over the default; of several values all of one line
count. An empty variable says nothing. A flag that takes no value is `true` elsewhere. Relative
paths begin where the server was started. A name that is no flag's ends the start if it stands in
the file, and is told in the log if it is a variable. `trivet serve --print-config` shows what comes
of it, and from where.
"""


_COLUMNS = "| flag | variable | what it does |\n|---|---|---|"


def page() -> str:
    """The whole page."""
    return "\n".join((_HEAD, *(_section(group.title, group.flags) for group in GROUPS)))


def _section(title: str, flags: tuple[Flag, ...]) -> str:
    rows = "\n".join(
        f"| {_names(flag)} | {_variable(flag)} | {_cell(flag.described)} |" for flag in flags
    )
    return f"## {title[0].upper()}{title[1:]}\n\n{_COLUMNS}\n{rows}\n"


def _names(flag: Flag) -> str:
    value = f" {flag.metavar}" if flag.metavar else ""
    return ", ".join(f"`--{name}{_cell(value)}`" for name in (flag.name, *flag.aliases))


def _variable(flag: Flag) -> str:
    return f"`{flag.variable}`" if flag.by_variable else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
