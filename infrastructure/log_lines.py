"""What a process says of itself while it stands: words for a person, or lines of JSON, on stderr.

Invariants:
- Nobody waits for whoever reads: lines go through a bounded queue; what finds no room is counted, and that is told.
- A line is one object, ASCII, at most 4 KiB. It holds nothing of a body, header, query or path: of a request it has the
  route's template, and of who asks the thumbprint of the key.
"""

import json
import queue
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Final

from infrastructure.closing import Closing

_MOST_LINES: Final = 10_000
_MOST_CHARACTERS: Final = 1_000
_JOIN_S: Final = 1.0

Value = str | int | float | None
Log = Callable[[str, dict[str, Value]], object]
"""Takes an event's name and its members."""


class JsonLog(Closing):
    """Writes events as lines of JSON, on a thread of its own.

    Args:
        stream: where to; None: stderr.
        process: members of every line: what this process is.
    """

    def __init__(self, process: dict[str, Value], stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._process = process
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="ledger-log", daemon=True)
        self._thread.start()

    def __call__(self, event: str, members: dict[str, Value], level: str = "info") -> None:
        """Log an event. For any thread; never waits."""
        try:
            self._lines.put_nowait(self._line(event, members, level))
        except queue.Full:
            self._dropped += 1

    def tell(self, text: str) -> None:
        """Log what goes wrong, in words."""
        self("told", {"message": text}, "warning")

    def close(self) -> None:
        """Write what waits, for a moment. Safe to repeat."""
        try:
            self._lines.put(None, timeout=_JOIN_S)
        except queue.Full:
            return
        self._thread.join(_JOIN_S)

    def _line(self, event: str, members: dict[str, Value], level: str) -> str:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        bounded = {name: _bounded(value) for name, value in members.items() if value is not None}
        return json.dumps({"at": at, "level": level, "event": event, **self._process, **bounded})

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            try:
                if dropped:
                    self._stream.write(self._line("lines dropped", {"count": dropped}, "warning") + "\n")
                self._stream.write(line + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self._dropped += 1  # nobody reads any more: the service goes on


def _bounded(value: Value) -> Value:
    return value[:_MOST_CHARACTERS] if isinstance(value, str) else value
