"""Clients of trivet, and of any server of the KServe v2 protocol: text or numpy in and out.

    with Client("127.0.0.1:8001") as client:
        client.fill_mask("The cat sat on the [MASK].").masks[0].candidates[0].token
        client.embed(["one text", "and another"]).vectors  # float32 [2, width]

`AsyncClient` has the same methods for asyncio. Errors are in `trivet_client.errors`.
"""

from trivet_client.aio_client import AsyncClient
from trivet_client.client import Client
from trivet_client.errors import TrivetError
from trivet_client.head_values import (
    AnsweredQuestion,
    AnswerSpan,
    ClassifiedText,
    LabelScore,
    NextSentence,
    TaggedSpan,
    TaggedText,
)
from trivet_client.security import Tls
from trivet_client.values import (
    BatchStatistics,
    Candidate,
    Cost,
    Duration,
    Embedding,
    Embeddings,
    Failure,
    FilledMask,
    FilledText,
    InferRequest,
    InferResult,
    ModelConfig,
    ModelCost,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    Parameters,
    ServerMetadata,
    TensorMetadata,
)
from trivet_client.vector_values import (
    DetokenizedText,
    InspectedText,
    LabelledText,
    ScoredLabel,
    Similarities,
    SimilarTexts,
    Token,
    TokenizedText,
)

__all__ = [
    "AnswerSpan",
    "AnsweredQuestion",
    "AsyncClient",
    "BatchStatistics",
    "Candidate",
    "ClassifiedText",
    "Client",
    "Cost",
    "DetokenizedText",
    "Duration",
    "Embedding",
    "Embeddings",
    "Failure",
    "FilledMask",
    "FilledText",
    "InferRequest",
    "InferResult",
    "InspectedText",
    "LabelScore",
    "LabelledText",
    "ModelConfig",
    "ModelCost",
    "ModelMetadata",
    "ModelState",
    "ModelStatistics",
    "NextSentence",
    "Parameters",
    "ScoredLabel",
    "ServerMetadata",
    "SimilarTexts",
    "Similarities",
    "TaggedSpan",
    "TaggedText",
    "TensorMetadata",
    "Tls",
    "Token",
    "TokenizedText",
    "TrivetError",
]
