"""Who may call what: one table, from the name of a method to its group and the roles it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """Triton's groups of RPCs, as --grpc-restricted-protocol names them."""

    HEALTH = "health"
    METADATA = "metadata"
    INFERENCE = "inference"
    SHARED_MEMORY = "shared-memory"
    MODEL_CONFIG = "model-config"
    MODEL_REPOSITORY = "model-repository"
    STATISTICS = "statistics"
    TRACE = "trace"
    LOGGING = "logging"


class Role(StrEnum):
    """What a token is good for. No role includes another; a token may have several."""

    INFER = "infer"  # ask models, and what has to be known to ask them
    OBSERVE = "observe"  # see what there is and what it does, and change nothing
    CONTROL = "control"  # change what is served, traced and logged


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one method.

    group: None: cannot be restricted by a header.
    roles: any of them will do; empty: no token is asked for.
    """

    group: Group | None
    roles: frozenset[Role]


# Balancers and orchestrators ask after health without a token, and learn no more than whether.
_ANYONE = frozenset[Role]()
_INFER = frozenset({Role.INFER})
_OBSERVE = frozenset({Role.OBSERVE})
_CONTROL = frozenset({Role.CONTROL})
_ANY_TOKEN = frozenset(Role)
_CALLERS = _INFER | _OBSERVE

# A method that nobody has thought about here is for those who may do everything else.
UNLISTED = Rule(None, _CONTROL)

_TRITON: Mapping[str, Rule] = {
    "ServerLive": Rule(Group.HEALTH, _ANYONE),
    "ServerReady": Rule(Group.HEALTH, _ANYONE),
    "ModelReady": Rule(Group.HEALTH, _ANYONE),
    "ServerMetadata": Rule(Group.METADATA, _ANY_TOKEN),
    "ModelMetadata": Rule(Group.METADATA, _ANY_TOKEN),
    "ModelInfer": Rule(Group.INFERENCE, _INFER),
    "ModelStreamInfer": Rule(Group.INFERENCE, _INFER),
    "ModelConfig": Rule(Group.MODEL_CONFIG, _CALLERS),
    "ModelStatistics": Rule(Group.STATISTICS, _OBSERVE),
    "RepositoryIndex": Rule(Group.MODEL_REPOSITORY, _OBSERVE | _CONTROL),
    "RepositoryModelLoad": Rule(Group.MODEL_REPOSITORY, _CONTROL),
    "RepositoryModelUnload": Rule(Group.MODEL_REPOSITORY, _CONTROL),
    # Part of asking a model; whether clients may do it at all is the operator's own flag.
    "SystemSharedMemoryStatus": Rule(Group.SHARED_MEMORY, _CALLERS),
    "SystemSharedMemoryRegister": Rule(Group.SHARED_MEMORY, _INFER),
    "SystemSharedMemoryUnregister": Rule(Group.SHARED_MEMORY, _INFER),
    "CudaSharedMemoryStatus": Rule(Group.SHARED_MEMORY, _CALLERS),
    "CudaSharedMemoryRegister": Rule(Group.SHARED_MEMORY, _INFER),
    "CudaSharedMemoryUnregister": Rule(Group.SHARED_MEMORY, _INFER),
    # The same RPC reads and changes.
    "TraceSetting": Rule(Group.TRACE, _CONTROL),
    "LogSettings": Rule(Group.LOGGING, _CONTROL),
}

RULES: Mapping[str, Rule] = {
    **{f"/inference.GRPCInferenceService/{name}": rule for name, rule in _TRITON.items()},
    "/trivet.v1.TextService/FillMask": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/FillMaskStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Embed": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/EmbedStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Similarity": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/SimilarityStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/ZeroShot": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/ZeroShotStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/FewShot": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/FewShotStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Tokenize": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/TokenizeStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Detokenize": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/DetokenizeStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Classify": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/ClassifyStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/TagTokens": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/TagTokensStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/Answer": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/AnswerStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/NextSentence": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.TextService/NextSentenceStream": Rule(Group.INFERENCE, _INFER),
    "/trivet.v1.ServerService/ModelCost": Rule(Group.STATISTICS, _OBSERVE),
    "/grpc.health.v1.Health/Check": Rule(Group.HEALTH, _ANYONE),
    "/grpc.health.v1.Health/Watch": Rule(Group.HEALTH, _ANYONE),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Rule(Group.METADATA, _ANY_TOKEN),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Rule(
        Group.METADATA, _ANY_TOKEN
    ),
}


def rule_of(method: str) -> Rule:
    """The rule of a method by its full name."""
    return RULES.get(method, UNLISTED)
