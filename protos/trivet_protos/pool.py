"""The descriptor pool that trivet's generated code lives in."""

from __future__ import annotations

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.descriptor_pool import DescriptorPool

# Not protobuf's default pool: tritonclient and kserve register their own `inference.*` files there,
# and the second package to do so in a process raises TypeError at import.
POOL = DescriptorPool()

# Which protobuf brings along, and google.rpc is made of.
for _file in (any_pb2, duration_pb2):
    POOL.AddSerializedFile(_file.DESCRIPTOR.serialized_pb)  # type: ignore[no-untyped-call]
