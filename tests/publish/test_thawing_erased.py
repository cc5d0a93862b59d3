"""A backup from before a tenant was erased: what is left of it comes back sealed, and it holds up nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import RefusedError
from domain.message import Sealed
from domain.time import DAY_MS
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.rounds import Rounds
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.anchoring import thaw_anchors
from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.decider import Decider
from infrastructure.erasure import destroy_keys
from infrastructure.postgres.views import Views
from infrastructure.projector import Projector
from infrastructure.publish.logs import log_signer
from infrastructure.publish.publisher import metrics, statuses
from infrastructure.thaw.thawing import Thawed
from projections import audit_trail
from tests.commands.cell import Member
from tests.commands.test_erasure import lived, order
from tests.database import TestServer, postgres
from tests.publish.restoring import Machine, machine

__all__ = ["postgres"]


@pytest.fixture
def made(postgres: TestServer, tmp_path: Path) -> Iterator[Machine]:
    with machine(postgres, tmp_path) as one:
        yield one


def erase(made: Machine, member: Member) -> None:
    """Order a tenant's erasure, carry it out, publish everything."""
    order(made.cell, member)
    made.publish()
    destroy_keys(made.cell.ledger, member.log_id)
    made.publish()


def published(made: Machine, log_id: UUID) -> list[tuple[Any, ...]]:
    """Return the entries of a log as its tree has them, without what only its keys tell of them."""
    return sorted(row[4:] for row in made.dump()["stored_events"] if row[0] == log_id)


def goes_on(made: Machine, gone: Member, other: Member) -> None:
    """Check that the erased log is whole and sealed, and that everybody else works."""
    made.open(made.name)
    cell, ledger = made.cell, made.cell.ledger
    assert metrics(statuses(ledger))["frozen_logs"] == 0
    made.publish()
    assert ledger.erased(gone.log_id)
    assert {type(recorded.event) for recorded in ledger.history(gone.log_id)} == {Sealed}
    Projector(ledger).catch_up()
    assert not Views(ledger.datastore).rows(audit_trail.NAME, gone.log_id)
    cell.run(*cell.place(other))
    assert cell.topics(other)[-1] == "cac.issued.v1"
    assert Decider(ledger).catch_up().digest() == cell.decider.catch_up().digest()
    out = cell.folder / "sealed"
    export_bundle(ledger, gone.log_id, out)
    verdict = verify_bundle(out, log_keys=[str(log_signer(ledger, gone.log_id).verifier_keys()[0])])
    assert verdict.ok, verdict.first_error
    assert destroy_keys(ledger, gone.log_id).size == ledger.head(gone.log_id).size


@pytest.mark.parametrize("all_of_them", [True, False])
def test_a_tenant_that_the_backup_does_not_have_comes_back_sealed(made: Machine, *, all_of_them: bool) -> None:
    cell = made.cell
    other = cell.join("Alpha")
    made.publish()
    old = made.backup()
    other.adopt({"kind": "in_country", "countries": ["DEU"]})
    gone = lived(cell)
    rotate_log_key(cell.ledger, gone.log_id)
    erase(made, gone)
    expected, size = made.dump(), cell.ledger.head(gone.log_id).size
    origin = cell.ledger.log(gone.log_id).origin
    mine = published(made, gone.log_id)
    with pytest.raises(RefusedError, match="log thaw --all"):
        made.open(old)
    made.name = old
    if not all_of_them:
        (thawed,) = made.thaw(member=other)
        assert thawed.entries > 0
    thawed_too = {one.origin: one for one in made.thaw()}
    assert thawed_too[origin] == Thawed(origin, size, size, 0, sealed=True)
    assert published(made, gone.log_id) == mine
    for table in ("log_heads", "key_notes", "logs"):
        assert made.dump()[table] == expected[table]
    others = [row for row in expected["stored_events"] if row[0] != gone.log_id]
    assert [row for row in made.dump()["stored_events"] if row[0] != gone.log_id] == others
    goes_on(made, gone, other)


def test_a_tenant_of_which_the_backup_has_less_gives_back_the_places_that_it_held_then(made: Machine) -> None:
    cell = made.cell
    other, gone = cell.join("Alpha"), lived(cell)
    (held,) = cell.place(gone)
    cell.submit(gone)
    cell.settle()
    cell.decider.views.flush(durable=True)
    made.publish()
    old = made.backup()
    erase(made, gone)
    mine = published(made, gone.log_id)
    made.open(old)
    assert held in made.cell.decider.catch_up().live
    thawed = {one.origin: one for one in made.thaw()}
    assert thawed[cell.ledger.log(gone.log_id).origin].sealed
    assert not thawed[made.cell.ledger.platform().origin].sealed
    assert published(made, gone.log_id) == mine
    made.open(old)
    cell.clock.advance_to(cell.clock.now_ms() + DAY_MS)  # whatever it waited for has come due
    cell.settle()
    assert cell.decider.state.at_rest(cell.ledger.log(gone.log_id).slot)
    goes_on(made, gone, other)


def test_it_comes_back_a_second_time(made: Machine) -> None:
    cell = made.cell
    other, gone = cell.join("Alpha"), lived(cell)
    made.publish()
    old = made.backup()
    erase(made, gone)
    made.open(old, thawing=True)
    made.thaw()
    again = made.backup()
    other.adopt()
    made.publish()
    made.open(again)
    (thawed,) = made.thaw()
    assert (thawed.origin, thawed.sealed) == (other.tenant.origin, False)
    goes_on(made, gone, other)


def test_the_anchor_log_is_thawed_while_logs_are_missing(made: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = made.cell
    cell.join("Alpha")
    made.publish()
    AnchorPublisher(cell.ledger, NOBODY).turn()
    old = made.backup()
    gone = cell.join("GoneDAO")
    gone.adopt()
    erase(made, gone)
    lost = AnchorPublisher(cell.ledger, NOBODY).turn().made
    assert lost is not None
    cell.ledger.close()
    monkeypatch.setenv("LEDGER_DATABASE_URL", made.server.conninfo(old))
    thaw_anchors(cell.folder / "data", None, as_json=True)
    made.open(old, thawing=True)
    assert [one.entry for one in Rounds(cell.ledger.datastore).read(0, 9)][-1] == lost.entry
    made.thaw()
    made.open(old)
    assert AnchorPublisher(cell.ledger, NOBODY).turn().published.size == lost.index + 2
