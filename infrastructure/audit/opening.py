"""Opens the entries of a bundle with the keys that came with it, and checks what the seal alone can't say.

Invariants:
- Origin, key commitment and tag are compared before the topic is looked up, in the closed registry (wire formats 1).
- (stream, version) is dense in leaf order: an entry that was swapped between streams or left out is named.
- A stream counts as disclosed with its keys of all generations. Where one was kept back, what follows entries of that
  generation counts as not disclosed; a gap that no such generation explains refuses.
"""

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

import domain.registry  # noqa: F401 - fills the registry
from domain.errors import LedgerError, VerificationError
from domain.message import Recorded, event_from
from domain.transparency.hashing import leaf_hash
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.sealing import EntryRecord, open_with_stream_keys
from infrastructure.keys.stream_keys import StreamKey

NO_LOG = UUID(int=0)
"""Log id of events from a bundle: outside the ledger a log is known by its origin only."""


class Opener:
    """Opens the entries of one log.

    Args:
        keys: the disclosed stream keys by tag.
        origin: the log's origin.
    """

    def __init__(self, keys: Mapping[bytes, StreamKey], origin: str) -> None:
        self._keys = keys
        self._origin = origin
        self._disclosed = {(key.stream_id, key.generation) for key in keys.values()}
        self._streams = {key.stream_id for key in keys.values()}
        self._versions: dict[UUID, int] = {}
        self._hidden_generations: set[int] = set()

    def discloses(self, stream: UUID) -> bool:
        """Tell whether everything of a stream can be read, as far as entries were opened."""
        return stream in self._streams and not self._may_miss_some(stream)

    def opened(self, entries: Iterable[bytes]) -> Iterator[Recorded | None]:
        """Yield each entry's event, or None where its stream's key was not disclosed.

        Raises:
            VerificationError: naming the entry that is not what it should be.
        """
        for index, entry in enumerate(entries):
            try:
                yield self._open(index, entry)
            except LedgerError as error:
                raise VerificationError(f"entry {index}: {error}") from None
            except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
                raise VerificationError(f"entry {index}: its content is not of its form") from None

    def _open(self, index: int, entry: bytes) -> Recorded | None:
        record = open_with_stream_keys(entry, self._keys, origin=self._origin)
        if record is None:
            self._hidden_generations.add(parse_entry(entry).generation)
            return None
        event = event_from(record.topic, record.event)
        if not self._follows(record):
            return None
        return Recorded(NO_LOG, index, record.stream_id, record.version, record.at_ms, event, leaf_hash(entry))

    def _follows(self, record: EntryRecord) -> bool:
        """Tell whether an entry is the next of its stream; it isn't known of a stream that may lack some."""
        stream, expected = record.stream_id, self._versions.get(record.stream_id, -1) + 1
        incomplete = self._may_miss_some(stream)
        if record.version < expected or (record.version > expected and not incomplete):
            raise VerificationError(f"version {record.version} of stream {stream}, where {expected} is next")
        self._versions[stream] = record.version
        return not incomplete

    def _may_miss_some(self, stream: UUID) -> bool:
        """Tell whether entries that could not be opened may be of a stream: those of a generation kept back."""
        return any((stream, generation) not in self._disclosed for generation in self._hidden_generations)


def opened_entries(entries: Iterable[bytes], keys: Mapping[bytes, StreamKey], origin: str) -> Iterator[Recorded | None]:
    """Yield each entry's event, or None where its stream's key was not disclosed. Raises as `Opener.opened` does."""
    return Opener(keys, origin).opened(entries)
