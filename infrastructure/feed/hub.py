"""Wakes this process's subscribers: one connection listens for commits, reads which logs grew, and rings for those.

Invariants:
- A commit's notification carries nothing. Which logs moved is read from the feed, by the cell's own connection; a watch
  of one log is rung by that log's commits and by no other's, so it tells nothing of others.
- Who asks for a watch and then looks misses no commit: it is seen by the look, or it rings.
- A ring is a hint. A connection that is lost, a notification that never comes: the hub asks again every second, and at
  once when it has connected again; that costs time, never events.
- However many subscribers there are, they cost one connection here, and commits wake one connection for each process.
"""

import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Iterable
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from domain.errors import LedgerError, UnavailableError, VerificationError
from infrastructure.backoff import Backoff
from infrastructure.closing import Closing
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.reading import translated

PATIENCE_S = 1.0
_BREATH_S = 0.005
"""Between two looks at the feed, so that a stream of commits does not become a stream of queries."""
_ROWS = 500


class Watch(Closing):
    """What has moved since it was last asked. It rings once, then not again before it was asked.

    Args:
        hub: who rings.
        log_id: whose commits count; None: those of all logs.
        ring: called from another thread when something moved or the hub has ended; must neither block nor raise.
    """

    def __init__(self, hub: "Hub", log_id: UUID | None, ring: Callable[[], None]) -> None:
        self.log_id = log_id
        self._hub = hub
        self._ring = ring
        self._moved: set[UUID] = set()
        self._unnamed = False
        self._rung = False
        self._lock = threading.Lock()

    def take(self) -> set[UUID]:
        """Return the logs that moved since the last call.

        Raises:
            VerificationError: when the feed cannot be followed any more.
        """
        if self._hub.error is not None:
            raise self._hub.error
        with self._lock:
            moved, self._moved = self._moved, set()
            self._rung = False
        return moved

    def take_unnamed(self) -> bool:
        """Tell whether, since the last call, logs may have moved that `take` does not name: the hub has just begun."""
        with self._lock:
            unnamed, self._unnamed = self._unnamed, False
        return unnamed

    def touch(self, moved: Iterable[UUID] | None) -> None:
        """Note what moved (None: nobody knows), and ring, unless that was done since it was last asked."""
        with self._lock:
            self._moved.update(moved or ())
            self._unnamed = self._unnamed or moved is None
            rung, self._rung = self._rung, True
        if not rung:
            self._ring()

    def close(self) -> None:
        """Ring no more. Safe to repeat."""
        self._hub.forget(self)


class Hub(Closing):
    """One for a process. Its thread starts with the first watch.

    Args:
        datastore: the cell's connections. One of them is held.
    """

    def __init__(self, datastore: LedgerDatastore) -> None:
        self.error: LedgerError | None = None
        self._datastore = datastore
        self._feed = Feed(datastore)
        self._position: int | None = None
        self._watches: dict[UUID | None, dict[Watch, None]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name="ledger-feed-hub", daemon=True)

    def watch(self, ring: Callable[[], None], log_id: UUID | None = None) -> Watch:
        """Return a watch of one log, or of all. Look after this call, not before it.

        Raises:
            UnavailableError: when the hub is closed.
        """
        watch = Watch(self, log_id, ring)
        with self._lock:
            if self._stopped.is_set():
                raise UnavailableError("the feed's hub is closed")
            self._watches.setdefault(log_id, {})[watch] = None
            if self._thread.ident is None:
                self._thread.start()
        return watch

    def forget(self, watch: Watch) -> None:
        """Ring for a watch no more."""
        with self._lock:
            known = self._watches.get(watch.log_id, {})
            known.pop(watch, None)
            if not known:
                self._watches.pop(watch.log_id, None)

    def close(self) -> None:
        """Stop; whoever waits is rung. Safe to repeat."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            started = self._thread.ident is not None
        os.write(self._waker, b"\0")
        if started:
            self._thread.join()
        os.close(self._wake)
        os.close(self._waker)
        self._ring_all()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._stopped.is_set()

    def _run(self) -> None:
        try:
            self._serve()
        except LedgerError as error:
            self._fail(error)
        except BaseException:  # whatever it is, those who wait must hear of it
            self._fail(VerificationError("the feed can't be followed: this is a fault of the program"))
            raise

    def _serve(self) -> None:
        backoff = Backoff()
        while not self._stopped.is_set():
            try:
                self._follow(backoff)
            except UnavailableError:
                self._stopped.wait(backoff.next_s())
                self._datastore.check()  # the others are likely lost as well, and subscribers shall not find them so

    def _fail(self, error: LedgerError) -> None:
        self.error = error
        self._ring_all()

    def _follow(self, backoff: Backoff) -> None:
        with translated(), self._datastore.get_connection() as connection:
            connection.execute(SQL("LISTEN {}").format(Identifier(self._feed.channel())))
            try:
                self._begin()
                backoff.reset()
                while not self._stopped.is_set():
                    self._look()
                    self._wait(connection)
            finally:
                if not connection.closed:  # it goes back to the pool
                    with contextlib.suppress(Exception):
                        connection.execute("UNLISTEN *")

    def _begin(self) -> None:
        """Find where the feed is. Who looked before this was known is rung: what came in between is nobody's hint."""
        last = self._feed.last_position()
        if self._position is None:
            self._position = last
            self._ring_all()
        elif last < self._position:
            raise VerificationError(f"the feed ends at {last}, before {self._position}: was an older backup restored?")

    def _look(self) -> None:
        """Ring for what was committed since the last look."""
        rows = None
        while rows is None or len(rows) == _ROWS:
            rows = self._feed.read_feed(self._position or 0, _ROWS)
            if rows:
                self._position = rows[-1].position
                self._ring({row.log_id for row in rows})

    def _wait(self, connection: Connection[DictRow]) -> None:
        """Wait for a notification, for the end, or for so long that it is time to look anyway."""
        self._stopped.wait(_BREATH_S)
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            selector.select(PATIENCE_S)
        for _ in connection.notifies(timeout=0):
            pass

    def _ring(self, moved: set[UUID]) -> None:
        with self._lock:
            rung = [(watch, moved) for watch in self._watches.get(None, ())]
            rung += [(watch, {log_id}) for log_id in moved for watch in self._watches.get(log_id, ())]
        for watch, logs in rung:
            watch.touch(logs)

    def _ring_all(self) -> None:
        with self._lock:
            watches = [watch for group in self._watches.values() for watch in group]
        for watch in watches:
            watch.touch(None)
