"""The examples of clients/ that need Node.js's packages, with the packages their lock names."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos" / "trivet_protos"
HEALTH = "grpc/health/v1/health.proto"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node or npm is not installed",
)


def installed(example: Path, config: pytest.Config) -> Path:
    """A copy of an example with its packages: outside the sources, kept until its lock changes."""
    lock = (example / "package-lock.json").read_bytes()
    cache = config.cache
    assert cache is not None
    folder = cache.mkdir(f"{example.name}-example-" + hashlib.sha256(lock).hexdigest()[:16])
    for file in example.iterdir():
        if file.suffix in (".json", ".mjs"):
            shutil.copy(file, folder)
    if not (folder / "node_modules" / ".package-lock.json").exists():  # npm's last step
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        npm = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        assert npm.returncode == 0, npm.stderr
    return folder


def generated(folder: Path) -> None:
    """Write the code of an example that generates its own, with the protoc of grpcio-tools."""
    files = ["trivet/v1/text.proto", "grpc_service.proto", "model_config.proto"]
    (folder / "build").mkdir(exist_ok=True)
    options = [
        f"-I{PROTOS}",
        f"--plugin=protoc-gen-es={folder / 'node_modules' / '.bin' / 'protoc-gen-es'}",
        f"--es_out={folder / 'build'}",
        "--es_opt=target=js,import_extension=js",
    ]
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, *files, HEALTH]
    protoc = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert protoc.returncode == 0, protoc.stderr
