"""The acknowledgements of what a command stored: in its JSON answer, and as files for who wants to hold us to them.

Invariants:
- Only what answers this command's own statement, while it is carried out: what then follows from it is the ledger's and
  the nodes' own.
- Files are written before the answer is printed: an answer that is seen has its proof on disk. One that is there stays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domain.errors import ConflictError, UnavailableError
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements.acknowledgement import SUFFIX, Acknowledgement


class Kept:
    """What was acknowledged to one command."""

    def __init__(self) -> None:
        self.acknowledgements: list[Acknowledgement] = []

    def hear(self, answer: Answer) -> None:
        """Keep what answers a statement."""
        self.acknowledgements += [one for one in answer.acknowledgements if one.event.jti]

    def members(self) -> dict[str, Any]:
        """Return the member for `--json`; a repeat, which stores nothing, has none."""
        kept = [one.to_json() for one in self.acknowledgements]
        return {"acknowledgements": kept} if kept else {}

    def write(self, directory: Path) -> None:
        """Write a file for each, named for its command and place.

        Raises:
            UnavailableError: when the directory can't be made or written.
            ConflictError: when a file of that name says something else.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for one in self.acknowledgements:
                path = directory / f"{one.event.jti}-{one.event.leaf_index}{SUFFIX}"
                if not path.exists():
                    path.write_bytes(one.to_bytes())
                elif path.read_bytes() != one.to_bytes():
                    raise ConflictError(f"{path} holds another acknowledgement of that command: name another --ack DIR")
        except OSError as error:
            raise UnavailableError(f"what was asked is stored, but {directory}: {error.strerror}") from None


@contextmanager
def acknowledged(ledger: Ledger, directory: Path | None = None) -> Iterator[Kept]:
    """Keep what is acknowledged in this block; write it at its end, also where the rest of the command fails.

    Raises:
        UnavailableError: as `Kept.write`.
        ConflictError: as `Kept.write`.
    """
    kept = Kept()
    ledger.on_answer = kept.hear
    try:
        yield kept
    finally:
        ledger.on_answer = None
        if directory is not None:
            kept.write(directory)
