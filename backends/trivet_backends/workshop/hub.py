"""Checkpoints by name: OWNER/NAME[@REVISION] on the Hub, through huggingface_hub and its cache.

HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT and HF_TOKEN mean what they mean to huggingface_hub. A revision
is a branch, a tag or a commit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from trivet.errors import Fault, InvalidConfig

# All that a build reads or an export copies; a repository's other weights may be gigabytes.
FILES = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "1_Pooling/config.json",
]
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?P<name>(?:{_PART}/)?{_PART})(?:@(?P<revision>[^@\s]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A checkpoint on the Hub."""

    name: str  # owner/name; the oldest ones have no owner
    revision: str | None

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def hub_name(text: str) -> HubName | None:
    """What the text names on the Hub; None if it can only be a path."""
    match = _NAME.fullmatch(text)
    if match is None or ".." in match["name"] or "--" in match["name"]:
        return None
    return HubName(name=match["name"], revision=match["revision"])


def checkpoint_folder(text: str) -> Path:
    """The folder that is meant: the one at this path, or a copy in the Hub's cache.

    What is downloaded shows huggingface_hub's own progress bars, so call it outside of ours.
    Raises InvalidConfig if it is on the Hub and cannot be had. A path that leads nowhere is given
    back as it is: reading the checkpoint says what a folder must hold.
    """
    named = None if Path(text).exists() else hub_name(text)
    if named is None:
        return Path(text)
    if find_spec("huggingface_hub") is None:
        found = "is no folder here, and for the Hub huggingface_hub is not installed"
        raise InvalidConfig([Fault(text, found, "pip install 'trivet[hub]', or give a folder")])
    return _fetched(named)


def name_on_hub(text: str) -> str | None:
    """What a checkpoint from the Hub is called there, without its owner; None for a folder."""
    named = None if Path(text).exists() else hub_name(text)
    return named.name.rpartition("/")[2] if named else None


def _fetched(named: HubName) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(named.name, revision=named.revision, allow_patterns=FILES))
    except errors.GatedRepoError as error:
        cure = "ask for access on its page, then log in with `hf auth login` or set HF_TOKEN"
        raise _refused(named, "is gated", cure) from error
    except errors.RevisionNotFoundError as error:
        cure = "give a branch, a tag or a commit that the checkpoint has"
        raise _refused(named, f"has no revision '{named.revision}'", cure) from error
    except errors.RepositoryNotFoundError as error:
        cure = "check the name; for a private one log in with `hf auth login` or set HF_TOKEN"
        raise _refused(named, "is neither a folder here nor known to the Hub", cure) from error
    except errors.LocalEntryNotFoundError as error:
        raise _refused(named, *_not_cached()) from error
    except (errors.HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise _refused(named, f"cannot be fetched ({reason})", "try again later") from error


def _not_cached() -> tuple[str, str]:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        cure = "unset it to fetch the checkpoint, or point HF_HOME to a cache that has it"
        return "is no folder here nor whole in the cache, and HF_HUB_OFFLINE is set", cure
    cure = "connect to a network, point HF_HOME to a cache that has it, or give a folder"
    return "is no folder here nor whole in the cache, and the Hub cannot be reached", cure


def _refused(named: HubName, found: str, cure: str) -> InvalidConfig:
    return InvalidConfig([Fault(str(named), found, cure)])
