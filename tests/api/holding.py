"""A way to the database on which nothing comes any more: as if a network between swallowed everything."""

import contextlib
import selectors
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.postgres.postmaster import PORT


class Way:
    """Passes bytes between a TCP port and a server's unix socket, until it is told to hold them.

    Args:
        conninfo: of a database behind a unix socket.
    """

    def __init__(self, conninfo: str) -> None:
        self._path = str(Path(str(conninfo_to_dict(conninfo)["host"])) / f".s.PGSQL.{PORT}")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._over = threading.Event()
        self.held = threading.Event()
        self.asked = threading.Event()
        host, port = self._listening.getsockname()[:2]
        self.conninfo = make_conninfo(conninfo, host=host, port=port)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listening:
                    self._accept()
                elif not self.held.is_set() and isinstance(key.fileobj, socket.socket):
                    self._pass(key.fileobj, key.data)
            if self.held.is_set():
                self._over.wait(0.05)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        self.asked.set()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._path)
        self._selector.register(client, selectors.EVENT_READ, server)
        self._selector.register(server, selectors.EVENT_READ, client)

    def _pass(self, came: socket.socket, other: socket.socket) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = came.recv(65536)
            if data:
                other.sendall(data)
                return
        for one in (came, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()
