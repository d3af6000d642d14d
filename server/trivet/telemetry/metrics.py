"""Every metric there is: one table, of which the endpoint, its docs and its tests are made.

Those of Triton's are named and meant as there, so that dashboards move over: they count
microseconds, and their counters do not end in _total. Ours begin with trivet_ and count seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """labels: their values come from the models there are, or from fixed tables."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()


_OF_A_VERSION = ("model", "version")
_OF_A_GPU = ("gpu_uuid",)
_OF_A_TASK = ("task", "kind")


def _counter(name: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(Kind.COUNTER, name, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(Kind.GAUGE, name, help, labels)


def _histogram(name: str, help: str, *labels: str) -> Metric:  # noqa: A002
    return Metric(Kind.HISTOGRAM, name, help, labels)


METRICS = (
    _counter(
        "nv_inference_request_success",
        "Requests that were answered; one of many rows is one",
        *_OF_A_VERSION,
    ),
    _counter(
        "nv_inference_request_failure",
        "Requests that failed: REJECTED by the queue, CANCELED by the caller or its deadline,"
        " BACKEND: the model or its engine raised, OTHER",
        *_OF_A_VERSION,
        "reason",
    ),
    _counter("nv_inference_count", "Rows computed, without those from the cache", *_OF_A_VERSION),
    _counter("nv_inference_exec_count", "Batches computed", *_OF_A_VERSION),
    _counter(
        "nv_inference_request_duration_us",
        "Microseconds of answered requests from validation to answer, those from the cache too",
        *_OF_A_VERSION,
    ),
    _counter(
        "nv_inference_queue_duration_us", "Microseconds they waited in the queue", *_OF_A_VERSION
    ),
    _counter(
        "nv_inference_compute_input_duration_us",
        "Microseconds that merging inputs took",
        *_OF_A_VERSION,
    ),
    _counter(
        "nv_inference_compute_infer_duration_us",
        "Microseconds that the engine took",
        *_OF_A_VERSION,
    ),
    _counter(
        "nv_inference_compute_output_duration_us",
        "Microseconds that cutting outputs took",
        *_OF_A_VERSION,
    ),
    _gauge(
        "nv_inference_pending_request_count",
        "Requests that wait for an instance now",
        *_OF_A_VERSION,
    ),
    _counter(
        "nv_cache_num_hits_per_model", "Requests answered from the response cache", *_OF_A_VERSION
    ),
    _counter("nv_cache_num_misses_per_model", "Requests looked for there in vain", *_OF_A_VERSION),
    _counter(
        "nv_cache_hit_duration_per_model", "Microseconds of looking, for hits", *_OF_A_VERSION
    ),
    _counter(
        "nv_cache_miss_duration_per_model",
        "Microseconds of looking and keeping, for misses",
        *_OF_A_VERSION,
    ),
    _gauge("nv_cpu_utilization", "Of all cores of the machine, 0 to 1, since the last figures"),
    _gauge("nv_cpu_memory_total_bytes", "Memory of the machine"),
    _gauge("nv_cpu_memory_used_bytes", "Memory of the machine that nobody could have now"),
    _gauge("nv_gpu_utilization", "0 to 1", *_OF_A_GPU),
    _gauge("nv_gpu_memory_total_bytes", "Memory of the GPU", *_OF_A_GPU),
    _gauge("nv_gpu_memory_used_bytes", "Memory of the GPU that is taken", *_OF_A_GPU),
    _gauge("nv_gpu_power_usage", "Watts", *_OF_A_GPU),
    _gauge("nv_gpu_power_limit", "Watts at most", *_OF_A_GPU),
    _counter("nv_energy_consumption", "Joules since the server started", *_OF_A_GPU),
    _counter(
        "trivet_requests_total",
        "Requests by task, kind (a call, or a message of a stream) and status of gRPC; those that"
        " were refused before they reached a model included",
        *_OF_A_TASK,
        "code",
    ),
    _histogram(
        "trivet_request_seconds",
        "What they took in the server, from bytes to bytes",
        *_OF_A_TASK,
    ),
    _histogram(
        "trivet_model_request_seconds",
        "What answered requests of a model took, from validation to answer",
        *_OF_A_VERSION,
    ),
    _histogram(
        "trivet_queue_seconds", "Time from queued to taken into a batch, by request", *_OF_A_VERSION
    ),
    _histogram(
        "trivet_compute_seconds",
        "Time of a batch by stage: input (merged), infer (computed), output (cut)",
        *_OF_A_VERSION,
        "stage",
    ),
    _histogram("trivet_batch_rows", "Rows of a batch", *_OF_A_VERSION),
    _counter(
        "trivet_tokens_total",
        "Tokens of texts that batches by length computed",
        *_OF_A_VERSION,
    ),
    _counter(
        "trivet_padding_tokens_total", "Tokens computed beside them for nothing", *_OF_A_VERSION
    ),
    _counter(
        "trivet_truncated_requests_total",
        "Answered requests of which a text was cut to the model's length",
        *_OF_A_VERSION,
    ),
    _gauge(
        "trivet_model_state",
        "1 for the state a version is in, 0 for the others; one that is not loaded has none",
        *_OF_A_VERSION,
        "state",
    ),
    _gauge("trivet_model_memory_bytes", "Growth of the process at its load", *_OF_A_VERSION),
    _gauge("trivet_instances", "Instances that are there to run batches", *_OF_A_VERSION),
    _counter(
        "trivet_instance_deaths_total",
        "Instances that ended before their time, by how: died (its process ended, its device was"
        " lost) or hung (it took too long and was given up)",
        *_OF_A_VERSION,
        "how",
    ),
    _gauge(
        "trivet_hung_threads",
        "Threads that hang in the model's engine and were given up",
        *_OF_A_VERSION,
    ),
    _counter(
        "trivet_instance_busy_seconds_total",
        "Time that each instance had a batch; divided by time it is its load",
        *_OF_A_VERSION,
        "instance",
    ),
    _gauge("trivet_ready", "1 if the server is ready for requests, 0 while it loads or drains"),
    _gauge("trivet_server_info", "1; its version is a label", "version"),
    _gauge("trivet_cache_bytes", "Bytes that the response cache takes"),
    _gauge("trivet_cache_max_bytes", "Bytes that it may take"),
    _gauge("trivet_cache_entries", "Answers in it"),
    _counter("trivet_cache_evictions_total", "Answers that made room for others"),
    _gauge(
        "trivet_resource_permits",
        "Permits of a resource of the rate limiter; device: empty for one of all devices",
        "resource",
        "device",
    ),
    _gauge("trivet_resource_permits_held", "Those that instances hold now", "resource", "device"),
    _gauge("trivet_resource_waiting", "Instances with a batch that wait for resources"),
    _counter(
        "trivet_otlp_sent_total",
        "Spans, and looks at metrics, that a collector took; kind: traces, metrics",
        "kind",
    ),
    _counter(
        "trivet_otlp_dropped_total",
        "Those that were lost: the collector was away or slow, and no more could wait",
        "kind",
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}
