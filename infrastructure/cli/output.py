"""What a command prints, and how it ends.

Invariants:
- With --json the last line of stdout is one object on one line. Progress and words go to stderr.
- Exit codes: 0 good, 1 refused or wrong, 3 warning, 64 usage error, 69 unavailable. No tracebacks, no secrets.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GOOD, WRONG, WARNING, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 3, 64, 69, 130


def say(text: str) -> None:
    """Tell a person something, on stderr."""
    print(text, file=sys.stderr)


def result(members: dict[str, Any], *, as_json: bool, lines: list[str]) -> None:
    """Print a command's result: one JSON object, or lines for a person."""
    if as_json:
        print(json.dumps(members, ensure_ascii=False, sort_keys=False), flush=True)
    else:
        print("\n".join(lines), flush=True)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar on a terminal, and nothing in a pipe. Yields what to call with the number of entries done."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
