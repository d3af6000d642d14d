"""One look at the server: taken in the event loop, written as text elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

from trivet.errors import Code
from trivet.model.model import Model
from trivet.repository.entry import State
from trivet.repository.registry import UNLOADED, IndexEntry
from trivet.repository.telling import IDLE
from trivet.scheduling.instances import Death
from trivet.status.sources import Sources
from trivet.telemetry.exposition import Process, Sheet, text
from trivet.telemetry.failures import Reason
from trivet.telemetry.gpus import GpuFigures
from trivet.telemetry.histogram import ROW_BOUNDS, Histogram
from trivet.telemetry.host import HostFigures
from trivet.telemetry.otel.ledger import OTLP_KINDS
from trivet.telemetry.statistics import Statistics

T = TypeVar("T")

_NOT_LOADED = (UNLOADED, IDLE)


@dataclass(frozen=True, slots=True)
class _Served:
    """One ready version, with what has to be read in the event loop."""

    labels: tuple[str, str]
    statistics: Statistics
    pending: int
    rows: Sequence[tuple[int, int]]  # of a batch, and how many such batches
    instances: int
    busy_ns: Sequence[int]
    deaths: Mapping[Death, int]
    hung_threads: int
    cached: bool


class Observation:
    """Looks when it is asked; nothing is collected in between."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._process = Process()
        self._version = version("trivet")
        self._machine: tuple[HostFigures | None, Sequence[GpuFigures]] = (None, ())
        self._machine_ns: int | None = None  # when it was looked at last
        self._looking = asyncio.Lock()  # readers share one thread's work, and the machine's figures

    async def text(self) -> bytes:
        """What Prometheus reads."""
        return await self.written(text)

    async def written(self, write: Callable[[Sheet, Process], T]) -> T:
        """A look, as `write` has it; that is called in another thread."""
        async with self._looking:
            sheet = Sheet()
            for name, value, labels in self._of_the_server():
                sheet.add(name, value, *labels)
            served = [self._served(model) for model in self._sources.registry.models()]
            return await asyncio.to_thread(self._written, sheet, served, write)

    def _written(
        self, sheet: Sheet, served: Sequence[_Served], write: Callable[[Sheet, Process], T]
    ) -> T:
        for each in served:
            _add_version(sheet, each)
        for kind in self._sources.calls:
            for code, count in zip(Code, tuple(kind.codes), strict=True):
                if count or code is Code.OK:
                    sheet.add("trivet_requests_total", count, kind.task, kind.way, code.name)
            sheet.add_histogram("trivet_request_seconds", kind.took, kind.task, kind.way)
        for each_kind in OTLP_KINDS:
            ledger = self._sources.otlp.get(each_kind)
            sheet.add("trivet_otlp_sent_total", ledger.items_sent if ledger else 0, each_kind)
            sheet.add("trivet_otlp_dropped_total", ledger.items_dropped if ledger else 0, each_kind)
        self._add_machine(sheet)
        return write(sheet, self._process)

    def _of_the_server(self) -> Iterator[tuple[str, float, tuple[str, ...]]]:
        sources = self._sources
        yield "trivet_ready", sources.is_ready, ()
        yield "trivet_server_info", 1, (self._version,)
        for entry in sources.registry.index():
            yield from _states(entry)
        if (cache := sources.cache) is not None:
            yield "trivet_cache_bytes", cache.size, ()
            yield "trivet_cache_max_bytes", cache.max_bytes, ()
            yield "trivet_cache_entries", len(cache), ()
            yield "trivet_cache_evictions_total", cache.evictions, ()
        if (resources := sources.resources) is not None:
            for (name, device), (count, held) in resources.use.items():
                labels = (name, "" if device is None else str(device))
                yield "trivet_resource_permits", count, labels
                yield "trivet_resource_permits_held", held, labels
            yield "trivet_resource_waiting", resources.waiting, ()

    def _served(self, model: Model) -> _Served:
        now_ns = self._sources.clock.now_ns()
        return _Served(
            labels=(model.config.name, str(model.version)),
            statistics=model.statistics,
            pending=model.pending,
            rows=[
                (rows, batches.compute_infer.count)
                for rows, batches in model.statistics.batches.items()
            ],
            instances=sum(post.vacancy is None for post in model.posts),
            busy_ns=[post.busy_ns(now_ns) for post in model.posts],
            deaths=dict(model.deaths),
            hung_threads=model.hung_threads,
            cached=model.is_cached,
        )

    def _add_machine(self, sheet: Sheet) -> None:
        host, gpus = self._machine_figures()
        if host is not None:
            sheet.add("nv_cpu_utilization", host.cpu_utilization)
            sheet.add("nv_cpu_memory_total_bytes", host.memory_total)
            sheet.add("nv_cpu_memory_used_bytes", host.memory_used)
        for gpu in gpus:
            for name, value in _of_a_gpu(gpu).items():
                if value is not None:
                    sheet.add(name, value, gpu.uuid)

    def _machine_figures(self) -> tuple[HostFigures | None, Sequence[GpuFigures]]:
        sources, now_ns = self._sources, self._sources.clock.now_ns()
        if self._machine_ns is None or now_ns - self._machine_ns >= sources.interval_ms * 1e6:
            host = sources.host.figures() if sources.host else None
            self._machine = host, sources.gpus.figures() if sources.gpus else ()
            self._machine_ns = now_ns
        return self._machine


def _states(entry: IndexEntry) -> Iterator[tuple[str, float, tuple[str, ...]]]:
    """One that nobody has asked to load, or that was unloaded, has none."""
    if entry.state is State.UNAVAILABLE and entry.reason in _NOT_LOADED:
        return
    for state in State:
        labels = (entry.name, str(entry.version), state.value)
        yield "trivet_model_state", entry.state is state, labels


def _add_version(sheet: Sheet, served: _Served) -> None:
    labels, counted = served.labels, served.statistics
    _add_tritons(sheet, served)
    sheet.add_histogram("trivet_model_request_seconds", counted.histograms.request, *labels)
    sheet.add_histogram("trivet_queue_seconds", counted.histograms.queue, *labels)
    stages = {
        "input": counted.histograms.compute_input,
        "infer": counted.histograms.compute_infer,
        "output": counted.histograms.compute_output,
    }
    for stage, histogram in stages.items():
        sheet.add_histogram("trivet_compute_seconds", histogram, *labels, stage)
    rows = Histogram(ROW_BOUNDS)
    for size, batches in served.rows:
        rows.add(size, batches)
    sheet.add_histogram("trivet_batch_rows", rows, *labels, per_unit=1)
    sheet.add("trivet_tokens_total", counted.tokens, *labels)
    sheet.add("trivet_padding_tokens_total", counted.padding_tokens, *labels)
    sheet.add("trivet_truncated_requests_total", counted.truncated, *labels)
    sheet.add("trivet_model_memory_bytes", counted.memory_bytes, *labels)
    sheet.add("trivet_instances", served.instances, *labels)
    for how, deaths in served.deaths.items():
        sheet.add("trivet_instance_deaths_total", deaths, *labels, how)
    sheet.add("trivet_hung_threads", served.hung_threads, *labels)
    for number, busy_ns in enumerate(served.busy_ns):
        sheet.add("trivet_instance_busy_seconds_total", busy_ns / 1e9, *labels, str(number))


def _add_tritons(sheet: Sheet, served: _Served) -> None:
    labels, counted = served.labels, served.statistics
    sheet.add("nv_inference_request_success", counted.success.count, *labels)
    for reason in Reason:
        failures = counted.failures[reason]
        sheet.add("nv_inference_request_failure", failures, *labels, reason.name)
    sheet.add("nv_inference_count", counted.inference_count, *labels)
    sheet.add("nv_inference_exec_count", counted.execution_count, *labels)
    sheet.add("nv_inference_pending_request_count", served.pending, *labels)
    durations = {
        "request": counted.success,
        "queue": counted.queue,
        "compute_input": counted.compute_input,
        "compute_infer": counted.compute_infer,
        "compute_output": counted.compute_output,
    }
    for name, duration in durations.items():
        sheet.add(f"nv_inference_{name}_duration_us", duration.ns // 1000, *labels)
    if served.cached:
        hit, miss = counted.cache_hit, counted.cache_miss
        sheet.add("nv_cache_num_hits_per_model", hit.count, *labels)
        sheet.add("nv_cache_num_misses_per_model", miss.count, *labels)
        sheet.add("nv_cache_hit_duration_per_model", hit.ns // 1000, *labels)
        sheet.add("nv_cache_miss_duration_per_model", miss.ns // 1000, *labels)


def _of_a_gpu(gpu: GpuFigures) -> Mapping[str, float | None]:
    return {
        "nv_gpu_utilization": gpu.utilization,
        "nv_gpu_memory_total_bytes": gpu.memory_total,
        "nv_gpu_memory_used_bytes": gpu.memory_used,
        "nv_gpu_power_usage": gpu.power,
        "nv_gpu_power_limit": gpu.power_limit,
        "nv_energy_consumption": gpu.energy,
    }
