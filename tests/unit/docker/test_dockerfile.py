"""docker/Dockerfile: what it copies is there, what it installs is locked, what it starts runs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.harness.toolchains import needs
from tests.unit.docker.deployed import DOCKER, ROOT, settings
from trivet_client.commands import ready

TEXT = (DOCKER / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = ("cpu", "cuda")
PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", re.MULTILINE)
# By target; what the extra `tensorrt` brings is gigabytes, and TensorRT's plans fit one GPU alone.
EXTRAS = {
    "cpu": ("server", "otel", "onnxruntime", "openvino"),
    "cuda": ("server", "otel", "gpu"),
}


def stage(name: str) -> str:
    """The lines of one stage, continued ones joined."""
    joined = re.sub(r"\\\n\s*", "", TEXT)
    (found,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", joined, re.M | re.S)
    return str(found)


def instruction(target: str, name: str) -> str:
    """The one instruction of a target with this name."""
    (found,) = re.findall(rf"^{name} (.*)$", stage(target), re.MULTILINE)
    return str(found)


def copied() -> Iterator[str]:
    """Every source that comes from the repository."""
    for line in re.findall(r"^COPY (.*)$", TEXT, re.MULTILINE):
        if not line.startswith("--from"):
            yield from line.split()[:-1]


def variables(target: str) -> dict[str, str]:
    """The image's, with the settings file as it lies in the repository."""
    pairs = dict(pair.split("=", 1) for pair in shlex.split(instruction(target, "ENV")))
    file = pairs["TRIVET_SETTINGS_FILE"]
    assert f"COPY docker/trivet.toml {file}\n" in stage(target)
    ours = {name: value for name, value in pairs.items() if name.startswith("TRIVET_")}
    return ours | {"TRIVET_SETTINGS_FILE": str(DOCKER / "trivet.toml")}


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def wanted(extras: tuple[str, ...]) -> set[str]:
    """Packages that the project asks for, with these extras."""
    project = PROJECT["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in lines}


@needs("system")
def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run(
        [hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_all_that_is_copied_is_there_and_let_in() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"  # after its comment: nothing, but
    let_in = [line[1:] for line in lines if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(source == each or source.startswith(f"{each}/") for each in let_in), source
    assert all((ROOT / each).exists() for each in let_in)
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= {
        str(path.relative_to(ROOT)) for source in copied() for path in (ROOT / source).glob("*")
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_lock_has_what_the_project_asks_for_at_the_versions_of_the_suite(target: str) -> None:
    locked = pins(DOCKER / "lock" / f"{target}.txt")
    assert wanted(EXTRAS[target]) <= set(locked)
    tested = pins(ROOT / ".lock" / "dev.txt") | pins(ROOT / ".lock" / "extras.txt")
    own = {"onnxruntime-gpu", "nvidia-ml-py"}  # of a GPU, which the suite has not
    assert {name for name in locked if locked[name] != tested.get(name)} <= own
    assert f"--extra {' --extra '.join(EXTRAS[target])}" in (DOCKER / "lock/lock.sh").read_text()


def test_what_builds_the_wheel_is_locked() -> None:
    names = {re.split("[^a-z]", need)[0] for need in PROJECT["build-system"]["requires"]}
    assert names <= set(pins(DOCKER / "lock" / "build.txt"))


def test_nothing_is_installed_without_a_hash() -> None:
    installs = re.findall(r"pip install (.*)", re.sub(r"\\\n\s*", "", TEXT))
    assert len(installs) == 5
    for options in installs:
        assert "--require-hashes" in options or "--no-index --no-deps /wheels" in options
    for lock in (DOCKER / "lock").glob("*.txt"):
        blocks = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)
        assert all("--hash=sha256:" in block for block in blocks if PIN.match(block)), lock


def test_base_images_are_pinned_and_their_python_is_one_the_project_takes() -> None:
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", TEXT, re.MULTILINE))
    assert set(images) == {"PYTHON_IMAGE", "CUDA_IMAGE"}
    assert all(re.search(r":\d+\.\d+\.\d+-", image) for image in images.values())
    python = re.search(r"python:(\d+)\.(\d+)\.\d+-slim", images["PYTHON_IMAGE"])
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
    assert python
    assert least
    assert tuple(map(int, python.groups())) >= tuple(map(int, least.groups()))
    assert not re.findall(r"^FROM (?!\$\{\w+_IMAGE\} |cuda-python )", TEXT, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_it_starts_a_server_for_others_as_nobody_in_particular(target: str) -> None:
    line = json.loads(instruction(target, "ENTRYPOINT")) + json.loads(instruction(target, "CMD"))
    assert line[0] in PROJECT["project"]["scripts"]
    args = settings(line[1:], variables(target)).args
    assert (args.grpc_address, args.metrics_address) == ("0.0.0.0", "0.0.0.0")
    assert [str(path) for path in args.model_repository] == ["/models"]
    assert instruction(target, "EXPOSE").split() == [str(args.grpc_port), str(args.metrics_port)]
    user, group = map(int, instruction(target, "USER").split(":"))
    assert min(user, group) >= 10_000


@pytest.mark.parametrize("target", TARGETS)
def test_its_health_probe_is_a_command_of_ours(target: str) -> None:
    _, probe = instruction(target, "HEALTHCHECK").split("CMD ")
    shell, option, script = json.loads(probe)
    assert (shell, option) == ("sh", "-c")
    words = shlex.split(script)
    assert words[:3] == ["exec", "trivet", ready.NAME]
    assert ready.NAME in entry_points(group="trivet.commands").names
    assert words[3:] == ["--url", "127.0.0.1:${TRIVET_GRPC_PORT:-8001}"]


def test_the_targets_differ_in_what_they_stand_on_alone() -> None:
    cpu, cuda = (re.sub(r"^COPY --from.*\n", "", stage(target), flags=re.M) for target in TARGETS)
    assert cpu.strip() == cuda.strip()
