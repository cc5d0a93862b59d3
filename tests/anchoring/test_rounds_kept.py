"""Rounds in the database: dense, append-only, and opened again whenever they are asked for."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash
from domain.transparency.note import parse_note
from domain.transparency.proofs import nodes_of
from infrastructure.anchors.making import draft_round, published_texts, slots_for
from infrastructure.anchors.openings import RoundRange, open_slot
from infrastructure.anchors.rounds import Draft, Round, Rounds
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Log
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import tiles_of
from infrastructure.tlog.signing import LogSigner
from tests.anchoring.stage import Stage
from tests.database import TestServer
from tests.postgres.sample import make_logs

SECRET = bytes(range(32))
KEYS = SlotKeys(SECRET)
SIGNER = LogSigner.from_seeds("ledger.example/anchors", b"E" * 32, b"M" * 32)


def text(slot: int, size: int) -> bytes:
    root = Frontier.empty().extend(leaf_hash(b"%d %d" % (slot, index)) for index in range(size)).root()
    return Checkpoint(f"ledger.example/t/{slot}", size, root).to_text()


def silent(_line: str) -> None:
    """Tell nobody."""


def adding(published: dict[int, bytes], highest: int = 0, tell: Callable[[str], None] = silent) -> Callable[..., Draft]:
    return lambda newest, texts, _: draft_round(KEYS, newest, texts, published, highest_slot=highest, tell=tell)


def opened_as(rounds: Rounds, slot: int, wanted: RoundRange | None = None) -> list[bytes]:
    hashes = [leaf_hash(one.entry) for one in rounds.read(0, rounds.frontier().size)]
    checkpoint = Checkpoint(SIGNER.name, len(hashes), rounds.frontier().root())
    note = SIGNER.sign_checkpoint(checkpoint.to_text(), 1)
    found = open_slot(rounds, SECRET, slot, note=parse_note(note), node=nodes_of(hashes), wanted=wanted)
    seen = []
    for opening in found:
        opening.proof.verify(opening.opening.entry(opening.round_index).leaf_hash())
        seen.append(opening.opening.text)
    return seen


@given(st.lists(st.dictionaries(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=12), st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_slot_of_any_round_can_be_opened_again(
    postgres: TestServer, steps: list[dict[int, int]], data: st.DataObject
) -> None:
    """Each step says by how much the published logs grew before the round."""
    with postgres.database() as name, LedgerDatastore(postgres.conninfo(name)) as datastore:
        make_logs(LedgerRecorder(datastore), 4)
        rounds, sizes = Rounds(datastore), dict.fromkeys(range(1, 5), 0)
        expected: dict[int, list[bytes]] = {slot: [] for slot in sizes}
        for index, step in enumerate(steps):
            for slot, more in step.items():
                sizes[slot] += more
            made = rounds.append(adding({slot: text(slot, size) for slot, size in sizes.items() if size}), 1000 + index)
            assert made is not None
            assert (made.index, made.at_ms, made.parsed.round_index) == (index, 1000 + index, index)
            for slot, size in sizes.items():
                expected[slot].append(text(slot, size) if size else b"")
        first = data.draw(st.integers(0, len(steps) - 1))
        last = data.draw(st.integers(first, len(steps) - 1))
        for slot, texts in expected.items():
            assert opened_as(rounds, slot) == texts
            assert opened_as(rounds, slot, RoundRange(first, last)) == texts[first : last + 1]
        assert rounds.frontier_at(first + 1) == Frontier.empty().extend(
            leaf_hash(one.entry) for one in rounds.read(0, first + 1)
        )
        assert rounds.frontier_at(len(steps) + 1) is None


def test_rounds_are_neither_changed_nor_removed_nor_left_out(conninfo: str, datastore: LedgerDatastore) -> None:
    rounds = Rounds(datastore)
    for _ in range(3):
        rounds.append(adding({1: text(1, 2)}), 5)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for table in ("anchor_rounds", "anchored_checkpoints", "anchor_checkpoints", "anchor_disputes"):
            for statement in ("DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(SQL(statement).format(Identifier("ledger", table)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE ledger.anchor_rounds SET at_ms = 0")
        insert = "INSERT INTO ledger.anchor_rounds (round, entry, frontier, at_ms) VALUES (%s, '', '', 0)"
        with pytest.raises(psycopg.errors.CheckViolation, match="round 4 would leave a gap"):
            connection.execute(insert, (4,))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(insert, (2,))


def test_many_who_make_rounds_at_once_make_each_round_once(datastore: LedgerDatastore) -> None:
    rounds = Rounds(datastore)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda at: rounds.append(adding({1: text(1, 1)}), at), range(40)))
    assert sorted(one.index for one in made if one is not None) == list(range(40))
    stored = list(rounds.read(0, 40))
    frontier = Frontier.empty()
    for one in stored:
        frontier = frontier.append(leaf_hash(one.entry))
        assert one.frontier == frontier


def test_where_none_is_due_nothing_is_written(datastore: LedgerDatastore) -> None:
    rounds = Rounds(datastore)
    assert rounds.append(lambda _newest, _texts, _traced: None, 1) is None
    assert rounds.newest() is None
    assert rounds.frontier() == Frontier.empty()


@pytest.mark.parametrize(
    ("highest", "before", "slots"),
    [(0, 0, 64), (63, 0, 64), (64, 0, 128), (1000, 64, 1024), (5, 256, 256), (1024, 1024, 2048)],
)
def test_slots_are_a_power_of_two_above_every_slot_and_never_fall(highest: int, before: int, slots: int) -> None:
    assert slots_for(highest, before) == slots


def test_a_checkpoint_that_fell_or_changed_its_root_is_not_committed_to_and_told() -> None:
    told: list[str] = []
    committed = {1: text(1, 4), 2: text(2, 4)}
    newest = Round(
        0, AnchorRound(KEYS, 0, committed, slots=64, trace_root=EMPTY_ROOT).entry.to_bytes(), Frontier(0, ()), 0
    )
    other = Checkpoint("ledger.example/t/2", 4, bytes(32)).to_text()
    draft = draft_round(
        KEYS, newest, committed, {1: text(1, 3), 2: other, 3: text(3, 1)}, highest_slot=3, tell=told.append
    )
    assert draft.changed == {3: text(3, 1)}
    assert [line.split(":")[0] for line in told] == ["slot 1", "slot 2"]


def test_the_texts_are_those_of_the_published_checkpoints_and_a_damaged_one_is_told(stage: Stage) -> None:
    told: list[str] = []
    platform, (root, tenant) = stage.ledger.platform(), _others(stage)

    def texts() -> dict[int, bytes]:
        return published_texts(stage.ledger.logs(), lambda log: tiles_of(stage.ledger, log), told.append)

    assert texts() == {}
    published = publish_log(stage.ledger, tenant)
    stage.grow()  # a head that is not published is nobody's business
    assert texts() == {tenant.slot: published.checkpoint.to_text()}
    publish_log(stage.ledger, root)
    publish_log(stage.ledger, platform)
    assert texts().keys() == {0, root.slot, tenant.slot}
    assert not told
    shutil.copy(tiles_of(stage.ledger, root).path / "checkpoint", tiles_of(stage.ledger, tenant).path / "checkpoint")
    (tiles_of(stage.ledger, root).path / "checkpoint").write_bytes(b"x")
    assert texts().keys() == {0}
    assert len(told) == 2
    assert "not of" in "".join(told)


def _others(stage: Stage) -> tuple[Log, Log]:
    tenant = stage.log()
    (root,) = (log for log in stage.ledger.logs() if log.slot not in (0, tenant.slot))
    return root, tenant


def test_with_another_secret_nothing_is_opened(datastore: LedgerDatastore) -> None:
    rounds = Rounds(datastore)
    rounds.append(adding({}), 1)
    note = SIGNER.sign_checkpoint(Checkpoint(SIGNER.name, 1, rounds.frontier().root()).to_text(), 1)
    with pytest.raises(VerificationError, match="round 0 don't give its entry"):
        list(open_slot(rounds, bytes(32), 1, note=parse_note(note), node=nodes_of([b""])))
    with pytest.raises(MalformedError, match=r"rounds 0\.\.1: the anchor log's checkpoint holds 1 rounds"):
        list(open_slot(rounds, SECRET, 1, note=parse_note(note), node=nodes_of([b""]), wanted=RoundRange(0, 1)))
    with pytest.raises(MalformedError):
        RoundRange(3, 2)
