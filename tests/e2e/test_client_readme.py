"""The Python of clients/README.md runs as it stands there, but for the address."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.head_checkpoints import write_head_checkpoint
from tests.harness.server import ServerProcess, serving
from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet.transport.options import Transport
from trivet_backends.workshop.build import build
from trivet_backends.workshop.options import Beside, BuildOptions, Task

README = Path(__file__).parents[2] / "clients" / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PRINTED = (  # by each block, in order
    r"^0\.\d\d  door\n(.*\n)+cosine 0\.\d+ of \[8, 10\] tokens$",
    r"^\d\.\d\d  astronomy\n(.*\n){2}good\n\[0\.\d+ +-?0\.\d+\]\n\['door', .*\]\n"
    r"\[\('emile', 0, 5\), \('token', 6, 11\), \('##izes', 11, 15\), \('\.', 15, 16\)\]$",
    r"^\[b'astronomy' b'cooking'\] \(2, 3\)$",
    r"^0 \(384,\)\n250 \(384,\)\n500 \(384,\)\n750 \(384,\)$",
    r"^20 answers\n([01]) FilledText\(.*\n(?!\1)[01] FilledText\(",  # as they are ready
    r"'TEXT'.*\nembed 1 \(2, 384\)$",
    r"^INVALID_ARGUMENT texts\[0\]: .*no mask token",
)


# Those that ask models which the example repository has not. Weights are random: shapes count.
OF_OTHER_MODELS = re.findall(r"```py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PRINTED_BY_THEM = (
    r"^\((\d+), \d+\)\n\(\d+, \1, \1\)\n\(\d+,\)$",
    r"^\w+\n\[[01]\.\d+, [01]\.\d+\]\n(\w+ .* \d+ \d+\n)*.* [01]\.\d+ [01]\.\d+\n[01]\.\d+$",
)


@pytest.fixture(scope="module")
def transport() -> Transport:
    """One is enough here: what is looked at is whether the words of the README hold."""
    return Transport.GRPCIO


@pytest.fixture(scope="module")
def other_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("other")
    for task in (Task.CLASSIFY, Task.TAG_TOKENS, Task.ANSWER, Task.NEXT_SENTENCE):
        checkpoint = write_head_checkpoint(folder / str(task.value), task)
        options = BuildOptions(name=f"tiny_{checkpoint.name}", pipeline=checkpoint.name)
        build(checkpoint, folder / "models", options, lambda _: None)
    tiny = write_checkpoint(folder / "tiny", Recipe(head=False))
    looking = BuildOptions(beside=Beside(attentions=True))
    build(tiny, folder / "models", looking, lambda _: None)
    with serving(folder / "models") as server:
        yield server


@pytest.mark.parametrize(
    ("code", "printed"), list(zip(OF_OTHER_MODELS, PRINTED_BY_THEM, strict=True))
)
def test_an_example_of_other_models_runs(
    code: str, printed: str, other_models: ServerProcess
) -> None:
    run(code, printed, other_models)


@pytest.mark.parametrize(("code", "printed"), list(zip(BLOCKS, PRINTED, strict=True)))
def test_an_example_runs(code: str, printed: str, demo_server: ServerProcess) -> None:
    run(code, printed, demo_server)


def run(code: str, printed: str, server: ServerProcess) -> None:
    """Run a block of the page against a server, and look at what it prints."""
    here = f'"{server.address}"'
    code = code.replace('Client("127.0.0.1:8001")', "Client()")
    code = code.replace('"127.0.0.1:8001"', here)
    code = code.replace("Client()", f"Client({here})").replace("Client(t", f"Client({here}, t")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert re.search(printed, ended.stdout.strip()), ended.stdout
