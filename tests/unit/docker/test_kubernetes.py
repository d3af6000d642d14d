"""docker/kubernetes: Kubernetes takes it, its parts fit one another and what the server has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.dashboards import labels
from tests.harness.toolchains import needs
from tests.unit.docker.deployed import (
    DOCKER,
    KUBERNETES,
    document,
    documents,
    pod,
    settings,
)
from trivet.status import pages
from trivet.telemetry.metrics import METRICS, Kind

UNLOADING_S = 3  # what engines get after the exit timeout


@pytest.fixture
def container() -> dict[str, Any]:
    (only,) = pod()["spec"]["containers"]
    return dict(only)


@pytest.fixture
def args(tmp_path: Path, container: dict[str, Any]) -> Any:
    """What the server reads of the ConfigMap, through the path of its mount."""
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "settings")
    command, flag = container["args"]
    name, _, path = flag.partition("=")
    folder, _, file = path.rpartition("/")
    assert (name, folder) == ("--settings-file", mount["mountPath"])
    (tmp_path / file).write_text(document("ConfigMap")["data"][file])
    return settings([command, f"{name}={tmp_path / file}"], {}).args


@needs("system")
@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)
def test_kubernetes_takes_it(path: Path) -> None:
    import kubernetes_validate

    for each in documents(path):
        kubernetes_validate.validate(each, "1.37", strict=True)


def test_kustomize_has_every_file_but_the_adapters() -> None:
    content = yaml.safe_load((DOCKER / "kubernetes" / "kustomization.yaml").read_text())
    assert set(content) == {"apiVersion", "kind", "resources", "images"}
    assert sorted(content["resources"]) == sorted(
        path.name for path in KUBERNETES if path.name != "metrics-adapter.yaml"
    )
    (image,) = content["images"]
    assert pod()["spec"]["containers"][0]["image"] == f"{image['name']}:{image['newTag']}"


def test_whatever_selects_pods_selects_these() -> None:
    given = pod()["metadata"]["labels"].items()
    spec = pod()["spec"]
    selectors = [
        document("Deployment")["spec"]["selector"]["matchLabels"],
        document("Service")["spec"]["selector"],
        document("Service", "trivet-pods")["spec"]["selector"],
        document("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        document("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in spec["topologySpreadConstraints"]),
    ]
    assert all(selector and selector.items() <= given for selector in selectors)
    target = document("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    deployment = document("Deployment")
    assert (target["apiVersion"], target["kind"], target["name"]) == (
        deployment["apiVersion"],
        deployment["kind"],
        deployment["metadata"]["name"],
    )


def test_what_is_mounted_is_there(container: dict[str, Any], args: Any) -> None:
    volumes = {each["name"]: each for each in pod()["spec"]["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == set(volumes)
    assert volumes["settings"]["configMap"]["name"] == "trivet"
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert document("PersistentVolumeClaim", claim)
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert [str(path) for path in args.model_repository] == [mounts["models"]["mountPath"]]
    assert {name for name, each in mounts.items() if not each.get("readOnly")} == {"tmp", "shm"}


def test_the_ports_are_those_of_the_server(container: dict[str, Any], args: Any) -> None:
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"grpc": args.grpc_port, "metrics": args.metrics_port}
    assert args.grpc_address == args.metrics_address == "0.0.0.0"
    for name in ("trivet", "trivet-pods"):
        for port in document("Service", name)["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    assert document("Service", "trivet-pods")["spec"]["clusterIP"] == "None"
    scraped = pod()["metadata"]["annotations"]
    assert scraped["prometheus.io/port"] == str(args.metrics_port)
    assert scraped["prometheus.io/path"] in page_paths()
    allowed = [
        port["port"]
        for rule in document("NetworkPolicy")["spec"]["ingress"]
        for port in rule["ports"]
    ]
    assert sorted(allowed) == sorted(ports.values())


def page_paths() -> set[str]:
    """Paths that the status pages' module names."""
    return set(re.findall(r'"(/[a-z0-9/]*)"', Path(pages.__file__).read_text()))


def test_probes_ask_for_health_where_it_is_told(container: dict[str, Any], args: Any) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["grpc"] == {"port": args.grpc_port}
    live = container["livenessProbe"]["httpGet"]
    assert (live["path"], live["port"]) == ("/v2/health/live", "metrics")
    assert live["path"] in page_paths()
    # The kubelet asks without TLS and without a token, and so do these files.
    assert (args.grpc_use_ssl, args.token_file) == (False, None)


def test_there_is_time_to_finish(container: dict[str, Any], args: Any) -> None:
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    stopping = args.shutdown_delay_secs + args.exit_timeout_secs + UNLOADING_S
    grace = pod()["spec"]["terminationGracePeriodSeconds"]
    assert before + stopping <= grace <= before + stopping + 10


def test_pods_are_such_as_the_restricted_standard_wants(container: dict[str, Any]) -> None:
    of_pod, own = pod()["spec"]["securityContext"], container["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["runAsUser"] == of_pod["runAsGroup"] == of_pod["fsGroup"] > 0
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["spec"]["automountServiceAccountToken"] is False
    assert pod()["spec"]["enableServiceLinks"] is False


def test_the_autoscaler_asks_for_what_the_adapter_makes_of_real_metrics() -> None:
    (rule,) = yaml.safe_load(
        document("ConfigMap", "trivet-metrics-adapter")["data"]["config.yaml"]
    )["rules"]
    (metric,) = document("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    series = rule["seriesQuery"].partition("{")[0]
    assert re.fullmatch(rule["name"]["matches"], series)
    histograms = {each.name for each in METRICS if each.kind is Kind.HISTOGRAM}
    query = re.sub(r"<<\.(\w+)>>", "", rule["metricsQuery"])
    assert set(labels(query)) == {"trivet_queue_seconds_sum", "trivet_queue_seconds_count"}
    assert all(name.rpartition("_")[0] in histograms for name in (series, *labels(query)))
    assert query.count("(") == query.count(")")


def test_a_budget_leaves_pods_to_answer() -> None:
    least = document("HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert document("PodDisruptionBudget")["spec"]["maxUnavailable"] < least
    rolling = document("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0
