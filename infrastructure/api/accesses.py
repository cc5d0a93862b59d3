"""Who read what: counted by principal, kind and minute, and written into the log that was read.

Invariants:
- Requests are counted when they were answered; a minute's counts are appended once it is over, in the background, so no
  request waits for it. What is recorded singly (`record`) is durable before the answer.
- A process that is killed loses the counts of a minute or two, and nothing else: they say who read, not what is true.
- What is counted is bounded. A log that takes no appends, frozen or ended, loses its counts; the others don't notice.
- Of nodes nothing is counted: what they do is events already.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

from domain.access.events import AccessSummarised, RouteClass
from domain.errors import ConflictError, LedgerError, UnavailableError
from domain.identifiers import access_stream
from domain.message import Pending
from domain.time import MINUTE_MS
from infrastructure.api.askers import Principal
from infrastructure.closing import Closing
from infrastructure.ledger import Ledger

LOOK_S: Final = 5.0
_MOST_COUNTED: Final = 100_000
_ATTEMPTS: Final = 8
_NOTHING: Final = "none"
_CLASSES: Final[dict[str, RouteClass]] = {
    "workloads": "workloads", "executions": "workloads", "why": "workloads", "cacs": "cacs", "policies": "directory",
    "clauses": "directory", "tenants": "directory", "scopes": "directory", "nodes": "directory", "usage": "usage",
    "notices": "notices", "audit": "audit", "anchors": "audit",
    "feed": "feed", "releases": "releases", "disputes": "disputes",
    "involved": "disputes", "subscriptions": "cacs",
}  # fmt: skip
_OTHERS: Final = frozenset({"token", "assignments", "reports"})
_FIRST_REFUSED: Final = 400

Tell = Callable[[str], None]


class _Counted(NamedTuple):
    log_id: UUID
    kid: str
    role: str
    route_class: RouteClass
    minute_ms: int


class Accesses(Closing):
    """The counts of one process.

    Args:
        ledger: where they are written.
        tell: is told of what could not be.
    """

    def __init__(self, ledger: Ledger, tell: Tell) -> None:
        self._ledger = ledger
        self._tell = tell
        self._lock = threading.Lock()
        self._asked: Counter[_Counted] = Counter()
        self._refused: Counter[_Counted] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-accesses", daemon=True)
        self._thread.start()

    def count(self, who: Principal, method: str, path: str, status: int) -> None:
        """Count a request that was answered. For the event loop: it waits for nothing."""
        route_class = _CLASSES.get(_first(path))
        if who.log_id is None or method != "GET" or route_class is None:
            return
        one = _Counted(who.log_id, who.kid, who.role or _NOTHING, route_class, self._minute_ms())
        with self._lock:
            if one in self._asked or len(self._asked) < _MOST_COUNTED:
                self._asked[one] += 1
                self._refused[one] += status >= _FIRST_REFUSED

    def record(self, who: Principal, route_class: RouteClass) -> None:
        """Record one access, durably.

        Raises:
            LedgerError: when it can't be: then nothing may be answered.
        """
        if who.log_id is not None:
            self._append(_Counted(who.log_id, who.kid, who.role or _NOTHING, route_class, self._minute_ms()), 1, 0)

    def flush(self, *, everything: bool = False) -> None:
        """Append the counts of minutes that are over; of all, where nothing more will be counted."""
        now_ms = self._minute_ms()
        with self._lock:
            due = [one for one in self._asked if everything or one.minute_ms < now_ms]
            counts = [(one, self._asked.pop(one), self._refused.pop(one, 0)) for one in due]
        for one, asked, refused in counts:
            try:
                self._append(one, asked, refused)
            except UnavailableError:  # the database is away: later
                self._put_back(one, asked, refused)
            except LedgerError as error:
                self._tell(f"accesses: {error}")

    def close(self) -> None:
        """Append what was counted, and end. Safe to repeat."""
        self._stop.set()
        self._thread.join()
        self.flush(everything=True)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.flush()

    def _put_back(self, one: _Counted, asked: int, refused: int) -> None:
        with self._lock:
            self._asked[one] += asked
            self._refused[one] += refused

    def _append(self, one: _Counted, asked: int, refused: int) -> None:
        stream = access_stream(one.kid)
        event = AccessSummarised(
            kid=one.kid, role=one.role, route_class=one.route_class, minute_ms=one.minute_ms,
            requests=asked, refused=refused,
        )  # fmt: skip
        for _ in range(_ATTEMPTS):
            newest = next(self._ledger.newest(one.log_id, stream), None)
            version = 0 if newest is None else newest.version + 1
            try:
                self._ledger.append([Pending(one.log_id, stream, version, event)])
            except ConflictError:  # another process counts for the same principal
                continue
            return
        raise UnavailableError("the stream of accesses keeps growing: try again")

    def _minute_ms(self) -> int:
        return self._ledger.clock.now_ms() // MINUTE_MS * MINUTE_MS


def class_of(path: str) -> str:
    """Return what kind of thing is asked for at a path, of a closed set."""
    first = _first(path)
    if first in _CLASSES:
        return _CLASSES[first]
    return first if first in _OTHERS else "other"


def _first(path: str) -> str:
    return path.removeprefix("/v1/").partition("/")[0] if path.startswith("/v1/") else ""
