"""A database that lost what was signed: frozen for everybody, then thawed byte for byte."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from domain.errors import LedgerError, RefusedError, VerificationError
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.records import FrozenLogError
from infrastructure.projector import Projector
from infrastructure.publish.logs import log_signer, publish_log
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publisher import Publisher, metrics, statuses
from tests.commands.driver import Driver
from tests.database import TestServer, postgres
from tests.publish.restoring import Machine, machine

__all__ = ["postgres"]


@pytest.fixture
def lost(postgres: TestServer, tmp_path: Path) -> Iterator["Lost"]:
    with machine(postgres, tmp_path) as made:
        yield Lost(made)


class Lost:
    """A machine that published, was backed up, did and published much more, and is restored from that backup."""

    def __init__(self, made: Machine) -> None:
        self.machine, self.cell = made, made.cell
        self.member, self.other = made.cell.join("Alpha"), made.cell.join("Beta")
        made.publish()
        self.old = made.backup()
        made.pass_time()
        self.live()
        made.publish()
        self.new = made.name

    def live(self) -> None:
        """A life with payloads, a fault, governance, rotated keys, and a tenant that the backup does not have."""
        made, cell = self.machine, self.cell
        (execution,) = cell.place(self.member)
        Driver(cell, execution).whole()
        made.pass_time()
        cell.submit(self.other)
        made.pass_time()
        self.other.adopt({"kind": "in_country", "countries": ["DEU"]})
        cell.settle()
        made.pass_time()
        rotate_log_key(cell.ledger, self.member.log_id)
        self.late = cell.join("Gamma")
        (failing,) = cell.place(self.late)
        Driver(cell, failing).fail()


def test_a_restored_backup_is_frozen_for_every_process_and_thawed_byte_for_byte(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    expected, answers = made.dump(), made.answers()
    with pytest.raises(RefusedError, match="log thaw --all"):
        made.open(lost.old)  # it has no log of Gamma at all
    with psycopg.connect(made.server.conninfo(lost.old, SUPERUSER)) as connection:
        query = "SELECT frozen FROM ledger.log_heads WHERE tenant_id = %s"
        (frozen,) = connection.execute(query, (lost.member.log_id,)).fetchone() or ("",)
    for said in ("may have been signed, but the database has size", "log thaw"):
        assert said in frozen
    made.open(lost.old, thawing=True)
    before = made.dump()
    for attempt in (lost.member.adopt, lambda: cell.submit(lost.other)):
        with pytest.raises(FrozenLogError, match="may have been signed"):
            attempt()
    with pytest.raises(FrozenLogError, match="may have been signed"):
        publish_log(cell.ledger, cell.ledger.log(lost.member.log_id))
    with pytest.raises(FrozenLogError):
        export_bundle(cell.ledger, lost.member.log_id, cell.folder / "refused")
    with pytest.raises(FrozenLogError):
        rotate_log_key(cell.ledger, lost.member.log_id)
    assert made.dump() == before
    thawed = made.thaw()
    assert {one.origin for one in thawed} >= {lost.member.tenant.origin, lost.late.tenant.origin}
    assert made.dump() == expected
    restored = made.answers()
    assert {key: one["digest"] for key, one in restored.items()} == {key: one["digest"] for key, one in answers.items()}
    assert all(restored[key]["answer"] == one["answer"] for key, one in answers.items() if one["answer"])
    goes_on(lost)


def goes_on(lost: Lost) -> None:
    """Check that a thawed machine is whole: everything verifies, is folded again, and takes more."""
    made, cell = lost.machine, lost.cell
    made.open(made.name)
    assert metrics(statuses(cell.ledger))["frozen_logs"] == 0
    assert Publisher(cell.ledger).publish().failed == {}
    Projector(cell.ledger).catch_up()
    cell.settle()
    (execution,) = cell.place(lost.member)
    Driver(cell, execution).whole()
    made.publish()
    for member in (lost.member, lost.other, lost.late):
        out = cell.folder / f"bundle of {member.log_id}"
        export_bundle(cell.ledger, member.log_id, out, with_keys="all")
        verdict = verify_bundle(out, log_keys=[str(log_signer(cell.ledger, member.log_id).verifier_keys()[0])])
        assert verdict.ok, verdict.first_error
        shutil.rmtree(out)


def test_a_repeated_statement_is_recognised_after_a_thaw(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    (execution,) = cell.place(lost.member)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    made.publish()
    made.open(lost.old, thawing=True)
    made.thaw()
    made.open(made.name)
    with cell.nothing_written():
        for token, enclosed in driver.tokens:
            assert driver.send(token, enclosed).answer == {"accepted": True, "reason": ""}
    driver.completed()
    driver.reset()
    assert cell.topics(lost.member)[-1] == "cac.issued.v1"


def test_an_empty_database_gets_every_log_back(lost: Lost) -> None:
    made = lost.machine
    expected = made.dump()
    with made.server.database() as empty:
        made.open(empty, thawing=True)
        thawed = made.thaw()
        assert sum(one.entries for one in thawed) == len(expected["stored_events"])
        assert made.dump() == expected
        goes_on(lost)
        made.open(lost.new)


def test_a_mirror_serves_where_our_own_directory_is_gone(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    expected = made.dump()
    mirror = cell.folder / "mirror"
    shutil.move(cell.folder / "data/published", mirror)
    made.open(lost.old, thawing=True)
    with pytest.raises(VerificationError, match="missing"):
        made.thaw()
    made.thaw(mirror)
    assert made.dump() == expected
    goes_on(lost)  # our own directory is written again from the database


def test_a_bundle_serves_but_for_payloads(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    expected = made.dump()
    bundle = cell.folder / "bundle"
    export_bundle(cell.ledger, lost.member.log_id, bundle)
    expected = made.dump()
    made.open(lost.old, thawing=True)
    with pytest.raises(RefusedError, match="payloads that these entries name are in no copy"):
        made.thaw(bundle, lost.member)
    (thawed,) = made.thaw(bundle, lost.member, without_payloads=True)
    assert thawed.payloads_missing > 0
    mine = [row for row in made.dump()["stored_events"] if row[0] == lost.member.log_id]
    assert mine == [row for row in expected["stored_events"] if row[0] == lost.member.log_id]
    lost.member.adopt()
    with pytest.raises(FrozenLogError):
        lost.other.adopt()


def test_a_database_that_went_on_after_the_loss_is_not_overwritten(lost: Lost) -> None:
    made = lost.machine
    made.open(lost.old, thawing=True)  # a process that did not look, because it ran all the time
    lost.member.adopt()
    with pytest.raises(RefusedError, match="log thaw --all"):
        made.open(lost.old)
    made.open(lost.old, thawing=True)
    with pytest.raises(FrozenLogError):
        lost.member.adopt()
    with pytest.raises(RefusedError, match="two histories"):
        made.thaw(member=lost.member)


@pytest.mark.parametrize("path", ["tile/entries/000.p/*", "tile/0/000.p/*"])
def test_a_damaged_copy_brings_nothing_back(lost: Lost, path: str) -> None:
    made, cell = lost.machine, lost.cell
    tiles = tiles_of(cell.ledger, cell.ledger.log(lost.member.log_id)).path
    newest = max(tiles.glob(path), key=lambda file: int(file.name))
    data = newest.read_bytes()
    newest.write_bytes(data[:-40] + bytes(40))
    made.open(lost.old, thawing=True)
    before = made.dump()
    with pytest.raises(LedgerError):
        made.thaw()
    assert made.dump()["stored_events"] == before["stored_events"]
    newest.write_bytes(data)
    made.thaw()
    goes_on(lost)


def test_a_thaw_that_is_cut_short_has_imported_nothing_and_can_be_repeated(lost: Lost) -> None:
    made = lost.machine
    expected = made.dump()

    def cut(done: int) -> None:
        raise KeyboardInterrupt

    made.open(lost.old, thawing=True)
    before = made.dump()["stored_events"]
    with pytest.raises(KeyboardInterrupt):
        made.thaw(progress=cut)
    assert made.dump()["stored_events"] == before
    made.thaw()
    assert made.dump() == expected


def test_entries_that_were_written_and_not_signed_come_back_from_our_own_directory(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, cell = lost.machine, lost.cell
    lost.member.adopt()
    expected = made.dump()
    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.publish.floors.Floors.raise_to", _end)
        with pytest.raises(KeyboardInterrupt):
            publish_log(cell.ledger, cell.ledger.log(lost.member.log_id))
    made.open(lost.old, thawing=True)
    made.thaw()
    assert made.dump() == expected
    goes_on(lost)


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_floor_that_is_lost_or_damaged_freezes_and_thaws_from_what_was_published(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    origin = lost.member.tenant.origin
    floor = floors_of(cell.ledger).path(origin)
    whole = floor.read_bytes()
    for damage in (lambda: floor.write_bytes(b"nonsense"), floor.unlink):
        damage()
        made.open(made.name)
        with pytest.raises(FrozenLogError, match=r"floor|damaged"):
            lost.member.adopt()
        floor.unlink(missing_ok=True)
        made.thaw()
        assert floor.read_bytes() == whole
        made.open(made.name)
    lost.member.adopt()
    made.publish()


def test_a_log_that_is_frozen_by_mistake_goes_on_with_nothing_to_import(lost: Lost) -> None:
    made, cell = lost.machine, lost.cell
    floors_of(cell.ledger).freeze(lost.member.tenant.origin, "a witness said so")
    made.open(made.name)
    with pytest.raises(FrozenLogError, match="a witness said so"):
        lost.member.adopt()
    (thawed,) = made.thaw()
    assert (thawed.origin, thawed.entries) == (lost.member.tenant.origin, 0)
    lost.member.adopt()
