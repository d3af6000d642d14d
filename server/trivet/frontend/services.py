"""The one table of everything this server answers."""

from __future__ import annotations

import asyncio

from trivet.frontend import reflection, unoffered
from trivet.frontend.cost import Cost
from trivet.frontend.description import Description
from trivet.frontend.health import Health
from trivet.frontend.inference import Inference
from trivet.frontend.method import Methods
from trivet.frontend.text import Text
from trivet.repository.registry import Registry

# Existing clients check for this name.
DEFAULT_SERVER_NAME = "triton"


def methods(
    registry: Registry, *, draining: asyncio.Event, server_name: str = DEFAULT_SERVER_NAME
) -> Methods:
    """Every method of every service, for a transport to serve.

    draining: set it to take leave. From then on health and readiness say no, watchers are told and
    let go, and streams are ended once all they have read is answered; unary calls are answered as
    before for as long as the transport lets them in.
    server_name: what ServerMetadata tells.
    """
    table = {
        **Description(registry, draining, server_name).methods(),
        **Inference(registry, draining).methods(),
        **unoffered.methods(),
        **Text(registry, draining).methods(),
        **Cost(registry).methods(),
        **Health(registry, draining).methods(),
    }
    return {**table, **reflection.methods(table, draining)}
