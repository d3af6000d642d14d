"""Each way a pipeline's steps may not fit the models they call."""

from __future__ import annotations

from dataclasses import replace

from tests.harness.labelling import Embedder, read_labelling
from trivet.config import LabelTask, ModelConfig, Step, TensorSpec
from trivet.config_file import Faults
from trivet.model.wiring import check_wiring

STEP = "pipe/config.pbtxt: ensemble_scheduling.step"


def spec(name: str, datatype: str = "FP32", *, optional: bool = False) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, dims=(-1,), optional=optional)


TOKENIZER = ModelConfig(
    name="tokenizer", inputs=(spec("TEXT", "BYTES"),), outputs=(spec("ids", "INT64"),)
)
BERT = ModelConfig(
    name="bert",
    inputs=(spec("ids", "INT64"), spec("types", "INT64", optional=True)),
    outputs=(spec("hidden"),),
)
MEMBERS = {"tokenizer": TOKENIZER, "bert": BERT}


def step(model: str, takes: dict[str, str], gives: dict[str, str]) -> Step:
    return Step(model=model, version=None, input_map=takes, output_map=gives)


TOKENIZE = step("tokenizer", {"TEXT": "text"}, {"ids": "t"})
EMBED = step("bert", {"ids": "t"}, {"hidden": "out"})


def faults_of(*steps: Step, out: str = "FP32", text: str = "BYTES") -> list[str]:
    pipeline = ModelConfig(
        name="pipe", inputs=(spec("text", text),), outputs=(spec("out", out),), steps=steps
    )
    faults = Faults()
    check_wiring(pipeline, MEMBERS, faults)
    return [str(fault) for fault in faults]


def test_steps_that_fit_have_no_fault_in_whatever_order_they_stand() -> None:
    assert faults_of(TOKENIZE, EMBED) == []
    assert faults_of(EMBED, TOKENIZE) == []


def test_an_optional_input_may_be_left_out_or_given() -> None:
    given = step("bert", {"ids": "t", "types": "t"}, {"hidden": "out"})
    assert faults_of(TOKENIZE, given) == []


def test_an_input_the_model_has_not() -> None:
    wrong = step("bert", {"ids": "t", "mask": "t"}, {"hidden": "out"})
    assert faults_of(TOKENIZE, wrong) == [
        f"{STEP}[1].input_map: model 'bert' has no input 'mask'; name one of 'ids', 'types'"
    ]


def test_an_output_the_model_has_not() -> None:
    wrong = step("bert", {"ids": "t"}, {"pooled": "out"})
    assert faults_of(TOKENIZE, wrong) == [
        f"{STEP}[1].output_map: model 'bert' has no output 'pooled'; name one of 'hidden'"
    ]


def test_an_input_that_gets_nothing() -> None:
    wrong = step("bert", {"types": "t"}, {"hidden": "out"})
    assert faults_of(TOKENIZE, wrong) == [
        f"{STEP}[1].input_map: input 'ids' of model 'bert' gets nothing; map a tensor to it"
    ]


def test_a_tensor_of_another_datatype_than_the_step_takes() -> None:
    wrong = step("bert", {"ids": "text"}, {"hidden": "out"})
    assert faults_of(TOKENIZE, wrong) == [
        f"{STEP}[1].input_map: tensor 'text' is BYTES, but input 'ids' of model 'bert' takes INT64;"
        " connect a tensor of that datatype"
    ]


def test_a_pipelines_input_of_another_datatype_than_its_step_takes() -> None:
    assert faults_of(TOKENIZE, EMBED, text="INT64") == [
        f"{STEP}[0].input_map: tensor 'text' is INT64, but input 'TEXT' of model 'tokenizer' takes"
        " BYTES; connect a tensor of that datatype"
    ]


def test_a_pipelines_output_of_another_datatype_than_its_step_gives() -> None:
    assert faults_of(TOKENIZE, EMBED, out="FP16") == [
        "pipe/config.pbtxt: output 'out': is FP16, but the step that makes it gives FP32;"
        " write the step's data_type"
    ]


def test_all_faults_are_told_at_once() -> None:
    assert len(faults_of(step("bert", {"mask": "text"}, {"pooled": "out"}))) == 3


def test_a_decoupled_model_is_no_step() -> None:
    members = {**MEMBERS, "bert": replace(BERT, decoupled=True)}
    pipeline = ModelConfig(
        name="pipe",
        inputs=(spec("text", "BYTES"),),
        outputs=(spec("out"),),
        steps=(TOKENIZE, EMBED),
    )
    faults = Faults()
    check_wiring(pipeline, members, faults)
    assert [str(fault) for fault in faults] == [
        f"{STEP}[1].model_name: model 'bert' is decoupled, and a step needs exactly one answer;"
        " name a model that is not"
    ]


def labelling_faults(**changes: object) -> list[str]:
    """Of a model that labels texts over an embedder that is changed so."""
    config = read_labelling(LabelTask.ZERO_SHOT)
    faults = Faults()
    check_wiring(config, {"embed": replace(Embedder().config, **changes)}, faults)  # type: ignore[arg-type]
    return [str(fault).removeprefix("zero_shot/config.pbtxt: ") for fault in faults]


def test_labels_need_a_model_with_one_vector_for_each_text_of_a_batch() -> None:
    assert labelling_faults() == []
    tokens = TensorSpec(name="EMBEDDING", datatype="FP32", dims=(-1, 3))
    assert labelling_faults(outputs=(tokens,)) == [
        "ensemble_scheduling.step[0].output_map: output 'EMBEDDING' of model 'embed' is FP32"
        " [-1, 3]; name a model with one vector for each text"
    ]
    words = TensorSpec(name="EMBEDDING", datatype="BYTES", dims=(3,))
    assert "is BYTES [3]" in labelling_faults(outputs=(words,))[0]
    assert labelling_faults(max_batch_size=0) == [
        "ensemble_scheduling.step[0].model_name: model 'embed' does not batch; name one with"
        " max_batch_size of 1 or more"
    ]
    assert "has no input 'TEXT'" in labelling_faults(inputs=())[0]
