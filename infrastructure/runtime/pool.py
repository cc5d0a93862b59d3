"""The keeps of a node: one per tenant's log, started when first asked for."""

import threading

from domain.errors import UnavailableError
from infrastructure.closing import Closing
from infrastructure.runtime.keep import DEFAULT_MEMORY_LIMIT_BYTES, Keep


class KeepPool(Closing):
    """Gives each origin its own keep, and so its own process. Safe to call from several threads."""

    def __init__(self, *, memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._lock = threading.Lock()
        self._keeps: dict[str, Keep] = {}
        self._closed = False

    def keep(self, origin: str) -> Keep:
        """Return the keep of a log, starting it if there is none.

        Raises:
            UnavailableError: when the pool is closed, or the keep doesn't start.
        """
        with self._lock:
            if self._closed:
                raise UnavailableError("the keeps are closed")
            if origin not in self._keeps:
                self._keeps[origin] = Keep(origin, memory_limit_bytes=self._memory_limit_bytes)
            return self._keeps[origin]

    def close(self) -> None:
        """End every keep. Safe to repeat."""
        with self._lock:
            self._closed = True
            for keep in self._keeps.values():
                keep.close()
            self._keeps.clear()
