"""Whether a variant would be served: the server's own check opens it under its own config."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from trivet.errors import EngineFailed
from trivet_backends.workshop.quantize.publishing import encoder_config
from trivet_backends.workshop.quantize.source import CONFIG, Source
from trivet_backends.workshop.quantize.variants import Variant


def check_opens(source: Source, variant: Variant, made: Path) -> None:
    """made: the folder with the variant's files.

    Raises EngineFailed, with the server's own words, if it would not load. In a process of its own,
    as an engine that crashes would end this one.
    """
    with TemporaryDirectory(prefix="trivet-quantize-") as repository:
        model = Path(repository) / source.model
        model.mkdir()
        (model / "1").symlink_to(made.resolve())
        config = encoder_config(source.config, source.model, source.model, variant)
        (model / CONFIG).write_text(config, encoding="utf-8")
        command = [sys.executable, "-m", "trivet", "check", "--load", "--json", repository]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineFailed(f"the server would not load it: {_reason(done)}")


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The faults found; of a check that ended without telling them, its last words."""
    if done.returncode == 1 and done.stdout:
        told = json.loads(done.stdout)
        faults = [
            *told["faults"],
            *(fault for model in told["models"] for fault in model["faults"]),
        ]
        return "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults)
    words = done.stderr.split("\n")
    return next((line for line in reversed(words) if line.strip()), f"ended with {done.returncode}")
