"""What it is learned on."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from trivet_backends.workshop.finetune.flags import values
from trivet_backends.workshop.finetune.options import CacheOptions, MixedPrecision


def declare(group: argparse._ArgumentGroup) -> None:
    """Add the flags to their group."""
    add = group.add_argument
    add(
        "--mixed-precision",
        choices=[kind.value for kind in MixedPrecision],
        default="no",
        help="what matrices are multiplied in; fp16 on GPUs only (default: no)",
    )
    add(
        "--processes",
        metavar="N",
        type=values.count,
        default=1,
        help="workers on this machine; on "
        "several, start this command with torchrun or accelerate launch (default: 1)",
    )
    add("--cpu", action="store_true", help="leave GPUs alone")
    add(
        "--cache",
        metavar="DIR",
        type=Path,
        help="where features of frozen encoders are kept "
        "(default: $XDG_CACHE_HOME/trivet/features, else ~/.cache/trivet/features)",
    )
    add(
        "--cache-gb",
        metavar="GB",
        type=values.not_negative,
        default=10.0,
        help="of features that are kept; of more, those that were not used for longest go, but "
        "none of the last hour (default: 10)",
    )


def cache_of(args: argparse.Namespace) -> CacheOptions:
    """Where features lie, and how much of them."""
    return CacheOptions(folder=args.cache or _usual_cache(), most_bytes=int(args.cache_gb * 1e9))


def _usual_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "trivet" / "features"
