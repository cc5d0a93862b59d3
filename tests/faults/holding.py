"""What must hold of a pipeline after any kills: nothing acknowledged is lost, nothing doubled, everything verifies."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from domain.time import SECOND_MS
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.anchors.cosigned import WitnessRecords
from infrastructure.anchors.exporting import bundle_files
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.trust import log_trust, trust_policy
from infrastructure.anchors.witnesses import read_witnesses
from infrastructure.audit.acks import hold_acks
from infrastructure.audit.anchored import Expected, verify_anchored
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys import ed25519
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import Log
from infrastructure.projecting.follower import Follower
from infrastructure.publish.publisher import Publisher, statuses
from tests.append.oracle import acknowledged
from tests.faults.work import Place
from tests.projecting.histories import CHAIN, chain, finish, folded, stored


@dataclass(frozen=True, slots=True)
class Found:
    """How much there was to hold: events, acknowledgements, rounds."""

    events: int
    acknowledgements: int
    rounds: int


def assert_all_holds(ledger: Ledger, place: Place) -> Found:
    """Publish and anchor what is left, then check everything. The witness answers; nobody else is at work."""
    witnesses = read_witnesses(place.path("data"))
    assert Publisher(ledger).publish().failed == {}
    turn = AnchorPublisher(ledger, witnesses).turn()
    assert turn.cosigned_by == ("witness.example/w1",)
    assert all(one.lag_entries == 0 and one.trouble is None for one in statuses(ledger))
    entries = {log.log_id: _whole(ledger, log) for log in ledger.logs()}
    told = _assert_answers_hold(ledger, place, entries)
    _assert_feed(ledger, place, entries)
    _assert_projection(ledger)
    _assert_signed_once(place)
    _assert_rounds(ledger)
    assert not WitnessRecords(ledger.datastore).disputes()
    assert list(place.path("witness").glob("evidence/*")) == []
    for log in ledger.logs():
        _assert_bundle(ledger, place, log, turn.published.size)
    return Found(sum(map(len, entries.values())), told, turn.published.size)


def _whole(ledger: Ledger, log: Log) -> list[tuple[bytes, UUID, int]]:
    """Check one log: dense leaves that hash to its head, dense streams; return (leaf hash, stream, version) of each."""
    head = ledger.head(log.log_id)
    found: list[tuple[bytes, UUID, int]] = []
    streams: dict[UUID, int] = {}
    for one in ledger.recorder.every_entry(log.log_id, head.size):
        assert (one.leaf_index, one.leaf_hash) == (len(found), leaf_hash(one.entry))
        assert one.version == streams.get(one.stream_id, -1) + 1
        streams[one.stream_id] = one.version
        found.append((one.leaf_hash, one.stream_id, one.version))
    assert Frontier.empty().extend(digest for digest, _, _ in found) == head
    return found


def _assert_answers_hold(ledger: Ledger, place: Place, entries: dict[UUID, list[tuple[bytes, UUID, int]]]) -> int:
    """Check that what writers were told is there, where they were told, and that no command's event is there twice."""
    told = acknowledged(place.path(".").glob("answers.*"))
    for log, stream, version, one in told:
        key = ed25519.public_bytes(ledger.keyring.get(log).acknowledgement_key())
        one.verify(key, ledger.log(log).origin)
        assert entries[log][one.event.leaf_index] == (one.event.leaf_hash, stream, version)
    commands: dict[tuple[UUID, str], set[UUID]] = {}
    for log in map(UUID, place.logs):
        for recorded in ledger.history(log):
            commands.setdefault((log, recorded.event.payload()["have"]), set()).add(recorded.stream_id)
    assert all(len(streams) == 1 for streams in commands.values())  # and versions of a stream are dense: none twice
    assert {(log, one.event.jti) for log, _, _, one in told} <= set(commands)
    return len(told)


def _assert_feed(ledger: Ledger, place: Place, entries: dict[UUID, list[tuple[bytes, UUID, int]]]) -> None:
    """Check that the feed has no hole, and that the killed reader has read exactly the feed, up to where it came."""
    order: list[bytes] = []
    reached = dict.fromkeys(entries, 0)
    position, feed = 0, Feed(ledger.datastore)
    while rows := feed.read_feed(position, 1000):
        for row in rows:
            assert (row.position, row.first_index) == (position + 1, reached[row.log_id])
            order += [digest for digest, _, _ in entries[row.log_id][row.first_index : row.first_index + row.count]]
            reached[row.log_id] += row.count
            position = row.position
    assert reached == {log: len(its) for log, its in entries.items()}
    lines = place.path("feed").read_text().split("\n")[:-1]
    read = [(int(number), digest) for number, digest in map(str.split, lines)]
    assert len(read) > 0
    assert read == [(number, digest.hex()) for number, digest in enumerate(order[: len(read)], 1)]


def _assert_projection(ledger: Ledger) -> None:
    """Check that the killed follower has counted every event once, in order, and goes on to the end."""
    follower = Follower(ledger, CHAIN, chain)
    for log in ledger.logs():
        finish(follower, log.log_id)
        assert stored(ledger, CHAIN, log.log_id) == folded(chain, list(ledger.history(log.log_id)))


def _assert_signed_once(place: Place) -> None:
    roots: dict[tuple[str, str], set[str]] = {}
    for line in place.path("signed").read_text().splitlines():
        origin, size, root = line.split()
        roots.setdefault((origin, size), set()).add(root)
    assert all(len(found) == 1 for found in roots.values()), "two roots were signed for one size"


def _assert_rounds(ledger: Ledger) -> None:
    frontier, rounds = Frontier.empty(), Rounds(ledger.datastore)
    for number, one in enumerate(rounds.read(0, rounds.frontier().size)):
        frontier = frontier.append(leaf_hash(one.entry))
        assert (one.index, one.parsed.round_index, one.frontier) == (number, number, frontier)


def _assert_bundle(ledger: Ledger, place: Place, log: Log, rounds: int) -> None:
    """Export a log with its openings of all rounds, and verify it as its auditor; a governed one with every key."""
    governed = str(log.log_id) in dict(place.members)
    out = place.path(f"bundle-{log.slot}")
    checkpoint = export_bundle(
        ledger, log.log_id, out, with_keys="all" if governed else None,
        further=bundle_files(ledger, log, RoundRange(0, rounds - 1)),
    )  # fmt: skip
    witnesses = read_witnesses(place.path("data"))
    policy = trust_policy(ledger, witnesses, log)
    expected = Expected(policy, (), log_trust(ledger, log), ledger.clock.now_ms() // SECOND_MS, 3600)
    verdict = verify_bundle(out, log_keys=[str(one.key) for one in policy.logs])
    verdict, anchored = verify_anchored(out, verdict, expected)
    assert (verdict.ok, verdict.trust) == (True, "verified"), verdict
    assert anchored is not None
    assert anchored.history == (f"one history in rounds 0..{rounds - 1}" if rounds > 1 else "only round 0 checked")
    assert anchored.covered >= checkpoint.size - governed  # the disclosure came after the last round
    if governed:
        _assert_acks(out, place, log)


def _assert_acks(bundle: Path, place: Place, log: Log) -> None:
    """Hold the tenant's acknowledgements, as files, against its bundle."""
    own = place.path(f"acks-{log.slot}")
    own.mkdir()
    for path in place.path("acks").glob(f"{log.log_id}-*.ack"):
        path.rename(own / path.name)
    verdict, report = hold_acks(bundle, verify_bundle(bundle), own)
    assert verdict.ok, verdict
    assert report is not None
    assert (report.lost, report.refused, report.not_due, report.untold) == ((), (), 0, 0)
    assert report.found > 0
