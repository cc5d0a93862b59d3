"""Fills a ledger's logs: millions of entries through the recorder, with heads and feed as appends leave them.

Invariants:
- Every row is written by the recorder's own transaction: tables and indexes are what that many appends make of them.
- An entry has the outside and the length of one that was really sealed for its log. Its ciphertext is random bytes, as
  every ciphertext looks: to seal ten million events would change no row's place and take as long again.
- Streams are as the load's: 10 events each, with ids in the order of time.
"""

from collections.abc import Iterator
from uuid import UUID

from domain.message import Pending
from infrastructure.keys.entry import parse_entry
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import LoggedEvent
from scripts.bench.append.ours import OurSide
from scripts.bench.append.workload import STREAM_EVENTS, TENANTS, Item, batches
from scripts.bench.benchmark import Say

_STREAMS_AT_ONCE = 10
AT_ONCE = TENANTS * _STREAMS_AT_ONCE * STREAM_EVENTS
"""Events in one transaction; a fill is a multiple of it."""
_SAID_EVERY = 100


def fill(side: OurSide, events: int, say: Say) -> None:
    """Bring so many events, a multiple of AT_ONCE, into the empty logs of a side."""
    ledger = side.ledger
    ((example, *_), *_) = batches(ledger.ids, ledger.clock.now_ms(), count=1)
    shapes = [_Shape(ledger, log_id, example) for log_id in side.log_ids]
    for number in range(events // AT_ONCE):
        ledger.recorder.append([event for shape in shapes for event in shape.streams()])
        if number % _SAID_EVERY == 0:
            say(f"{number * AT_ONCE} of {events}")


class _Shape:
    """What one log's entries look like from outside."""

    def __init__(self, ledger: Ledger, log_id: UUID, example: Item) -> None:
        sealed = ledger.mapper.seal(Pending(log_id, example.stream_id, 0, example.event), ledger.clock.now_ms())
        self._ledger = ledger
        self._log_id = log_id
        self._topic = sealed.topic
        self._hidden = len(parse_entry(sealed.state).ciphertext)
        self._open = sealed.state[: -self._hidden]

    def streams(self) -> Iterator[LoggedEvent]:
        """Yield the events of a few new streams."""
        ledger = self._ledger
        for _ in range(_STREAMS_AT_ONCE):
            stream_id = ledger.ids.uuid(ledger.clock.now_ms())
            for version in range(STREAM_EVENTS):
                entry = self._open + ledger.entropy.bytes(self._hidden)
                yield LoggedEvent(stream_id, version, self._topic, entry, self._log_id)
