"""Flags of what is told over HTTP, and what they mean together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trivet.cli.flags.flag import Flag
from trivet.cli.flags.status_page import page_options
from trivet.cli.flags.values import boolean, number, port

if TYPE_CHECKING:
    from trivet.app import MetricsConfig

FLAGS = (
    Flag(
        name="allow-metrics",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="serve /metrics for Prometheus, /v2/health/live and /v2/health/ready over HTTP"
        " (default: true); false listens on no port and counts nothing for it",
    ),
    Flag(
        name="allow-cpu-metrics",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="tell the load and the memory of the machine, too (default: true)",
    ),
    Flag(
        name="allow-gpu-metrics",
        metavar="true|false",
        parse=boolean,
        default=True,
        help="tell the load, memory and power of NVIDIA GPUs, too, where the package nvidia-ml-py"
        " is installed (default: true)",
    ),
    Flag(
        name="metrics-address",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on; with --token-file, /metrics asks for a token with the role"
        " observe (default: %(default)s, this machine only)",
    ),
    Flag(
        name="metrics-port",
        metavar="PORT",
        parse=port,
        default=8002,
        help="port to listen on; 0 takes a free one and prints it (default: %(default)s)",
    ),
    Flag(
        name="metrics-interval-ms",
        metavar="MS",
        parse=number,
        default=2000.0,
        help="figures of the machine and its GPUs are looked at so often at most; all others are"
        " those of the moment (default: 2000)",
    ),
)


def metrics_config(args: argparse.Namespace) -> MetricsConfig | None:
    """None where they are switched off."""
    from trivet.app import MetricsConfig
    from trivet.transport.http import HttpOptions

    if not args.allow_metrics:
        return None
    http = HttpOptions(host=args.metrics_address, port=args.metrics_port)
    return MetricsConfig(
        http=http,
        cpu=args.allow_cpu_metrics,
        gpu=args.allow_gpu_metrics,
        interval_ms=args.metrics_interval_ms,
        page=page_options(args, is_local=http.listener.is_local),
    )
