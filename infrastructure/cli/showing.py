"""The demo as a person sees it."""

import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from infrastructure.cli.output import GOOD, WRONG, result
from infrastructure.demo.display import display_for
from infrastructure.demo.run import run_demo
from infrastructure.demo.served.run import ServedDemo, serve_demo
from infrastructure.keys.memory import forbid_dumps


def demo(data_dir: Path, seed: int, *, as_json: bool) -> int:
    """Run the demo; return the exit code."""
    with display_for(sys.stderr) as display:
        found = run_demo(data_dir, seed=seed, environ=os.environ, display=display)
    result(asdict(found.members), as_json=as_json, lines=list(found.summary))
    return GOOD if found.members.verified else WRONG


def served_demo(data_dir: Path, seed: int, port: int, *, keep: bool, as_json: bool) -> int:
    """Run the demo as a service; return the exit code."""
    forbid_dumps()

    with ExitStack() as drawn:
        display = drawn.enter_context(display_for(sys.stderr))

        def show(found: ServedDemo) -> None:
            drawn.close()  # the table would draw over what is printed
            result(asdict(found.members), as_json=as_json, lines=list(found.summary))

        found = serve_demo(data_dir, seed=seed, port=port, environ=os.environ, display=display, played=show, keep=keep)
    return GOOD if found.members.verified else WRONG
