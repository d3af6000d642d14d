"""docker/README.md names flags, variables, files and targets that there are."""

from __future__ import annotations

import re

from tests.unit.docker.deployed import DOCKER
from tests.unit.docker.test_dockerfile import TARGETS
from trivet.cli.flags.groups import FLAGS

TEXT = (DOCKER / "README.md").read_text()
# Of docker and kubectl.
THEIRS = {
    *("build", "build-arg", "detach", "file", "filename", "force-recreate", "gpus", "init"),
    *("kustomize", "no-deps", "publish", "read-only", "rm", "stop-timeout", "tag", "target"),
    *("tmpfs", "volume"),
}


def test_flags_and_variables_exist() -> None:
    ours = {name for flag in FLAGS for name in (flag.name, *flag.aliases)}
    assert set(re.findall(r"--([a-z][a-z-]+)", TEXT)) - THEIRS <= ours
    variables = set(re.findall(r"\bTRIVET_[A-Z_]+", TEXT))
    assert variables <= {flag.variable for flag in FLAGS}
    assert len(variables) > 1


def test_files_and_targets_exist() -> None:
    for name in re.findall(r"`((?:[a-z-]+/)?[a-z-]+\.(?:yaml|txt|sh))`", TEXT):
        assert any((DOCKER / folder / name).exists() for folder in (".", "kubernetes")), name
    for path in re.findall(r"docker/[\w./-]+", TEXT):
        assert (DOCKER.parent / path).exists(), path
    assert set(re.findall(r"trivet:(\w+)", TEXT)) == set(TARGETS)


def test_every_manifest_is_told_of() -> None:
    told = set(re.findall(r"`([a-z-]+\.yaml)`", TEXT))
    assert {path.name for path in (DOCKER / "kubernetes").glob("*.yaml")} <= told | {
        "kustomization.yaml"
    }
