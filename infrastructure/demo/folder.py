"""Where a demo is kept: a marked directory with one subdirectory for each run.

Invariants:
- A directory that holds anything but earlier demos is refused, and nothing in it is touched.
- Every run gets a new subdirectory, also when two begin at the same time.
"""

import re
from pathlib import Path
from typing import Final

from domain.errors import RefusedError

MARKER: Final = ".enclave-ledger-demo"
_MARK: Final = "This directory holds runs of `enclave-ledger demo`. Each is on its own; delete what you don't need.\n"
_RUN: Final = re.compile(r"run-([0-9]{4,9})")


def new_run(data_dir: Path) -> Path:
    """Make the next run's subdirectory and return its absolute path.

    Raises:
        RefusedError: when the directory holds something else, or can't be written.
    """
    top = data_dir.absolute()
    try:
        _claim(top)
        while True:
            number = 1 + max((int(m[1]) for entry in top.iterdir() if (m := _RUN.fullmatch(entry.name))), default=0)
            run = top / f"run-{number:04d}"
            try:
                run.mkdir(mode=0o700)
            except FileExistsError:
                continue  # another demo began at the same moment
            return run
    except OSError as error:
        raise RefusedError(f"cannot use {top} for a demo: {error.strerror}; choose another --data-dir") from None


def _claim(top: Path) -> None:
    if top.exists() and not top.is_dir():
        raise RefusedError(f"{top} is not a directory; choose another --data-dir")
    top.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in top.iterdir()}
    foreign = sorted(name for name in names - {MARKER} if not _RUN.fullmatch(name))
    if foreign or (names and MARKER not in names):
        found = (foreign or sorted(names))[0]
        raise RefusedError(
            f"{top} holds something else than demos ({found[:60]!a}), and a demo writes only where it may;"
            " choose an empty or new --data-dir"
        )
    (top / MARKER).write_text(_MARK, encoding="utf-8")
