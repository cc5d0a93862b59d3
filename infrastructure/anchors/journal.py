"""What each round commits to, beside the database: a restored database has lost what its missing rounds committed to.

One line for each round, JCS: {"at_ms", "round", "texts": {slot: text}} with the texts that changed, and where the round
has a trace "trace": {"closing", "decided", "position"}, what it covers (infrastructure.tracing.covers).

Invariants:
- A line is durable before its round is. A crash in between leaves a line that no round has; the next try writes another
  one: of several for one round, the one that gives the round's entry is right.
- Its owner's alone (0600): it names the sizes of all logs.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError, UnavailableError
from infrastructure.keys.private_files import make_private_directory, sync_directory
from infrastructure.tracing.covers import Trace

_MAX_LINE_BYTES = 64 << 20
_OWNERS_FILE = 0o600


class Journal:
    """The journal of one data directory.

    Args:
        directory: made (0700) when the first line is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "rounds.jsonl"

    def write(self, round_index: int, at_ms: int, changed: Mapping[int, bytes], trace: Trace | None = None) -> None:
        """Add a line, durably.

        Raises:
            UnavailableError: when the disk refuses.
        """
        texts = {str(slot): text.decode() for slot, text in changed.items()}
        covers = {} if trace is None else {"trace": _covers(trace)}
        line = canonical({"round": round_index, "at_ms": at_ms, "texts": texts, **covers})
        make_private_directory(self._directory)
        try:
            new = not self._path.exists()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _OWNERS_FILE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"\n" + line + b"\n")  # what a crash left of the line before ends here
                file.flush()
                os.fsync(descriptor)
            if new:
                sync_directory(self._directory)
        except OSError as error:
            raise UnavailableError(f"cannot write {self._path}: {error.strerror}") from None

    def read(self, first: int) -> Iterator[tuple[int, int, dict[int, bytes]]]:
        """Yield (round, at_ms, texts) of every line from a round on, as they were written; torn lines are left out."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                try:
                    content = parse_canonical(line.rstrip(b"\n"))
                    texts = {int(slot): text.encode() for slot, text in content["texts"].items()}
                    index, at_ms = int(content["round"]), int(content["at_ms"])
                except (MalformedError, KeyError, TypeError, ValueError, AttributeError):
                    continue
                if index >= first:
                    yield index, at_ms, texts


def _covers(trace: Trace) -> dict[str, str | int]:
    return {"position": trace.position, "decided": trace.decided.hex(), "closing": trace.closing.hex()}
