"""What several processes that answer requests know together, in their one database: tokens, and what was used up.

Invariants:
- A name is used up once over all processes. Of calls at the same time one asks the database for all of them, so that a
  busy process asks it a few hundred times a second, however many requests there are.
- A crash of the server empties all of it at once. What was signed before that is refused: nobody knows any more whether
  it was used. So that a clock that is ahead gains nothing by it, what says that it is signed later than now counts only
  up to AHEAD_S ahead, and what was born is so much younger: whatever could be used before a crash is refused after it.
- What counts no more is dropped every few seconds, whatever is asked (`prune`).
- A token is its hash; whose it is, each process finds out for itself from the ledger.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.errors import LedgerError, NotAuthorisedError
from domain.time import SECOND_MS
from infrastructure.postgres.arrays import bigints, byteas
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader

_QUERIES: Final = load("access.sql")
AHEAD_S: Final = 5
"""By so much may a clock of who signs be ahead of this one, where several processes answer."""
_PRUNE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A token as another process gave it out."""

    kid: str
    tenant: str | None
    bound: bool
    until_ms: int


@dataclass(slots=True)
class _Call:
    name: bytes
    until_ms: int
    done: bool = False
    fresh: bool = False
    born_ms: int = 0
    error: LedgerError | None = None


class Shared:
    """Safe to call from several threads.

    Args:
        datastore: the cell's.
        now_ms: the clock.
    """

    def __init__(self, datastore: LedgerDatastore, now_ms: Callable[[], int]) -> None:
        self._reader = Reader(datastore)
        self._now_ms = now_ms
        self._turn = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._pruned_ms = 0

    def use_up(self, name: bytes, issued_s: int, until_ms: int) -> None:
        """Take a name once.

        Args:
            name: of at most 32 bytes.
            issued_s: when what bears the name was signed.
            until_ms: when it counts no more.

        Raises:
            NotAuthorisedError: when it was taken before, is older than what is remembered, or from the future.
            UnavailableError: when the database does not answer.
        """
        if issued_s > self._now_ms() // SECOND_MS + AHEAD_S:
            raise NotAuthorisedError("it is from the future: set the clock of who signed it")
        call = _Call(name, until_ms)
        self._waiting.append(call)
        with self._turn:  # whoever asks next asks for all who wait meanwhile
            if not call.done:
                self._ask([self._waiting.popleft() for _ in range(len(self._waiting))])
        if call.error is not None:
            raise call.error
        if not call.fresh:
            raise NotAuthorisedError("it was used before: make a new one")
        if issued_s <= call.born_ms // SECOND_MS + AHEAD_S:
            raise NotAuthorisedError("it is older than what is remembered of its kind: make a new one")

    def born_ms(self) -> int:
        """Return since when names are remembered."""
        rows = self._reader.run_query(_QUERIES["born"], {}) or self._reader.run_query(
            _QUERIES["bear"], {"at_ms": self._now_ms()}
        )
        return int(rows[0][0]) if rows else self._now_ms()  # another process has just noted it

    def put_token(self, hashed: bytes, token: SharedToken) -> None:
        """Let all processes know a token."""
        values = {"hash": hashed, "kid": token.kid, "tenant": token.tenant, "bound": token.bound}
        self._reader.run_query(_QUERIES["put_token"], {**values, "until_ms": token.until_ms})

    def prune(self) -> None:
        """Drop what counts no more, now and then. Called again and again, whether or not anybody asks anything.

        Raises:
            UnavailableError: when the database does not answer.
        """
        now_ms = self._now_ms()
        if now_ms >= self._pruned_ms + _PRUNE_MS:
            self._pruned_ms = now_ms
            for name in ("drop_old_names", "drop_old_tokens"):
                self._reader.run_query(_QUERIES[name], {"now_ms": now_ms})

    def token(self, hashed: bytes) -> SharedToken | None:
        """Return a token, or None."""
        rows = self._reader.run_query(_QUERIES["token"], {"hash": hashed})
        return SharedToken(*rows[0]) if rows else None

    def _ask(self, calls: list[_Call]) -> None:
        try:
            self._take(calls)
        except LedgerError as error:
            for call in calls:
                call.error = error
        for call in calls:
            call.done = True

    def _take(self, calls: list[_Call]) -> None:
        first: dict[bytes, _Call] = {}
        for call in calls:
            first.setdefault(call.name, call)
        ordered = sorted(first)  # two processes take the same names in the same order, so neither waits for the other
        columns = {"names": byteas(ordered), "untils": bigints([first[name].until_ms for name in ordered])}
        rows = self._reader.run_query(_QUERIES["use_up"], columns)
        if not rows:
            return
        born_ms = self.born_ms() if rows[0][1] is None else int(rows[0][1])
        for name, _ in rows:
            first[bytes(name)].fresh, first[bytes(name)].born_ms = True, born_ms
