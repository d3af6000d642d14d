"""What docker/ says of trivet: documents, containers, and settings as the server reads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trivet.cli import serve
from trivet.cli.flags.groups import FLAGS
from trivet.cli.settings.settled import Settled, settled

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
KUBERNETES = sorted(
    path for path in (DOCKER / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml"
)
KSERVE = sorted((DOCKER / "kserve").glob("*.yaml"))


def documents(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from yaml.safe_load_all(path.read_text())


def document(kind: str, name: str = "trivet") -> dict[str, Any]:
    """The one of this kind and name, of Kubernetes or KServe."""
    (found,) = (
        each
        for each in documents(*KUBERNETES, *KSERVE)
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def pod() -> dict[str, Any]:
    """The pods that the Deployment makes."""
    return dict(document("Deployment")["spec"]["template"])


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def settings(line: Sequence[str], variables: Mapping[str, str]) -> Settled:
    """As `trivet serve` reads them. line: what stands after `trivet`."""
    command, *flags = line
    assert command == "serve"
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    serve.add_arguments(parser)
    found = settled(parser.parse_args(flags), variables, FLAGS)
    assert found.unknown == ()
    return found
