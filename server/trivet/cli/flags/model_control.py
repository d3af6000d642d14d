"""Flags of who says when models are loaded and unloaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.values import boolean, positive
from trivet.errors import Fault, InvalidConfig

if TYPE_CHECKING:
    from trivet.repository.options import ControlOptions

MODES = ("none", "poll", "explicit")


def mode(text: str) -> str:
    """One of Triton's model control modes."""
    if text.lower() not in MODES:
        raise argparse.ArgumentTypeError(f"'{text}' is no mode; give one of {', '.join(MODES)}")
    return text.lower()


FLAGS = (
    Flag(
        name="model-control-mode",
        metavar="none|poll|explicit",
        parse=mode,
        default="none",
        help="when models are loaded: all at the start (none); all, and again whenever the"
        " repository changes (poll); those of --load-model, then what clients load and unload"
        " (explicit) (default: %(default)s)",
    ),
    Flag(
        name="repository-poll-secs",
        metavar="SECONDS",
        parse=positive,
        default=15,
        help="with poll: how often the repository is looked at (default: %(default)s)",
    ),
    Flag(
        name="load-model",
        metavar="NAME",
        repeated=True,
        help="with explicit: a model to load at the start, with all that it calls; * alone loads"
        " every model; may be given several times (default: none)",
    ),
    Flag(
        name="allow-model-upload",
        metavar="true|false",
        parse=boolean,
        default=False,
        help="with explicit: let clients send the files of a model with RepositoryModelLoad"
        " (default: false)",
    ),
)


def control_options(args: argparse.Namespace) -> ControlOptions:
    """Raises InvalidConfig for flags that contradict one another."""
    from trivet.repository.options import ALL_MODELS, ControlMode, ControlOptions

    names = tuple(args.load_model or ())
    explicit = "start with --model-control-mode=explicit, or leave it out"
    faults = []
    if names and args.model_control_mode != ControlMode.EXPLICIT.value:
        what = f"the control mode is '{args.model_control_mode}'"
        faults.append(Fault("--load-model", what, explicit))
    if args.allow_model_upload and args.model_control_mode != ControlMode.EXPLICIT.value:
        what = f"the control mode is '{args.model_control_mode}'"
        faults.append(Fault("--allow-model-upload", what, explicit))
    if ALL_MODELS in names and len(set(names)) > 1:
        what = f"{ALL_MODELS} means all models, and others are named, too"
        faults.append(Fault("--load-model", what, "give either"))
    if faults:
        raise InvalidConfig(faults)
    return ControlOptions(
        mode=ControlMode(args.model_control_mode),
        poll_s=args.repository_poll_secs,
        settle_s=min(ControlOptions().settle_s, args.repository_poll_secs),
        load_models=names,
        allow_upload=args.allow_model_upload,
    )
