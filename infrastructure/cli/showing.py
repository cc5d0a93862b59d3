"""The demo as a person sees it."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from infrastructure.cli.output import GOOD, WRONG, result
from infrastructure.demo.display import display_for
from infrastructure.demo.run import run_demo


def demo(data_dir: Path, seed: int, *, as_json: bool) -> int:
    """Run the demo; return the exit code."""
    with display_for(sys.stderr) as display:
        found = run_demo(data_dir, seed=seed, environ=os.environ, display=display)
    result(asdict(found.members), as_json=as_json, lines=list(found.summary))
    return GOOD if found.members.verified else WRONG
