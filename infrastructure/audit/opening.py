"""Opens the entries of a bundle with the keys that came with it, and checks what the seal alone can't say.

Invariants:
- Origin, key commitment and tag are compared before the topic is looked up, in the closed registry (wire formats 1).
- (stream, version) is dense in leaf order: an entry that was swapped between streams or left out is named.
"""

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

import domain.registry  # noqa: F401 - fills the registry
from domain.errors import LedgerError, VerificationError
from domain.message import Recorded, event_from
from domain.transparency.hashing import leaf_hash
from infrastructure.keys.sealing import open_with_stream_keys
from infrastructure.keys.stream_keys import StreamKey

NO_LOG = UUID(int=0)
"""Log id of events from a bundle: outside the ledger a log is known by its origin only."""


def opened_entries(entries: Iterable[bytes], keys: Mapping[bytes, StreamKey], origin: str) -> Iterator[Recorded | None]:
    """Yield each entry's event, or None where its stream's key was not disclosed.

    Raises:
        VerificationError: naming the entry that is not what it should be.
    """
    versions: dict[UUID, int] = {}
    for index, entry in enumerate(entries):
        try:
            record = open_with_stream_keys(entry, keys, origin=origin)
            if record is None:
                yield None
                continue
            event = event_from(record.topic, record.event)
        except LedgerError as error:
            raise VerificationError(f"entry {index}: {error}") from None
        expected = versions.get(record.stream_id, -1) + 1
        if record.version != expected:
            raise VerificationError(
                f"entry {index}: version {record.version} of stream {record.stream_id}, where {expected} is next"
            )
        versions[record.stream_id] = record.version
        yield Recorded(NO_LOG, index, record.stream_id, record.version, record.at_ms, event, leaf_hash(entry))
