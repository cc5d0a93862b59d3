"""A valid log of any length, made without a ledger: for measuring, and for tests of what only length shows.

Invariants:
- Entries stream; kept are only the streams' ids, 16 bytes each.
- The mix is that of the demo's tenant logs: of 50 workloads 47 run to a CAC, one faults, two are denied, 20 at a time;
  about 15 events and 7 signatures each.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from domain.identifiers import uuid7
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from infrastructure.audit.disclosure import KEYS, keys_pieces
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.plaintext import EntryRecord, encode_record
from infrastructure.keys.sealing import DataKey, Sealer, StreamKey
from infrastructure.keys.stream_keys import stream_key
from infrastructure.tlog.bundle import Progress, write_bundle
from infrastructure.tlog.signing import LogSigner
from scripts.bench.audit.lives import Content, Life, denied_life, faulted_life, submission, whole_life
from scripts.bench.audit.tenant import BEGAN_MS, ORIGIN, Tenant

AT_ONCE = 20
STEP_MS = 7
"""From one entry to the next."""

Kind = Callable[[Tenant, int, int], Life]


def demo_mix(number: int) -> Kind:
    """Return how the workload of that number lives."""
    return {7: faulted_life, 19: denied_life, 33: denied_life}.get(number % 50, whole_life)


def all_signed(_: int) -> Kind:
    """Return a life that is a statement in every entry: the heaviest log that there can be."""
    return submission


class LongLog:
    """A tenant's log.

    Args:
        mix: which life each workload has, by its number.
    """

    def __init__(self, mix: Callable[[int], Kind] = demo_mix) -> None:
        entropy = SystemEntropy()
        self.tenant = Tenant(uuid7(BEGAN_MS, int.from_bytes(os.urandom(10))))
        self._data_key = DataKey.create(0, entropy)
        self._sealer = Sealer(ORIGIN, self._data_key, entropy)
        self._mix = mix
        self._streams: list[bytes] = []
        self._at_ms = BEGAN_MS

    def entries(self, size: int) -> Iterator[bytes]:
        """Yield so many entries."""
        return itertools.islice(self._all(), size)

    def opened(self, entry: bytes) -> EntryRecord:
        """Open an entry."""
        return self._sealer.read(entry)

    def sealed(self, stream: UUID, plaintext: bytes) -> bytes:
        """Seal anything, under the key of a stream; its key is disclosed with the others."""
        self._streams.append(stream.bytes)
        return self._sealer.seal(stream, plaintext)

    def keys(self) -> Iterator[StreamKey]:
        """Yield the keys of every stream that has an entry so far, by stream."""
        for stream in sorted(self._streams):
            yield stream_key(self._data_key, UUID(bytes=stream))

    def write(self, out: Path, size: int, *, with_keys: bool = True, progress: Progress | None = None) -> Checkpoint:
        """Write the log's bundle under fresh log keys."""
        signer = LogSigner.generate(ORIGIN, SystemEntropy())
        extra = self._keys() if with_keys else ()
        return write_bundle(
            self.entries(size), size=size, signer=signer, at_unix_s=BEGAN_MS // 1000, out=out, extra=extra,
            private=[KEYS] if with_keys else (), progress=progress,
        )  # fmt: skip

    def _keys(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        yield KEYS, keys_pieces(ORIGIN, self.keys())  # asked for after the last entry

    def _all(self) -> Iterator[bytes]:
        for version, event in enumerate(self.tenant.beginning()):
            yield self._sealed(self.tenant.log_id, version, event.TOPIC, event.payload())
        numbers = itertools.count()
        lives = [self._life(next(numbers)) for _ in range(AT_ONCE)]
        while True:
            for place, life in enumerate(lives):
                entry = next(life, None)
                if entry is None:
                    lives[place] = self._life(next(numbers))
                    entry = next(lives[place])
                yield entry

    def _life(self, number: int) -> Iterator[bytes]:
        """Seal what happens to one workload, each event as the next of its stream."""
        life = self._mix(number)(self.tenant, number, self._at_ms)
        versions: dict[UUID, int] = {}
        step = next(life)
        while True:
            stream, topic, content = step
            version = versions.get(stream, 0)
            versions[stream] = version + 1
            entry = self._sealed(stream, version, topic, content)
            yield entry
            try:
                step = life.send((self._at_ms, leaf_hash(entry).hex()))
            except StopIteration:
                return

    def _sealed(self, stream: UUID, version: int, topic: str, content: Content) -> bytes:
        if version == 0:
            self._streams.append(stream.bytes)
        self._at_ms += STEP_MS
        return self._sealer.seal(stream, encode_record(EntryRecord(stream, version, topic, self._at_ms, content)))
