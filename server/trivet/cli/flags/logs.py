"""The flags of the log -> a log that is written."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trivet.telemetry.logs import Log


def started_log(args: argparse.Namespace) -> Log:
    """Raises InvalidConfig if the log's file cannot be written."""
    from trivet.errors import Fault, InvalidConfig
    from trivet.telemetry.logs import Log, LogFormat, LogSettings

    settings = LogSettings(
        file=args.log_file,
        info=args.log_info,
        warning=args.log_warning,
        error=args.log_error,
        verbose_level=max(0, args.log_verbose),
        format=LogFormat(args.log_format),
    )
    log = Log(settings)
    try:
        log.start()
    except OSError as error:
        what, cure = f"{args.log_file}: {error.strerror}", "name a file that can be written"
        raise InvalidConfig([Fault("--log-file", what, cure)]) from None
    return log
