"""What a refusal says beside its status: google.rpc.RetryInfo, where a retry may help."""

from __future__ import annotations

from trivet.errors import ServeError
from trivet_protos.generated.rpc_error_details_pb2 import RetryInfo
from trivet_protos.generated.rpc_status_pb2 import Status

# The trailer in which gRPC libraries look for a google.rpc.Status.
STATUS_DETAILS = "grpc-status-details-bin"

# Characters; the trailers hold the whole text beside it. Of more than 8 KiB clients of gRPC refuse
# some, by chance.
_MAX_MESSAGE = 256


def status_details(error: ServeError) -> bytes | None:
    """The trailer's value; None for an error that is no overload."""
    if not error.retry_after_s:
        return None
    retry = RetryInfo()
    retry.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
    text = error.message.encode("utf-8", "replace").decode()
    status = Status(code=error.code, message=text[:_MAX_MESSAGE])
    status.details.add().Pack(retry)
    return status.SerializeToString()
