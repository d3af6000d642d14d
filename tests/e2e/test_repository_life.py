"""A repository that changes under a running server, as Triton's own client sees it.

On both transports where calls go on meanwhile; what polls and what the start says knows of none.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import serving
from trivet.transport.options import Transport

NOT_POLLED = "failed to poll from model repository"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "echo", "pipe" of "first" and "second", and "broken", which does not parse."""
    repository = tmp_path_factory.mktemp("explicit")
    for name in ("echo", "first", "second"):
        add_model(repository, name)
    add_model(repository, "pipe", pipeline_config(["first", "second"]))
    add_model(repository, "broken", "max_batch_size: {")
    add_model(repository, "unable", fake_config(fail_to_open="true"))
    return repository


@pytest.fixture(scope="module")
def explicit(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[triton.InferenceServerClient]:
    log = tmp_path_factory.mktemp("log") / "stderr.log"
    flags = ["--model-control-mode=explicit", "--allow-model-upload=true", "--load-model=echo"]
    with serving(repository, *flags, f"--transport={transport}", log=log) as server:
        yield triton.InferenceServerClient(server.address)


@pytest.fixture(autouse=True)
def nothing_but_echo(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test leaves what it found: "echo" as it lies in the repository."""
    yield
    if "explicit" in request.fixturenames:
        client = request.getfixturevalue("explicit")
        for name in ("pipe", "first", "second", "broken", "unable", "sent"):
            client.unload_model(name)
        client.load_model("echo")


def echo(client: triton.InferenceServerClient, model: str = "echo", version: str = "") -> str:
    """Ask for an echo; returns the version that answered."""
    tensor = triton.InferInput("IN", [1, 3], "FP32")
    sent = np.array([[1, 2, 3]], np.float32)
    tensor.set_data_from_numpy(sent)
    answer = client.infer(model, [tensor], model_version=version)
    assert (answer.as_numpy("OUT") == sent).all()
    return str(answer.get_response().model_version)


def index(client: triton.InferenceServerClient) -> dict[str, str]:
    """State and reason: "echo/1" -> "READY"."""
    models = client.get_model_repository_index().models
    return {f"{m.name}/{m.version}": f"{m.state} {m.reason}".strip() for m in models}


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as error:
        call()
    return error.value.status(), error.value.message()


def json_config(**changes: object) -> str:
    config = {
        "backend": "fake",
        "max_batch_size": 8,
        "input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]}],
    }
    return json.dumps({**config, **changes})


def test_the_index_lists_what_could_be_loaded(explicit: triton.InferenceServerClient) -> None:
    states = index(explicit)
    assert states.pop("echo/1") == "READY"
    idle = {"broken", "first", "pipe", "second", "unable"}
    assert {place.split("/")[0] for place in states} >= idle
    assert {state.split()[0] for state in states.values()} == {"UNAVAILABLE"}
    assert explicit.is_server_ready(), "what nobody asked for makes no server unready"
    assert not explicit.is_model_ready("first")
    extensions = explicit.get_server_metadata().extensions
    assert {"model_repository", "model_repository(unload_dependents)"} <= set(extensions)


def test_a_model_is_unloaded_and_loaded(explicit: triton.InferenceServerClient) -> None:
    explicit.unload_model("echo")
    assert index(explicit)["echo/1"] == "UNAVAILABLE unloaded"
    assert not explicit.is_model_ready("echo")
    assert refused(lambda: echo(explicit))[0] == "StatusCode.NOT_FOUND"
    assert explicit.is_server_ready()
    explicit.unload_model("echo")
    explicit.load_model("echo")
    assert echo(explicit) == "1"


def test_a_pipeline_comes_and_goes_with_its_members(explicit: triton.InferenceServerClient) -> None:
    explicit.load_model("pipe")
    assert echo(explicit, "pipe") == "1"
    explicit.unload_model("pipe", unload_dependents=True)
    ready = [m.name for m in explicit.get_model_repository_index().models if m.state == "READY"]
    assert ready == ["echo"]
    explicit.load_model("pipe")
    explicit.unload_model("pipe")
    assert echo(explicit, "first") == "1"


def test_a_pipeline_whose_member_is_unloaded_says_so_and_comes_back(
    explicit: triton.InferenceServerClient,
) -> None:
    explicit.load_model("pipe")
    explicit.unload_model("second")
    shown = index(explicit)["pipe/1"]
    assert "step[1].model_name: model 'second' is not loaded; load it" in shown
    status, text = refused(lambda: echo(explicit, "pipe"))
    assert status == "StatusCode.NOT_FOUND"
    assert "model 'second' is not loaded" in text
    assert not explicit.is_server_ready(), "what was asked for is not there"
    explicit.load_model("second")
    assert echo(explicit, "pipe") == "1"


def test_a_config_is_overridden_until_the_next_load(explicit: triton.InferenceServerClient) -> None:
    explicit.load_model("echo", config=json_config(max_batch_size=3))
    assert explicit.get_model_config("echo").config.max_batch_size == 3
    assert echo(explicit) == "1"
    explicit.load_model("echo")
    assert explicit.get_model_config("echo").config.max_batch_size == 8


def test_files_are_sent_with_a_config(
    explicit: triton.InferenceServerClient, repository: Path
) -> None:
    before = sorted(repository.rglob("*"))
    config = json_config(version_policy={"all": {}})
    files = {"file:5/model.fake": b"five", "file:7/data/w": b"seven"}
    explicit.load_model("echo", config=config, files=files)
    assert [echo(explicit, version=v) for v in ("5", "7", "")] == ["5", "7", "7"]
    assert "echo/1" not in index(explicit)
    explicit.load_model("sent", config=config, files=files)  # one there is not in the repository
    assert echo(explicit, "sent") == "7"
    explicit.unload_model("sent")
    assert "sent" not in {place.split("/")[0] for place in index(explicit)}
    explicit.load_model("echo")
    assert echo(explicit) == "1"
    assert sorted(repository.rglob("*")) == before, "nothing is written into the repository"


def test_versions_have_aliases(explicit: triton.InferenceServerClient) -> None:
    config = json_config(
        version_policy={"all": {}},
        parameters={
            "version_alias.stable": {"string_value": "5"},
            "version_alias.canary": {"string_value": "7"},
        },
    )
    explicit.load_model(
        "echo", config=config, files={"file:5/model.fake": b"", "file:7/model.fake": b""}
    )
    assert [echo(explicit, version=v) for v in ("stable", "canary", "")] == ["5", "7", "7"]
    assert explicit.is_model_ready("echo", "stable")
    assert explicit.get_model_metadata("echo", "stable").versions == ["5"]
    (told,) = explicit.get_inference_statistics("echo", "canary").model_stats
    assert (told.version, told.inference_count) == ("7", 2)
    status, text = refused(lambda: echo(explicit, version="beta"))
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "aliases known: canary, stable" in text


LOADS: dict[str, tuple[Callable[[triton.InferenceServerClient], object], str, list[str]]] = {
    "unknown": (
        lambda c: c.load_model("nobody"),
        "INTERNAL",
        ["failed to load 'nobody'", NOT_POLLED],
    ),
    "a path": (lambda c: c.load_model("../echo"), "INTERNAL", ["failed to load", NOT_POLLED]),
    "a config that does not parse": (
        lambda c: c.load_model("broken"),
        "INTERNAL",
        ["failed to load 'broken'", NOT_POLLED, "broken/config.pbtxt: line 1"],
    ),
    "an override that does not parse": (
        lambda c: c.load_model("echo", config="{"),
        "INTERNAL",
        ["failed to load 'echo'", NOT_POLLED, "parameter 'config'"],
    ),
    "an override with an unknown field": (
        lambda c: c.load_model("echo", config='{"foo": 1}'),
        "INTERNAL",
        [NOT_POLLED, "foo"],
    ),
    "files without a config": (
        lambda c: c.load_model("echo", files={"file:1/model.onnx": b""}),
        "INTERNAL",
        [NOT_POLLED, "without the parameter 'config'"],
    ),
    "a traversing name": (
        lambda c: c.load_model("echo", config=json_config(), files={"file:1/../../x": b""}),
        "INTERNAL",
        ["failed to load 'echo'", NOT_POLLED, "'file:1/../../x'"],
    ),
    "an over-long name": (
        lambda c: c.load_model("echo", config=json_config(), files={f"file:1/{'x' * 300}": b""}),
        "INTERNAL",
        ["failed to load 'echo'", NOT_POLLED, "255 bytes"],
    ),
    "a model that cannot start": (
        lambda c: c.load_model("unable"),
        "INVALID_ARGUMENT",
        ["failed to load 'unable'", 'parameters["fail_to_open"]'],
    ),
    "an override that cannot start": (
        lambda c: c.load_model("echo", config=json_config(max_batch_size=-1, foo=[])),
        "INTERNAL",
        [NOT_POLLED],
    ),
    "an override with two faults": (
        lambda c: c.load_model(
            "echo", config=json_config(max_batch_size=-1, instance_group=[{"count": -1}])
        ),
        "INVALID_ARGUMENT",
        ["max_batch_size: is -1", "instance_group[0].count"],
    ),
}


@pytest.mark.parametrize(("load", "status", "fragments"), LOADS.values(), ids=LOADS)
def test_a_load_that_fails_says_why_and_what_served_serves_on(
    explicit: triton.InferenceServerClient,
    load: Callable[[triton.InferenceServerClient], object],
    status: str,
    fragments: list[str],
) -> None:
    code, text = refused(lambda: load(explicit))
    assert code == f"StatusCode.{status}"
    for fragment in fragments:
        assert fragment in text
    assert "/tmp" not in text
    assert echo(explicit) == "1"


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_clients_load_nothing_unless_the_mode_is_explicit(tmp_path: Path, mode: str) -> None:
    add_model(tmp_path, "echo")
    with serving(tmp_path, f"--model-control-mode={mode}") as server:
        client = triton.InferenceServerClient(server.address)
        for call in (client.load_model, client.unload_model):
            status, text = refused(lambda call=call: call("echo"))  # type: ignore[misc]
            assert status == "StatusCode.UNAVAILABLE"
            assert "explicit model load / unload is not allowed" in text
        assert echo(client) == "1"


def test_uploads_are_refused_unless_switched_on(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    with serving(tmp_path, "--model-control-mode=explicit", "--load-model=*") as server:
        client = triton.InferenceServerClient(server.address)
        files = {"file:1/model.fake": b""}
        status, text = refused(lambda: client.load_model("echo", config=json_config(), files=files))
        assert status == "StatusCode.UNIMPLEMENTED"
        assert "--allow-model-upload" in text
        assert echo(client) == "1"


class Callers:
    """Threads that ask without end, and note every request that failed."""

    def __init__(self, address: str, count: int = 4) -> None:
        self._address = address
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(count)
        self._count = count
        self.answers = 0
        self.failures: list[Exception] = []
        self.versions: set[str] = set()

    def __enter__(self) -> Callers:
        for model in ("echo", "pipe") * (self._count // 2):
            self._pool.submit(self._ask, model)
        return self

    def _ask(self, model: str) -> None:
        client = triton.InferenceServerClient(self._address)
        while not self._stop.is_set():
            try:
                self.versions.add(f"{model}/{echo(client, model)}")
                self.answers += 1
            except Exception as error:
                self.failures.append(error)
        client.close()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._pool.shutdown()


@pytest.mark.usefixtures("on_transport")
def test_twenty_reloads_and_changes_of_version_fail_no_request(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    folder = add_model(repository, "echo", fake_config(delay_us=2000))
    add_model(repository, "pipe", pipeline_config(["echo", "echo"]).replace("t1", "mid"))
    flags = ["--model-control-mode=explicit", "--load-model=*"]
    with serving(repository, *flags) as server, Callers(server.address) as callers:
        client = triton.InferenceServerClient(server.address)
        for turn in range(20):
            before = callers.answers
            if turn % 2:
                (folder / "config.pbtxt").write_text(fake_config(delay_us=2000 + turn))
            else:
                (folder / str(turn + 2)).mkdir()
            client.load_model("echo")
            if turn % 5 == 4:
                client.load_model("pipe")
            while callers.answers < before + 20:  # that they run on is part of the claim
                time.sleep(0.005)
        assert callers.failures == []
        assert {f"echo/{version}" for version in (1, 2, 10, 20)} <= callers.versions


def test_a_polled_repository_is_followed_under_load(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    folder = add_model(repository, "echo", fake_config(delay_us=2000))
    add_model(repository, "pipe", pipeline_config(["echo"]))
    flags = ["--model-control-mode=poll", "--repository-poll-secs=1"]
    with serving(repository, *flags) as server, Callers(server.address) as callers:
        client = triton.InferenceServerClient(server.address)

        def until(true: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 20
            while not true():
                assert time.monotonic() < deadline, index(client)
                time.sleep(0.05)

        made = folder / ".2"
        made.mkdir()
        (made / "weights").write_bytes(b"2")
        made.rename(folder / "2")
        until(lambda: "echo/2" in callers.versions)
        shutil.rmtree(folder / "1")
        (folder / "config.pbtxt").write_text(fake_config(max_batch_size=-1))
        until(lambda: "max_batch_size: is -1" in index(client)["echo/2"])
        assert index(client)["echo/2"].startswith("READY ")
        repository.rename(tmp_path / "away")
        until(lambda: "there is no such model repository" in index(client)["echo/2"])
        (tmp_path / "away" / "echo" / "config.pbtxt").write_text(fake_config(delay_us=1000))
        (tmp_path / "away").rename(repository)
        until(lambda: index(client) == {"echo/2": "READY", "pipe/1": "READY"})
        assert callers.failures == []


@pytest.mark.usefixtures("on_transport")
def test_streams_that_were_accepted_finish_on_the_version_that_took_them(tmp_path: Path) -> None:
    many = fake_config(
        batching="",
        max_batch_size=0,
        more="model_transaction_policy { decoupled: true }",
        answers_per_request=25,
        delay_us=20_000,
    )
    folder = add_model(tmp_path, "many", many)
    flags = ["--model-control-mode=explicit", "--load-model=*"]
    with serving(tmp_path, *flags) as server:
        client = triton.InferenceServerClient(server.address)
        answers: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
        client.start_stream(lambda result, error: answers.put((result, error)))
        tensor = triton.InferInput("IN", [3], "FP32")
        tensor.set_data_from_numpy(np.array([1, 2, 3], np.float32))
        client.async_stream_infer("many", [tensor])
        answers.get(timeout=10)  # it is under way
        (folder / "2").mkdir()
        client.load_model("many")
        assert client.get_model_metadata("many").versions == ["2"]
        unloading = threading.Thread(target=client.unload_model, args=("many",))
        unloading.start()
        for place in range(1, 25):
            result, error = answers.get(timeout=10)
            assert error is None
            answer = result.get_response()
            assert (answer.model_version, answer.parameters["answer"].int64_param) == ("1", place)
        unloading.join(10)
        assert set(index(client).values()) == {"UNAVAILABLE unloaded"}
        client.stop_stream()


def test_the_start_says_what_a_flag_asks_for_and_there_is_not(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    command = [sys.executable, "-m", "trivet", "serve", "--model-repository", str(tmp_path)]

    def told(*flags: str) -> str:
        ended = subprocess.run(
            [*command, "--grpc-port=0", "--allow-metrics=false", *flags],
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ended.returncode == 2
        return ended.stderr

    absent = told("--model-control-mode=explicit", "--load-model=nobody")
    assert "--load-model=nobody: there is no such model; name one of echo" in absent
    assert "--load-model: the control mode is 'none'" in told("--load-model", "echo")
