"""The descriptor pool that trivet's generated code lives in."""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool

# Not protobuf's default pool: tritonclient and kserve register their own `inference.*` files there,
# and the second package to do so in a process raises TypeError at import.
POOL = DescriptorPool()
