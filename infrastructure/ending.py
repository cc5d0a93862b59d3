"""Ends a standing process in time once it was asked to, whatever its threads wait for.

Invariants:
- From the first asking on the process is gone WITHIN_S later at the latest: in its orderly way if that takes less, else
  at once, with what its threads have in hand left to the database, which rolls it back. Whatever was acknowledged is
  durable by then, so nothing that anybody was told is lost.
- It counts to the very end, the joining of threads at the interpreter's end included.
- What is said last is said by a thread of its own: a reader that does not read holds nothing up.
"""

import os
import threading
from collections.abc import Callable
from typing import Final

WITHIN_S: Final = 9.0
"""An orchestrator's patience is 10 s."""
_SAYING_S: Final = 0.3

Tell = Callable[[str], None]


class Ending:
    """Of one process.

    Args:
        tell: is told that the process was cut off, and why.
        code: its exit code then, where it was asked to end.
        failed: its exit code then, where it has to end because something failed.
        within_s: of the first asking, in seconds.
        cut_off: ends the process with a code.
    """

    def __init__(
        self, tell: Tell, code: int, failed: int, *, within_s: float = WITHIN_S,
        cut_off: Callable[[int], object] = os._exit,
    ) -> None:  # fmt: skip
        self._tell = tell
        self._code, self._failed = code, failed
        self._within_s = within_s
        self._cut_off = cut_off
        self._free = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-ending", daemon=True)

    def begin(self, *, failed: bool = False) -> None:
        """Count from now on, unless it does already. For any thread, and for signals."""
        if failed:
            self._code = self._failed
        if self._free.acquire(blocking=False):  # once, for ever
            self._thread.start()

    def _run(self) -> None:
        threading.Event().wait(self._within_s)
        text = f"cut off after {self._within_s:g} s: something does not answer; nothing that was acknowledged is lost"
        saying = threading.Thread(target=self._tell, args=(text,), daemon=True)
        saying.start()
        saying.join(_SAYING_S)
        self._cut_off(self._code)
