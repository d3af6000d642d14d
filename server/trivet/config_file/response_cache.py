"""response_cache: which models' answers may be kept."""

from __future__ import annotations

from trivet.config import Platform
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb


def response_cache(message: pb.ModelConfig, where: str, faults: Faults) -> bool:
    """Whether the model asks for the response cache. Refused where Triton has none either."""
    if not message.response_cache.enable:
        return False
    at, cure = f"{where}: response_cache.enable", "set it to false"
    if message.platform == Platform.ENSEMBLE.value:
        what = "a pipeline's own answers are not kept"
        faults.add(at, what, "set it on the pipeline's members")
    if message.HasField("sequence_batching"):
        faults.add(at, "an answer of a sequence depends on the requests before it", cure)
    if message.model_transaction_policy.decoupled:
        faults.add(at, "a decoupled model gives any number of answers", cure)
    return True
