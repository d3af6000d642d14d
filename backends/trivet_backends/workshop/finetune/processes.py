"""Several processes on this machine, each a worker of one run, through torch's own launcher.

    python -m trivet_backends.workshop.finetune.processes OPTIONS_FILE

is one worker. On several machines torchrun or `accelerate launch` starts `trivet finetune` itself.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from trivet.errors import EngineFailed
from trivet_backends.workshop.finetune import state
from trivet_backends.workshop.finetune.display import Silence, displaying
from trivet_backends.workshop.finetune.options import FinetuneOptions
from trivet_backends.workshop.finetune.prepare import prepare


def is_worker() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch(options: FinetuneOptions, count: int) -> None:
    """Run `count` workers to their end. What is wrong with files is found here, and told once.

    Raises EngineFailed if one of them ends with an error; what it said stands on stderr.
    """
    decisive = {**prepare(options, Silence()).decisive, "processes": count}
    state.begin(options.output, decisive, resume=options.resume)
    with tempfile.TemporaryDirectory(prefix="trivet-finetune-") as folder:
        file = Path(folder, "options")
        # The run has begun, so its workers go on with it.
        file.write_bytes(pickle.dumps(replace(options, resume=True)))
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        worker = ["-m", "trivet_backends.workshop.finetune.processes", str(file)]
        threads = str(max(1, len(os.sched_getaffinity(0)) // count))
        environment = {"OMP_NUM_THREADS": threads, **os.environ}
        ended = subprocess.run(
            [sys.executable, "-m", *launcher, *worker], env=environment, check=False
        )
    if ended.returncode:
        cure = "what it said is above; go on with --resume once that is mended"
        raise EngineFailed(f"a worker ended with status {ended.returncode}; {cure}")


def _work(file: Path) -> int:
    from trivet_backends.workshop.finetune.report import show
    from trivet_backends.workshop.finetune.run import finetune

    options: FinetuneOptions = pickle.loads(file.read_bytes())
    with displaying() as display:
        outcome = finetune(options, display)
    if outcome:
        show(outcome, options)
    return 0


if __name__ == "__main__":
    sys.exit(_work(Path(sys.argv[1])))
