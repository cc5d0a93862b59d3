"""An older backup of the database: the anchor log is frozen, and thaws with its rounds byte for byte."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from domain.errors import VerificationError
from domain.transparency.anchor_slots import SlotKeys
from domain.transparency.anchors import Opening
from infrastructure.anchors.exporting import cosigned_checkpoint, openings
from infrastructure.anchors.openings import RoundRange
from infrastructure.anchors.places import anchors_locked, journal_of
from infrastructure.anchors.thawing import Thawed, thaw
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.floors import Floors
from infrastructure.publish.places import floors_of
from infrastructure.publish.tile_directory import TileDirectory
from tests.anchoring.stage import Stage, staged
from tests.commands.cell import Cell, Member
from tests.database import TestServer

ANCHORS = "ledger.example/anchors"


@contextmanager
def restored(stage: Stage, postgres: TestServer, name: str) -> Iterator[Stage]:
    """Open a database beside the data directory of a stage whose own is left."""
    folder = Path(tempfile.mkdtemp(dir=stage.cell.folder))
    (folder / "data").symlink_to(stage.cell.folder / "data")
    cell = Cell(folder, postgres.conninfo(name), at_ms=stage.cell.clock.now_ms())
    try:
        with ExitStack() as stack:
            yield Stage(cell, [Member(cell, one.log_id, one.admins) for one in stage.members], stack)
    finally:
        cell.close()


@pytest.fixture
def lost(postgres: TestServer, tmp_path: Path) -> Iterator[tuple[Stage, str]]:
    """A cell with five rounds, and the name of a copy of its database as of the second; every round saw growth."""
    with postgres.database() as name, ExitStack() as stack:
        copy = f"{name}_backup"
        with staged(tmp_path, postgres.conninfo(name)) as first:
            for _ in range(2):
                first.grow()
                first.turn()
        with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
            admin.execute(SQL("CREATE DATABASE {} OWNER ledger TEMPLATE {}").format(Identifier(copy), Identifier(name)))
            stack.callback(_drop, postgres, copy)
        with restored(first, postgres, name) as stage:
            for _ in range(3):
                stage.grow()
                stage.turn()
            yield stage, copy


def _drop(postgres: TestServer, name: str) -> None:
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
        admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def thawed(stage: Stage, tiles: TileDirectory | None = None) -> Thawed:
    with anchors_locked(stage.ledger):
        return thaw(
            stage.rounds, floors_of(stage.ledger), tiles or stage.anchors, journal_of(stage.ledger),
            SlotKeys(stage.ledger.keyring.platform_secrets().anchor), ANCHORS, at_ms=1,
        )  # fmt: skip


def opened(stage: Stage, rounds: RoundRange | None = None) -> list[Opening]:
    cosigned = cosigned_checkpoint(stage.ledger)
    assert cosigned is not None
    return [one.opening for one in openings(stage.ledger, stage.log(), cosigned, rounds)]


def test_a_restored_database_freezes_the_anchor_log_and_thaws_with_every_round(
    lost: tuple[Stage, str], postgres: TestServer
) -> None:
    before, copy = lost
    entries, was = [one.entry for one in before.rounds.read(0, 5)], opened(before)
    with restored(before, postgres, copy) as stage:
        for _ in range(2):
            with pytest.raises(
                FrozenLogError, match=r"size 5 with root .* may have been signed, but the database has size 2"
            ):
                stage.turn()
        assert stage.rounds.frontier().size == 2, "nothing is appended"
        assert thawed(stage) == Thawed(3, ())
        assert [one.entry for one in stage.rounds.read(0, 5)] == entries
        assert [one.at_ms for one in stage.rounds.read(0, 5)] == [one.at_ms for one in before.rounds.read(0, 5)]
        assert floors_of(stage.ledger).frozen(ANCHORS) is None
        turn = stage.turn()
        assert turn.published.size == 6
        assert opened(stage)[:5] == was, "what the lost rounds committed to came from the journal"


def test_without_its_journal_it_thaws_and_says_which_rounds_stay_closed(
    lost: tuple[Stage, str], postgres: TestServer
) -> None:
    before, copy = lost
    shutil.move(before.data / "anchors/rounds.jsonl", before.data / "gone")
    with restored(before, postgres, copy) as stage:
        assert thawed(stage) == Thawed(3, (2, 3, 4))
        stage.turn()
        with pytest.raises(VerificationError, match="the slots of round 2 don't give its entry"):
            opened(stage)
        assert len(opened(stage, RoundRange(5, 5))) == 1


def test_a_torn_or_repeated_line_of_the_journal_does_no_harm(lost: tuple[Stage, str], postgres: TestServer) -> None:
    before, copy = lost
    journal = journal_of(before.ledger)
    journal.write(3, 1, {before.log().slot: b"never committed\n"})
    with (before.data / "anchors/rounds.jsonl").open("ab") as file:
        file.write(b'{"at_ms":1,"round":4,"te')
    journal.write(9, 1, {})
    assert [line[0] for line in journal.read(3)] == [3, 4, 3, 9]
    with restored(before, postgres, copy) as stage:
        assert thawed(stage) == Thawed(3, ())


def test_only_tiles_of_the_floors_tree_thaw(lost: tuple[Stage, str], postgres: TestServer, tmp_path: Path) -> None:
    before, copy = lost
    mirror = tmp_path / "mirror"
    shutil.copytree(before.anchors.path, mirror)
    entries = mirror / "tile/entries/000.p/5"
    (mirror / "tile/0/000.p/5").write_bytes(bytes(160))
    with restored(before, postgres, copy) as stage:
        with pytest.raises(VerificationError, match="are not those of the floor's tree"):
            thawed(stage, TileDirectory(mirror))
        shutil.copy(before.anchors.path / "tile/0/000.p/5", mirror / "tile/0/000.p/5")
        entries.write_bytes(entries.read_bytes().replace(b"ledger-anchor/v1\n3\n64", b"ledger-anchor/v1\n3\n32"))
        with pytest.raises(VerificationError, match="leads to another root"):
            thawed(stage, TileDirectory(mirror))
        assert stage.rounds.frontier().size == 3, "what was proven is stored, and nothing else"
        assert thawed(stage) == Thawed(2, ())


def test_rounds_that_were_made_after_a_restore_by_another_hand_are_never_mended(
    lost: tuple[Stage, str], postgres: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, copy = lost
    with restored(before, postgres, copy) as stage:
        with monkeypatch.context() as patched:
            patched.setattr(Floors, "read", lambda _self, _origin: None)
            patched.setattr(Floors, "frozen", lambda _self, _origin: None)
            with pytest.raises(FrozenLogError):  # publish_tree still sees what was published
                stage.turn(publish=False)
        assert stage.rounds.frontier().size == 3
        with pytest.raises(VerificationError, match="may have been signed, but the database has size 3"):
            thawed(stage)
        with pytest.raises(FrozenLogError):
            stage.turn(publish=False)
