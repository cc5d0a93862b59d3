"""Opens the entries of a bundle with the keys that came with it, and checks what the seal alone can't say.

Invariants:
- Origin, key commitment and tag are compared before the topic is looked up, in the closed registry (wire formats 1).
- (stream, version) is dense in leaf order: an entry that was swapped between streams or left out is named.
- A stream counts as disclosed with its keys of all generations. Where one was kept back, what follows entries of that
  generation is opened and not judged; a gap that no such generation explains refuses.
- Where the log's own stream is disclosed, it tells which generations there are: no other one excuses anything [a single
  entry under keys that nobody has would switch off every check after it].
"""

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import domain.registry  # noqa: F401 - fills the registry
from domain.errors import LedgerError, VerificationError
from domain.message import Recorded, event_from_json
from domain.transparency.hashing import leaf_hash
from infrastructure.audit.compact import CompactMap
from infrastructure.keys.entry import (
    GCM_TAG_BYTES,
    GENERATION_BYTES,
    HEAD_BYTES,
    IV_BYTES,
    MAX_ENTRY_BYTES,
    NO_BYTES,
    NO_MAP,
    EntryHeader,
    ParsedEntry,
    additional_data,
    byte_string_head,
    parse_entry,
)
from infrastructure.keys.plaintext import decode_record, event_bytes
from infrastructure.keys.stream_keys import KID_BYTES, TAG_BYTES, StreamKey, key_commitment, key_id

NO_LOG = UUID(int=0)
"""Log id of events from a bundle: outside the ledger a log is known by its origin only."""

VERSION_BYTES = 8
_CACHED_STREAMS = 16_384
_MAX_HIDDEN = 65_536


class KeySource(Protocol):
    """Gives disclosed keys."""

    def get(self, tag: bytes, /) -> StreamKey | None:
        """Return the key with a tag, or None where it was not disclosed."""
        ...


class Opened(NamedTuple):
    """An entry's content: stream, its key's generation, version, instant, topic, event as canonical JSON, leaf hash."""

    stream_id: UUID
    generation: int
    version: int
    at_ms: int
    topic: str
    event: bytes
    leaf_hash: bytes


Item = Opened | int
"""An opened entry; or of one whose stream's key was not disclosed the generation of its key."""


class _Stream(NamedTuple):
    """A disclosed stream: its key, what that derives, and the bytes of its entries before and after their IV."""

    key: StreamKey
    cipher: AESGCM
    commitment: bytes
    before_iv: bytes
    after_iv: bytes
    aad_before_iv: bytes


class Opener:
    """Opens entries of one log, one by one.

    Args:
        keys: the disclosed stream keys.
        origin: the log's origin.
    """

    def __init__(self, keys: KeySource, origin: str) -> None:
        self._keys = keys
        self._origin = origin
        self._streams: dict[bytes, _Stream] = {}
        self._header = EntryHeader.of(bytes(KID_BYTES), origin)
        self._tag_at = self._header.before_iv.index(bytes(KID_BYTES)) + GENERATION_BYTES

    def open(self, entry: bytes) -> Item:
        """Open an entry, and check that it is what its key was disclosed for.

        Raises:
            LedgerError: when entry or plaintext are not of their form, it is another log's or another key's, or was
                changed.
        """
        stream = self._streams.get(entry[self._tag_at : self._tag_at + TAG_BYTES])
        plaintext = None if stream is None else _opened_as_printed(stream, entry)
        if stream is None or plaintext is None:
            parsed = parse_entry(entry)
            if parsed.origin != self._origin:
                raise VerificationError(f"sealed for the log {parsed.origin}, not {self._origin}")
            stream = self._streams.get(parsed.tag) or self._derived(parsed)
            if stream is None:
                return parsed.generation
            plaintext = _opened(stream, entry, parsed)
        record = decode_record(plaintext)
        if record.stream_id != stream.key.stream_id:
            raise VerificationError("an entry holds an event of another stream than its key was disclosed for")
        event = event_bytes(plaintext)
        return Opened(
            record.stream_id, stream.key.generation, record.version, record.at_ms, record.topic, event, leaf_hash(entry)
        )

    def _derived(self, parsed: ParsedEntry) -> _Stream | None:
        key = self._keys.get(parsed.tag)
        if key is None:
            return None
        commitment = key_commitment(key.secret, self._origin)
        header = self._header.with_kid(key_id(key.generation, key.tag, commitment))
        if len(self._streams) >= _CACHED_STREAMS:
            self._streams.clear()  # derived again when needed
        after_iv = header.after_iv + NO_MAP
        stream = self._streams[parsed.tag] = _Stream(
            key, AESGCM(key.secret), commitment, header.before_iv, after_iv, header.aad_before_iv
        )
        return stream


def _opened_as_printed(stream: _Stream, entry: bytes) -> bytes | None:
    """Return the plaintext of an entry that is laid out as its stream's are; None leaves the verdict to the parser."""
    iv_at = len(stream.before_iv)
    after_at = iv_at + IV_BYTES
    head_at = after_at + len(stream.after_iv)
    first = entry[head_at : head_at + 1]
    ciphertext = entry[head_at + HEAD_BYTES.get(first, 1) :]
    if (
        len(entry) > MAX_ENTRY_BYTES
        or len(ciphertext) < GCM_TAG_BYTES
        or not entry.startswith(stream.before_iv)
        or not entry.startswith(stream.after_iv + byte_string_head(len(ciphertext)), after_at)
    ):
        return None
    try:
        return stream.cipher.decrypt(
            entry[iv_at:after_at], ciphertext, stream.aad_before_iv + entry[iv_at : head_at - 1] + NO_BYTES
        )
    except InvalidTag:
        return None


def _opened(stream: _Stream, entry: bytes, parsed: ParsedEntry) -> bytes:
    if parsed.generation != stream.key.generation:
        raise VerificationError("sealed bytes belong to another stream or key generation")
    if not hmac.compare_digest(stream.commitment, parsed.commitment):
        raise VerificationError("the key is not the one that sealed this (key commitment)")
    try:
        return stream.cipher.decrypt(parsed.iv, parsed.ciphertext, additional_data(entry, parsed))
    except InvalidTag:
        raise VerificationError("sealed bytes were changed") from None


class Order:
    """Follows opened entries in leaf order: each is the next of its stream, or its stream may lack some.

    Of streams that have not ended it keeps the last version and the leaf indices; of key generations that were not
    disclosed, since which leaf index it has seen them (`hidden_since`), and which of them count (`hidden_generations`).

    Args:
        generations: of the disclosed keys of a stream.
        ended: last versions (8 bytes, with what else the caller keeps there) of streams that have come to their end, by
            the bytes of their id.
    """

    def __init__(self, generations: Callable[[UUID], frozenset[int]], ended: CompactMap | None = None) -> None:
        self._generations = generations
        self._ended = ended
        self._announced: int | None = None
        self.versions: dict[UUID, int] = {}
        self.leaves: dict[UUID, list[int]] = {}
        self.hidden_since: dict[int, int] = {}
        self.hidden_generations: set[int] = set()

    def discloses(self, stream: UUID) -> bool:
        """Tell whether everything of a stream can be read, as far as entries were opened."""
        generations = self._generations(stream)
        return bool(generations) and self.hidden_generations <= generations

    def announce(self, generation: int) -> None:
        """Take in that the log's own stream tells of the next key generation (of 0 with its first entry)."""
        self._announced = generation
        if generation in self.hidden_since:
            self.hidden_generations.add(generation)

    def hide(self, hidden_since: Mapping[int, int]) -> None:
        """Take these generations for those that were not disclosed, each since a leaf index."""
        self.hidden_since = dict(hidden_since)
        self.hidden_generations = {one for one in hidden_since if self._counts(one)}

    def _hide(self, generation: int, index: int) -> None:
        if len(self.hidden_since) == _MAX_HIDDEN:
            raise VerificationError(f"entries under more than {_MAX_HIDDEN} key generations that were not disclosed")
        self.hidden_since[generation] = index
        if self._counts(generation):
            self.hidden_generations.add(generation)

    def _counts(self, generation: int) -> bool:
        return self._announced is None or generation <= self._announced

    def require_announced(self, own: UUID) -> None:
        """Refuse entries under keys of which the log's own stream (`own`) doesn't tell and which it doesn't have.

        Raises:
            VerificationError: naming the first of them.
        """
        if self._announced is None:
            return
        announced, had = self._announced, self._generations(own)
        unknown = [(since, one) for one, since in self.hidden_since.items() if one > announced and one not in had]
        if unknown:
            since, generation = min(unknown)
            raise VerificationError(
                f"entry {since}: sealed under generation {generation} of the data key, and what was disclosed of the "
                f"log's own stream tells of {announced} rotations"
            )

    def take(self, index: int, item: Item) -> Recorded | None:
        """Return an entry's event with its place; None where it was not disclosed, or its stream may lack some.

        Raises:
            LedgerError: when the event is not of its form, or its version not the next one.
        """
        if isinstance(item, int):
            if item not in self.hidden_since:
                self._hide(item, index)
            return None
        event = event_from_json(item.topic, item.event)
        if not self._follows(item):
            return None
        if item.stream_id in self.versions:
            self.leaves.setdefault(item.stream_id, []).append(index)
        return Recorded(NO_LOG, index, item.stream_id, item.version, item.at_ms, event, item.leaf_hash)

    def again(self, index: int, item: Item) -> Recorded | None:
        """Return an entry's event with its place, of a stream whose versions were followed already."""
        if isinstance(item, int):
            return None
        self.leaves.setdefault(item.stream_id, []).append(index)
        event = event_from_json(item.topic, item.event)
        return Recorded(NO_LOG, index, item.stream_id, item.version, item.at_ms, event, item.leaf_hash)

    def _follows(self, item: Opened) -> bool:
        """Tell whether an entry is the next of its stream; it isn't known of a stream that may lack some."""
        stream = item.stream_id
        last = self.versions.get(stream)
        ended = self._ended.get(stream.bytes) if last is None and self._ended is not None else None
        expected = (int.from_bytes(ended[:VERSION_BYTES]) if ended else -1 if last is None else last) + 1
        incomplete = bool(self.hidden_generations) and not self.hidden_generations <= self._generations(stream)
        if item.version < expected or (item.version > expected and not incomplete):
            raise VerificationError(f"version {item.version} of stream {stream}, where {expected} is next")
        if ended is not None and self._ended is not None:
            self._ended.set(stream.bytes, item.version.to_bytes(VERSION_BYTES) + ended[VERSION_BYTES:])
        else:
            self.versions[stream] = item.version
        return not incomplete


def opened_entries(entries: Iterable[bytes], keys: Mapping[bytes, StreamKey], origin: str) -> Iterator[Recorded | None]:
    """Yield each entry's event, or None where its stream's key was not disclosed.

    Raises:
        VerificationError: naming the entry that is not what it should be.
    """
    generations: dict[UUID, frozenset[int]] = {}
    for key in keys.values():
        generations[key.stream_id] = generations.get(key.stream_id, frozenset()) | {key.generation}
    opener, order = Opener(keys, origin), Order(lambda stream: generations.get(stream, frozenset()))
    for index, entry in enumerate(entries):
        try:
            recorded = order.take(index, opener.open(entry))
        except CONTENT_ERRORS as error:
            raise named(index, error) from None
        yield recorded


def named(index: int, error: Exception, otherwise: str = "its content is not of its form") -> VerificationError:
    """Return the error that names an entry whose content raised another one."""
    return VerificationError(f"entry {index}: {error if isinstance(error, LedgerError) else otherwise}")


CONTENT_ERRORS = (
    LedgerError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What the content of an entry can make raise."""
