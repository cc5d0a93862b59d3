"""Starts writers as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from infrastructure.postgres.postmaster import wait_for
from tests.conftest import ROOT


def start(
    conninfo: str, keys: Path, out: Path, logs: Sequence[UUID], *, callers: int, seconds: float
) -> "subprocess.Popen[bytes]":
    """Start a writer and wait until it begins."""
    arguments = [conninfo, str(keys), str(out), str(callers), str(seconds), *map(str, logs)]
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.append.writer", *arguments], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert wait_for(lambda: out.exists() or writer.poll() is not None, 60)
    assert writer.poll() is None
    return writer
