"""The environment and the settings file -> texts of flags, as a command line would have them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from trivet.cli.flags.flag import PREFIX, Flag
from trivet.config_file import Faults
from trivet.errors import Fault, InvalidConfig

SEPARATOR = ";"  # between the values of a flag that may be given several times, in a variable

# What Kubernetes tells every container about Services called trivet or trivet-...: no settings.
_SERVICE_LINK = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")  # what such a ..._PORT holds


@dataclass(frozen=True, slots=True)
class Said:
    """What one source says of one flag. source: the flag or variable itself, a file, a default."""

    flag: Flag
    texts: tuple[str, ...]
    source: str

    @property
    def where(self) -> str:
        """As faults name it."""
        if self.source == self.flag.variable:
            return f"environment: {self.source}"
        return f"{self.source}: {self.flag.name}"


def of_environment(
    environment: Mapping[str, str], flags: Sequence[Flag], faults: Faults
) -> Iterator[Said]:
    """What variables say. An empty one says nothing, so that it can be switched off by `X=`."""
    for flag in flags:
        text = environment.get(flag.variable, "")
        if not (flag.by_variable and text):
            continue
        if _ADDRESS.fullmatch(text) and flag.name.endswith("port"):
            service = flag.dest.removesuffix("_port").replace("_", "-")
            faults.add(
                f"environment: {flag.variable}",
                f"is what Kubernetes says of a Service 'trivet-{service}', no setting",
                "give the pod enableServiceLinks: false, or the Service another name",
            )
            continue
        texts = tuple(text.split(SEPARATOR)) if flag.repeated else (text,)
        yield Said(flag, texts, flag.variable)


def unknown_variables(
    environment: Mapping[str, str], flags: Sequence[Flag]
) -> Iterator[tuple[str, str]]:
    """Variables that begin as ours do and set nothing, each with a word of help."""
    known = {flag.variable: flag for flag in flags}
    for name in sorted(environment):
        link = _SERVICE_LINK.fullmatch(name) or _ADDRESS.fullmatch(environment[name])
        if link or not name.startswith(PREFIX):
            continue
        if name not in known:
            near = nearest(name.removeprefix(PREFIX).lower().replace("_", "-"), flags)
            yield name, f"did you mean {near.variable}?" if near else "no flag has this name"
        elif not known[name].by_variable:
            yield name, f"give it as --{known[name].name}"


def of_file(path: Path, flags: Sequence[Flag], faults: Faults) -> Iterator[Said]:
    """What a settings file says. Raises InvalidConfig if it cannot be read as TOML."""
    by_name = {flag.name: flag for flag in flags}
    for name, value in _content(path).items():
        where = f"{path}: {name}"
        if name not in by_name:
            near = nearest(name, flags)
            cure = f"did you mean '{near.name}'?" if near else "server/FLAGS.md lists the names"
            faults.add(where, "is no setting", cure)
            continue
        flag = by_name[name]
        if not flag.by_file:
            faults.add(where, "cannot be said in a file", f"give it as --{name}")
            continue
        values = value if isinstance(value, list) and flag.repeated else [value]
        texts = tuple(text for each in values if (text := _text(each)) is not None)
        if len(texts) != len(values):
            cure = "give a list of such" if flag.repeated else f"give one {_kind(flag)}"
            faults.add(where, "is no text, number, true or false", cure)
        elif texts:  # an empty list says nothing, as an empty variable
            yield Said(flag, texts, str(path))


def nearest(name: str, flags: Iterable[Flag]) -> Flag | None:
    """The flag that may have been meant: by another name of Triton's, or by a slip."""
    names = {name: flag for flag in flags for name in (flag.name, *flag.aliases)}
    close = get_close_matches(name, names, 1)
    return names[close[0]] if close else None


def _content(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        what, cure = f"{path}: {error.strerror}", "name a file that can be read"
    except UnicodeDecodeError as error:
        what, cure = f"{path}: is not UTF-8 (byte {error.start})", "convert it"
    except tomllib.TOMLDecodeError as error:
        what, cure = f"{path}: is not TOML: {error}", "write a line for each: grpc-port = 9000"
    raise InvalidConfig([Fault("--settings-file", what, cure)]) from None


def _text(value: object) -> str | None:
    """As it would stand on a command line; None for what cannot."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def _kind(flag: Flag) -> str:
    return flag.metavar or "true or false"
