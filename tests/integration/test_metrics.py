"""Metrics over HTTP, of a real server that was asked real things."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.utils import InferenceServerException

from tests.harness.command import trivet
from tests.harness.dashboards import DASHBOARDS, load, names, queries
from tests.harness.repositories import add_model, fake_config, pipeline_config
from tests.harness.server import ServerProcess, serving
from trivet.telemetry.metrics import METRICS, Kind
from trivet.transport.options import Transport
from trivet_client import Client

METRICS_FLAG = "--metrics-port=0"
HELD = """
    dynamic_batching { max_queue_delay_microseconds: 60000000 preferred_batch_size: 4
        default_queue_policy { max_queue_size: 2 } }
"""
STATES = {"LOADING", "READY", "UNLOADING", "UNAVAILABLE"}


@dataclass(frozen=True)
class Page:
    """One look at /metrics."""

    text: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def of(self, name: str, model: str, **labels: str) -> float:
        return self.value(name, model=model, version="1", **labels)

    def models(self) -> set[str]:
        return {value for _, labels in self.samples for name, value in labels if name == "model"}

    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


@dataclass(frozen=True)
class Told:
    """An answer of HTTP."""

    status: int
    body: str
    headers: dict[str, str]


def get(url: str, token: str = "", method: str = "GET") -> Told:
    asked = urllib.request.Request(url, method=method)
    if token:
        asked.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return Told(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        return Told(error.code, error.read().decode(), dict(error.headers))


@dataclass(frozen=True)
class Watched:
    """A server whose metrics are read."""

    server: ServerProcess
    url: str  # without a path

    def page(self) -> Page:
        told = get(f"{self.url}/metrics")
        assert told.status == 200, told
        samples = {}
        for family in text_string_to_metric_families(told.body):
            for sample in family.samples:
                name = sample.name
                if name.startswith("nv_"):  # the parser gives every counter the ending
                    name = name.removesuffix("_total")
                key = (name, frozenset(sample.labels.items()))
                assert key not in samples, "the same sample twice"
                samples[key] = sample.value
        return Page(told.body, samples)

    @contextmanager
    def client(self) -> Iterator[triton.InferenceServerClient]:
        with triton.InferenceServerClient(self.server.address) as client:
            yield client

    def wait_for(self, what: str, wanted: float, **labels: str) -> Page:
        """Look until a value is there; nothing else is decided by the time it takes."""
        ends = time.monotonic() + 20
        while (page := self.page()).samples.get((what, frozenset(labels.items()))) != wanted:
            assert time.monotonic() < ends, (what, labels, wanted)
        return page


@contextmanager
def watched(repository: Path, *flags: str) -> Iterator[Watched]:
    with serving(repository, METRICS_FLAG, *flags) as server:
        assert server.metrics
        yield Watched(server, server.metrics.removesuffix("/metrics"))


def infer(client: triton.InferenceServerClient, model: str, *values: float, rows: int = 1) -> None:
    tensor = triton.InferInput("IN", [rows, len(values)], "FP32")
    tensor.set_data_from_numpy(np.array([values] * rows, np.float32))
    client.infer(model, [tensor])


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory, transport: Transport) -> Iterator[Watched]:
    repository = tmp_path_factory.mktemp("watched")
    add_model(repository, "echo")
    add_model(repository, "cached", fake_config(more="response_cache { enable: true }"))
    by_length = "dynamic_batching { max_queue_delay_microseconds: 60000000 }"
    length = fake_config(
        batching=by_length, max_batch_size=2, max_batch_tokens=100, **{"symbols.IN": "length"}
    )
    add_model(repository, "long", length)
    add_model(repository, "picky", fake_config(poison="666.0"))
    add_model(repository, "both", pipeline_config(["echo", "picky"]))
    add_model(repository, "held", fake_config(batching=HELD))
    add_model(repository, "leaves")
    limited = "instance_group { count: 1 rate_limiter { resources { name: 'R1' count: 1 } } }"
    add_model(repository, "limited", fake_config(more=limited))
    flags = ("--cache-config=local,size=100000", "--model-control-mode=explicit")
    on = f"--transport={transport}"
    loads = [f"--load-model={path.name}" for path in repository.iterdir()]
    with watched(repository, *flags, *loads, "--rate-limit=execution_count", on) as watch:
        yield watch


def test_counts_of_a_known_load_are_right(watch: Watched) -> None:
    before = watch.page()
    with watch.client() as client:
        for rows in (1, 3, 8):
            infer(client, "echo", 1.0, 2.0, rows=rows)
    page = watch.page()

    def gained(name: str, **labels: str) -> float:
        key = (name, frozenset({"model": "echo", "version": "1", **labels}.items()))
        return page.samples[key] - before.samples.get(key, 0)

    assert gained("nv_inference_request_success") == 3
    assert gained("nv_inference_count") == 12
    assert gained("nv_inference_exec_count") == 3
    assert page.of("nv_inference_pending_request_count", "echo") == 0
    for stage in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
        assert gained(f"nv_inference_{stage}_duration_us") > 0
    assert gained("trivet_batch_rows_count") == 3
    assert gained("trivet_batch_rows_sum") == 12
    assert [gained("trivet_batch_rows_bucket", le=le) for le in ("1.0", "2.0", "4.0", "8.0")] == [
        *(1, 1, 2, 3)
    ]
    assert gained("trivet_model_request_seconds_count") == 3
    assert gained("trivet_queue_seconds_count") == 3
    for stage in ("input", "infer", "output"):
        assert gained("trivet_compute_seconds_count", stage=stage) == 3
    total_us = gained("nv_inference_request_duration_us")
    assert gained("trivet_model_request_seconds_sum") == pytest.approx(total_us / 1e6, abs=5e-6)
    busy = gained("trivet_instance_busy_seconds_total", instance="0")
    assert 0 < busy <= gained("trivet_model_request_seconds_sum")
    asked = {"task": "Infer", "kind": "call"}
    told = page.value("trivet_requests_total", code="OK", **asked)
    assert told - before.value("trivet_requests_total", code="OK", **asked) == 3


def test_failures_are_told_apart(watch: Watched) -> None:
    before = watch.page()
    with watch.client() as client:
        with pytest.raises(InferenceServerException, match="poisoned"):
            infer(client, "both", 666.0)
        with pytest.raises(InferenceServerException, match="split the request"):
            infer(client, "picky", 1.0, rows=9)
        with pytest.raises(InferenceServerException, match="unknown model"):
            infer(client, "nobody", 1.0)
    page = watch.page()
    reasons = {
        model: {
            reason: page.of("nv_inference_request_failure", model, reason=reason)
            - before.of("nv_inference_request_failure", model, reason=reason)
            for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
        }
        for model in ("picky", "both")
    }
    nothing = dict.fromkeys(("REJECTED", "CANCELED", "BACKEND", "OTHER"), 0)
    assert reasons["picky"] == {**nothing, "BACKEND": 1, "OTHER": 1}
    assert reasons["both"] == {**nothing, "BACKEND": 1}
    asked = {"task": "Infer", "kind": "call"}
    assert page.value("trivet_requests_total", code="NOT_FOUND", **asked) >= 1
    assert "nobody" not in page.models()


def test_hits_and_misses_of_the_cache(watch: Watched) -> None:
    with watch.client() as client:
        for value in (1.0, 2.0, 1.0, 1.0):
            infer(client, "cached", value)
    page = watch.page()
    assert page.of("nv_cache_num_hits_per_model", "cached") == 2
    assert page.of("nv_cache_num_misses_per_model", "cached") == 2
    assert page.of("nv_inference_request_success", "cached") == 4
    assert page.of("nv_inference_count", "cached") == 2
    assert page.value("trivet_cache_entries") == 2
    assert 0 < page.value("trivet_cache_bytes") <= page.value("trivet_cache_max_bytes") == 100_000
    assert page.value("trivet_cache_evictions_total") == 0
    assert 'nv_cache_num_hits_per_model{model="echo"' not in page.text


def test_tokens_and_padding(watch: Watched) -> None:
    with watch.client() as client, watch.client() as other:
        first = threading.Thread(target=infer, args=(client, "long", 1.0, 2.0, 3.0))
        first.start()
        watch.wait_for("nv_inference_pending_request_count", 1, model="long", version="1")
        infer(other, "long", 1.0)
        first.join(10)
    page = watch.page()
    assert page.of("trivet_tokens_total", "long") == 4
    assert page.of("trivet_padding_tokens_total", "long") == 2
    assert page.of("trivet_batch_rows_sum", "long") == 2


def test_what_waits_is_pending_and_what_is_turned_away_is_rejected(watch: Watched) -> None:
    here = {"model": "held", "version": "1"}
    with watch.client() as client:
        tensor = triton.InferInput("IN", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 1), np.float32))
        answered = threading.Semaphore(0)
        calls = [
            client.async_infer("held", [tensor], lambda result, error: answered.release())
            for _ in range(2)
        ]
        watch.wait_for("nv_inference_pending_request_count", 2, **here)
        with pytest.raises(InferenceServerException, match="exceeds maximum queue size"):
            infer(client, "held", 1.0)
        calls[0].cancel()
        page = watch.wait_for("nv_inference_pending_request_count", 1, **here)
        assert page.of("nv_inference_request_failure", "held", reason="REJECTED") == 1
        calls[1].cancel()
        page = watch.wait_for("nv_inference_pending_request_count", 0, **here)
        assert page.of("nv_inference_request_failure", "held", reason="CANCELED") == 2
        assert page.of("nv_inference_request_success", "held") == 0


def test_messages_of_a_stream_are_counted_by_what_they_are_told(watch: Watched) -> None:
    answers: list[object] = []
    done = threading.Semaphore(0)

    def note(result: object, error: object) -> None:
        answers.append(error)
        done.release()

    with watch.client() as client:
        client.start_stream(note)
        for value in (1.0, 666.0, 2.0):
            tensor = triton.InferInput("IN", [1, 1], "FP32")
            tensor.set_data_from_numpy(np.array([[value]], np.float32))
            client.async_stream_infer("picky", [tensor])
        for _ in range(3):
            assert done.acquire(timeout=10)
        client.stop_stream()
    page = watch.page()
    asked = {"task": "Infer", "kind": "message"}
    assert page.value("trivet_requests_total", code="OK", **asked) == 2
    assert page.value("trivet_requests_total", code="INTERNAL", **asked) == 1
    assert page.value("trivet_request_seconds_count", **asked) == 3


def test_a_task_is_counted_under_its_name_and_what_is_no_task_is_not(watch: Watched) -> None:
    with Client(watch.server.address) as client, pytest.raises(Exception, match="lacks"):
        client.embed(["a text"], model="echo")
    page = watch.page()
    asked = {"task": "Embed", "kind": "call"}
    assert page.value("trivet_requests_total", code="INVALID_ARGUMENT", **asked) == 1
    tasks = {value for _, labels in page.samples for name, value in labels if name == "task"}
    assert "ServerReady" not in tasks
    assert {"Infer", "FillMask", "Embed", "NextSentence"} <= tasks


def test_an_unloaded_model_vanishes(watch: Watched) -> None:
    assert "leaves" in watch.page().models()
    with watch.client() as client:
        client.unload_model("leaves")
    assert "leaves" not in watch.page().models()
    with watch.client() as client:
        client.load_model("leaves")
    page = watch.page()
    told = {state: page.of("trivet_model_state", "leaves", state=state) for state in STATES}
    assert told == {state: float(state == "READY") for state in STATES}
    assert page.value("trivet_ready") == 1


def test_every_name_of_the_table_is_told_and_no_other_of_ours(watch: Watched) -> None:
    with watch.client() as client:
        for model in ("echo", "cached", "limited"):
            infer(client, model, 9.0)
    page = watch.page()
    suffix = {Kind.HISTOGRAM: "_count"}
    told = {metric.name + suffix.get(metric.kind, "") for metric in METRICS}
    gpus = {name for name in told if name.startswith(("nv_gpu_", "nv_energy"))}
    assert told - page.names() <= gpus
    ours = {name for name in page.names() if name.startswith(("nv_", "trivet_"))}
    of_histograms = {name for name in ours if name.endswith(("_bucket", "_sum"))}
    assert ours - of_histograms <= told
    for metric in METRICS:
        if metric.name in ours:
            assert f"# TYPE {metric.name} {metric.kind}\n" in page.text
    assert page.value("process_resident_memory_bytes") > 1e6
    assert page.value("process_open_fds") > 3
    assert 0 <= page.value("nv_cpu_utilization") <= 1
    memory = page.value("nv_cpu_memory_used_bytes"), page.value("nv_cpu_memory_total_bytes")
    assert 0 < memory[0] < memory[1]
    assert page.value("trivet_resource_permits", resource="R1", device="0") == 1
    assert page.value("trivet_resource_permits_held", resource="R1", device="0") == 0


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_reads_nothing_that_is_not_told(watch: Watched, path: Path) -> None:
    with watch.client() as client:
        for model in ("echo", "cached"):
            infer(client, model, 5.0)
    told = watch.page().names()
    asked = {name for _, query, _ in queries(load(path)) for name in names(query)}
    on_a_gpu = {name for name in asked if name.startswith("nv_gpu_")}
    assert asked - told <= on_a_gpu
    assert len(asked & told) > 20


def test_probes_and_pages_that_are_not_there(watch: Watched) -> None:
    assert get(f"{watch.url}/v2/health/live").status == 200
    assert get(f"{watch.url}/v2/health/ready").status == 200
    head = get(f"{watch.url}/metrics", method="HEAD")
    assert (head.status, head.body) == (200, "")
    missing = get(f"{watch.url}/nothing")
    assert missing.status == 404
    assert "/metrics" in missing.body
    posted = get(f"{watch.url}/metrics", method="POST")
    assert posted.status == 405
    assert posted.headers["allow"] == "GET, HEAD"


def test_not_ready_is_said_first_and_the_page_goes_last(tmp_path: Path) -> None:
    add_model(tmp_path, "slow", fake_config(delay_us=1_500_000))
    with watched(tmp_path) as watch, watch.client() as client:
        answered: list[object] = []
        tensor = triton.InferInput("IN", [1, 1], "FP32")
        tensor.set_data_from_numpy(np.ones((1, 1), np.float32))
        client.async_infer("slow", [tensor], lambda result, error: answered.append(error))
        while not watch.page().of("trivet_instance_busy_seconds_total", "slow", instance="0"):
            pass
        watch.server.process.terminate()
        while get(f"{watch.url}/v2/health/ready").status == 200:
            pass
        # The request is still under way, and what is told goes on being told.
        page = watch.page()
        assert page.value("trivet_ready") == 0
        assert page.of("nv_inference_request_success", "slow") == 0
        assert get(f"{watch.url}/v2/health/live").status == 200
        assert watch.server.process.wait(20) == 0
        assert answered == [None]


def test_while_models_load_it_lives_and_is_not_ready(tmp_path: Path) -> None:
    add_model(tmp_path, "slow", fake_config(delay_us=1_000_000))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    seen: list[tuple[int, int]] = []
    served = threading.Event()

    def probe() -> None:
        while not served.is_set():
            with suppress(urllib.error.URLError, ConnectionError):  # not there yet
                seen.append(
                    (get(f"{url}/v2/health/live").status, get(f"{url}/v2/health/ready").status)
                )

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        with serving(tmp_path, f"--metrics-port={port}"):
            served.set()
            prober.join(20)
            assert seen[0] == (200, 503)
            assert get(f"{url}/v2/health/ready").status == 200
    finally:
        served.set()
        prober.join(20)


def test_a_token_with_the_role_observe_is_asked_for(tmp_path: Path) -> None:
    add_model(tmp_path / "models", "echo")
    tokens = tmp_path / "tokens"
    infers, observes = "infer-token-0123456789", "observe-token-0123456789"
    tokens.write_text(f"infer {infers}\nobserve {observes}\n")
    tokens.chmod(0o600)
    with watched(tmp_path / "models", "--token-file", str(tokens)) as watch:
        refused = get(f"{watch.url}/metrics")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert get(f"{watch.url}/metrics", "someone-elses-token-01234").status == 401
        assert get(f"{watch.url}/metrics", infers).status == 403
        told = get(f"{watch.url}/metrics", observes)
        assert told.status == 200
        assert "nv_inference_request_success" in told.body
        assert get(f"{watch.url}/v2/health/ready").status == 200


def test_a_port_in_use_is_one_clear_line(watch: Watched, tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    port = watch.url.rpartition(":")[2]
    ended = trivet(
        "serve", "--model-repository", tmp_path, "--grpc-port=0", f"--metrics-port={port}"
    )
    assert ended.status == 2
    assert ended.errors == [
        f"metrics: 127.0.0.1:{port}: address already in use; stop what uses it, or choose another"
        " with --metrics-port (0 takes a free one)"
    ]
    assert "serving on" not in ended.out


def test_switched_off_there_is_no_port(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    with serving(tmp_path, "--allow-metrics=false", "--metrics-port=1") as server:
        assert server.metrics is None


def test_figures_of_the_machine_can_be_switched_off(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    with watched(tmp_path, "--allow-cpu-metrics=false", "--allow-gpu-metrics=0") as watch:
        names = watch.page().names()
    assert "trivet_ready" in names
    assert not {name for name in names if name.startswith(("nv_cpu_", "nv_gpu_", "nv_energy"))}


def test_a_page_that_the_network_can_read_is_warned_of(tmp_path: Path) -> None:
    add_model(tmp_path / "models", "echo")
    log = tmp_path / "log"
    with serving(tmp_path / "models", METRICS_FLAG, "--metrics-address=0.0.0.0", log=log) as server:
        assert server.metrics
        address = server.metrics.removeprefix("http://").removesuffix("/metrics")
        assert get(server.metrics.replace("0.0.0.0", "127.0.0.1")).status == 200
    warnings = [line for line in log.read_text().splitlines() if "open_to_the_network" in line]
    assert len(warnings) == 2
    assert all(f"address={address} " in warning for warning in warnings)
    assert "--allow-playground=false" in warnings[1]
