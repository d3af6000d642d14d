"""docker/compose.yaml and what it mounts: the parts are there, and name one another rightly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.harness.dashboards import load
from tests.harness.envoy import CONFIG
from tests.unit.docker.deployed import DOCKER, compose, settings
from tests.unit.docker.test_dockerfile import instruction, variables

TRIVET = ("trivet-0", "trivet-1")
GRAFANA = DOCKER / "grafana"

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
NAMED = {"type": "object", "additionalProperties": {"type": "object", "maxProperties": 0}}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


# Of the Compose specification, what is used here and nothing else, so that a slip is no extension.
SERVICE = closed(
    ("image", "restart", "cap_drop", "security_opt", "networks"),
    image={"type": "string", "pattern": r"^[a-z0-9/]+:[a-z0-9.]+$"},
    build=closed(("context", "dockerfile", "target"), context=TEXT, dockerfile=TEXT, target=TEXT),
    user={"type": "string", "pattern": r"^\d+:\d+$"},
    command=TEXTS,
    environment={"type": "object", "additionalProperties": TEXT},
    volumes={
        "type": "array",
        "items": {
            "oneOf": [
                {"type": "string", "pattern": r"^[^:]+:/[^:]+(:ro)?$"},
                closed(
                    ("type", "source", "target"),
                    type={"enum": ["bind"]},
                    source=TEXT,
                    target={"type": "string", "pattern": "^/"},
                    read_only={"const": True},
                    bind=closed(create_host_path={"const": False}),
                ),
            ]
        },
    },
    tmpfs=TEXTS,
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
    depends_on={
        "type": "object",
        "additionalProperties": closed(("condition",), condition={"enum": ["service_healthy"]}),
    },
    read_only={"const": True},
    cap_drop={"const": ["ALL"]},
    security_opt={"const": ["no-new-privileges:true"]},
    stop_grace_period={"type": "string", "pattern": r"^\d+s$"},
    restart={"const": "unless-stopped"},
    networks=TEXTS,
)
COMPOSE = closed(
    ("name", "services"),
    **{"x-trivet": SERVICE},
    name=TEXT,
    services={"type": "object", "additionalProperties": SERVICE},
    networks=NAMED,
    volumes=NAMED,
)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(compose()["services"])


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_it_is_made_as_compose_wants_it() -> None:
    jsonschema.validate(compose(), COMPOSE)


@pytest.mark.skipif(find_spec("compose_spec") is None, reason="needs the package compose-spec")
def test_a_parser_of_the_specification_takes_it() -> None:
    from compose_spec.compose_spec import PyCompose

    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (DOCKER / "compose.yaml").read_text())
    PyCompose.from_yaml(text).validate()


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Source and target of each."""
    for volume in service.get("volumes", ()):
        if isinstance(volume, str):
            source, target = volume.split(":")[:2]
            yield source, target
        else:
            yield re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume["source"]), volume["target"]


def test_whatever_is_mounted_is_there(services: dict[str, Any]) -> None:
    named = compose()["volumes"]
    for service in services.values():
        for source, _ in mounts(service):
            assert (DOCKER / source).exists() if source.startswith(".") else source in named, source


def test_networks_and_services_that_are_named_exist(services: dict[str, Any]) -> None:
    for service in services.values():
        assert set(service["networks"]) <= set(compose()["networks"])
        assert set(service.get("depends_on", ())) <= set(services)


@pytest.mark.parametrize("name", TRIVET)
def test_the_servers_settings_are_such(services: dict[str, Any], name: str) -> None:
    service = services[name]
    target = service["build"]["target"]
    assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
        DOCKER / "Dockerfile"
    )
    ours = {key: value for key, value in service["environment"].items() if "TRIVET_" in key}
    args = settings(["serve"], variables(target) | ours).args
    assert [str(path) for path in args.model_repository] == [
        target for _, target in mounts(service)
    ]
    assert service["tmpfs"] == [f"{instruction(target, 'WORKDIR')}:mode=1777"]
    assert args.otlp_endpoint == "http://jaeger:4317"  # OTLP over gRPC, by its number
    assert (args.otlp_protocol, "jaeger" in services) == ("grpc", True)
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert args.shutdown_delay_secs + args.exit_timeout_secs + 3 <= grace


def test_envoy_listens_where_the_port_is_and_calls_servers_there_are(
    services: dict[str, Any],
) -> None:
    envoy = services["envoy"]
    assert dict(mounts(envoy))[f"./{CONFIG.relative_to(DOCKER)}"] == envoy["command"][1]
    resources = read(CONFIG)["static_resources"]
    (listener,), (cluster,) = resources["listeners"], resources["clusters"]
    ports = [int(port.rpartition(":")[2]) for port in envoy["ports"]]
    assert ports == [listener["address"]["socket_address"]["port_value"]]
    called = [
        each["endpoint"]["address"]["socket_address"]
        for group in cluster["load_assignment"]["endpoints"]
        for each in group["lb_endpoints"]
    ]
    grpc = settings(["serve"], variables("cpu")).args.grpc_port
    assert {(each["address"], each["port_value"]) for each in called} == {
        (name, grpc) for name in TRIVET
    }
    assert set(envoy["depends_on"]) == set(TRIVET)


def test_prometheus_asks_every_server(services: dict[str, Any]) -> None:
    flags = dict(flag.split("=") for flag in services["prometheus"]["command"])
    own = dict(mounts(services["prometheus"]))
    assert own["./prometheus/prometheus.yaml"] == flags["--config.file"]
    assert own["prometheus"] == flags["--storage.tsdb.path"]
    content = read(DOCKER / "prometheus" / "prometheus.yaml")
    job = closed(
        ("job_name", "static_configs"),
        job_name=TEXT,
        metrics_path={"const": "/metrics"},
        static_configs={"type": "array", "items": closed(("targets",), targets=TEXTS)},
    )
    seconds = {"type": "string", "pattern": r"^\d+s$"}
    jsonschema.validate(
        content,
        closed(
            ("global", "scrape_configs"),
            **{"global": closed(scrape_interval=seconds, evaluation_interval=seconds)},
            scrape_configs={"type": "array", "items": job},
        ),
    )
    port = settings(["serve"], variables("cpu")).args.metrics_port
    ((targets,),) = [
        [each["targets"] for each in found["static_configs"]] for found in content["scrape_configs"]
    ]
    assert targets == [f"{name}:{port}" for name in TRIVET]


def test_grafana_finds_its_data_and_the_dashboard(services: dict[str, Any]) -> None:
    own = dict(mounts(services["grafana"]))
    assert own["./grafana/provisioning"] == "/etc/grafana/provisioning"
    (provider,) = read(GRAFANA / "provisioning" / "dashboards" / "trivet.yaml")["providers"]
    dashboard = own["./grafana/trivet.json"]
    assert (provider["type"], provider["options"]["path"]) == ("file", str(Path(dashboard).parent))
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == dashboard
    sources = read(GRAFANA / "provisioning" / "datasources" / "prometheus.yaml")["datasources"]
    by_type = {source["type"]: source for source in sources}
    asked = next(each["query"] for each in load(GRAFANA / "trivet.json")["templating"]["list"])
    assert by_type[asked]["isDefault"] is True
    for source in sources:
        scheme, host, port = re.fullmatch(r"(\w+)://([\w-]+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
        assert (scheme, host in services, host) == ("http", True, source["type"])
        assert any(text.endswith(f":{port}") for text in services[host]["ports"])
        assert set(source) <= {
            *("name", "type", "uid", "access", "url", "isDefault", "editable", "jsonData"),
        }


def test_images_of_others_are_pinned(services: dict[str, Any]) -> None:
    others = [services[name]["image"] for name in services if name not in TRIVET]
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in others)
