"""The one table of everything this server answers."""

from __future__ import annotations

import asyncio

from trivet.frontend import reflection
from trivet.frontend.admission import Admission, admitted
from trivet.frontend.cost import Cost
from trivet.frontend.description import Description, extensions
from trivet.frontend.extras import Extras
from trivet.frontend.health import Health
from trivet.frontend.inference import Inference
from trivet.frontend.method import Methods
from trivet.frontend.repository_control import RepositoryControl
from trivet.frontend.settings import Settings
from trivet.frontend.shared_memory import SharedMemoryService
from trivet.frontend.text import Text
from trivet.repository.control import Control
from trivet.repository.registry import Registry
from trivet.scheduling.labelling.vectors import Vectors

# Existing clients check for this name.
DEFAULT_SERVER_NAME = "triton"


def methods(
    registry: Registry,
    *,
    draining: asyncio.Event,
    server_name: str = DEFAULT_SERVER_NAME,
    extras: Extras | None = None,
    control: Control | None = None,
    vectors: Vectors | None = None,
    admission: Admission | None = None,
) -> Methods:
    """Every method of every service, for a transport to serve.

    draining: set it to take leave. From then on health and readiness say no, watchers are told and
    let go, and streams are ended once their callers are quiet and all they have read is answered;
    unary calls are answered as before for as long as the transport lets them in.
    server_name: what ServerMetadata tells. extras: None where all of them are off.
    control: loads and unloads models as clients ask; None where nobody does.
    vectors: of labels and examples, kept for the models that label texts, too.
    admission: what is let in at a time; None: as much as by default.
    """
    admission = admission or Admission(registry)
    extras = extras or Extras()
    names = extensions(shared_memory=extras.regions is not None)
    table = {
        **Description(registry, draining, server_name, names).methods(),
        **Inference(registry, draining, extras, admission=admission).methods(),
        **SharedMemoryService(extras.regions).methods(),
        **Settings(registry, extras.tracer, extras.log).methods(),
        **RepositoryControl(registry, control).methods(),
        **Text(
            registry,
            draining,
            extras.tracer,
            extras.limits,
            calls=extras.calls,
            vectors=vectors,
            admission=admission,
        ).methods(),
        **Cost(registry).methods(),
        **Health(registry, draining).methods(),
    }
    return admitted({**table, **reflection.methods(table, draining)}, admission)
