"""The OpenVINO backend without its engine: parameters, lanes, error texts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trivet.backend.contract import LoadContext
from trivet.backend.cores import Cores
from trivet.config import ModelConfig
from trivet.config_file.backends import artifact_of, backend_of
from trivet.errors import InvalidConfig
from trivet_backends.openvino import OpenVinoBackend
from trivet_backends.openvino.faults import plain_text
from trivet_backends.openvino.lanes import Lane, Lanes, choose
from trivet_backends.openvino.options import PARAMETERS, Layout, Options


def read(**parameters: str) -> Options:
    return Options.read(ModelConfig(name="m", parameters=parameters))


def faults_of(**parameters: str) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        read(**parameters)
    return [fault.where for fault in refused.value.faults]


def layouts(cores: int, instances: int, **parameters: str) -> list[tuple[str, int, int]]:
    found = read(**parameters).layouts(cores, instances)
    return [(layout.streams, layout.threads, layout.width) for layout in found]


def test_the_precision_is_always_said_and_f32_unless_another_is_asked_for() -> None:
    layout = Layout(streams="1", threads=2, width=2)
    assert read().properties(layout)["INFERENCE_PRECISION_HINT"] == "f32"
    for parameters in ({"INFERENCE_PRECISION_HINT": "BF16"}, {"HINT_BF16": "YES"}):
        assert read(**parameters).properties(layout)["INFERENCE_PRECISION_HINT"] == "bf16"
    asked = faults_of(INFERENCE_PRECISION_HINT="f32", HINT_BF16="YES")
    assert asked == ['m/config.pbtxt: parameters["HINT_BF16"]']


def test_every_property_reaches_the_engine() -> None:
    options = read(COMPILATION_NUM_THREADS="3", DYNAMIC_QUANTIZATION_GROUP_SIZE="0")
    assert options.properties(Layout(streams="4", threads=8, width=2)) == {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "4",
        "INFERENCE_NUM_THREADS": "8",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "ENABLE_CPU_PINNING": "NO",
        "COMPILATION_NUM_THREADS": "3",
    }


@pytest.mark.parametrize(
    ("cores", "instances", "parameters", "expected"),
    [
        # A wide layout for a lone batch, a narrow one with a stream for each instance.
        (2, 2, {}, [("1", 2, 2), ("2", 2, 1)]),
        (8, 4, {}, [("1", 8, 8), ("4", 8, 2)]),
        (8, 3, {}, [("1", 8, 8), ("3", 8, 2)]),
        (2, 8, {}, [("1", 2, 2), ("2", 2, 1)]),
        (8, 1, {}, [("1", 8, 8)]),
        (1, 4, {}, [("1", 1, 1)]),
        (4, 4, {"PERFORMANCE_HINT": "LATENCY"}, [("1", 4, 4)]),
        (4, 4, {"PERFORMANCE_HINT": "throughput"}, [("4", 4, 1)]),
        (8, 2, {"NUM_STREAMS": "4"}, [("4", 8, 2)]),
        (2, 2, {"NUM_STREAMS": "16"}, [("2", 2, 1)]),
        (8, 2, {"NUM_STREAMS": "auto"}, [("AUTO", 8, 0)]),
        (8, 2, {"NUM_STREAMS": "NUMA"}, [("NUMA", 8, 0)]),
        (8, 2, {"INFERENCE_NUM_THREADS": "4"}, [("1", 4, 4), ("2", 4, 2)]),
        (2, 2, {"INFERENCE_NUM_THREADS": "64"}, [("1", 2, 2), ("2", 2, 1)]),
    ],
)
def test_threads_follow_cores_and_instances_and_never_exceed_the_cores(
    cores: int, instances: int, parameters: dict[str, str], expected: list[Any]
) -> None:
    assert layouts(cores, instances, **parameters) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"INFERENCE_PRECISION_HINT": "f8"},
        {"HINT_BF16": "maybe"},
        {"PERFORMANCE_HINT": "CUMULATIVE"},
        {"NUM_STREAMS": "0"},
        {"NUM_STREAMS": "many"},
        {"INFERENCE_NUM_THREADS": "-1"},
        {"TARGET_DEVICE": "GPU"},
        {"SKIP_OV_DYNAMIC_BATCHSIZE": "perhaps"},
        {"ENABLE_BATCH_PADDING": "YES"},
        {"CPU_EXTENSION_PATH": "/lib/mine.so"},
        {"NUM_STREAM": "2"},
    ],
)
def test_what_is_wrong_or_not_served_is_refused_by_name(wrong: dict[str, str]) -> None:
    (name,) = wrong
    assert faults_of(**wrong) == [f'm/config.pbtxt: parameters["{name}"]']


def test_what_triton_has_switched_off_is_taken() -> None:
    assert read(ENABLE_BATCH_PADDING="NO", SKIP_OV_DYNAMIC_BATCHSIZE="YES", TARGET_DEVICE="CPU")
    assert len({parameter.name for parameter in PARAMETERS}) == len(PARAMETERS)


def lane(width: int, used: bool = True) -> Lane:
    compiled: Any = f"compiled for {width}"
    return Lane(width, compiled, used=used)


def test_a_lone_batch_has_all_cores_and_one_among_others_its_share() -> None:
    wide, narrow = lane(4), lane(1)
    assert choose([wide, narrow], 4) is wide
    assert choose([wide, narrow], 2) is narrow
    assert choose([wide], 1) is wide
    fresh = lane(1, used=False)
    assert choose([wide, fresh], 4) is fresh


def test_batches_side_by_side_take_the_narrow_lane_and_the_next_lone_one_the_wide() -> None:
    lanes = Lanes([lane(2), lane(1)], Cores(2))
    with lanes.lane() as first:
        assert first.width == 2
        with lanes.lane() as second:
            assert second.width == 1
    with lanes.lane() as third:
        assert third.width == 2


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (
            "Exception from src/inference/src/cpp/infer_request.cpp:224:\nException from "
            "src/plugins/intel_cpu/src/node.cpp:794:\n[CPU] Multiply node with name 'kept' Check "
            "'input_shape[j] == 1' failed at src/plugins/intel_cpu/src/eltwise.cpp:52:\nEltwise "
            "shape infer input shapes dim index: 1 mismatch\n\n",
            "[CPU] Multiply node with name 'kept' Eltwise shape infer input shapes dim index: 1 "
            "mismatch",
        ),
        (
            "Check 'false' failed at src/frontends/common_translators/src/report.cpp:151:\n"
            "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.",
            "Model wasn't fully converted.",
        ),
        ('Unable to read the model: "/srv/m/1/model.xml"', 'Unable to read the model: "model.xml"'),
        ("", "RuntimeError"),
    ],
)
def test_an_engine_text_loses_paths_positions_and_conditions(raised: str, shown: str) -> None:
    assert plain_text(RuntimeError(raised), Path("/srv/m/1")) == shown


def test_a_folder_with_a_model_xml_needs_no_backend_named() -> None:
    config = ModelConfig(name="m")
    assert backend_of(config, {"model.xml", "model.bin"}) == "openvino"
    assert artifact_of(config, "openvino") == "model.xml"


def test_without_the_engine_the_refusal_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from pathlib import Path\n"
        "from trivet.backend.contract import LoadContext\n"
        "from trivet.config import ModelConfig\n"
        "from trivet_backends.openvino import OpenVinoBackend\n"
        f"context = LoadContext(version=1, path=Path({str(tmp_path)!r}), where='m/1', threads=1)\n"
        "try:\n"
        "    OpenVinoBackend().open(ModelConfig(name='m'), context)\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == (
        "m/1: backend 'openvino' is not installed; pip install 'trivet[openvino]'\n"
    )


def test_a_missing_file_is_told_whether_or_not_the_engine_is_there(tmp_path: Path) -> None:
    context = LoadContext(version=1, path=tmp_path, where="m/1", threads=1)
    with pytest.raises(InvalidConfig, match=r"m/1/model\.xml: no such file"):
        OpenVinoBackend().open(ModelConfig(name="m"), context)
