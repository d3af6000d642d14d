"""The Python of clients/README.md runs as it stands there, but for the address."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.server import ServerProcess

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


@pytest.mark.parametrize(("code", "printed"), list(zip(BLOCKS, PRINTED, strict=True)))
def test_an_example_runs(code: str, printed: str, demo_server: ServerProcess) -> None:
    here = f'"{demo_server.address}"'
    code = code.replace('Client("127.0.0.1:8001")', "Client()")
    code = code.replace('"127.0.0.1:8001"', here)
    code = code.replace("Client()", f"Client({here})").replace("Client(t", f"Client({here}, t")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert re.search(printed, ended.stdout.strip()), ended.stdout
