"""docker/kserve: made as KServe's v1alpha1 and v1beta1 have it, with settings that the server has.

The schema is ours, of what is used alone; containers and volumes are held against Kubernetes' own.
"""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.harness.toolchains import needs
from tests.unit.docker.deployed import document, settings
from tests.unit.docker.test_compose import TEXT, closed
from tests.unit.docker.test_kubernetes import page_paths

# What KServe calls its protocols.
PROTOCOLS = ["v1", "v2", "grpc-v1", "grpc-v2"]
METADATA = closed(
    ("name",),
    name=TEXT,
    labels={"type": "object", "additionalProperties": TEXT},
    annotations={"type": "object", "additionalProperties": TEXT},
)
RUNTIME = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "serving.kserve.io/v1alpha1"},
    kind={"const": "ServingRuntime"},
    metadata=METADATA,
    spec=closed(
        ("supportedModelFormats", "containers"),
        annotations={"type": "object", "additionalProperties": TEXT},
        supportedModelFormats={
            "type": "array",
            "minItems": 1,
            "items": closed(("name",), name=TEXT, version=TEXT, autoSelect={"type": "boolean"}),
        },
        protocolVersions={"type": "array", "items": {"enum": PROTOCOLS}},
        multiModel={"const": False},
        containers={"type": "array", "minItems": 1, "items": {"type": "object"}},
        volumes={"type": "array", "items": {"type": "object"}},
    ),
)
COUNT = {"type": "integer", "minimum": 1}
SERVICE = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "serving.kserve.io/v1beta1"},
    kind={"const": "InferenceService"},
    metadata=METADATA,
    spec=closed(
        ("predictor",),
        predictor=closed(
            ("model",),
            minReplicas=COUNT,
            maxReplicas=COUNT,
            model=closed(
                ("modelFormat", "storageUri"),
                modelFormat=closed(("name",), name=TEXT, version=TEXT),
                runtime=TEXT,
                protocolVersion={"enum": PROTOCOLS},
                storageUri={"type": "string", "pattern": "^(pvc|s3|gs|hf|https)://"},
            ),
        ),
    ),
)


@pytest.fixture
def runtime() -> dict[str, Any]:
    return dict(document("ServingRuntime")["spec"])


@pytest.fixture
def container(runtime: dict[str, Any]) -> dict[str, Any]:
    (only,) = runtime["containers"]
    return dict(only)


def test_both_are_made_as_kserve_wants_them() -> None:
    jsonschema.validate(document("ServingRuntime"), RUNTIME)
    jsonschema.validate(document("InferenceService", "texts"), SERVICE)


@needs("system")
def test_kubernetes_takes_the_runtimes_pod(runtime: dict[str, Any]) -> None:
    import kubernetes_validate

    parts = {key: runtime[key] for key in ("containers", "volumes")}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": parts}
    kubernetes_validate.validate(pod, "1.37", strict=True)


def test_the_service_asks_for_what_the_runtime_offers(runtime: dict[str, Any]) -> None:
    model = document("InferenceService", "texts")["spec"]["predictor"]["model"]
    assert model["runtime"] == document("ServingRuntime")["metadata"]["name"]
    assert model["protocolVersion"] in runtime["protocolVersions"]
    offered = [(each["name"], each["version"]) for each in runtime["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in offered
    _, _, claim = model["storageUri"].partition("://")
    assert document("PersistentVolumeClaim", claim)


def test_the_container_is_such_as_kserve_finds_and_the_server_starts(
    runtime: dict[str, Any], container: dict[str, Any]
) -> None:
    args = settings(container["args"], {}).args
    assert container["name"] == "kserve-container"
    # Where KServe puts what storageUri names.
    assert [str(path) for path in args.model_repository] == ["/mnt/models"]
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == ("h2c", args.grpc_port)
    assert args.grpc_address == args.metrics_address == "0.0.0.0"
    scraped = runtime["annotations"]
    assert scraped["prometheus.kserve.io/port"] == str(args.metrics_port)
    assert scraped["prometheus.kserve.io/path"] in page_paths()
    live = container["livenessProbe"]["httpGet"]
    assert (live["path"] in page_paths(), live["port"]) == (True, args.metrics_port)
    assert container["readinessProbe"]["grpc"]["port"] == args.grpc_port
    assert args.shutdown_delay_secs + args.exit_timeout_secs + 3 <= 30  # Kubernetes' default


def test_it_runs_as_the_deployment_does(container: dict[str, Any]) -> None:
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"] is own["runAsNonRoot"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    deployed = document("Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == deployed["image"]
    assert container["resources"] == deployed["resources"]
