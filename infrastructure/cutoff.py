"""A time by which an exchange over a socket has ended, whatever the other side drips meanwhile."""

import socket
import threading
from contextlib import suppress
from typing import Self


class Cutoff:
    """Cuts a socket when the time is over.

    Args:
        timeout_s: from the entry of the block on, in seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.passed = False

    def cuts(self, sock: socket.socket) -> None:
        """Name the socket. http.client forgets its own before it has read an answer of unstated length.

        Raises:
            TimeoutError: when the time was over before there was a socket.
        """
        self._socket = sock
        if self.passed:
            raise TimeoutError

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):  # it has ended by itself
                self._socket.shutdown(socket.SHUT_RDWR)
