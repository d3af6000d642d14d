"""What a stub is written from: the metadata of a model, and what only its config tells."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import text_format

from trivet_client.client import Client
from trivet_client.errors import Unimplemented
from trivet_client.values import TensorMetadata
from trivet_protos.generated import model_config_pb2 as config_pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One model, as far as its callers are concerned."""

    name: str
    version: int | str | None  # the one to ask, by number or alias; None: the latest ready one
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    optional: frozenset[str] = frozenset()  # names of inputs that a request may leave out
    max_batch_size: int = 0  # rows; 0: the first dimension is no batch
    decoupled: bool = False  # any number of answers to a request


def describe(client: Client, model: str, version: int | str | None = None) -> Description:
    """Ask a server about a model. Raises TrivetError.

    A server without the extension "model_configuration" cannot say which inputs are optional and
    whether there is one answer to a request; then all are required, and there is one.
    """
    metadata = client.model_metadata(model, version=version)
    config = _config(client, model, version)
    return Description(
        name=model,
        version=version,
        platform=metadata.platform,
        inputs=metadata.inputs,
        outputs=metadata.outputs,
        optional=frozenset(spec.name for spec in config.input if spec.optional),
        max_batch_size=config.max_batch_size,
        decoupled=config.model_transaction_policy.decoupled,
    )


def _config(client: Client, model: str, version: int | str | None) -> config_pb.ModelConfig:
    message = config_pb.ModelConfig()
    try:
        text = client.model_config(model, version=version).text
    except Unimplemented:
        return message
    return text_format.Parse(text, message)
