"""The peer: `Application.save` of eventsourcing with its own PostgreSQL recorder and a plain JSON mapper.

Invariants:
- Every setting of the library is its default; only the connection is given.
- The same content is stored, 300 bytes of JSON, by the quickest plain mapper that pydantic allows: no clear text is
  sealed, nothing is hashed, no command is made repeatable.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict

from domain.executions.events import EnclaveProvisioned
from scripts.bench.append.workload import Item
from scripts.bench.rounds import clean_heap

THREADS = 8
_SAMPLE_EVERY = 100


class PlainEvent(BaseModel):
    """An event as the library wants it: a stream, a version, and the content."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    originator_id: UUID
    originator_version: int
    content: EnclaveProvisioned


class PlainMapper(Mapper[UUID]):
    """Stores an event's content as pydantic prints it."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Print an event."""
        event: PlainEvent = domain_event
        state = event.content.model_dump_json().encode()
        return StoredEvent(event.originator_id, event.originator_version, get_topic(type(event)), state)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Read an event."""
        stream_id = stored_event.originator_id
        content = EnclaveProvisioned.model_validate_json(stored_event.state)
        return PlainEvent.model_validate(
            {
                "originator_id": stream_id,
                "originator_version": stored_event.originator_version,
                "content": content,
            }
        )


class StockSide:
    """A stock application over an empty database.

    Args:
        conninfo: of a database that the role may make tables in.
    """

    def __init__(self, conninfo: str) -> None:
        self._application: Application[UUID] = Application(_environment(conninfo))
        self.stored = 0
        self.samples: list[PlainEvent] = []

    def single(self, lanes: Sequence[Sequence[Item]]) -> float:
        """Store each lane's events one after the other, one thread for each lane; return events per second."""
        prepared = [[plain(item) for item in lane] for lane in lanes]
        with clean_heap(), ThreadPoolExecutor(len(lanes)) as pool:
            begin = time.perf_counter()
            for done in [pool.submit(self._one_by_one, lane) for lane in prepared]:
                done.result()
            seconds = time.perf_counter() - begin
        return self._counted(prepared) / seconds

    def batches(self, batches: Sequence[Sequence[Item]]) -> float:
        """Store batches one after the other; return events per second."""
        prepared = [[plain(item) for item in batch] for batch in batches]
        with clean_heap():
            begin = time.perf_counter()
            for batch in prepared:
                self._application.save(*batch)
            seconds = time.perf_counter() - begin
        return self._counted(prepared) / seconds

    def stream(self, stream_id: UUID) -> list[Any]:
        """Return a stream's events, read back through the library."""
        return list(self._application.events.get(stream_id))

    def count(self) -> int:
        """Return how many notifications the library's log has: one for each event, as no save fails."""
        return self._application.recorder.max_notification_id() or 0

    def close(self) -> None:
        """Leave the database."""
        self._application.close()

    def _one_by_one(self, events: Sequence[PlainEvent]) -> None:
        for event in events:
            self._application.save(event)

    def _counted(self, prepared: Sequence[Sequence[PlainEvent]]) -> int:
        events = [event for part in prepared for event in part]
        self.stored += len(events)
        self.samples += events[::_SAMPLE_EVERY]
        return len(events)


def plain(item: Item) -> PlainEvent:
    """Return an item as the peer stores it."""
    return PlainEvent(originator_id=item.stream_id, originator_version=item.version, content=item.event)


def describe() -> str:
    """Return whom we measure against, in words."""
    return (
        f"eventsourcing {version('eventsourcing')} Application.save, PostgresApplicationRecorder, all settings default "
        f"(pool 5 + 10 overflow, no snapshots, cipher or compressor), mapper: pydantic model_dump_json of the content"
    )


def _environment(conninfo: str) -> Mapping[str, str]:
    given = conninfo_to_dict(conninfo)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "MAPPER_TOPIC": f"{__name__}:{PlainMapper.__name__}",
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given.get("port", 5432)),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given.get("password", "-")),
    }
