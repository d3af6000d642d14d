"""dynamic_batching, and the parameters that make it length-aware.

parameters { key: "max_batch_tokens" value { string_value: "512" } }    rows x longest row
parameters { key: "max_padding_percent" value { string_value: "25" } }  of a batch's tokens
parameters { key: "batch_order" value { string_value: "length" } }      or arrival, equal_shapes
parameters { key: "batch_window" value { string_value: "64" } }         requests looked at
parameters { key: "pad.attention_mask" value { string_value: "0" } }    fills shorter rows
"""

from __future__ import annotations

from collections.abc import Mapping

from trivet.config import BatchOrder, BatchPolicy, TensorSpec
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

_LENGTH_AWARE = ("max_batch_tokens", "max_padding_percent", "batch_order", "batch_window")


def batch_policy(
    message: pb.ModelConfig, parameters: Mapping[str, str], where: str, faults: Faults
) -> BatchPolicy | None:
    """When waiting requests leave as a batch; None: every request runs alone."""
    if not message.HasField("dynamic_batching"):
        _refuse_parameters(message, parameters, where, faults)
        return None
    largest = message.max_batch_size
    if largest == 0:
        cure = "set max_batch_size to the most rows the model takes at once, or remove it"
        faults.add(f"{where}: dynamic_batching", "needs max_batch_size above 0", cure)
    batching = message.dynamic_batching
    for index, size in enumerate(batching.preferred_batch_size):
        if largest > 0 and not 1 <= size <= largest:
            faults.add(
                f"{where}: dynamic_batching.preferred_batch_size[{index}]",
                f"is {size}, must be 1 to max_batch_size ({largest})",
                "lower it, or raise max_batch_size",
            )
    tokens = _positive(parameters, "max_batch_tokens", 0, where, faults)
    return BatchPolicy(
        order=_order(parameters, BatchOrder.LENGTH if tokens else None, where, faults),
        max_batch_size=largest,
        max_queue_delay_us=batching.max_queue_delay_microseconds,
        preferred_batch_sizes=tuple(sorted(set(batching.preferred_batch_size))),
        max_batch_tokens=tokens,
        max_padding_percent=_positive(parameters, "max_padding_percent", 100, where, faults),
        window=_positive(parameters, "batch_window", BatchPolicy().window, where, faults),
        preserve_ordering=batching.preserve_ordering,
    )


def check_padding(
    parameters: Mapping[str, str], inputs: tuple[TensorSpec, ...], where: str, faults: Faults
) -> None:
    """Each `pad.<input>` is a whole number and names an input, where inputs are told."""
    names = {spec.name for spec in inputs}
    for key, value in parameters.items():
        prefix, _, name = key.partition("pad.")
        if prefix or not key.startswith("pad."):
            continue
        at = f'{where}: parameters["{key}"]'
        if _whole(value) is None:
            faults.add(at, f"'{value}' is no whole number", 'write one, e.g. "0"')
        if names and name not in names:
            known = ", ".join(sorted(names))
            faults.add(at, f"there is no input '{name}'", f"name one of the inputs: {known}")


def _refuse_parameters(
    message: pb.ModelConfig, parameters: Mapping[str, str], where: str, faults: Faults
) -> None:
    pipeline = message.HasField("ensemble_scheduling")
    cure = "set it on the pipeline's members" if pipeline else "add dynamic_batching { }"
    for key in _LENGTH_AWARE:
        if key in parameters:
            faults.add(f'{where}: parameters["{key}"]', "there is no dynamic_batching", cure)


def _order(
    parameters: Mapping[str, str], implied: BatchOrder | None, where: str, faults: Faults
) -> BatchOrder:
    written = parameters.get("batch_order")
    if written is None:
        return implied or BatchOrder.EQUAL_SHAPES
    try:
        return BatchOrder(written)
    except ValueError:
        known = ", ".join(f'"{order.value}"' for order in BatchOrder)
        at = f'{where}: parameters["batch_order"]'
        faults.add(at, f"there is no order '{written}'", f"write one of {known}")
        return BatchOrder.EQUAL_SHAPES


def _positive(
    parameters: Mapping[str, str], key: str, default: int, where: str, faults: Faults
) -> int:
    written = parameters.get(key)
    if written is None:
        return default
    number = _whole(written)
    if number is None or number < 1:
        at = f'{where}: parameters["{key}"]'
        faults.add(at, f"'{written}' is no whole number above 0", "write one, or remove it")
        return default
    return number


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
