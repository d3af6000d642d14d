"""What the artifact tells fills the config, and what both tell must agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trivet.backend.contract import Policies, Signature
from trivet.config import BatchOrder, BatchPolicy, ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.model.completion import completed


def spec(
    name: str, datatype: str = "INT64", dims: tuple[int, ...] = (), symbols: tuple[str, ...] = ()
) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=dims, symbols=symbols)


# An encoder's own: ids and mask [batch, tokens] -> hidden [batch, tokens, 384]
ENCODER = Signature(
    inputs=(
        spec("ids", dims=(-1, -1), symbols=("batch", "tokens")),
        spec("mask", dims=(-1, -1), symbols=("batch", "tokens")),
    ),
    outputs=(
        spec("hidden", "FP32", (-1, -1, 384), ("batch", "tokens", "")),
        spec("pooled", "FP32", (-1, 384), ("batch", "")),
    ),
)
LENGTH = BatchPolicy(order=BatchOrder.LENGTH, max_batch_size=8, max_batch_tokens=512)


def complete(config: ModelConfig, signature: Signature = ENCODER) -> ModelConfig:
    faults = Faults()
    config = completed(config, signature, "bert/1", faults)
    faults.raise_if_any()
    return config


def faults_of(config: ModelConfig, signature: Signature = ENCODER) -> list[tuple[str, str]]:
    faults = Faults()
    completed(config, signature, "bert/1", faults)
    assert all(fault.cure for fault in faults)
    return [(fault.where, fault.what) for fault in faults]


def test_a_batching_model_gets_the_tensors_of_one_row() -> None:
    config = complete(ModelConfig(name="bert", max_batch_size=8))
    assert config.inputs == (
        spec("ids", dims=(-1,), symbols=("tokens",)),
        spec("mask", dims=(-1,), symbols=("tokens",)),
    )
    assert config.outputs == (
        spec("hidden", "FP32", (-1, 384), ("tokens", "")),
        spec("pooled", "FP32", (384,), ("",)),
    )
    assert config.dynamic_batching is None


def test_a_config_that_says_nothing_batches_by_four_as_tritons_does() -> None:
    config = complete(ModelConfig(name="bert"))
    assert config.max_batch_size == 4
    assert config.dynamic_batching == BatchPolicy(max_batch_size=4)


def test_a_model_whose_first_dimension_is_fixed_does_not_batch() -> None:
    signature = Signature(inputs=(spec("x", dims=(1, 4)),), outputs=(spec("y", dims=(-1, 2)),))
    config = complete(ModelConfig(name="bert"), signature)
    assert config.max_batch_size == 0
    assert (config.inputs, config.outputs) == (signature.inputs, signature.outputs)


def test_what_the_config_says_stays_and_gets_the_artifacts_symbols() -> None:
    config = complete(
        ModelConfig(name="bert", max_batch_size=8, inputs=(spec("mask", dims=(-1,)),))
    )
    assert config.inputs == (
        spec("mask", dims=(-1,), symbols=("tokens",)),
        spec("ids", dims=(-1,), symbols=("tokens",)),
    )


def test_the_config_may_fix_a_dimension_that_varies() -> None:
    config = complete(
        ModelConfig(name="bert", max_batch_size=8, inputs=(spec("ids", dims=(128,)),))
    )
    assert config.inputs[0] == spec("ids", dims=(128,), symbols=("",))


def test_naming_some_outputs_means_no_others() -> None:
    pooled = spec("pooled", "FP32", (384,))
    config = complete(ModelConfig(name="bert", max_batch_size=8, outputs=(pooled,)))
    assert [output.name for output in config.outputs] == ["pooled"]


def test_an_artifact_that_tells_nothing_leaves_the_config_as_it_is() -> None:
    written = ModelConfig(
        name="bert", inputs=(spec("x", dims=(-1,)),), outputs=(spec("y", dims=(2,)),)
    )
    assert complete(written, Signature()) == written


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (spec("ids", "INT32", (-1,)), "config.pbtxt says INT32, the artifact INT64"),
        (spec("ids", dims=(-1, -1)), "config.pbtxt says dims [-1, -1], the artifact [-1]"),
        (spec("ids"), "config.pbtxt says dims [], the artifact [-1]"),
        (spec("idz", dims=(-1,)), "config.pbtxt names it, but the artifact has 'ids', 'mask'"),
    ],
)
def test_a_disagreement_names_both_sides(written: TensorSpec, what: str) -> None:
    config = ModelConfig(name="bert", max_batch_size=8, inputs=(written,))
    assert faults_of(config) == [(f"bert/1: input '{written.name}'", what)]


def test_a_dimension_fixed_in_the_artifact_cannot_vary() -> None:
    config = ModelConfig(name="bert", max_batch_size=8, outputs=(spec("pooled", "FP32", (-1,)),))
    what = "config.pbtxt says dims [-1], the artifact [384]"
    assert faults_of(config) == [("bert/1: output 'pooled'", what)]


def test_every_disagreement_is_told() -> None:
    inputs = (spec("ids", "INT32", (-1, 2)), spec("masc", dims=(-1,)))
    found = faults_of(ModelConfig(name="bert", max_batch_size=8, inputs=inputs))
    assert [where for where, _ in found] == [
        "bert/1: input 'ids'",
        "bert/1: input 'ids'",
        "bert/1: input 'masc'",
    ]


def test_batching_needs_a_batch_dimension_that_varies() -> None:
    signature = Signature(inputs=(spec("x", dims=(1, 4)),), outputs=(spec("y"),))
    found = faults_of(ModelConfig(name="bert", max_batch_size=8), signature)
    assert [where for where, _ in found] == ["bert/1: input 'x'", "bert/1: output 'y'"]
    assert "max_batch_size: 8" in found[0][1]


def test_tensors_that_nobody_tells_are_missed() -> None:
    found = faults_of(ModelConfig(name="bert"), Signature())
    assert [where for where, _ in found] == ["bert/1: input", "bert/1: output"]


def test_batching_by_length_needs_a_named_dimension() -> None:
    config = ModelConfig(
        name="bert",
        max_batch_size=8,
        dynamic_batching=LENGTH,
        parameters={"max_batch_tokens": "512"},
    )
    assert complete(config).dynamic_batching == LENGTH
    nameless = Signature(inputs=(spec("x", dims=(-1, -1)),), outputs=(spec("y", dims=(-1, 2)),))
    (found,) = faults_of(config, nameless)
    assert found[0] == 'bert/config.pbtxt: parameters["max_batch_tokens"]'


def test_padding_names_an_input_that_there_is() -> None:
    config = ModelConfig(name="bert", max_batch_size=8, parameters={"pad.idz": "1"})
    (found,) = faults_of(config)
    assert found == ('bert/config.pbtxt: parameters["pad.idz"]', "there is no input 'idz'")


@pytest.mark.parametrize(
    ("told", "rows", "batches", "decoupled"),
    [
        (Policies(max_batch_size=0), 0, False, False),
        (Policies(max_batch_size=6), 6, False, False),
        (Policies(max_batch_size=6, dynamic_batching=True), 6, True, False),
        (Policies(max_batch_size=0, decoupled=True), 0, False, True),
    ],
)
def test_an_artifact_may_tell_how_it_is_scheduled(
    told: Policies, rows: int, batches: bool, decoupled: bool
) -> None:
    front = (-1,) if rows else ()
    signature = Signature(
        inputs=(spec("x", dims=(*front, -1)),),
        outputs=(spec("y", dims=(*front, -1)),),
        policies=told,
    )
    config = complete(ModelConfig(name="m"), signature)
    assert config.max_batch_size == rows
    assert config.inputs[0].dims == (-1,)
    assert config.dynamic_batching == (BatchPolicy(max_batch_size=rows) if batches else None)
    assert config.decoupled == decoupled


def test_what_the_config_says_of_scheduling_goes_before_what_the_artifact_tells() -> None:
    signature = replace(ENCODER, policies=Policies(max_batch_size=3, dynamic_batching=True))
    config = complete(
        ModelConfig(name="m", max_batch_size=8, dynamic_batching=LENGTH, decoupled=True), signature
    )
    assert (config.max_batch_size, config.dynamic_batching) == (8, LENGTH)
    assert config.decoupled
