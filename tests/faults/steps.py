"""The steps of append, feed, publication, anchoring and witness, by part: where a process is stopped by kill -9.

A part looks at its `Trigger`, a word of memory that it shares with the test, at every step: where the step is the one
that is named there, the part kills itself, or PostgreSQL, and nothing of Python's runs in between.
"""

import contextlib
import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import infrastructure.anchors.publisher as anchoring
import infrastructure.ledger as appending
from infrastructure.acknowledging import Commit
from infrastructure.anchors.cosigned import WitnessRecords
from infrastructure.anchors.journal import Journal
from infrastructure.anchors.rounds import Rounds
from infrastructure.postgres import recorder
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.postmaster import wait_for
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.views import Views
from infrastructure.publish.files import FileBatch
from infrastructure.publish.floors import Floors
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import LogSigner
from infrastructure.witness.records import Records
from infrastructure.witness.server import WitnessServer
from infrastructure.witness.witness import Witness
from tests.faults import work

_PUBLISH: dict[str, tuple[Any, str]] = {
    "a file aside": (FileBatch, "add"),
    "a file put": (FileBatch, "_put"),
    "tiles placed": (FileBatch, "place"),
    "floor": (Floors, "raise_to"),
    "signature": (LogSigner, "sign_checkpoint"),
    "old partials": (TileDirectory, "drop_partials"),
    "checkpoint": (TileDirectory, "put_checkpoint"),
}
_APPEND: dict[str, tuple[Any, str]] = {
    "sealed": (appending, "prepare"),
    "transaction": (recorder, "_transaction"),
    "heads locked": (recorder, "_lock"),
    "inserts": (recorder, "_insert"),
    "commit sent": (recorder, "_send"),
    "acknowledgement signed": (Commit, "sign"),
    "answer kept": (work, "keep_answer"),
}
PARTS: dict[str, dict[str, tuple[Any, str]]] = {
    "writer": _APPEND,
    "governor": _APPEND,
    "publisher": {
        **_PUBLISH,
        "payloads": (TileDirectory, "put_payloads"),
        "payloads noted": (Publications, "payloads_published"),
        "floor noted": (Publications, "found"),
    },
    "anchors": {
        **_PUBLISH,
        "journal": (Journal, "write"),
        "round": (Rounds, "append"),
        "witnesses": (anchoring, "ask"),
        "cosignatures kept": (WitnessRecords, "keep"),
    },
    "witness": {
        "request": (Witness, "add_checkpoint"),
        "record": (Witness, "_check_against_record"),
        "kept": (Records, "keep"),
        "answered": (WitnessServer, "process_request_thread"),
    },
    "follower": {"feed read": (Feed, "read_feed"), "fold": (work, "fold"), "rows": (Views, "apply")},
    "reader": {"page": (work, "next_entry"), "bookmark": (work, "keep_bookmark")},
}
"""What each part does, step by step: the function whose beginning and end are points to die at."""


class Victim(Enum):
    """Who is killed at a point: the part that got there, or the database under it."""

    ITSELF = 1
    POSTGRES = 2


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The beginning or the end of one step of one part."""

    part: str
    step: str
    after: bool

    def __str__(self) -> str:
        return f"{self.part}: {'after' if self.after else 'before'} {self.step}"


POINTS = tuple(Point(part, step, after) for part, steps in PARTS.items() for step in steps for after in (False, True))


class Trigger:
    """Shared memory of a test and its parts: the point that is armed, whom to kill there, and how often that was done.

    Args:
        path: a file of 12 bytes, made by the test.
        postmaster: PostgreSQL's file of its process number.
    """

    def __init__(self, path: Path, postmaster: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(12))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 12)
        self._postmaster = postmaster
        self._lock = threading.Lock()

    @property
    def fired(self) -> int:
        """Return how many kills there were."""
        return int(struct.unpack_from("I", self._memory, 8)[0])

    def arm(self, point: Point, victim: Victim) -> None:
        """Have the next one that comes to a point die, or kill."""
        struct.pack_into("I", self._memory, 4, victim.value)
        struct.pack_into("I", self._memory, 0, POINTS.index(point) + 1)

    def install(self, part: str) -> None:
        """Let this process look at the trigger at every step of a part."""
        for step, (owner, name) in PARTS[part].items():
            setattr(owner, name, self._watched(getattr(owner, name), Point(part, step, after=False)))

    def _watched(self, real: Callable[..., Any], before: Point) -> Callable[..., Any]:
        first, last = POINTS.index(before) + 1, POINTS.index(Point(before.part, before.step, after=True)) + 1

        def call(*arguments: Any, **named: Any) -> Any:
            self._look(first)
            found = real(*arguments, **named)
            self._look(last)
            return found

        return call

    def _look(self, number: int) -> None:
        if struct.unpack_from("I", self._memory, 0)[0] != number:
            return
        with self._lock:  # of several threads of this part one fires
            armed, victim, fired = struct.unpack_from("III", self._memory)
            if armed != number:
                return
            struct.pack_into("I", self._memory, 0, 0)
            if Victim(victim) is Victim.POSTGRES:
                kill_postgres(int(self._postmaster.read_text().split()[0]))
            struct.pack_into("I", self._memory, 8, fired + 1)  # from here on the test acts upon it
            if Victim(victim) is Victim.ITSELF:
                os.kill(os.getpid(), signal.SIGKILL)


def kill_postgres(postmaster: int) -> None:
    """Kill the server's first process and all of its children, as a machine that loses its power does.

    None may be left over: it would wait for ever for a lock that a killed one held, in memory that no new server takes.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(postmaster, signal.SIGSTOP)  # so that no child is born meanwhile
        assert wait_for(lambda: not _killed_children(postmaster), 10)
        os.kill(postmaster, signal.SIGKILL)
    assert wait_for(lambda: not Path(f"/proc/{postmaster}/cwd").exists(), 10)  # else it could be taken for running


def _killed_children(parent: int) -> list[int]:
    """Kill the living children of a process; return them."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    found = [pid for pid in pids if _is_living_child(pid, parent)]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _is_living_child(pid: int, parent: int) -> bool:
    try:
        state, its_parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return False
    return int(its_parent) == parent and state != "Z"
