"""Bearer tokens from a file: what each is good for, without keeping a token itself.

A line is roles and a token, or its SHA-256, separated by blanks; # begins a comment:

    infer            kK4v0bN1cDk0sGZc1yqgkR8v9xg3mQYJ
    observe,control  sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from pathlib import Path

from trivet.clock import Clock
from trivet.errors import Fault, InvalidConfig
from trivet.frontend.access_rules import Role

log = logging.getLogger("trivet.frontend")

MIN_TOKEN_CHARACTERS = 16  # fewer are guessed
CHECK_NS = 1_000_000_000  # between two looks at the file

_HASHED = re.compile(r"sha256:([0-9a-fA-F]{64})")
_PLAIN = re.compile(r"[!-~]+")  # what a header can carry

_Tokens = dict[bytes, frozenset[Role]]  # by SHA-256


class TokenFile:
    """The tokens a file lists now: a changed file is read again within a second.

    A file that is broken or gone leaves the tokens there were, and is logged.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises InvalidConfig, with every fault of the file; none of them quotes a token."""
        self._path = path
        self._clock = clock
        self._state = _state(path)
        self._tokens = _read(path)
        self._looked_ns = clock.now_ns()

    def roles(self, token: str) -> frozenset[Role] | None:
        """What a token is good for; None for one that is not listed."""
        self._look()
        digest = _digest(token)
        found = None
        for listed, roles in self._tokens.items():  # all of them: the time tells nothing
            if hmac.compare_digest(listed, digest):
                found = roles
        return found

    def _look(self) -> None:
        now_ns = self._clock.now_ns()
        if now_ns - self._looked_ns < CHECK_NS:
            return
        self._looked_ns = now_ns
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._tokens = _read(self._path)
        except InvalidConfig as error:
            for fault in error.faults:
                log.error("tokens_not_renewed", extra={"why": fault, "serves_on": "the old"})
            return
        log.info("tokens_renewed", extra={"file": self._path, "tokens": len(self._tokens)})


def _read(path: Path) -> _Tokens:
    try:
        text = path.read_text(encoding="utf-8")
        readable_by_all = path.stat().st_mode & 0o004
    except (OSError, UnicodeDecodeError) as error:
        what = str(error.strerror).lower() if isinstance(error, OSError) else "is not UTF-8"
        cure = "give a text file that this user may read"
        raise InvalidConfig([Fault(str(path), what, cure)]) from None
    tokens = _parsed(text, path)
    if readable_by_all and len(_HASHED.findall(text)) < len(tokens):
        extra = {"file": path, "cure": "chmod o-r, or list hashes instead of tokens"}
        log.warning("tokens_readable_by_all", extra=extra)
    return tokens


def _parsed(text: str, path: Path) -> _Tokens:
    """Raises InvalidConfig with every fault, or if there is no token at all."""
    tokens: _Tokens = {}
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        where = f"{path}: line {number}"
        parsed = _line(fields)
        if isinstance(parsed, tuple):
            digest, roles = parsed
            if digest in tokens:
                faults.append(Fault(where, "lists a token again", "give it all its roles at once"))
            tokens[digest] = roles
        else:
            faults.append(Fault(where, parsed, "write ROLE[,ROLE...] TOKEN, as infer s3cr..."))
    if not tokens and not faults:
        faults.append(Fault(str(path), "lists no token", "write ROLE[,ROLE...] TOKEN in a line"))
    if faults:
        raise InvalidConfig(faults)
    return tokens


def _line(fields: list[str]) -> tuple[bytes, frozenset[Role]] | str:
    """A token's digest and roles, or what is wrong. What may be a token is not repeated."""
    if len(fields) != 2:
        return f"has {len(fields)} words instead of 2"
    try:
        roles = frozenset(map(Role, fields[0].split(",")))
    except ValueError:
        return f"begins with something else than roles ({', '.join(Role)})"
    if hashed := _HASHED.fullmatch(fields[1]):
        return bytes.fromhex(hashed[1]), roles
    if fields[1].startswith("sha256:"):
        return "has a hash that is not 64 hexadecimal digits"
    if not _PLAIN.fullmatch(fields[1]):
        return "has a token with other characters than printable ASCII"
    if len(fields[1]) < MIN_TOKEN_CHARACTERS:
        return f"has a token of less than {MIN_TOKEN_CHARACTERS} characters"
    return _digest(fields[1]), roles


def _digest(token: str) -> bytes:
    """No salt and no stretching: tokens are random and long, and hashed once per call."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
