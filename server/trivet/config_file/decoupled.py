"""model_transaction_policy: whether a request may have no answer, or many."""

from __future__ import annotations

from trivet.config import Platform
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb


def is_decoupled(message: pb.ModelConfig, where: str, faults: Faults) -> bool:
    """What the file says; what cannot be had together with it is added to `faults`."""
    if not message.model_transaction_policy.decoupled:
        return False
    if message.platform == Platform.ENSEMBLE.value:
        what = "a pipeline gives one answer to each request"
        cure = "remove it; only a model by itself can be decoupled"
        faults.add(f"{where}: model_transaction_policy.decoupled", what, cure)
    if message.HasField("sequence_batching"):
        what = "a decoupled model runs each request alone"
        faults.add(f"{where}: sequence_batching", what, "remove it")
    if message.response_cache.enable:
        what = "a decoupled model's answers cannot be kept: they may be any number"
        faults.add(f"{where}: response_cache.enable", what, "set it to false")
    if message.dynamic_batching.preserve_ordering:
        what = "a decoupled model's answers leave as they come"
        faults.add(f"{where}: dynamic_batching.preserve_ordering", what, "remove it")
    ragged = any(tensor.allow_ragged_batch for tensor in message.input)
    if ragged or message.batch_input or message.batch_output:
        what = "a decoupled model runs each request alone"
        cure = "remove batch_input, batch_output and allow_ragged_batch"
        faults.add(f"{where}: model_transaction_policy.decoupled", what, cure)
    return True
