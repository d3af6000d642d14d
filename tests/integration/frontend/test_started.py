"""What an operator switches on at the start: labels, traces, a log file; and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from tests.harness.frontend import echo_model, run_server
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import serving
from trivet.transport.options import Transport

LABELLED = 'output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] label_filename: "labels.txt" }'


def labelled(config: str) -> str:
    return config.replace('output { name: "OUT" data_type: TYPE_FP32 dims: [ -1 ] }', LABELLED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, transport: Transport) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def client(folder: Path, transport: Transport) -> Iterator[triton.InferenceServerClient]:
    repository = folder / "repository"
    repository.mkdir()
    echo = add_model(repository, "echo", labelled(fake_config()))
    (echo / "labels.txt").write_text("cat\ndog\n")
    pipe = add_model(repository, "pipe", labelled(pipeline_config(["echo", "echo"])))
    (pipe / "labels.txt").write_text("one\ntwo\n")
    add_model(repository, "unlabelled", labelled(fake_config()))
    flags = [
        f"--transport={transport}",
        "--exit-on-error=false",
        f"--trace-config=triton,file={folder / 'traces.json'}",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=1",
        f"--log-file={folder / 'log'}",
        "--log-format=ISO8601",
        "--log-info=false",
        "--grpc-header-forward-pattern=^x-",
        "--allow-client-shm=true",
    ]
    with (
        serving(repository, *flags) as process,
        triton.InferenceServerClient(process.address) as made,
    ):
        yield made


def best(client: triton.InferenceServerClient, model: str) -> Any:
    given = triton.InferInput("IN", [1, 3], "FP32")
    given.set_data_from_numpy(np.array([[1, 3, 2]], np.float32))
    output = triton.InferRequestedOutput("OUT", class_count=2)
    return client.infer(model, [given], outputs=[output]).as_numpy("OUT").tolist()


def test_classes_have_the_names_of_the_models_file(client: triton.InferenceServerClient) -> None:
    assert best(client, "echo") == [[b"3.000000:1:dog", b"2.000000:2"]]
    assert best(client, "pipe") == [[b"3.000000:1:two", b"2.000000:2"]]


def test_a_model_without_its_label_file_is_not_served(
    client: triton.InferenceServerClient,
) -> None:
    index = client.get_model_repository_index(as_json=True)["models"]
    (entry,) = [entry for entry in index if entry["name"] == "unlabelled"]
    assert entry["state"] == "UNAVAILABLE"
    assert "output[0].label_filename: 'labels.txt': No such file" in entry["reason"]


def test_the_log_goes_into_its_file_as_the_flags_say(
    client: triton.InferenceServerClient, folder: Path
) -> None:
    lines = (folder / "log").read_text().splitlines()
    assert lines
    assert all(line[10] == "T" and line[19] == "Z" for line in lines)
    assert {line.split()[1] for line in lines} <= {"WARNING", "ERROR"}
    settings = client.get_log_settings(as_json=True)["settings"]
    assert settings["log_file"] == {"string_param": str(folder / "log")}
    assert settings["log_info"] == {"bool_param": False}


def test_what_the_real_scheduler_did_is_traced(
    client: triton.InferenceServerClient, folder: Path
) -> None:
    best(client, "pipe")
    records = json.loads((folder / "traces.json").read_text())
    heads = {record["id"]: record for record in records if "model_name" in record}
    (pipe, *_) = [head for head in reversed(heads.values()) if head["model_name"] == "pipe"]
    (step,) = [head for head in heads.values() if head.get("parent_id") == pipe["id"]]
    assert step["model_name"] == "echo"
    for head, names in ((pipe, ["REQUEST_START", "REQUEST_END"]), (step, STAGES)):
        stamps = [
            stamp
            for record in records
            if record["id"] == head["id"]
            for stamp in record.get("timestamps", ())
        ]
        assert [stamp["name"] for stamp in stamps] == names
        times = [stamp["ns"] for stamp in stamps]
        assert times == sorted(times)
        assert times[0] > 0


STAGES = [
    "QUEUE_START",
    "COMPUTE_START",
    "COMPUTE_INPUT_END",
    "COMPUTE_OUTPUT_START",
    "COMPUTE_END",
]


async def test_what_loading_took_is_told() -> None:
    model = echo_model()
    model.statistics.memory_bytes = 5 << 20
    async with (
        run_server(model, echo_model("small")) as served,
        triton_aio.InferenceServerClient(served.address) as client,
    ):
        told = await client.get_inference_statistics(as_json=True)
    usage = {one["name"]: one.get("memory_usage") for one in told["model_stats"]}
    assert usage == {"echo": [{"type": "CPU", "byte_size": str(5 << 20)}], "small": None}
