"""What tells that a file of a directory was changed by another process, cheap enough to be asked before each request.

Invariants:
- A change by renaming, as every writer here makes it, shows in the directory itself: at most _MOMENT_S later.
- One that was made in place, as an operator's copy may be, shows at most _LONGEST_S later.
- A directory that changed within _TICK_S may change again without a trace: its files are looked at each time.
"""

import os
import time

_MOMENT_S = 0.001
"""For so long a look counts. Asking the system before each of thousands of events a second takes a busy process a tenth
of its time, as each asking lets go of the interpreter."""
_LONGEST_S = 1.0
_TICK_S = 0.05
"""More than the grain of a file system's clock."""


class Marks:
    """The marks of a directory's files. Safe to use from several threads.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[str, object] = {}
        self._seen: object = None
        self._looked_at_s = self._fresh_at_s = 0.0

    def of(self, name: str) -> object:
        """Return a value that differs once a file was changed; None where there is none."""
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= _MOMENT_S:
            self._look(now_s)
        known = self._known
        if name not in known:
            known[name] = _mark(f"{self._directory}/{name}")
        return known.get(name)

    def forget(self) -> None:
        """Look again at the next call: this process has changed something."""
        self._looked_at_s = self._fresh_at_s = 0.0

    def _look(self, now_s: float) -> None:
        seen = os.stat(self._directory)  # noqa: PTH116 - one call of the system, no object
        unsettled = abs(time.time() - seen.st_mtime) < _TICK_S
        if unsettled or seen.st_mtime_ns != self._seen or now_s - self._fresh_at_s >= _LONGEST_S:
            self._known, self._seen, self._fresh_at_s = {}, seen.st_mtime_ns, now_s
        self._looked_at_s = now_s


def _mark(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - asked before each request
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
