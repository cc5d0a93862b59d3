"""Several processes append to one database: what each was told holds, and the logs are whole."""

from pathlib import Path

from infrastructure.postgres.feed import Feed
from tests.append.oracle import acknowledged, assert_nothing_lost_or_doubled
from tests.append.scene import Scene
from tests.append.starting import start
from tests.append.writer import CONTESTED

WRITERS = 4


def test_four_processes_on_the_same_logs_and_on_others_leave_whole_logs_and_a_feed_without_holes(
    scene: Scene, conninfo: str, tmp_path: Path
) -> None:
    outs = [tmp_path / f"{number}.acks" for number in range(WRITERS)]
    shared, apart = list(scene.logs[:2]), scene.logs[2]
    writers = [
        start(conninfo, tmp_path / "keys", out, [*shared, apart] if number % 2 else shared, callers=6, seconds=3)
        for number, out in enumerate(outs)
    ]
    seen, position = [], 0
    feed = Feed(scene.ledger.recorder.datastore)
    while any(writer.poll() is None for writer in writers):  # a reader that follows meanwhile misses nothing
        rows = feed.read_feed(position)
        seen += rows
        position += len(rows)
    assert [writer.wait(60) for writer in writers] == [0] * WRITERS
    seen += feed.read_feed(position, 100_000)
    known = [acknowledged([out]) for out in outs]
    assert all(len(its) > WRITERS for its in known)
    events = assert_nothing_lost_or_doubled(scene, [one for its in known for one in its])
    commands = sum(stream != CONTESTED for its in known for _, stream, _, _ in its)
    assert events == sum(map(len, known)) + commands  # all was answered; in another log lies as much of each command
    assert sum(row.count for row in seen) == events
    places = [(log, one.event.leaf_index) for its in known for log, _, _, one in its]
    assert len(set(places)) == len(places)
    contested = [version for its in known for _, stream, version, _ in its if stream == CONTESTED]
    assert sorted(contested) == list(range(len(contested)))  # each version was won once
