"""Where time comes from. Everything else takes instants as arguments or from here."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the instant in ms since 1970."""

    def now_ms(self) -> int:
        """Return the instant."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return the instant."""
        return time.time_ns() // 1_000_000


class VirtualClock:
    """A clock that stands until it is moved: for tests, demos and what-if runs."""

    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        """Return the instant."""
        return self._at_ms

    def advance_to(self, at_ms: int) -> None:
        """Move on to an instant; one in the past changes nothing."""
        self._at_ms = max(self._at_ms, at_ms)
