"""docker/envoy/envoy.yaml as it lies there: Envoy takes it, and names methods that there are."""

from __future__ import annotations

import re
import subprocess

import yaml

from tests.harness.envoy import CONFIG, binary
from tests.harness.toolchains import needs
from trivet.frontend.access_rules import RULES

STREAMS = {"ModelStreamInfer", "Watch", "ServerReflectionInfo"}
CHANGES = {"TraceSetting", "LogSettings", "RepositoryModelLoad", "RepositoryModelUnload"}


@needs("system")
def test_envoy_takes_it() -> None:
    command = [str(binary()), "--mode", "validate", "-c", str(CONFIG)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Deprecated" not in ended.stderr


def test_what_must_not_be_done_twice_is_not_tried_again_once_a_server_has_seen_it() -> None:
    (listener,) = yaml.safe_load(CONFIG.read_text())["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    careful, other = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert "reset" not in careful["route"]["retry_policy"]["retry_on"]
    assert {"reset", "unavailable"} <= set(other["route"]["retry_policy"]["retry_on"].split(","))
    found = re.compile(careful["match"]["safe_regex"]["regex"])
    names = {path.rpartition("/")[2] for path in RULES if found.fullmatch(path)}
    assert {name for name in names if not name.endswith(("Stream", "egister"))} == STREAMS | CHANGES
    assert all(found.fullmatch(path) for path in RULES if path.endswith("Stream"))
