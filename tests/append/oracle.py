"""What must hold of a database after any writers, however they ended: the acknowledgements are the witnesses."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.statements.acknowledgement import Acknowledgement
from tests.append.scene import Scene

Acknowledged = tuple[UUID, UUID, int, Acknowledgement]
"""Log, stream and version of an event, and its acknowledgement."""


def acknowledged(files: Iterable[Path]) -> list[Acknowledged]:
    """Read what writers wrote down. A last line without an end is of a writer that was killed: it saw no answer."""
    found = []
    for file in files:
        for line in file.read_bytes().split(b"\n")[:-1]:
            log, stream, version, ack = line.split(b" ", 3)
            one = Acknowledgement.from_bytes(ack)
            found.append((UUID(log.decode()), UUID(stream.decode()), int(version), one))
    return found


def assert_nothing_lost_or_doubled(scene: Scene, known: Iterable[Acknowledged]) -> int:
    """Check every log, the feed and every acknowledgement; return how many events there are."""
    ledger = scene.ledger
    entries = {log: _whole(ledger, log) for log in scene.logs}
    for log, stream, version, one in known:
        one.verify(scene.key(log), ledger.log(log).origin)
        digest, *place = entries[log][one.event.leaf_index]
        assert (digest, place) == (one.event.leaf_hash, [stream, version])
    _assert_feed_without_holes(ledger, {log: len(its) for log, its in entries.items()})
    return sum(map(len, entries.values()))


def _whole(ledger: Ledger, log: UUID) -> list[tuple[bytes, UUID, int]]:
    """Check one log: dense leaves that hash to its head, dense streams, entries that open as their columns say."""
    head = ledger.head(log)
    found: list[tuple[bytes, UUID, int]] = []
    streams: dict[UUID, int] = {}
    jtis: list[str] = []
    for stored in ledger.recorder.every_entry(log, head.size):
        digest = leaf_hash(stored.entry)
        assert (stored.leaf_index, stored.leaf_hash) == (len(found), digest)
        assert stored.version == streams.get(stored.stream_id, -1) + 1
        streams[stored.stream_id] = stored.version
        text = ledger.mapper.opened(stored).event.payload()["have"]
        if text != "contested":
            jtis.append(text)
        found.append((digest, stored.stream_id, stored.version))
    assert Frontier.empty().extend(digest for digest, _, _ in found) == head
    assert len(set(jtis)) == len(jtis)  # each command has one event in a log: none was stored twice
    return found


def _assert_feed_without_holes(ledger: Ledger, sizes: dict[UUID, int]) -> None:
    reached = dict.fromkeys(sizes, 0)
    position = 0
    feed = Feed(ledger.recorder.datastore)
    while rows := feed.read_feed(position, 1000):
        for row in rows:
            assert row.position == position + 1
            assert row.first_index == reached[row.log_id]
            reached[row.log_id] += row.count
            position = row.position
    assert reached == sizes
    assert ledger.recorder.max_notification_id() == sum(sizes.values())
