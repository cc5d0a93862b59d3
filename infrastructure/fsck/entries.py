"""One log's entries: hashed again, opened again, followed as `audit verify` follows a bundle's.

Invariants:
- Every row is looked at by itself: index, length, hash, form, seal, columns. A damaged one doesn't end the pass.
- The history is followed up to the first entry that does not hold: what comes after rests on it, and that is said.
- Memory is what an audit's is: some 20 bytes an entry, and what has not ended.
"""

from collections.abc import Callable, Iterator
from uuid import UUID

from domain.errors import LedgerError, UnavailableError, VerificationError
from domain.payloads import StoredPayload
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.opening import CONTENT_ERRORS, Item, Opened, Opener
from infrastructure.fsck.marks import Mark
from infrastructure.fsck.reading import PAGE, TOPIC_CHARACTERS, Inspection, Row
from infrastructure.fsck.references import References
from infrastructure.fsck.report import Report
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.stream_keys import DataKey, StreamKey, stream_key
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log

TABLE = "stored_events"
_MOST_STREAMS = 16_384
_MISSING = bytes(32)

Progress = Callable[[int], None]


class StreamKeys:
    """Derives the keys of the streams that rows name: a bounded number is kept."""

    def __init__(self, data_keys: tuple[DataKey, ...]) -> None:
        self._data_keys = data_keys
        self.generations = frozenset(key.generation for key in data_keys)
        self._streams: set[UUID] = set()
        self._by_tag: dict[bytes, StreamKey] = {}

    def name(self, stream: UUID) -> None:
        """Make the keys of a stream known."""
        if stream in self._streams:
            return
        if len(self._streams) == _MOST_STREAMS:
            self._streams.clear()
            self._by_tag.clear()
        self._streams.add(stream)
        for data_key in self._data_keys:
            key = stream_key(data_key, stream)
            self._by_tag[key.tag] = key

    def get(self, tag: bytes, /) -> StreamKey | None:
        """Return the key with a tag, if a row named its stream."""
        return self._by_tag.get(tag)


class LogCheck:
    """The pass over one log's rows.

    Args:
        ledger: the ledger.
        log: which log.
        report: takes what is found.
    """

    def __init__(self, ledger: Ledger, log: Log, report: Report) -> None:
        self._log = log
        self._report = report
        self._keys = StreamKeys(_data_keys(ledger, log, report))
        self._opener = Opener(self._keys, log.origin)
        self.audit = HistoryAudit(log.origin, lambda _: self._keys.generations, payload=self._payload)
        self._ledger = ledger
        self.readable = bool(self._keys.generations)
        self.follows = self.readable
        self.opened = 0

    def run(self, inspection: Inspection, size: int, marks: Iterator[Mark], progress: Progress | None) -> None:
        """Look at every row below a size, and compare what is said of the roots on the way."""
        references, roots = References(inspection, self._log, self._report), Roots(self._log, marks, self._report)
        for number, page in enumerate(inspection.pages(self._log.log_id, size)):
            first, last = number * PAGE, min((number + 1) * PAGE, size)
            roots.take(self._hashes(page, first, last))
            for row in page:
                item = self._opened(row)
                self._follow(row.leaf_index, item)
                if isinstance(item, Opened):
                    references.take(row.leaf_index, item.event)
            references.check()
            if progress is not None:
                progress(last)
        roots.end()
        self._finish(size)

    def _hashes(self, page: list[Row], first: int, last: int) -> list[bytes]:
        """Return the leaf hashes of a page, made again; zeros stand for rows that are missing."""
        hashes, due = [_MISSING] * (last - first), first
        for row in page:
            if row.leaf_index != due:
                self._missing(due, row.leaf_index)
            due = row.leaf_index + 1
            if row.state is None:
                self._differs(row.leaf_index, f"{row.length} bytes, more than an entry has")
                continue
            found = hashes[row.leaf_index - first] = leaf_hash(row.state)
            if found != row.leaf_hash:
                self._differs(row.leaf_index, "its leaf hash is not that of its bytes")
        if due != last:
            self._missing(due, last)
        return hashes

    def _opened(self, row: Row) -> Item | None:
        if row.state is None:
            return None
        try:
            if not self.readable:
                return self._sealed(row.state)
            self._keys.name(row.stream_id)
            item = self._opener.open(row.state)
        except UnavailableError:
            raise
        except CONTENT_ERRORS as error:
            self._differs(row.leaf_index, str(error) if isinstance(error, LedgerError) else "not of its form")
            return None
        if isinstance(item, int):
            self._differs(row.leaf_index, "sealed for another stream than its column names, or under an unknown key")
            return None
        if (item.stream_id, item.version, item.topic[:TOPIC_CHARACTERS]) != (row.stream_id, row.version, row.topic):
            self._differs(row.leaf_index, "its columns are not what the sealed entry says")
            return None
        self.opened += 1
        return item

    def _sealed(self, state: bytes) -> Item:
        parsed = parse_entry(state)
        if parsed.origin != self._log.origin:
            raise VerificationError("sealed for another log")
        return parsed.generation

    def _payload(self, stream: UUID, payload: StoredPayload) -> bytes | None:
        return self._ledger.attached(self._log.log_id, stream, payload.digest)

    def _follow(self, index: int, item: Item | None) -> None:
        if not self.follows:
            return
        if item is None or index != self.audit.size:
            self._stop(index)
            return
        try:
            self.audit.follow(item)
        except VerificationError as error:
            self._differs(index, str(error).removeprefix(f"entry {index}: "))
            self._stop(index + 1)

    def _finish(self, size: int) -> None:
        try:
            if self.follows:
                self.audit.finish()
        except VerificationError as error:
            self._differs(size - 1, str(error))

    def _stop(self, index: int) -> None:
        self.follows = False
        self._report.not_checked.append(
            f"that the history of {self._log.origin} follows from entry {index} on: what is before it is damaged"
        )

    def _missing(self, first: int, last: int) -> None:
        self._differs(first, "missing" if last == first + 1 else f"missing, and so are all to {last - 1}")

    def _differs(self, index: int, what: str) -> None:
        self._report.differs(TABLE, self._log.origin, what, entry=index)


class Roots:
    """Compares what is said of a log's roots with its leaf hashes, as these come."""

    def __init__(self, log: Log, marks: Iterator[Mark], report: Report) -> None:
        self._log = log
        self._marks = marks
        self._report = report
        self._frontier = Frontier.empty()
        self._named: set[str] = set()
        self._next = next(marks, None)
        self._compare([])

    def take(self, hashes: list[bytes]) -> None:
        """Take the next leaf hashes."""
        self._compare(hashes)

    def end(self) -> None:
        """Note what is said of larger trees than there are."""
        while self._next is not None:
            mark, self._next = self._next, next(self._marks, None)
            self._differs(mark, f"{mark.whose} is of size {mark.size}; the database holds {self._frontier.size}")

    def _compare(self, hashes: list[bytes]) -> None:
        first, end = self._frontier.size, self._frontier.size + len(hashes)
        while self._next is not None and self._next.size <= end:
            mark, self._next = self._next, next(self._marks, None)
            self._frontier = self._frontier.extend(hashes[self._frontier.size - first : mark.size - first])
            if self._frontier.root() != mark.root:
                self._differs(mark, f"{mark.whose}, size {mark.size}: its root is not that of the entries")
            self._report.checked["roots that others state"] += 1
        self._frontier = self._frontier.extend(hashes[self._frontier.size - first :])

    def _differs(self, mark: Mark, what: str) -> None:
        if mark.table not in self._named:  # the first says it: all that are larger differ too
            self._named.add(mark.table)
            self._report.differs(mark.table, self._log.origin, what)


def _data_keys(ledger: Ledger, log: Log, report: Report) -> tuple[DataKey, ...]:
    """Return a log's data keys; none where they were destroyed, or are missing."""
    try:
        return () if ledger.erased(log.log_id) else ledger.keyring.get(log.log_id).data_keys
    except UnavailableError:
        raise
    except CONTENT_ERRORS as error:
        report.differs("keyring", log.origin, str(error) if isinstance(error, LedgerError) else "its keys are damaged")
        return ()
