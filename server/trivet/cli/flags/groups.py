"""All flags of `trivet serve`, in the order in which --help shows them."""

from __future__ import annotations

from trivet.cli.flags import (
    access,
    admission,
    cache,
    grpc,
    inference,
    limits,
    logging,
    metrics,
    model_control,
    otlp,
    rate_limit,
    repository,
    server,
    settings,
    status_page,
    time_limits,
    tls,
    tracing,
    unserved,
    web,
)
from trivet.cli.flags.flag import Group

GROUPS = (
    Group("model repository", (*repository.FLAGS, *model_control.FLAGS)),
    Group("gRPC", grpc.FLAGS),
    Group("gRPC-Web", web.FLAGS),
    Group("TLS", tls.FLAGS),
    Group("who may call", access.FLAGS),
    Group("requests", inference.FLAGS),
    Group("limits of a request", limits.FLAGS),
    Group("limits of all requests", admission.FLAGS),
    Group("response cache", cache.FLAGS),
    Group("rate limiter", rate_limit.FLAGS),
    Group("engines that hang", time_limits.FLAGS),
    Group("server", server.FLAGS),
    Group("settings", settings.FLAGS),
    Group("log", logging.FLAGS),
    Group("traces", tracing.FLAGS),
    Group("OpenTelemetry", otlp.FLAGS),
    Group("metrics", metrics.FLAGS),
    Group("page to look at", status_page.FLAGS),
    Group("Triton's, without effect here", unserved.FLAGS),
)

FLAGS = tuple(flag for group in GROUPS for flag in group.flags)
