"""Prepared statements in libpq's pipeline mode: what is sent together is answered in one round trip.

psycopg's cursors do the same, with 60 to 80 us of the interpreter's time for each statement; an append has seven, and
the interpreter is what appends wait for. So the append alone speaks to `psycopg.pq`.

Invariants:
- Parameters and results are in the binary format; a statement is prepared once on each connection.
- Nothing waits while it could read: a server that sends before it has read everything never stops both sides.
- Whatever happens, the connection has left pipeline mode afterwards or is closed, and no transaction is open [the pool
  would roll it back, and psycopg deallocates every prepared statement with that, ours too].
- Where somebody else's rollback has done that, the error says so once, and the statements are prepared again.
"""

import re
import select
import struct
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from infrastructure.postgres.queries import load

_PLACEHOLDER = re.compile(rb"%\((\w+)\)[bs]")
_BIGINT = struct.Struct("!q")
_COMMIT = "commit"
_OUT_OF_STEP = "the server's answers are out of step"
_GOOD = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})

Row = tuple[bytes | None, ...]
"""A row's values in the binary format; None for NULL."""


class Statements:
    """The statements of a file of queries, and on which connections they are prepared.

    Args:
        file: as `queries.load` takes it. Placeholders are `%(name)b` for columns, `%(name)s` for bigints.
    """

    def __init__(self, file: str) -> None:
        self.texts: dict[str, bytes] = {}
        self.parameters: dict[str, tuple[str, ...]] = {}
        for name, text in load(file).items():
            names = tuple(dict.fromkeys(found.decode() for found in _PLACEHOLDER.findall(text)))
            self.parameters[name] = names
            numbers = {one.encode(): b"$%d" % number for number, one in enumerate(names, 1)}
            self.texts[name] = _PLACEHOLDER.sub(lambda found, numbers=numbers: numbers[found[1]], text)  # type: ignore[misc]
        self.prepared: WeakKeyDictionary[psycopg.Connection[Any], set[str]] = WeakKeyDictionary()


class Pipeline:
    """A connection in pipeline mode, as a context.

    Args:
        connection: that nobody else uses meanwhile, outside a transaction.
        statements: that will be executed.
    """

    def __init__(self, connection: psycopg.Connection[Any], statements: Statements) -> None:
        self._pgconn = connection.pgconn
        self._statements = statements
        self._prepared = statements.prepared.setdefault(connection, set())
        self._asked: deque[tuple[str, bool]] = deque()  # names, and whether it is their preparation
        self._ended = False

    def __enter__(self) -> Self:
        self._pgconn.enter_pipeline_mode()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pgconn.status == ConnStatus.BAD:
            return
        try:
            if not self._ended:
                self.end()
            self._pass_over()
            if self._pgconn.transaction_status != TransactionStatus.IDLE:
                self._pgconn.send_query_params(b"ROLLBACK", [])
                self._pgconn.pipeline_sync()
                self._flush()
                self._pass_over()
            self._pgconn.exit_pipeline_mode()
        except psycopg.Error:
            self._pgconn.finish()
            if error is None:
                raise

    def send(self, name: str, values: Mapping[str, bytes | int] | None = None) -> None:
        """Queue a statement.

        Args:
            name: of the statement.
            values: by the names of its placeholders: columns (infrastructure.postgres.arrays) and bigints.
        """
        identifier = b"ledger_" + name.encode()
        if name not in self._prepared and (name, True) not in self._asked:
            self._pgconn.send_prepare(identifier, self._statements.texts[name])
            self._asked.append((name, True))
        given = values or {}
        packed = [_packed(given[one]) for one in self._statements.parameters[name]]
        self._pgconn.send_query_prepared(identifier, packed, [1] * len(packed), 1)
        self._asked.append((name, False))

    def flush(self) -> None:
        """Hand over all that is queued, and ask the server not to wait for more before it answers."""
        self._pgconn.send_flush_request()
        self._flush()

    def end(self) -> None:
        """Hand over all that is queued, as the last of it."""
        self._pgconn.pipeline_sync()
        self._ended = True
        self._flush()

    def answers(self) -> list[list[Row]]:
        """Wait for the answers to all that was queued since the last call; return the rows of each statement.

        Raises:
            psycopg.Error: when one of them fails; what was sent after it is not carried out.
        """
        found: list[list[Row]] = []
        for _ in range(len(self._asked)):
            result = self._result()
            if result is None:
                raise psycopg.OperationalError(_OUT_OF_STEP)
            name, preparing = self._noted(result)
            if result.status not in _GOOD:
                raise self._failure(name, result)
            if self._result() is not None:
                raise psycopg.OperationalError(_OUT_OF_STEP)
            if name == _COMMIT and not preparing and result.command_status != b"COMMIT":
                raise psycopg.OperationalError("the server did not commit")
            if not preparing:
                found.append(_rows(result))
        return found

    def _failure(self, name: str, result: PGresult) -> psycopg.Error:
        """Return what an answer raises; what it tells of prepared statements is noted."""
        error = error_from_result(result)
        if isinstance(error, psycopg.errors.InvalidSqlStatementName):
            self._prepared.clear()
            return psycopg.OperationalError("the statements are not prepared any more")
        if isinstance(error, psycopg.errors.DuplicatePreparedStatement):
            self._prepared.add(name)
            return psycopg.OperationalError("a statement was prepared already")
        return error

    def _noted(self, result: PGresult) -> tuple[str, bool]:
        """Return what a result answers, and note what is prepared by now: in whichever way it is read."""
        name, preparing = self._asked.popleft()
        if preparing and result.status in _GOOD:
            self._prepared.add(name)
        return name, preparing

    def _pass_over(self) -> None:
        """Read up to the next end: what follows an error, or nobody asked for."""
        last: PGresult | None = self._result()
        while last is None or last.status != ExecStatus.PIPELINE_SYNC:
            if last is not None and self._asked:
                self._noted(last)
            before, last = last, self._result()
            if before is None and last is None:
                raise psycopg.OperationalError(_OUT_OF_STEP)

    def _result(self) -> PGresult | None:
        """Wait for the next result. After each statement's, but for the end's, comes None."""
        while self._pgconn.is_busy():
            self._wait(select.POLLIN)
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    def _flush(self) -> None:
        while self._pgconn.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._pgconn.consume_input()

    def _wait(self, events: int) -> int:
        poll = select.poll()
        poll.register(self._pgconn.socket, events)
        ((_, found),) = poll.poll()
        return found


def _packed(value: bytes | int) -> bytes:
    return _BIGINT.pack(value) if isinstance(value, int) else value


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def bigint(value: bytes | None) -> int:
    """Return the number of a `bigint` that is not NULL."""
    if value is None:
        raise psycopg.DataError("a number is NULL")
    return int(_BIGINT.unpack(value)[0])
