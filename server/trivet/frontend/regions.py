"""Shared memory that clients and the server both have: POSIX objects by name, and places in them.

Values are copied with pread and pwrite instead of looked at through a mapping. A client may cut its
object short at any time: a mapping would then end this process with SIGBUS, and no check before the
access could prevent it, where pread simply reads less. It also may write while the engine reads;
what was checked here must not change afterwards. The copy costs what one memcpy costs.
"""

from __future__ import annotations

import os
import stat
import weakref
from dataclasses import dataclass
from typing import TypeVar

from trivet.errors import AlreadyExists, InvalidInput, NotFound, ResourceExhausted
from trivet.frontend.cuda_regions import CudaRegion

_FOLDER = "/dev/shm/"  # where Linux keeps POSIX shared-memory objects
_MAX_NAME = 255  # bytes of a POSIX object's; characters of a region's
_MAX_REGIONS = 1024  # each holds a file descriptor
_SHOWN = 80  # characters of a client's word that a message repeats

# Shared memory of servers, not of clients: this one's and Triton's, between them and their models.
_RESERVED = ("trivet_", "triton_python_backend_shm_region_")

# What the inputs of one request may bring, by default as much as a message. An object may claim any
# size without having memory for it, and reading it would take that memory here; and copying 1 MiB
# takes the event loop 0.6 ms (measured 2026-11-23 on 2 cores).
DEFAULT_MAX_REQUEST_BYTES = 64 << 20


class SystemRegion:
    """A part of a POSIX shared-memory object, held open by its descriptor.

    It stays valid for whoever holds it, also when it was unregistered meanwhile.
    """

    def __init__(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open the object. Raises InvalidInput for a key or bounds that name nothing."""
        self.name, self.key = name, key
        self.offset, self.byte_size = offset, byte_size
        self._file = _opened(key)
        # Closed when the last request that uses it has let go of it, not when it is unregistered.
        weakref.finalize(self, os.close, self._file)
        size = os.fstat(self._file).st_size
        if byte_size == 0 or offset + byte_size > size:
            raise InvalidInput(
                f"shared memory region '{name}': offset {offset} and byte_size {byte_size} do not"
                f" lie within '{key[:_SHOWN]}', which has {size} bytes; register a part of it that"
                " it has, of at least one byte"
            )

    def read(self, offset: int, byte_size: int) -> bytes:
        """Copy bytes out. Raises InvalidInput if they are not there any more."""
        try:
            content = os.pread(self._file, byte_size, self.offset + offset)
        except OSError as error:
            raise self._unusable("read", error) from None
        if len(content) != byte_size:
            raise self._cut_short()
        return content

    def write(self, offset: int, content: bytes) -> None:
        """Copy bytes in. Raises InvalidInput if there is no room for them any more."""
        start = self.offset + offset
        if os.fstat(self._file).st_size < start + len(content):
            raise self._cut_short()
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._file, view, start)
                view, start = view[written:], start + written
        except OSError as error:  # no memory is left for an object that had not all of its own yet
            raise self._unusable("written", error) from None

    def _unusable(self, what: str, error: OSError) -> InvalidInput:
        return InvalidInput(
            f"shared memory region '{self.name}' cannot be {what}: {error.strerror}; register"
            " another, or send the tensor in the request"
        )

    def _cut_short(self) -> InvalidInput:
        return InvalidInput(
            f"shared memory region '{self.name}' was cut short after it was registered; unregister"
            " it, and register what is there"
        )


Region = SystemRegion | CudaRegion
R = TypeVar("R", SystemRegion, CudaRegion)


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a region: one tensor's bytes."""

    region: Region
    offset: int
    byte_size: int

    def read(self) -> bytes:
        """The tensor's bytes, copied."""
        return self.region.read(self.offset, self.byte_size)

    def write(self, content: bytes) -> None:
        """Put a tensor's bytes here. Raises InvalidInput if they do not fit."""
        if len(content) > self.byte_size:
            raise InvalidInput(
                f"shared memory size specified with the request ({self.byte_size} bytes) should be"
                f" at least {len(content)} bytes to hold the results; give it more room"
            )
        self.region.write(self.offset, content)


class Regions:
    """All registered regions, by the names that clients gave them."""

    def __init__(self, max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES) -> None:
        """max_request_bytes: that all inputs of one request may take from regions."""
        self.max_request_bytes = max_request_bytes
        self._by_name: dict[str, Region] = {}

    def add(self, region: Region) -> None:
        """Keep a region. Ask `check_free` before it is opened."""
        self._by_name[region.name] = region

    def check_free(self, name: str) -> None:
        """Raises AlreadyExists if the name is taken, InvalidInput if it is none."""
        if not 0 < len(name) <= _MAX_NAME:
            raise InvalidInput(
                f"a shared memory region has a name of 1 to {_MAX_NAME} characters, and"
                f" {len(name)} came; rename it"
            )
        if name in self._by_name:
            raise AlreadyExists(
                f"shared memory region '{name[:_SHOWN]}' already in manager; unregister it first"
            )
        if len(self._by_name) >= _MAX_REGIONS:
            raise ResourceExhausted(
                f"{_MAX_REGIONS} shared memory regions are registered, as many as there may be;"
                " unregister those that are no longer used"
            )

    def remove(self, kind: type[Region], name: str) -> None:
        """Forget one region, or with an empty name all of the kind; an unknown one is no fault."""
        for region in list(self._by_name.values()):
            if isinstance(region, kind) and name in ("", region.name):
                del self._by_name[region.name]

    def get(self, name: str) -> Region:
        """One region. Raises NotFound for an unknown name."""
        if region := self._by_name.get(name):
            return region
        raise unknown_region(name)

    def named(self, kind: type[R], name: str) -> list[R]:
        """One region, or with an empty name all of the kind. Raises NotFound for an unknown one."""
        found = [region for region in self._by_name.values() if isinstance(region, kind)]
        if not name:
            return found
        if name not in (region.name for region in found):
            raise unknown_region(name)
        return [region for region in found if region.name == name]


def unknown_region(name: str) -> NotFound:
    return NotFound(
        f"Unable to find shared memory region: '{name[:_SHOWN]}'; register it before it is used"
    )


def place_in(region: Region, offset: int, byte_size: int) -> Place:
    """A part of a region. Raises InvalidInput if it does not lie within."""
    if offset < 0 or byte_size < 0 or offset + byte_size > region.byte_size:
        raise InvalidInput(
            f"Invalid offset + byte size for shared memory region: '{region.name}' has"
            f" {region.byte_size} bytes, and {byte_size} from {offset} on were named; name a part"
            " that lies within"
        )
    return Place(region, offset, byte_size)


def _opened(key: str) -> int:
    """A descriptor of the object with this key. Raises InvalidInput if there is none."""
    name = _object_name(key)
    try:
        # Not blocking: it may be a pipe. Not following: a link would lead out of the folder.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(_FOLDER + name, flags)
    except OSError as error:
        raise InvalidInput(
            f"Unable to open shared memory region: '{key[:_SHOWN]}': {error.strerror}; create it"
            " with this key, readable and writable for the server's user"
        ) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise InvalidInput(
            f"Unable to open shared memory region: '{key[:_SHOWN]}' is no shared-memory object;"
            " create one with shm_open"
        )
    return file


def _object_name(key: str) -> str:
    """The key without its slash. Raises InvalidInput for what could name anything else."""
    name = key.removeprefix("/")
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise InvalidInput(
            f"key {key[:_SHOWN]!r} names no shared-memory object; give a name without slashes,"
            " other than a leading one"
        )
    if len(name.encode()) > _MAX_NAME:
        raise InvalidInput(f"the key is longer than {_MAX_NAME} bytes; shorten it")
    if name.startswith(_RESERVED):
        raise InvalidInput(
            f"key {key[:_SHOWN]!r} is reserved for servers' own memory; rename the object"
        )
    return name
