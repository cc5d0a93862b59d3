"""What a node has said of one execution, as its outbox keeps it: reports in order, and how far they have come.

Invariants:
- Of an entry's reports the first `answered` have their answer, the first `durable` may be sent.
"""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from domain.executions.state import NO_REPORT
from infrastructure.node.journal import Record

Answer = dict[str, Any]


@dataclass(slots=True)
class Said:
    """One report: its token (bare bytes, but for evidence), what goes with it, and its answer when there is one."""

    kind: str
    token: str
    enclosed: Record = field(default_factory=dict)
    answer: Future[Answer] = field(default_factory=Future)

    @property
    def bare(self) -> bool:
        """Whether it is signed as one of a batch only."""
        return self.token.startswith("{")

    @property
    def size_bytes(self) -> int:
        """Return about how long it is when it is sent."""
        texts = (text for given in self.enclosed.values() for text in (given if isinstance(given, list) else [given]))
        return len(self.token) + sum(map(len, texts))

    def body(self) -> Record:
        """Return it as it is sent."""
        return {"report": self.token, **self.enclosed}


@dataclass(slots=True)
class Entry:
    """One execution: its log, its window's end, its reports in order and how many of them were answered.

    `leaves_s`: from when on its start is told alone (a clock that never steps back). `alone`: its reports leave one by
    one, each without anybody else's.
    """

    execution_id: str
    origin: str
    until_ms: int
    seq: int = 0
    prev: str = NO_REPORT
    said: list[Said] = field(default_factory=list)
    durable: int = 0
    answered: int = 0
    over: str = ""
    leaves_s: float = 0.0
    alone: bool = False

    @property
    def last_kind(self) -> str:
        """Return what was said last."""
        return self.said[-1].kind if self.said else ""

    @property
    def waiting(self) -> list[Said]:
        """Return the reports that are to be sent."""
        return self.said[self.answered : self.durable]


def fitting(said: list[Said], room_bytes: int) -> list[Said]:
    """Return the first reports that fit."""
    for at, one in enumerate(said):
        room_bytes -= one.size_bytes
        if room_bytes < 0:
            return said[:at]
    return said


def said_record(entry: Entry, first: int, said: list[Said], seq: int, prev: str) -> Record:
    """Return what the journal keeps of reports, from the place of the first of them on, and of what follows them."""
    return {
        "k": "said",
        "e": entry.execution_id,
        "o": entry.origin,
        "u": entry.until_ms,
        "i": first,
        "s": [[one.kind, one.token, one.enclosed] for one in said],
        "n": seq,
        "p": prev,
    }
