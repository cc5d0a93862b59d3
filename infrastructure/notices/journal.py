"""What an outbox keeps in its directory: where it stands in the feed, and what is open there, one line for each change.

Format, JSON lines: {"at": position, "mark": hash of the event there}; {"open": execution's stream, "log": id, "to":
{recipient: tries}}, the newest line of a stream counts, and with an empty "to" nothing of it is open.

Invariants:
- What is open is durable before a position that lies behind it: whoever reads on from there misses nothing.
- A line that a crash tore is the last one; it is left out, and the file is written anew before anything is added.
- A file that grew to twice what it must hold is written anew, so what a change costs is bounded by the change.
- Who finds that another process wrote the file anew writes it anew: what was added to the old one is in nobody else's.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from domain.errors import MalformedError, RefusedError
from infrastructure.keys.private_files import locked, make_private_directory, write_private

FILE: Final = "outbox.jsonl"
MAX_LINE_BYTES: Final = 65_536
SLACK_LINES: Final = 4096
"""So many lines more than must be there don't have the file written anew."""

_LOCK: Final = "outbox.lock"
_FORMER: Final = "outbox.json"


@dataclass
class Open:
    """An execution with open notices: whose log it is in, and how often each recipient was tried in vain."""

    log_id: UUID
    to: dict[str, int] = field(default_factory=dict)


Whole = dict[UUID, Open]
"""All that is open, by the executions' streams."""


class OutboxJournal:
    """The file of one outbox.

    Args:
        directory: made (0700) when the first line is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE
        self._lines = 0
        self._file: int | None = None
        self._torn = False

    def read(self) -> tuple[int, str, Whole]:
        """Return position, mark, and what is open; (0, "", {}) where there is no file.

        Raises:
            MalformedError: when the file is not of its form.
        """
        position, mark, opened = 0, "", Whole()
        try:
            with self._path.open("rb") as file:
                self._file = os.fstat(file.fileno()).st_ino
                while line := file.readline(MAX_LINE_BYTES):
                    if not line.endswith(b"\n") and not file.read(1):
                        self._torn = True
                        break
                    said = json.loads(line)
                    if "at" in said:
                        position, mark = _natural(said["at"]), str(said["mark"])
                    else:
                        _put(opened, said)
                    self._lines += 1
        except FileNotFoundError:
            return 0, "", {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedError(
                f"{self._path} is not of its form; without it, everything is derived from the start"
            ) from None
        return position, mark, opened

    def add(self, changed: Iterable[tuple[UUID, Open]], position: int, mark: str, whole: Callable[[], Whole]) -> None:
        """Write down what has changed, and then the position; durable when it returns.

        Args:
            changed: streams with what is open of them now.
            position: up to where the feed was looked at.
            mark: hash of the event there.
            whole: all that is open.

        Raises:
            RefusedError: when it can't be written.
        """
        make_private_directory(self._directory)
        lines = [*(_line(stream, one) for stream, one in changed), _dumped({"at": position, "mark": mark})]
        with locked(self._directory / _LOCK):
            if self._may_add(len(lines), len(whole())):
                self._append(lines)
            else:
                lines = [*(_line(stream, one) for stream, one in whole().items()), lines[-1]]
                write_private(self._path, b"".join(lines))
                (self._directory / _FORMER).unlink(missing_ok=True)
                self._file, self._lines, self._torn = self._path.stat().st_ino, 0, False
        self._lines += len(lines)

    def _may_add(self, more: int, must: int) -> bool:
        try:
            same = self._path.stat().st_ino == self._file
        except FileNotFoundError:
            return False
        return same and not self._torn and self._lines + more <= 2 * must + SLACK_LINES

    def _append(self, lines: list[bytes]) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._torn = True
            raise RefusedError(f"cannot write {self._path}: {error.strerror}") from None


def _put(opened: Whole, said: dict[str, Any]) -> None:
    stream, log_id = UUID(said["open"]), UUID(said["log"])
    to = {str(name): _natural(tries) for name, tries in said["to"].items()}
    opened.pop(stream, None)
    if to:
        opened[stream] = Open(log_id, to)


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _line(stream: UUID, one: Open) -> bytes:
    return _dumped({"open": str(stream), "log": str(one.log_id), "to": one.to})


def _dumped(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
